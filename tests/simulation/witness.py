"""What must hold, watched while it happens and asked again at the end.

Every broken promise is a line that begins with the number of its rule (docs/delivery.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.auth.executions import Answer
from shared.contracts import ExecutionRequest, ExecutionResult, Succeeded
from shared.execution_states import MAX_ATTEMPTS, State
from shared.sealing import Direction, KeyRing
from shared.topology import Names
from shared.transport import Delivery, Message
from tests.simulation.broker import Watcher
from tests.simulation.database import Execution, Server
from tests.simulation.loop import Process, VirtualLoop

if TYPE_CHECKING:
    from services.script_worker.runs import Run

MARGIN: Final = 1.0
"""Seconds after the deadline by which a caller is answered while the database is well."""
MARGIN_IN_TROUBLE: Final = 22.0
"""The same while it is not: two statements, and their time-outs."""

TOMBSTONE_WITHIN: Final = 6.0


@dataclass(slots=True, eq=False)
class Call:
    """One caller, and what became of it."""

    number: int
    process: Process
    deadline: datetime
    execution_id: UUID | None = None
    answer: Answer | None = None
    said: str = ""
    at: float = 0.0
    withdrawn: bool = False
    """Whether it was sent away while the ledger could take its tombstone."""


@dataclass(slots=True, eq=False)
class Running:
    """A script that runs now."""

    number: int
    process: Process
    stopped_before: float


@dataclass(slots=True)
class Known:
    """A request that some client published."""

    request: ExecutionRequest
    number: int
    queued: bool = False
    results_confirmed: int = 0
    starts: int = 0


@dataclass(slots=True)
class Witness(Watcher):
    """Sees every message, every change of a row, every start of a script and every answer."""

    loop: VirtualLoop
    names: Names
    ring: KeyRing
    server: Server = field(init=False)
    violations: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    tracing: bool = False
    calm: bool = True
    """Whether this seed has no fault at all."""
    known: dict[UUID, Known] = field(default_factory=dict)
    ids: dict[int, UUID] = field(default_factory=dict)
    calls: dict[int, Call] = field(default_factory=dict)
    running: defaultdict[int, list[Running]] = field(default_factory=lambda: defaultdict(list))
    seen: Counter[str] = field(default_factory=Counter)

    def broken(self, promise: str) -> None:
        """A promise did not hold."""
        self.note(f"!! {promise}")
        self.violations.append(promise)

    def note(self, what: str) -> None:
        """One line of the trace."""
        self.seen[what.split(" ", 1)[0]] += 1
        if self.tracing:
            self.trace.append(f"{self.loop.time():9.4f}  {what}")

    def row(self, execution_id: UUID) -> Execution | None:
        """As it is committed."""
        return self.server.tables.rows.get(execution_id)

    # -- messages -----------------------------------------------------------------------------

    def publishes(self, exchange: str, message: Message) -> None:
        """Requests become known; a result must be the recorded outcome (I1, I2)."""
        if exchange == self.names.requests:
            if (execution_id := UUID(message.correlation_id)) not in self.known:
                request = ExecutionRequest.model_validate_json(message.body)
                sealed = request.sealed_arguments
                plain = self.ring.open(Direction.ARGUMENTS, request, sealed)
                number = int(plain.strip(b"[]").split(b",")[0])
                self.known[execution_id] = Known(request, number)
                self.ids[number] = request.execution_id
            self.note(f"request {self.known[execution_id].number} is published")
        elif exchange == self.names.replies:
            execution_id = UUID(message.correlation_id)
            row = self.row(execution_id)
            self.note(f"result {self.known[execution_id].number} is published")
            if row is None or row.result is None:
                self.broken(f"I2: {execution_id} was published before it was recorded")
            elif row.result != message.body and _parsed(row.result) != _parsed(message.body):
                self.broken(f"I1: another outcome of {execution_id} was published")

    def arrived(self, exchange: str, message: Message) -> None:
        """The broker has it."""
        if exchange == self.names.requests and message.body:
            self.known[UUID(message.correlation_id)].queued = True

    def confirmed(self, exchange: str, message: Message) -> None:
        """A result's confirm, before which no delivery may be acked (I2)."""
        if exchange == self.names.replies:
            self.known[UUID(message.correlation_id)].results_confirmed += 1

    def acks(self, delivery: Delivery) -> None:
        """What is acked is gone: what it stood for must be safe by now."""
        execution_id = UUID(delivery.message.correlation_id)
        row = self.row(execution_id)
        if delivery.queue.startswith(f"{self.names.requests}."):
            self.note(f"acked {self.known[execution_id].number}")
            if row is None or row.result is None:
                self.broken(f"I2: the request of {execution_id} was acked before its outcome")
            elif not (row.published_at or self.known[execution_id].results_confirmed):
                self.broken(f"I2: the request of {execution_id} was acked before its result")
        elif delivery.queue == self.names.dead and row is None:
            self.broken(f"I6: the dead letter of {execution_id} was acked undecided")
        elif delivery.queue == self.names.orphans and (row is None or row.applied_at is None):
            self.broken(f"I7: the orphan of {execution_id} was acked before it was marked")

    # -- rows ---------------------------------------------------------------------------------

    def changed(self, before: Execution | None, after: Execution) -> None:
        """A committed change of a row."""
        known = self.known.get(after.execution_id)
        if known is None:
            return
        if before is None or before.state is not after.state:
            self.note(f"ledger {known.number} {after.state} {after.attempt} {after.outcome or ''}")
        noted = after.published_at is not None and after.applied_at is None
        if noted and not known.results_confirmed:
            self.broken(f"I7: {after.execution_id} is marked published and never was")
        if after.state is State.CLAIMED:
            claimed = before is None or before.attempt != after.attempt
            if claimed and self.server.clock() >= after.deadline:
                self.broken(f"I3: {after.execution_id} was claimed after its deadline")
        elif before is None or before.result is None:
            self._decided(known, after)
        elif before.result != after.result:
            self.broken(f"I1: the outcome of {after.execution_id} was overwritten")

    def _decided(self, known: Known, row: Execution) -> None:
        assert row.result is not None
        attempt = _parsed(row.result).attempt
        if attempt == 0 and known.starts:
            self.broken(f"I5: {row.execution_id} ran, and is said not to have run")
        elif attempt != row.attempt:
            self.broken(f"I1: who wrote the outcome of {row.execution_id} had lost its claim")

    # -- scripts ------------------------------------------------------------------------------

    def starts(self, number: int, process: Process, worker: UUID) -> Running:
        """A script starts: only under a claim, in time, and not too often (I3, I4, I9)."""
        known = self.known[self.ids[number]]
        execution_id, row = known.request.execution_id, self.row(self.ids[number])
        known.starts += 1
        self.note(f"starts {number} in {process.name}")
        now = self.server.clock()
        if now >= known.request.deadline:
            self.broken(f"I3: {execution_id} started after its deadline")
        if row is None or row.state is not State.CLAIMED or row.worker != worker:
            self.broken(f"I3: {execution_id} started without a claim")
        if row is not None and row.result is not None and row.attempt == 0:
            self.broken(f"I5: {execution_id} started after it was decided not to run")
        if known.starts > (MAX_ATTEMPTS if known.request.idempotent else 1):
            self.broken(f"I4: {known.request.action} started {known.starts} times")
        call = self.calls[number]
        if call.said == "unavailable" and call.answer is None and call.withdrawn:
            self.broken(f"I5: request {number} started after its caller was sent away")
        self._alone(number)
        running = Running(number, process, process.stopped_for)
        self.running[number].append(running)
        return running

    def _alone(self, number: int) -> None:
        """Who was stopped could not end its script in time; nobody else has that excuse."""
        for other in self.running[number]:
            stopped = other.process.stopped or other.process.stopped_for > other.stopped_before
            if other.process.alive and not stopped:
                self.broken(f"I9: request {number} runs in two workers at the same time")

    def ends(self, running: Running, run: Run | None) -> None:
        """A script ended, or was ended."""
        self.note(f"ends {running.number} {'killed' if run is None else ''}")
        if running in self.running[running.number]:
            self.running[running.number].remove(running)

    # -- callers ------------------------------------------------------------------------------

    def answered(self, call: Call, said: str) -> None:
        """A caller is answered: in time, and with what is so (I11)."""
        call.said, call.at = said, self.loop.time()
        self.note(f"answered {call.number} {said}")
        call.withdrawn = self.server.troubled_until < self.loop.time() - TOMBSTONE_WITHIN
        late = (self.server.clock() - call.deadline).total_seconds() - call.process.stopped_for
        troubled = self.server.troubled_until > self.loop.time() - late - MARGIN_IN_TROUBLE
        if late > (MARGIN_IN_TROUBLE if troubled else MARGIN):
            self.broken(f"I11: caller {call.number} was answered {late:.1f} s after the deadline")
        if call.answer is None:
            return
        row, result = self.row(call.answer.execution_id), call.answer.result
        if row is None:
            self.broken(f"answer: caller {call.number} was told an outcome that nobody recorded")
        elif row.result is None:
            if result.outcome.kind != "timed_out":
                self.broken(
                    f"answer: caller {call.number} was told {result.outcome.kind} too early"
                )
        elif _parsed(row.result) != result:
            known_in_time = row.decided_at is not None and row.decided_at < call.deadline
            if known_in_time or result.outcome.kind != "timed_out":
                self.broken(f"answer: caller {call.number} was told what is not the outcome")

    # -- at the end ---------------------------------------------------------------------------

    def final(self) -> None:
        """Everything is decided, published, and had its effect at most once."""
        effects = Counter(self.server.tables.effects)
        for execution_id, known in self.known.items():
            row = self.row(execution_id)
            if row is None or row.result is None:
                if known.queued or row is not None:
                    self.broken(f"I6: {execution_id} was accepted and never decided")
                continue
            if row.published_at is None:
                self.broken(f"I7: {execution_id} was decided and never published")
            if self.calm and (row.attempt > 1 or row.outcome == "indeterminate"):
                self.broken(f"I9: {execution_id} lost its worker, and no worker was lost")
            self._effects(known, row, effects[known.number])

    def _effects(self, known: Known, row: Execution, effects: int) -> None:
        assert row.result is not None
        succeeded = isinstance(_parsed(row.result).outcome, Succeeded)
        call = self.calls[known.number]
        if effects > 1:
            self.broken(f"I8: the effect of {row.execution_id} was applied {effects} times")
        if effects and not succeeded:
            self.broken(f"I8: {row.execution_id} had an effect without having succeeded")
        if succeeded and call.said == "succeeded" and not effects:
            self.broken(f"I8: caller {call.number} was told of a success without its effect")
        # Sent away without an answer, its caller's replica follows it as it does after a time-out.
        gone = call.said == "timed_out" or (call.said == "unavailable" and call.answer is None)
        if succeeded and gone and call.process.alive and not effects:
            self.broken(f"I5: the late outcome of {row.execution_id} had no effect")


@lru_cache(maxsize=1000)
def _parsed(body: bytes) -> ExecutionResult:
    return ExecutionResult.model_validate_json(body)
