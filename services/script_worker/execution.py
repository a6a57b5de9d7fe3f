"""One execution, from a delivery to its settlement: claim, run, record, publish, ack.

Rule 1: a script starts only under a claim and never after the deadline (I3).
Rule 2: the outcome is committed before it is published, the result is confirmed before the
delivery is acked (I2). Whatever fails in between is repeated from the ledger, never re-decided.
Rule 3: when the ledger is away we hold the delivery and ask again: handing it back would only
spin it through the delivery limit. Past the deadline it goes back and dead-letters by its TTL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final, assert_never
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from services.script_worker import metrics
from services.script_worker.integrators import Integrators
from services.script_worker.leases import LeaseLost, Leases
from services.script_worker.pool import Pool
from services.script_worker.revisions import Revisions
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared import tracing
from shared.contracts import (
    AUTH,
    MAX_MESSAGE_BYTES,
    Denied,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
    Succeeded,
    Timings,
)
from shared.database import Database
from shared.errors import Unavailable, Undecodable, Unsealable
from shared.ledger import Claim, Decided, Granted, Held, Ledger, Passed, Row
from shared.retry import retrying
from shared.sealing import Direction, KeyRing, seal_json
from shared.telemetry import labelled
from shared.topology import Names
from shared.transport import RESULT_TYPE, Message, Transport

log = structlog.get_logger(__name__)

PUBLISH_WITHIN: Final = timedelta(seconds=3)
LEDGER_GRACE: Final = timedelta(seconds=10)
"""How long past the deadline we try to record an outcome that we have in hand."""
_ARGUMENTS: Final = TypeAdapter(list[Any])


class Settlement(Enum):
    """What the consumer tells the broker."""

    ACK = auto()
    REQUEUE = auto()
    REJECT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What an execution needs of the worker that runs it."""

    worker: UUID
    names: Names
    transport: Transport
    ledger: Ledger
    leases: Leases
    revisions: Revisions
    pool: Pool
    ring: KeyRing
    integrators: Integrators
    database: Database


async def execute(body: bytes, arrived: float, its: Collaborators) -> Settlement:
    """Bring one request to its settlement, in a task of its own. `arrived`: loop time."""
    try:
        request = decode(body)
    except Undecodable as error:
        log.warning("delivery.rejected", reason=str(error), next="auth decides its dead letter")
        return Settlement.REJECT
    # For the rest of this task, which is the execution's own.
    structlog.contextvars.bind_contextvars(
        execution_id=str(request.execution_id), trace_id=tracing.trace_id(request.traceparent)
    )
    with tracing.span(
        f"execute {request.action}",
        kind="consumer",
        parent=request.traceparent,
        execution_id=str(request.execution_id),
        connection_id=request.connection_id,
    ):
        try:
            return await _Execution(request, arrived, its).settle()
        except Unavailable as error:
            log.warning("execution.interrupted", reason=str(error), next="the broker redelivers it")
            return Settlement.REQUEUE
        except Undecodable as error:  # an id outside the ledger's window
            log.warning("delivery.rejected", reason=str(error), next="its dead letter is logged")
            return Settlement.REJECT


def decode(body: bytes) -> ExecutionRequest:
    """Read a request; raises Undecodable, which names fields but never values."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise Undecodable(f"the request has {len(body)} bytes, above {MAX_MESSAGE_BYTES}")
    try:
        return ExecutionRequest.model_validate_json(body)
    except ValidationError as error:
        places = sorted({".".join(map(str, item["loc"])) or "body" for item in error.errors()})
        raise Undecodable(f"not an execution request: see {', '.join(places[:5])}") from None


class _Execution:
    def __init__(self, request: ExecutionRequest, arrived: float, its: Collaborators) -> None:
        self._request = request
        self._arrived = arrived
        self._its = its
        self._loop = asyncio.get_running_loop()
        self._ring = its.ring
        """What the arguments were sealed under; the value is sealed under it too."""

    async def settle(self) -> Settlement:
        while True:
            with tracing.span("claim"):
                asked, claim = await self._from_ledger(self._claim, timedelta(0))
            match claim:
                case Granted():
                    result = await self._decide_by_running(claim, asked)
                case Decided(row):
                    labelled(metrics.DELIVERIES, "duplicate").inc()
                    if row.published or row.result is None:
                        return Settlement.ACK
                    result = row.result
                case Held(for_):
                    # A copy parks on the live lease: the owner decides, or its lease runs out.
                    await asyncio.sleep(for_.total_seconds())
                    continue
                case Passed():
                    result = await self._decide_unrun()
                case never:
                    assert_never(never)
            if result is not None:
                await self._publish(result)
                return Settlement.ACK
            # Superseded: see what the ledger says now.

    async def _claim(self) -> tuple[float, Claim]:
        """A claim, and when we asked for it: what it grants counts from then at the earliest.

        We may hear of it late, after a pause or over a slow link: counted from when we heard, its
        time would end after the deadline (I3) and after the lease.
        """
        asked = self._loop.time()
        return asked, await self._its.ledger.claim(self._request, self._its.worker)

    async def _decide_unrun(self) -> ExecutionResult | None:
        """Record that it expired; what is stored then, None while somebody's claim stands."""
        expired = self._result(Failed.of(Detail.DEADLINE_PASSED), attempt=0)
        row: Row = await self._from_ledger(
            lambda: self._its.ledger.decide(expired, reply_to=self._request.reply_to),
            LEDGER_GRACE,
        )
        return row.result

    async def _decide_by_running(self, claim: Granted, asked: float) -> ExecutionResult | None:
        """Run the script and record its outcome; None if somebody else decided meanwhile."""
        deadline = asked + claim.remaining.total_seconds()
        waited = timedelta(seconds=self._loop.time() - self._arrived)
        queued = max(self._its.database.now() - self._request.requested_at - waited, timedelta(0))
        began = self._request.requested_at
        tracing.passed("queue", parent=self._request.traceparent, began=began, ended=began + queued)
        try:
            with tracing.span("script", attempt=claim.attempt) as opened:
                leases, execution_id = self._its.leases, self._request.execution_id
                async with leases.hold(execution_id, claim.attempt, asked) as check_lease:
                    run = await self._run(deadline, check_lease)
                opened.note(warm=run.runner is not None and run.runner.warm)
        except LeaseLost:
            return None
        # Outside the lease's keep: a renewal that finds the row decided must not take that for a
        # loss. The fence decides whether we may write, whatever became of the lease.
        timings = Timings(queued=queued, claimed=waited, bound=run.bound, ran=run.ran)
        result = self._sealed(run, claim.attempt, timings)
        if not await self._from_ledger(lambda: self._its.ledger.record(result), LEDGER_GRACE):
            log.warning("outcome.discarded", next="the ledger's outcome is published instead")
            return None
        metrics.observe(result)
        log.info(
            "execution.decided",
            connection_id=result.connection_id,
            action=str(result.action),
            outcome=str(result.outcome.kind),
            detail=str(result.outcome.detail) if isinstance(result.outcome, Failed) else None,
            attempt=claim.attempt,
            seconds=round(run.ran.total_seconds(), 6),
        )
        if run.mapped and run.runner and not run.runner.warm:  # once a runner, not once a call
            log.info(
                "script.modules_mapped",
                connection_id=result.connection_id,
                mapped={one.asked: one.got for one in run.mapped},
                next="`trickle lint` lists what the connection's scripts ask for",
            )
        return result

    async def _run(self, deadline: float, check_lease: Callable[[], None]) -> Run:
        request, its = self._request, self._its
        try:
            if request.origin != AUTH:
                self._ring = await its.integrators.ring(request)
            arguments = self._arguments()
            revision = request.revision or await its.revisions.current(request.connection_id)
            bundle = await its.revisions.get(request.connection_id, revision)
        except (Unsealable, ValidationError, UnicodeDecodeError):
            return _not_run(Detail.UNDECRYPTABLE, "the arguments or the configuration do not open")
        if bundle is None:
            return _not_run(Detail.UNKNOWN_REVISION, "the connection has no such revision")
        if request.action not in bundle.scripts:
            return _not_run(Detail.NO_SUCH_SCRIPT, f"{request.action} script does not exist")
        context = (
            {}
            if request.client.organization is None
            else {"organization": request.client.organization}
        )
        check_lease()
        return await its.pool.run(
            bundle, request.action, arguments, context=context, deadline=deadline
        )

    def _arguments(self) -> list[Any]:
        binding, sealed = self._request, self._request.sealed_arguments
        return _ARGUMENTS.validate_json(self._ring.open(Direction.ARGUMENTS, binding, sealed))

    def _sealed(self, run: Run, attempt: int, timings: Timings) -> ExecutionResult:
        outcome: Succeeded | Denied | Failed
        if isinstance(run.outcome, Value):
            sealed = seal_json(self._ring, Direction.VALUE, self._request, run.outcome.value)
            outcome = Succeeded(sealed_value=sealed)
        else:
            outcome = run.outcome
        return self._result(outcome, attempt=attempt, timings=timings, run=run)

    def _result(
        self,
        outcome: Succeeded | Denied | Failed,
        *,
        attempt: int,
        timings: Timings | None = None,
        run: Run | None = None,
    ) -> ExecutionResult:
        request = self._request
        return ExecutionResult(
            execution_id=request.execution_id,
            connection_id=request.connection_id,
            revision=request.revision,
            action=request.action,
            deadline=request.deadline,
            origin=request.origin,
            outcome=outcome,
            attempt=attempt,
            timings=timings or Timings(),
            violations=run.violations if run else (),
            console=run.console if run else (),
            egress=run.egress if run else (),
            runner=run.runner if run else None,
            traceparent=request.traceparent,
        )

    async def _publish(self, result: ExecutionResult) -> None:
        """Publish with a confirm, then note it. Unavailable leaves it to redelivery or outbox."""
        its, request = self._its, self._request
        message = Message(
            body=result.encoded,
            type=RESULT_TYPE,
            correlation_id=str(request.execution_id),
            headers={"traceparent": request.traceparent} if request.traceparent else {},
        )
        try:
            with tracing.span("publish result", kind="producer"):
                await its.transport.publish(
                    its.names.replies, request.reply_to, message, within=PUBLISH_WITHIN
                )
        except Unavailable:
            labelled(metrics.RESULTS, "failed").inc()
            raise
        labelled(metrics.RESULTS, "confirmed").inc()
        its.ledger.note_published(request.execution_id)

    async def _from_ledger(self, ask: Callable[[], Any], grace: timedelta) -> Any:
        """Ask the ledger, again while it is away, until the deadline and `grace` are over."""
        with suppress(Unavailable):
            return await ask()  # nearly always; the retry's machinery costs more than the question
        now: datetime = self._its.database.now()
        async for attempt in retrying(max(self._request.deadline - now, timedelta(0)) + grace):
            with attempt:
                return await ask()
        raise Unavailable("the ledger did not answer before the deadline")


def _not_run(detail: Detail, message: str) -> Run:
    return Run(
        outcome=Failed.of(detail, message),
        violations=(),
        console=(),
        bound=timedelta(0),
        ran=timedelta(0),
        runner=None,
    )
