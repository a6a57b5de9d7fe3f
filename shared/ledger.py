"""The ledger: the one place where an execution's outcome becomes true (I1).

Both services write it. The hot statements (claim, record, mark, apply) are batched naturally
(I10), and all writes are conditional on state and claim (fencing). The states are those of
`shared.execution_states`, the statements stand in `ledger.sql`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from shared.batcher import Batcher
from shared.contracts import (
    Binding,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
    origin_of,
)
from shared.database import Database, Session, load_queries
from shared.execution_ids import check_window
from shared.execution_states import MAX_ATTEMPTS, State

LEASE: Final = timedelta(seconds=5)
NOTES_GATHER: Final = 0.05
"""Seconds; far below the second that the outbox waits for a note."""
_REMEMBERED: Final = 50_000
"""Undecided claims of ours that we remember, to tell an unknown commit from a copy of a running
one. Far above what is in hand at once: those that are left had their leases lost."""
_SQL: Final = load_queries("shared", "ledger.sql")


@dataclass(frozen=True, slots=True)
class Granted:
    """The claim is ours: run the script within `remaining`."""

    attempt: int
    remaining: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One execution as the ledger has it; `result` is there once it is decided."""

    execution_id: UUID
    state: State
    attempt: int
    worker: UUID | None
    reply_to: str
    published: bool
    applied: bool
    deadline: datetime
    lease_left: timedelta
    deadline_passed: bool
    idempotent: bool
    result: ExecutionResult | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Decided:
    """Somebody decided it: publish the stored outcome, if nobody has yet."""

    row: Row


@dataclass(frozen=True, slots=True)
class Held:
    """A live lease exists: look again after `for_`."""

    for_: timedelta


@dataclass(frozen=True, slots=True)
class Passed:
    """The deadline has passed and nobody claimed it: it must not run any more (I3)."""


Claim = Granted | Decided | Held | Passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the ledger holds; `repeated` counts second and third attempts."""

    requests: int
    outcomes: int
    undecided: int
    unpublished: int
    unapplied: int
    repeated: int
    kinds: dict[str, int]


class Ledger:
    """Claims, outcomes and effects, written once each."""

    def __init__(self, database: Database, *, events: bool = False) -> None:
        """One ledger object a process: it remembers which claims are its own.

        `events`: what is decided is noted in the events' outbox too, in the same statement.
        """
        self._database = database
        self._events = events
        self._granted: OrderedDict[tuple[UUID, int], None] = OrderedDict()
        self._claims = Batcher(self._ask_claims)
        self._records = Batcher(self._ask_records)
        self._published = Batcher(self._ask_published, gather=NOTES_GATHER)
        self._applied = Batcher(self._ask_applied)

    async def __aenter__(self) -> Self:
        """Nothing to open: statements open what they need."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Let statements in flight end."""
        for batcher in (self._claims, self._records, self._published, self._applied):
            await batcher.close()

    async def claim(self, request: ExecutionRequest, worker: UUID) -> Claim:
        """Ask for the exclusive right to decide. Raises Unavailable, Undecodable (bad id)."""
        check_window(request.execution_id, self._database.now())
        remaining = await self._claims((request, worker))
        if remaining is not None:
            return self._grant(request.execution_id, 1, remaining)
        return await self._claim_existing(request, worker)

    async def _claim_existing(self, request: ExecutionRequest, worker: UUID) -> Claim:
        again = await self._database.fetchrow(
            _SQL["claim_existing"], request.execution_id, worker, LEASE, MAX_ATTEMPTS
        )
        if again is not None:
            return self._grant(request.execution_id, again["attempt"], again["remaining"])
        rows = await self.read([request.execution_id])
        if not rows:
            return Passed()
        row = rows[0]
        if row.result is not None:
            return Decided(row)
        if row.worker == worker and (row.execution_id, row.attempt) not in self._granted:
            # We claimed it and never heard so: the link dropped inside the statement. Its lease
            # counts from then and may be over: it is ours once it is renewed.
            pair = (row.execution_id, row.attempt)
            if row.execution_id in await self.renew(worker, [pair]):
                return self._grant(*pair, row.deadline - self._database.now())
        if row.lease_left <= timedelta(0):
            # Dead, and not ours to repeat: the reaper decides it within its interval.
            return Held(timedelta(milliseconds=200))
        return Held(min(row.lease_left, timedelta(milliseconds=200)))

    def _grant(self, execution_id: UUID, attempt: int, remaining: timedelta) -> Granted:
        self._granted[execution_id, attempt] = None
        if len(self._granted) > _REMEMBERED:
            self._granted.popitem(last=False)
        return Granted(attempt, remaining)

    async def record(self, result: ExecutionResult) -> bool:
        """Write the outcome of our claim; False when somebody else decided (I1)."""
        recorded = await self._records(result)
        self._granted.pop((result.execution_id, result.attempt), None)  # it is decided
        if recorded:
            return True
        # The statement may have committed before its link dropped: then it is our own outcome.
        rows = await self.read([result.execution_id])
        return bool(rows) and rows[0].result == result

    async def decide(self, result: ExecutionResult, *, reply_to: str) -> Row:
        """Record an outcome for what never ran; the row that then stands, ours or another's."""
        check_window(result.execution_id, self._database.now())
        await self._database.fetchval(
            _SQL["decide_unrun"],
            result.execution_id,
            result.connection_id,
            result.revision,
            str(result.action),
            result.action.idempotent,
            result.deadline,
            reply_to,
            str(result.outcome.kind),
            result.encoded,
            self._events,
        )
        (row,) = await self.read([result.execution_id])
        return row

    async def reap(self, limit: int = 100) -> int:
        """Decide claims that nobody can answer or repeat as indeterminate (I4, I6); how many."""
        async with self._database.transaction() as session:
            lost = await session.fetch(_SQL["lost"], MAX_ATTEMPTS, limit)
            for record in lost:
                result = _lost(record)
                await session.fetchval(
                    _SQL["decide_lost"],
                    result.execution_id,
                    str(result.outcome.kind),
                    result.encoded,
                    MAX_ATTEMPTS,
                    self._events,
                )
        return len(lost)

    async def unpublished(
        self, session: Session, older_than: timedelta, limit: int = 100
    ) -> list[tuple[UUID, str, bytes]]:
        """Lock decided results that nobody published: id, reply_to, message (I7)."""
        rows = await session.fetch(_SQL["unpublished"], older_than, limit)
        return [(row["execution_id"], row["reply_to"], row["result"]) for row in rows]

    def note_published(self, execution_id: UUID) -> None:
        """Note soon that the broker confirmed a result.

        Losing the note is harmless: the outbox publishes the same outcome again, and the consumer
        drops the copy (I7, I8). So nobody waits for it, and many share a statement.
        """
        self._published.note(execution_id)

    async def mark_all_published(self, session: Session, execution_ids: Collection[UUID]) -> None:
        """The same in the caller's transaction."""
        await session.execute(_SQL["mark_published"], list(execution_ids))

    async def mark_applied(self, execution_id: UUID) -> bool:
        """Note that an outcome has, or needs, no further effect; True for the first."""
        return await self._applied(execution_id)

    async def apply(self, session: Session, execution_id: UUID) -> bool:
        """Inside the transaction of the effect: True exactly once an execution (I8)."""
        return bool(await session.fetch(_SQL["apply"], [execution_id]))

    async def renew(self, worker: UUID, held: Collection[tuple[UUID, int]]) -> set[UUID]:
        """Extend leases; the ids that are still ours."""
        ids, attempts = [pair[0] for pair in held], [pair[1] for pair in held]
        rows = await self._database.fetch(_SQL["renew"], ids, attempts, worker, LEASE)
        return {row["execution_id"] for row in rows}

    async def read(self, execution_ids: Collection[UUID]) -> list[Row]:
        """The rows that exist."""
        return [_row(row) for row in await self._database.fetch(_SQL["read"], list(execution_ids))]

    async def maintain_partitions(self) -> int:
        """Create days ahead, drop days past; how many changed."""
        changed: int = await self._database.fetchval("SELECT maintain_execution_partitions()")
        return changed

    async def counts(self) -> Counts:
        """What the ledger holds, over all its days."""
        totals = await self._database.fetchrow(_SQL["counts"])
        kinds = await self._database.fetch(_SQL["kinds"])
        assert totals is not None  # noqa: S101 - an aggregate always has a row
        numbers = {name: int(value) for name, value in totals.items()}
        return Counts(**numbers, kinds={row["outcome"]: row["number"] for row in kinds})

    async def _ask_claims(
        self, asked: Sequence[tuple[ExecutionRequest, UUID]]
    ) -> list[timedelta | None]:
        requests = [request for request, _ in asked]
        columns = [
            [request.execution_id for request in requests],
            [request.connection_id for request in requests],
            [request.revision for request in requests],
            [str(request.action) for request in requests],
            [request.idempotent for request in requests],
            [request.deadline for request in requests],
            [request.reply_to for request in requests],
        ]
        rows = await self._database.fetch(_SQL["claim"], *columns, asked[0][1], LEASE)
        granted = {row["execution_id"]: row["remaining"] for row in rows}
        # `pop`: of two copies in one batch only the first is granted.
        return [granted.pop(request.execution_id, None) for request in requests]

    async def _ask_records(self, results: Sequence[ExecutionResult]) -> list[bool]:
        rows = await self._database.fetch(
            _SQL["record"],
            [result.execution_id for result in results],
            [result.attempt for result in results],
            [str(result.outcome.kind) for result in results],
            [result.encoded for result in results],
            self._events,
        )
        return _contained([result.execution_id for result in results], rows)

    async def _ask_published(self, ids: Sequence[UUID]) -> list[None]:
        await self._database.execute(_SQL["mark_published"], list(ids))
        return [None] * len(ids)

    async def _ask_applied(self, ids: Sequence[UUID]) -> list[bool]:
        return _contained(ids, await self._database.fetch(_SQL["apply"], list(ids)))


def _contained(ids: Sequence[UUID], rows: Sequence[Any]) -> list[bool]:
    """For each id whether it is among the rows; of two copies only the first is."""
    found = {row["execution_id"] for row in rows}
    answers = []
    for execution_id in ids:
        answers.append(execution_id in found)
        found.discard(execution_id)
    return answers


def _row(record: Any) -> Row:
    result = record["result"]
    return Row(
        execution_id=record["execution_id"],
        state=State(record["state"]),
        attempt=record["attempt"],
        worker=record["worker"],
        reply_to=record["reply_to"],
        published=record["published"],
        applied=record["applied"],
        deadline=record["deadline"],
        lease_left=record["lease_left"] or timedelta(0),
        deadline_passed=record["passed"],
        idempotent=record["idempotent"],
        result=None if result is None else ExecutionResult.model_validate_json(result),
    )


def _lost(record: Any) -> ExecutionResult:
    fields = {name: record[name] for name in Binding.model_fields if name != "action"}
    message = "its worker was lost; it may have run and is not repeated"
    return ExecutionResult.model_validate(
        {
            **fields,
            "action": record["action"],
            "origin": origin_of(record["reply_to"]),
            "attempt": record["attempt"],
            "outcome": Failed.of(Detail.WORKER_LOST, message),
        },
        strict=False,
    )
