"""A worker's consumers when a drain meets what they are at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import uvloop

from services.script_worker.consumer import Consumer
from services.script_worker.execution import Settlement
from shared.database import Database
from shared.inprocess import InProcessBroker, InProcessTransport
from shared.topology import DELIVERY_LIMIT, Names
from shared.transport import Handler, Message, Subscription, Topology

NAMES = Names("t")
LONG = DELIVERY_LIMIT * 10
"""Turns of the loop: far more than it takes to bury a request that is given back at once."""


class _Connections:
    """The table of connections."""

    def __init__(self, *names: str) -> None:
        self.names = names

    async def fetch(self, _: str) -> list[Mapping[str, Any]]:
        return [
            {
                "connection_id": name,
                "worker_concurrency": 4,
                "current_revision": "r",
                "lane": None,
                "leaving": None,
            }
            for name in self.names
        ]


class _Slow:
    """A subscription whose cancelling takes a broker's time."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner

    async def cancel(self) -> None:
        for _ in range(LONG):
            await asyncio.sleep(0)
        await self._inner.cancel()


class _SlowTransport(InProcessTransport):
    """The in-process one, as slow as a broker: setting up and cancelling take turns of the loop."""

    def __init__(self, broker: InProcessBroker, name: str) -> None:
        super().__init__(broker, name)
        self.declaring = asyncio.Event()

    async def declare(self, topology: Topology) -> None:
        self.declaring.set()
        for _ in range(LONG):
            await asyncio.sleep(0)
        await super().declare(topology)

    async def consume(self, queue: str, *, prefetch: int, handler: Handler) -> Any:
        return _Slow(await super().consume(queue, prefetch=prefetch, handler=handler))


async def _execute(_: bytes, __: float) -> Settlement:
    return Settlement.ACK


def _consumer(transport: _SlowTransport, connections: _Connections) -> Consumer:
    return Consumer(
        transport=transport,
        database=cast(Database, connections),
        names=NAMES,
        concurrency=4,
        execute=_execute,
        changed=lambda *_: None,
    )


async def _consuming(broker: InProcessBroker, *queues: str) -> None:
    async with asyncio.timeout(10):
        while any(not _consumers(broker, queue) for queue in queues):
            await asyncio.sleep(0)


def _consumers(broker: InProcessBroker, queue: str) -> int:
    facts = broker.facts(NAMES.request_queue(queue))
    return 0 if facts is None else facts.consumers


async def _published(transport: InProcessTransport, connection: str) -> None:
    message = Message(body=b"{}", type="t", correlation_id="c")
    await transport.publish(NAMES.requests, connection, message, within=timedelta(seconds=1))


def test_what_comes_to_a_draining_worker_waits_for_the_others_and_is_not_buried() -> None:
    async def drained() -> tuple[int, int]:
        broker = InProcessBroker()
        transport = _SlowTransport(broker, "worker")
        await transport.declare(NAMES.base())
        consumer = _consumer(transport, _Connections("one", "two"))
        running = asyncio.get_running_loop().create_task(consumer.run())
        await _consuming(broker, "one", "two")
        draining = asyncio.get_running_loop().create_task(consumer.drain())
        await asyncio.sleep(0)
        await _published(transport, "two")
        await draining
        await running
        waiting = broker.facts(NAMES.request_queue("two"))
        buried = broker.facts(NAMES.dead)
        assert waiting is not None
        assert buried is not None
        return waiting.waiting, buried.waiting

    assert (1, 0) == uvloop.run(drained())


def test_a_queue_that_is_being_set_up_when_the_drain_begins_is_left_as_well() -> None:
    async def left() -> int:
        broker = InProcessBroker()
        transport = _SlowTransport(broker, "worker")
        await transport.declare(NAMES.base())
        transport.declaring.clear()
        consumer = _consumer(transport, _Connections("one"))
        running = asyncio.get_running_loop().create_task(consumer.run())
        await transport.declaring.wait()
        await consumer.drain()
        await running
        return _consumers(broker, "one")

    assert 0 == uvloop.run(left())


def test_a_queue_that_a_look_leaves_while_the_drain_goes_through_them_ends_nothing() -> None:
    async def drained() -> int:
        broker = InProcessBroker()
        transport = _SlowTransport(broker, "worker")
        await transport.declare(NAMES.base())
        connections = _Connections("one", "two", "three")
        consumer = _consumer(transport, connections)
        running = asyncio.get_running_loop().create_task(consumer.run())
        await _consuming(broker, *connections.names)
        await asyncio.sleep(0.05)  # it looks, and waits for a change
        connections.names = ("one",)
        await transport.publish(
            NAMES.control,
            "three",
            Message(body=b"", type="t", correlation_id="c"),
            within=timedelta(seconds=1),
        )
        for _ in range(20):  # the look is at leaving the other two, one after the other
            await asyncio.sleep(0)
        await consumer.drain()
        await running
        return sum(_consumers(broker, name) for name in ("one", "two", "three"))

    assert 0 == uvloop.run(drained())
