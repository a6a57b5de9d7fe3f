"""Executions: from an action to its one outcome, over the broker and the ledger.

Rule 1: a result that arrives completes the caller who waits for it; copies are counted, and
dropped (I8). The broker's word is a hint, the ledger's word is the truth: after a reconnect and
at the deadline we ask the ledger.
Rule 2: when the deadline has passed, what nobody claimed is decided `expired` here, so that it
can't start later (I5). What is claimed goes on, and its outcome still has its effect.
Rule 3: nobody waits without a bound (I11): for a place, a confirm, a result, a late outcome.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from pydantic import ValidationError

from services.auth import metrics
from services.auth.connections import Connection
from shared.contracts import (
    MAX_MESSAGE_BYTES,
    Action,
    Binding,
    ClientFacts,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
    Succeeded,
)
from shared.database import Database
from shared.errors import Rejected, Unavailable, Unconfirmed, Unroutable, Unsealable
from shared.execution_ids import mint
from shared.ledger import LEASE, Ledger, Row
from shared.sealing import Direction, KeyRing, seal_json
from shared.topology import Names
from shared.transport import REQUEST_TYPE, Delivery, Message, Transport

log = structlog.get_logger(__name__)

PUBLISH_WITHIN: Final = timedelta(seconds=2)
MARGIN: Final = timedelta(milliseconds=500)
"""For the worker's own verdict on the deadline to reach us before we give up."""
LATE: Final = LEASE + timedelta(seconds=10)
"""How long after the deadline a claimed execution may still be decided: a lease, and a reaper."""
_LOOK_EVERY: Final = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of an execution, its value opened; `late` is set when it may still change."""

    result: ExecutionResult
    value: Any = field(default=None, repr=False)

    @property
    def execution_id(self) -> UUID:
        """Its id."""
        return self.result.execution_id


Effect = Callable[[Answer], Awaitable[None]]


@dataclass(slots=True)
class _Pending:
    request: ExecutionRequest
    result: asyncio.Future[ExecutionResult]


class Executions:
    """Runs actions. `serve` must run beside it."""

    def __init__(
        self,
        *,
        transport: Transport,
        ledger: Ledger,
        database: Database,
        ring: KeyRing,
        names: Names,
        replica: str,
        max_in_flight: int,
    ) -> None:
        """`replica` is the routing key of our replies; `max_in_flight` the bulkhead's size."""
        self._transport = transport
        self._ledger = ledger
        self._database = database
        self._ring = ring
        self._names = names
        self._replica = replica
        self._max_in_flight = max_in_flight
        self._pending: dict[UUID, _Pending] = {}
        self._in_flight: Counter[str] = Counter()
        self._followers: asyncio.TaskGroup | None = None

    async def serve(self, started: asyncio.Event) -> None:
        """Consume our replies until cancelled."""
        self._transport.on_reconnect(self._reconcile)
        async with asyncio.TaskGroup() as followers:
            self._followers = followers
            replies = await self._transport.consume_exclusive(
                f"{self._names.replies}.{self._replica}",
                {self._names.replies: self._replica},
                prefetch=256,
                handler=self._take,
            )
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await replies.cancel()

    async def run(
        self,
        connection: Connection,
        action: Action,
        arguments: list[Any],
        *,
        client: ClientFacts | None = None,
        traceparent: str | None = None,
        late: Effect | None = None,
        until: datetime | None = None,
    ) -> Answer:
        """Run one action of a connection; its outcome by the connection's deadline, or `until`.

        Raises Unavailable when the broker or the ledger is away, or too much is in flight. `late`
        is called with an outcome that comes after we had to answer (I5).
        """
        if self._in_flight[connection.connection_id] >= self._max_in_flight:
            raise Unavailable(f"too many executions of {connection.connection_id} are in flight")
        request = self._request(connection, action, arguments, client, traceparent, until)
        pending = _Pending(request, asyncio.get_running_loop().create_future())
        began = asyncio.get_running_loop().time()
        self._pending[request.execution_id] = pending
        self._in_flight[connection.connection_id] += 1
        metrics.RPC_IN_FLIGHT.inc()
        try:
            answer = await self._outcome(pending, late)
        finally:
            metrics.RPC_IN_FLIGHT.dec()
            self._in_flight[connection.connection_id] -= 1
            self._pending.pop(request.execution_id, None)
        seconds = asyncio.get_running_loop().time() - began
        metrics.RPC_SECONDS.labels(str(action), str(answer.result.outcome.kind)).observe(seconds)
        return answer

    def _request(
        self,
        connection: Connection,
        action: Action,
        arguments: list[Any],
        client: ClientFacts | None,
        traceparent: str | None,
        until: datetime | None,
    ) -> ExecutionRequest:
        now = self._database.now()
        deadline = now + connection.script_budget
        binding = Binding(
            execution_id=mint(now),
            connection_id=connection.connection_id,
            revision=connection.revision,
            action=action,
            deadline=deadline if until is None else min(deadline, until),
        )
        return ExecutionRequest(
            **dict(binding),
            reply_to=self._replica,
            sealed_arguments=seal_json(self._ring, Direction.ARGUMENTS, binding, arguments),
            requested_at=now,
            traceparent=traceparent,
            client=client or ClientFacts(),
        )

    async def _outcome(self, pending: _Pending, late: Effect | None) -> Answer:
        await self._publish(pending)
        wait = (pending.request.deadline - self._database.now() + MARGIN).total_seconds()
        try:
            async with asyncio.timeout(max(wait, 0)):
                return self._open(await pending.result)
        except TimeoutError:
            return await self._give_up(pending, late)

    async def _publish(self, pending: _Pending) -> None:
        """Publish until confirmed: the same execution again, under a fresh message id.

        Unknown is not lost: a copy is harmless, because the claim lets only one of them run.
        """
        while True:
            request = pending.request
            left = request.deadline - self._database.now()
            if left <= timedelta(0):
                return
            message = Message(
                body=request.model_dump_json().encode(),
                type=REQUEST_TYPE,
                correlation_id=str(request.execution_id),
                reply_to=request.reply_to,
                expiration=left,
                headers={"traceparent": request.traceparent} if request.traceparent else {},
            )
            try:
                await self._transport.publish(
                    self._names.requests,
                    request.connection_id,
                    message,
                    within=min(PUBLISH_WITHIN, left),
                )
            except Unconfirmed:
                metrics.PUBLISHED.labels("requests", "timeout").inc()
                if not self._transport.connected or pending.result.done():
                    # It may have been taken: the tombstone makes sure that it does not run later.
                    await self._tombstone(request, Detail.GIVEN_UP)
                    raise
                continue
            except (Rejected, Unroutable) as error:
                outcome = "nacked" if isinstance(error, Rejected) else "returned"
                metrics.PUBLISHED.labels("requests", outcome).inc()
                raise
            metrics.PUBLISHED.labels("requests", "confirmed").inc()
            return

    async def _give_up(self, pending: _Pending, late: Effect | None) -> Answer:
        """The deadline has passed and no result came: the ledger says what that means."""
        request = pending.request
        row = await self._tombstone(request, Detail.GIVEN_UP)
        if row.result is not None:
            return self._open(row.result)
        if late is not None and self._followers is not None:
            self._followers.create_task(self._follow(request, late), name="late outcome")
        # Claimed, and nothing is known of it: for the caller it has timed out.
        return Answer(_unrun(request, Detail.WAITING))

    async def _tombstone(self, request: ExecutionRequest, detail: Detail) -> Row:
        return await self._ledger.decide(_unrun(request, detail), reply_to=request.reply_to)

    async def _follow(self, request: ExecutionRequest, late: Effect) -> None:
        """Wait for the outcome of a claimed execution, and let it have its effect (I5)."""
        until = asyncio.get_running_loop().time() + LATE.total_seconds()
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            try:
                rows = await self._ledger.read([request.execution_id])
                if rows and rows[0].result is not None:
                    await late(self._open(rows[0].result))
                    return
            except Unavailable:
                continue  # asked again, within the bound

    def _take(self, delivery: Delivery) -> None:
        """A result: hand it to whoever waits. Its effect is deduplicated by the ledger (I8)."""
        body = delivery.message.body
        delivery.ack()
        if len(body) > MAX_MESSAGE_BYTES:
            metrics.REPLIES.labels("unreadable").inc()
            log.warning("result.unreadable", size=len(body), next="the ledger is asked instead")
            return
        try:
            result = ExecutionResult.model_validate_json(body)
        except ValidationError:
            metrics.REPLIES.labels("unreadable").inc()
            log.warning("result.unreadable", size=len(body), next="the ledger is asked instead")
            return
        pending = self._pending.get(result.execution_id)
        if pending is None:
            metrics.REPLIES.labels("late").inc()
            return
        if pending.result.done():
            metrics.REPLIES.labels("duplicate").inc()
            return
        metrics.REPLIES.labels("first").inc()
        pending.result.set_result(result)

    async def _reconcile(self) -> None:
        """After a reconnect: replies sent meanwhile went elsewhere, the ledger has them (I7)."""
        waiting = [one for one in self._pending.values() if not one.result.done()]
        if not waiting:
            return
        try:
            rows = await self._ledger.read([one.request.execution_id for one in waiting])
        except Unavailable:
            log.warning("executions.not_reconciled", next="each asks the ledger at its deadline")
            return
        for row in rows:
            pending = self._pending.get(row.execution_id)
            if pending is not None and row.result is not None and not pending.result.done():
                pending.result.set_result(row.result)
        log.info("executions.reconciled", waiting=len(waiting), decided=len(rows))

    def _open(self, result: ExecutionResult) -> Answer:
        """Open a sealed value under its own binding; what does not open is no success."""
        if not isinstance(result.outcome, Succeeded):
            return Answer(result)
        try:
            plain = self._ring.open(Direction.VALUE, result, result.outcome.sealed_value)
            return Answer(result, json.loads(plain))
        except (Unsealable, ValueError):
            failed = Failed.of(Detail.UNDECRYPTABLE, "the sealed value does not open")
            return Answer(result.model_copy(update={"outcome": failed}))


def _unrun(request: ExecutionRequest, detail: Detail) -> ExecutionResult:
    return ExecutionResult(
        **{name: getattr(request, name) for name in Binding.model_fields},
        origin=request.origin,
        outcome=Failed.of(detail, "no outcome was known by the deadline"),
        attempt=0,
        traceparent=request.traceparent,
    )
