"""What auth knows of workers and broker before it publishes, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.auth.availability import PROBE_EVERY, Availability
from services.auth.bulkhead import Shed
from shared.beside import beside
from shared.errors import Unconfirmed
from shared.inprocess import InProcessBroker, InProcessTransport
from shared.topology import Names
from shared.transport import Message, Subscription

NAMES = Names("t")
CONNECTION = "con_0000000000000001"
QUEUE = NAMES.request_queue(CONNECTION)
GRACE = 5.0
SOON = 0.01


class Broker:
    """The in-process broker, with workers that come and go."""

    def __init__(self) -> None:
        self._broker = InProcessBroker()
        self.transport = Deaf(self._broker, "auth")
        self.told: list[str] = []
        self._worker: list[Subscription] = []

    async def declare(self, *connections: str) -> None:
        await self.transport.declare(NAMES.base())
        for connection_id in connections:
            await self.transport.declare(NAMES.connection(connection_id))

    async def worker_comes(self, *queues: str) -> None:
        worker = self._broker.transport("worker")
        for queue in (NAMES.workers, *queues):
            self._worker.append(await worker.consume(queue, prefetch=1, handler=_ignore))

    async def worker_goes(self) -> None:
        for subscription in self._worker:
            await subscription.cancel()
        self._worker.clear()


class Deaf(InProcessTransport):
    """A link whose broker may stop answering."""

    deaf = False

    async def publish(
        self, exchange: str, routing_key: str, message: Message, *, within: timedelta
    ) -> None:
        if self.deaf:
            await asyncio.sleep(within.total_seconds())
            raise Unconfirmed("not confirmed")
        await super().publish(exchange, routing_key, message, within=within)


def _ignore(_: object) -> None:
    """What is delivered stays in hand."""


@pytest.fixture
async def broker() -> Broker:
    return Broker()


@pytest.fixture
async def known(broker: Broker) -> AsyncIterator[Availability]:
    await broker.declare(CONNECTION)
    made = Availability(
        broker.transport,
        NAMES,
        grace=timedelta(seconds=GRACE),
        unattended=broker.told.append,
    )
    async with beside(made.watch(), "watch"):
        await asyncio.sleep(SOON)
        yield made


async def open_after(known: Availability, seconds: float) -> bool:
    """Whether requests are taken after so long."""
    await asyncio.sleep(seconds)
    try:
        known.check(QUEUE)
    except Shed:
        return False
    return True


async def test_requests_wait_for_the_first_worker_for_a_grace(
    known: Availability, broker: Broker
) -> None:
    """Start order does not matter."""
    assert [True, True] == [await open_after(known, 0), await open_after(known, GRACE - 1)]

    await broker.worker_comes(QUEUE)

    assert [True, True] == [await open_after(known, 1.1), await open_after(known, GRACE * 3)]
    assert [] == broker.told


async def test_without_a_worker_requests_are_refused_at_once_and_who_waits_is_told(
    known: Availability, broker: Broker
) -> None:
    known.check(QUEUE)

    assert not await open_after(known, GRACE + 1.1)
    assert [QUEUE] == broker.told
    assert not await open_after(known, 60)
    assert [QUEUE] == broker.told


async def test_a_queue_in_use_for_the_first_time_needs_no_grace_where_there_is_no_worker_at_all(
    known: Availability, broker: Broker
) -> None:
    await asyncio.sleep(GRACE + 1)
    known.check(QUEUE)  # nobody has looked at it yet

    assert not await open_after(known, SOON)
    assert [QUEUE] == broker.told


async def test_a_new_connection_is_not_refused_while_workers_learn_of_it(
    known: Availability, broker: Broker
) -> None:
    await broker.worker_comes()
    await asyncio.sleep(GRACE * 2)

    assert [True, True] == [await open_after(known, 0), await open_after(known, GRACE - 1)]
    assert not await open_after(known, 2.1)


async def test_a_worker_that_restarts_within_the_grace_is_not_noticed(
    known: Availability, broker: Broker
) -> None:
    await broker.worker_comes(QUEUE)
    assert await open_after(known, GRACE * 3)

    await broker.worker_goes()
    assert await open_after(known, GRACE - 1)
    await broker.worker_comes(QUEUE)

    assert await open_after(known, GRACE * 3)
    assert [] == broker.told


async def test_a_worker_that_comes_back_opens_the_queue_again(
    known: Availability, broker: Broker
) -> None:
    assert await open_after(known, 0)
    assert not await open_after(known, GRACE * 3)

    await broker.worker_comes(QUEUE)

    assert await open_after(known, 1.1)


async def test_the_number_of_workers_is_known_and_never_nought(
    known: Availability, broker: Broker
) -> None:
    known.check(QUEUE)
    assert 1 == known.workers(QUEUE)

    await broker.worker_comes(QUEUE)
    await broker.worker_comes(QUEUE)
    await asyncio.sleep(1.1)

    assert 2 == known.workers(QUEUE)


async def test_two_time_outs_in_a_row_close_the_door_until_a_probe_comes_through(
    known: Availability, broker: Broker
) -> None:
    await broker.worker_comes(QUEUE)
    broker.transport.deaf = True

    known.timed_out()
    assert await open_after(known, 0)
    known.timed_out()

    assert not await open_after(known, 0)
    assert not await open_after(known, 60)
    broker.transport.deaf = False
    assert await open_after(known, PROBE_EVERY * 2 + SOON)


async def test_time_outs_that_are_not_in_a_row_close_nothing(
    known: Availability, broker: Broker
) -> None:
    await broker.worker_comes(QUEUE)

    for _ in range(5):
        known.timed_out()
        known.confirmed()

    assert await open_after(known, 0)


async def test_what_can_not_be_looked_up_stays_as_it_was(
    known: Availability, broker: Broker
) -> None:
    await broker.worker_comes(QUEUE)
    assert await open_after(known, 1.1)

    broker.transport.cut()

    assert await open_after(known, GRACE * 3)
