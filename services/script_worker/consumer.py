"""The worker's consumers: the connections' queues, as the connections come, move and go.

A delivery's callback only starts a task of our own and returns (I9). A slot is taken before the
claim, so that a request this worker has no room for stays claimable by another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from services.script_worker import metrics
from services.script_worker.execution import Settlement
from services.script_worker.slots import Slots
from shared.database import Database
from shared.errors import Misconfigured, ServiceError, Unavailable
from shared.telemetry import labelled
from shared.topology import Names
from shared.transport import Delivery, Subscription, Topology, Transport

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between looks at the table of connections, should a control message be lost."""

CONNECTIONS: Final = """
SELECT connection_id, worker_concurrency, current_revision, lane, leaving FROM connections
WHERE current_revision IS NOT NULL ORDER BY connection_id
"""


@dataclass(slots=True)
class _Consumed:
    prefetch: int
    subscription: Subscription


@dataclass(frozen=True, slots=True)
class _Wanted:
    prefetch: int
    topology: Topology
    """What it takes to be there; of a queue that is being left, nothing."""


class Consumer:
    """Consumes the request queues of all connections until it is drained."""

    def __init__(
        self,
        *,
        transport: Transport,
        database: Database,
        names: Names,
        concurrency: int,
        execute: Callable[[bytes, float], Awaitable[Settlement]],
        changed: Callable[[str, str], None],
    ) -> None:
        """`concurrency`: executions in hand at once. `execute` gets a body and its arrival.

        `changed` is told each connection and its current revision, again and again.
        """
        self._transport = transport
        self._database = database
        self._names = names
        self._execute = execute
        self._connection_changed = changed
        self._slots = Slots(concurrency)
        self._consumed: dict[str, _Consumed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._changed = asyncio.Event()
        self._draining = False
        self._left = False
        self._untaken: list[Delivery] = []

    @property
    def ready(self) -> bool:
        """Whether requests are being taken right now."""
        return self._transport.connected and self._group is not None and not self._draining

    async def run(self) -> None:
        """Consume until cancelled; `drain` first for a clean end."""
        async with asyncio.TaskGroup() as group:
            control = await self._transport.consume_exclusive(
                f"{self._names.control}.worker",
                {self._names.control: "#"},
                prefetch=16,
                handler=self._connections_changed,
            )
            counted = await self._transport.consume(
                self._names.workers, prefetch=1, handler=lambda delivery: delivery.ack()
            )
            self._group = group
            try:
                while not self._draining:
                    await self._look()
            finally:
                await counted.cancel()
                await control.cancel()

    async def drain(self) -> None:
        """Take nothing new and finish what is in hand; bounded by the executions' deadlines."""
        self._draining = True
        self._changed.set()
        for queue in list(self._consumed):
            await self._stop(queue)
        self._left = True
        self._give_back()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _look(self) -> None:
        """Consume exactly the queues that the table of connections names, then wait a little."""
        try:
            rows = await self._database.fetch(CONNECTIONS)
            wanted = self._wanted(rows)
            self._slots.shared = len(rows) > 1
            self._slots.most = {row["connection_id"]: row["worker_concurrency"] for row in rows}
            for row in rows:
                self._connection_changed(row["connection_id"], row["current_revision"])
            for queue in self._consumed.keys() - wanted.keys():
                await self._stop(queue)
            for queue, how in wanted.items():
                if not self._draining:
                    await self._start(queue, how)
        except Unavailable as error:
            log.warning("connections.not_read", reason=str(error), next="read again in seconds")
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _wanted(self, rows: Iterable[Any]) -> dict[str, _Wanted]:
        """The queues to consume. A connection that moves is served from both (`auth.lanes`)."""
        wanted: dict[str, _Wanted] = {}
        for row in rows:
            connection_id, lane, leaving = row["connection_id"], row["lane"], row["leaving"]
            if leaving is not None:
                old = None if leaving < 0 else leaving
                queue = self._names.request_queue(connection_id, old)
                wanted.setdefault(queue, _Wanted(self._prefetch(row, old), Topology()))
            # Who moves is bound by auth, when the time has come.
            its = self._names.connection if leaving is None else self._names.queue
            queue, topology = (
                self._names.request_queue(connection_id, lane),
                its(connection_id, lane),
            )
            if lane is not None and queue in wanted:  # it has more than one connection's bindings
                others = wanted[queue].topology.bindings
                topology = Topology(queues=topology.queues, bindings=others + topology.bindings)
            wanted[queue] = _Wanted(self._prefetch(row, lane), topology)
        return wanted

    def _prefetch(self, row: Any, lane: int | None) -> int:
        """More than there are slots would only be kept from other workers.

        But in a lane, where some of them may wait for their own connection's turn.
        """
        total = self._slots.total
        return min(int(row["worker_concurrency"]), total) if lane is None else 2 * total

    async def _start(self, queue: str, wanted: _Wanted) -> None:
        consumed = self._consumed.get(queue)
        if consumed is not None and consumed.prefetch == wanted.prefetch:
            return
        if consumed is not None:
            await self._stop(queue)
        if wanted.topology.queues:
            await self._transport.declare(wanted.topology)
        try:
            subscription = await self._transport.consume(
                queue, prefetch=wanted.prefetch, handler=self._take
            )
        except Misconfigured:
            return  # it was left, and is gone already
        self._consumed[queue] = _Consumed(wanted.prefetch, subscription)
        log.info("queue.consumed", queue=queue, prefetch=wanted.prefetch)
        if self._draining:  # which may have gone through the queues before this one was among them
            await self._stop(queue)

    async def _stop(self, queue: str) -> None:
        consumed = self._consumed.pop(queue, None)
        if consumed is None:
            return  # a drain and a look may both want it to end
        await consumed.subscription.cancel()
        log.info("queue.left", queue=queue)

    def _connections_changed(self, delivery: Delivery) -> None:
        delivery.ack()
        self._changed.set()

    def _take(self, delivery: Delivery) -> None:
        if self._group is None or self._draining:
            # Given back while we still consume, it would come again at once, and once more, until
            # the delivery limit buries it.
            self._untaken.append(delivery)
            if self._left:
                self._give_back()
            return
        arrived = asyncio.get_running_loop().time()
        task = self._group.create_task(self._settle(delivery, arrived), name="execution")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _give_back(self) -> None:
        for delivery in self._untaken:
            delivery.requeue()
        self._untaken.clear()

    async def _settle(self, delivery: Delivery, arrived: float) -> None:
        try:
            async with self._slots.taken(delivery.routing_key):
                settlement = await self._execute(delivery.message.body, arrived)
        except asyncio.CancelledError:
            delivery.requeue()  # the ledger knows how far it came
            raise
        except ServiceError:
            delivery.requeue()
            raise
        except Exception:  # it would end one worker after the other
            log.exception("delivery.failed", next="auth decides its dead letter")
            settlement = Settlement.REJECT
        labelled(metrics.DELIVERIES, settlement.name.lower()).inc()
        match settlement:
            case Settlement.ACK:
                delivery.ack()
            case Settlement.REQUEUE:
                delivery.requeue()
            case Settlement.REJECT:
                delivery.reject()
