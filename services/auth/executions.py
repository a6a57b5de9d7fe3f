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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from pydantic import ValidationError

from services.auth import metrics
from services.auth.availability import AGAIN, Availability
from services.auth.bulkhead import Bulkhead, Shed, shed
from services.auth.connections import Connection
from shared import tracing
from shared.contracts import (
    AUTH,
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
from shared.telemetry import labelled
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
    connection: Connection
    queue: str
    late: Effect | None
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
        bulkhead: Bulkhead,
        worker_grace: timedelta,
    ) -> None:
        """`replica` is the routing key of our replies; `worker_grace` see `Availability`."""
        self._transport = transport
        self._ledger = ledger
        self._database = database
        self._ring = ring
        self._names = names
        self._replica = replica
        self._bulkhead = bulkhead
        self._availability = Availability(
            transport, names, grace=worker_grace, unattended=self._unattended
        )
        self._pending: dict[UUID, _Pending] = {}
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
                await self._availability.watch()
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

        Raises Unavailable, at once, when the broker or the ledger is away, no worker is there, or
        too much is in flight. `late` is called with an outcome that comes after we had to answer
        (I5).
        """
        queue = self._names.request_queue(connection.connection_id, connection.lane)
        self._availability.check(queue, attended=connection.moving)
        workers = self._availability.workers(queue)
        with (
            self._bulkhead.entered(connection, workers) as passage,
            tracing.span(f"execution {action}", kind="client", parent=traceparent) as opened,
        ):
            request = self._request(
                connection, action, arguments, client, opened.traceparent, until
            )
            opened.note(execution_id=str(request.execution_id))
            loop = asyncio.get_running_loop()
            pending = _Pending(request, connection, queue, late, loop.create_future())
            began = loop.time()
            self._pending[request.execution_id] = pending
            metrics.RPC_IN_FLIGHT.inc()
            try:
                answer = await self._outcome(pending)
            finally:
                metrics.RPC_IN_FLIGHT.dec()
                self._pending.pop(request.execution_id, None)
            opened.note(outcome=str(answer.result.outcome.kind), attempt=answer.result.attempt)
            ran = answer.result.timings.ran
            passage.ended(timedelta(seconds=loop.time() - began) - ran, ran)
        seconds = loop.time() - began
        kind = str(answer.result.outcome.kind)
        labelled(metrics.RPC_SECONDS, str(action), kind).observe(seconds)
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
            **binding.__dict__,
            reply_to=self._replica,
            sealed_arguments=seal_json(self._ring, Direction.ARGUMENTS, binding, arguments),
            requested_at=now,
            traceparent=traceparent,
            client=client or ClientFacts(),
        )

    async def _outcome(self, pending: _Pending) -> Answer:
        await self._publish(pending)
        wait = (pending.request.deadline - self._database.now() + MARGIN).total_seconds()
        # A timer of our own: `asyncio.timeout` costs a tenth of all that a request does here.
        timer = asyncio.get_running_loop().call_later(max(wait, 0), _overdue, pending.result)
        try:
            result = await pending.result
        except TimeoutError:
            return await self._give_up(pending)
        finally:
            timer.cancel()
        return self._open(result)

    async def _publish(self, pending: _Pending) -> None:
        """Publish until confirmed: the same execution again, under a fresh message id.

        Unknown is not lost: a copy is harmless, because the claim lets only one of them run.
        """
        unknown = False
        while (left := pending.request.deadline - self._database.now()) > timedelta(0):
            try:
                return await self._send(pending.request, left)
            except Unconfirmed:
                unknown = True
                if pending.result.done():
                    return None
                if not self._transport.connected or self._availability.blocked:
                    refused = shed("broker_blocked", "the broker confirms nothing", AGAIN)
                    return await self._withdraw(pending, refused)
            except Unavailable as error:
                refused = self._refused(pending, error)
                if not unknown:
                    raise refused from error
                return await self._withdraw(pending, refused)
        return None

    async def _send(self, request: ExecutionRequest, left: timedelta) -> None:
        message = Message(
            body=request.encoded,
            type=REQUEST_TYPE,
            correlation_id=str(request.execution_id),
            reply_to=request.reply_to,
            expiration=left,
            headers={"traceparent": request.traceparent} if request.traceparent else {},
        )
        try:
            with tracing.span("publish request", kind="producer"):
                await self._transport.publish(
                    self._names.requests,
                    request.connection_id,
                    message,
                    within=min(PUBLISH_WITHIN, left),
                )
        except Unconfirmed:
            metrics.PUBLISHED.labels("requests", "timeout").inc()
            self._availability.timed_out()
            raise
        labelled(metrics.PUBLISHED, "requests", "confirmed").inc()
        self._availability.confirmed()

    async def _withdraw(self, pending: _Pending, refused: Unavailable) -> None:
        """Nobody knows whether the broker has it: the tombstone makes sure that it can't run later.

        Raises `refused`; unless it was claimed before that, so that it did get through.
        """
        row = await self._last_word(pending)
        if row.attempt == 0:
            raise refused
        if row.result is not None and not pending.result.done():
            pending.result.set_result(row.result)

    def _refused(self, pending: _Pending, error: Unavailable) -> Shed:
        """The broker surely has not got it: it said so, or it is away."""
        reason, after = "broker_away", AGAIN
        if isinstance(error, Rejected):
            workers = self._availability.workers(pending.queue)
            reason, after = "queue_full", self._bulkhead.drain_time(pending.connection, workers)
        elif isinstance(error, Unroutable):
            reason = "no_queue"
        if reason != "broker_away":
            outcome = "nacked" if reason == "queue_full" else "returned"
            metrics.PUBLISHED.labels("requests", outcome).inc()
            self._availability.confirmed()
        return shed(reason, str(error), after)

    def _unattended(self, queue: str) -> None:
        """Who waits in a queue without workers is told now, not at the deadline."""
        for pending in self._pending.values():
            if pending.queue == queue and self._followers is not None:
                self._followers.create_task(self._abandon(pending), name="unattended")

    async def _abandon(self, pending: _Pending) -> None:
        try:
            row = await self._tombstone(pending.request, Detail.RUNNER_UNAVAILABLE)
        except Unavailable:
            return  # it ends at its deadline
        # Claimed: its worker may be cut off from the broker alone, and decide it yet.
        if row.result is not None and not pending.result.done():
            pending.result.set_result(row.result)

    async def _give_up(self, pending: _Pending) -> Answer:
        """The deadline has passed and no result came: the ledger says what that means."""
        request = pending.request
        row = await self._last_word(pending)
        if row.result is not None:
            return self._open(row.result)
        self._follow_up(pending)
        # Claimed, and nothing is known of it: for the caller it has timed out.
        return Answer(_unrun(request, Detail.WAITING))

    async def _last_word(self, pending: _Pending) -> Row:
        """The tombstone of what nobody waits for any longer. Raises Unavailable."""
        try:
            return await self._tombstone(pending.request, Detail.GIVEN_UP)
        except Unavailable:
            self._follow_up(pending)  # it may have been claimed, and succeed yet
            raise

    async def _tombstone(self, request: ExecutionRequest, detail: Detail) -> Row:
        return await self._ledger.decide(_unrun(request, detail), reply_to=request.reply_to)

    def _follow_up(self, pending: _Pending) -> None:
        late = pending.late
        if late is not None and self._followers is not None:
            self._followers.create_task(self._follow(pending.request, late), name="late outcome")

    async def _follow(self, request: ExecutionRequest, late: Effect) -> None:
        """Wait for the outcome of a claimed execution, and let it have its effect (I5)."""
        # Who was sent away before the deadline is followed beyond it all the same.
        left = max(request.deadline - self._database.now(), timedelta(0))
        until = asyncio.get_running_loop().time() + (left + LATE).total_seconds()
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            try:
                rows = await self._ledger.read([request.execution_id])
                if rows and rows[0].result is not None:
                    await late(self._open(rows[0].result))
                    return
            except Unavailable:
                continue  # asked again, within the bound
            except Exception:  # what ends one flow must not end the whole replica
                log.exception(
                    "late_outcome.failed",
                    execution_id=str(request.execution_id),
                    next="it has no effect",
                )
                return

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
        if pending is None or result.origin != AUTH:
            metrics.REPLIES.labels("late").inc()
            return
        if pending.result.done():
            metrics.REPLIES.labels("duplicate").inc()
            return
        labelled(metrics.REPLIES, "first").inc()
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


def _overdue(result: asyncio.Future[ExecutionResult]) -> None:
    if not result.done():
        result.set_exception(TimeoutError())


def _unrun(request: ExecutionRequest, detail: Detail) -> ExecutionResult:
    return ExecutionResult(
        **{name: getattr(request, name) for name in Binding.model_fields},
        origin=request.origin,
        outcome=Failed.of(detail, "no outcome was known by the deadline"),
        attempt=0,
        traceparent=request.traceparent,
    )
