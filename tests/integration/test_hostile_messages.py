"""Whatever stands in a queue is settled and counted, and stops neither service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import hypothesis
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.auth import housekeeping
from shared.contracts import Action, Binding, Detail, ExecutionRequest, ExecutionResult, Failed
from shared.execution_ids import mint
from shared.sealing import Direction, seal_json
from shared.topology import Names
from tests.hostile_messages import Hostile, every_single_change, hostile
from tests.processes import eventually
from tests.servers import Databases
from tests.site import PASSWORD, Site, opened

NAMES = Names()
SOON = timedelta(seconds=5)
AT_ONCE = 20
"""Messages that are put before all of them have to be settled; far below a queue's bound."""
Put = Callable[[Site, Sequence[Hostile]], Awaitable[None]]
BOUNDED = hypothesis.settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Running:
    """Both services on a loop of their own: Hypothesis's tests are synchronous."""

    portal: BlockingPortal
    site: Site

    def put(self, put: Put, given_: Sequence[Hostile]) -> None:
        """Put messages, and see what becomes of them and of the services."""
        self.portal.call(put, self.site, given_)


@pytest.fixture(scope="module")
def running(databases: Databases) -> Iterator[Running]:
    """On a database of their own, with a connection. A service that ended fails the teardown."""
    url = databases.fresh()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened(url)) as site,
    ):
        portal.call(site.connect)
        with pytest.MonkeyPatch.context() as patch:
            # Orphans are taken at once: nobody waits for these, and each would take half a minute.
            patch.setattr(housekeeping, "LATE", timedelta(days=-1))
            yield Running(portal, site)
    databases.drop(url)


async def valid(site: Site) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A connection's id, and a request and a result that could be real."""
    connection = await site.auth.state.its.connections.by_name("shop")
    assert connection is not None
    now = site.database.now()
    binding = Binding(
        execution_id=mint(now),
        connection_id=connection.connection_id,
        revision=connection.revision,
        action=Action.LOGIN,
        deadline=now + timedelta(seconds=2),
    )
    sealed = seal_json(site.auth.state.ring, Direction.ARGUMENTS, binding, ["eve@x", "wrong"])
    request = ExecutionRequest(
        **dict(binding), reply_to="nobody", sealed_arguments=sealed, requested_at=now
    )
    result = ExecutionResult(**dict(binding), outcome=Failed.of(Detail.THREW, "no"), attempt=1)
    return (
        connection.connection_id,
        json.loads(request.model_dump_json()),
        json.loads(result.model_dump_json()),
    )


def counted(name: str, *values: str) -> float:
    """The sum of a counter over label values; of all without any."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name and (not values or set(values) & set(sample.labels.values()))
    )


async def settled(site: Site) -> None:
    """Wait until no queue has anything, and nobody has anything in hand."""

    async def quiet() -> bool:
        queues = list(site.transport._broker._queues.values())
        return not any(
            queue.entries or any(consumer.unsettled for consumer in queue.consumers)
            for queue in queues
        )

    await eventually(quiet)


async def alive(site: Site) -> None:
    """Both services still do their work."""
    assert 200 == (await site.login(PASSWORD)).status_code


async def put_requests(site: Site, given_: Sequence[Hostile]) -> None:
    """The worker acks or rejects each; what it rejects, auth's consumer of dead letters takes."""
    connection_id, request, result = await valid(site)
    before = counted("script_worker_messages_total", "ack", "reject")
    for one in given_:
        message = one.message(request, request, result)
        await site.transport.publish(NAMES.requests, connection_id, message, within=SOON)

    await settled(site)

    assert before + len(given_) == counted("script_worker_messages_total", "ack", "reject")
    await alive(site)


async def put_results(site: Site, given_: Sequence[Hostile]) -> None:
    """auth's consumers of replies and of orphans count each."""
    _, request, result = await valid(site)
    replica = site.auth._executions._replica
    before = counted("auth_script_rpc_replies_total")
    for one in given_:
        for key in (replica, "nobody"):
            message = one.message(result, result, request)
            await site.transport.publish(NAMES.replies, key, message, within=SOON)

    await settled(site)

    assert before + 2 * len(given_) <= counted("auth_script_rpc_replies_total")
    await alive(site)


async def put_dead_letters(site: Site, given_: Sequence[Hostile]) -> None:
    """auth's consumer of dead letters settles each: decided, or counted as one that can't be."""
    _, request, result = await valid(site)
    for one in given_:
        message = one.message(request, request, result)
        await site.transport.publish(NAMES.dead, "", message, within=SOON)

    await settled(site)

    await alive(site)


PUTS = [put_requests, put_results, put_dead_letters]


@pytest.mark.parametrize("put", PUTS)
def test_every_single_change(running: Running, put: Put) -> None:
    _, request, result = running.portal.call(valid, running.site)
    every = list(every_single_change(result if put is put_results else request))
    for number in range(0, len(every), AT_ONCE):
        running.put(put, every[number : number + AT_ONCE])


@pytest.mark.slow
@pytest.mark.parametrize("put", PUTS)
@BOUNDED
@given(given_=st.lists(hostile(), min_size=4, max_size=8))
def test_anything(running: Running, put: Put, given_: list[Hostile]) -> None:
    running.put(put, given_)
