"""The worker's consumers: one queue per connection, as the connections come and go.

A delivery's callback only starts a task of our own and returns (I9). A slot is taken before the
claim, so that a request this worker has no room for stays claimable by another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from services.script_worker import metrics
from services.script_worker.execution import Settlement
from services.script_worker.slots import Slots
from shared.database import Database
from shared.errors import ServiceError, Unavailable
from shared.topology import Names
from shared.transport import Delivery, Subscription, Transport

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between looks at the table of connections, should a control message be lost."""

CONNECTIONS: Final = """
SELECT connection_id, worker_concurrency, current_revision FROM connections
WHERE current_revision IS NOT NULL ORDER BY connection_id
"""


@dataclass(slots=True)
class _Consumed:
    prefetch: int
    subscription: Subscription


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
        for connection_id in list(self._consumed):
            await self._stop(connection_id)
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _look(self) -> None:
        """Consume exactly the queues that the table of connections names, then wait a little."""
        try:
            rows = await self._database.fetch(CONNECTIONS)
            wanted = {
                row["connection_id"]: self._prefetch(row["worker_concurrency"]) for row in rows
            }
            self._slots.shared = len(rows) > 1
            for row in rows:
                self._connection_changed(row["connection_id"], row["current_revision"])
            for connection_id in self._consumed.keys() - wanted.keys():
                await self._stop(connection_id)
            for connection_id, prefetch in wanted.items():
                if not self._draining:
                    await self._start(connection_id, prefetch)
        except Unavailable as error:
            log.warning("connections.not_read", reason=str(error), next="read again in seconds")
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _prefetch(self, concurrency: int) -> int:
        """More than there are slots would only be kept from other workers."""
        return min(concurrency, self._slots.total)

    async def _start(self, connection_id: str, prefetch: int) -> None:
        consumed = self._consumed.get(connection_id)
        if consumed is not None and consumed.prefetch == prefetch:
            return
        if consumed is not None:
            await self._stop(connection_id)
        await self._transport.declare(self._names.connection(connection_id))
        subscription = await self._transport.consume(
            self._names.request_queue(connection_id), prefetch=prefetch, handler=self._take
        )
        self._consumed[connection_id] = _Consumed(prefetch, subscription)
        log.info("queue.consumed", connection_id=connection_id, prefetch=prefetch)

    async def _stop(self, connection_id: str) -> None:
        consumed = self._consumed.pop(connection_id)
        await consumed.subscription.cancel()
        log.info("queue.left", connection_id=connection_id)

    def _connections_changed(self, delivery: Delivery) -> None:
        delivery.ack()
        self._changed.set()

    def _take(self, delivery: Delivery) -> None:
        if self._group is None or self._draining:
            delivery.requeue()
            return
        arrived = asyncio.get_running_loop().time()
        task = self._group.create_task(self._settle(delivery, arrived), name="execution")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        metrics.DELIVERIES.labels(settlement.name.lower()).inc()
        match settlement:
            case Settlement.ACK:
                delivery.ack()
            case Settlement.REQUEUE:
                delivery.requeue()
            case Settlement.REJECT:
                delivery.reject()
