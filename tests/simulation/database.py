"""The database in memory: the ledger's statements, transactions, row locks, and lost links.

What a statement does is decided by `shared.execution_states`; `tests/integration/test_simulated_ledger.py`
runs the same random statements here and on a real Postgres and compares every row that comes back.

A statement travels, runs at one instant, and its answer travels back: what is cut on the way there
never happened, what is cut on the way back did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from shared import execution_states
from shared.database import STATEMENT_WITHIN
from shared.errors import Unavailable
from shared.execution_states import Event, State
from shared.ledger import _SQL
from tests.simulation.loop import Process, VirtualLoop

EPOCH: Final = datetime(2030, 1, 1, 12, tzinfo=UTC)
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Execution:
    """A row of `executions`."""

    execution_id: UUID
    connection_id: str
    revision: str
    action: str
    idempotent: bool
    deadline: datetime
    reply_to: str
    state: State
    attempt: int
    worker: UUID | None = None
    lease_until: datetime | None = None
    outcome: str | None = None
    result: bytes | None = None
    decided_at: datetime | None = None
    published_at: datetime | None = None
    applied_at: datetime | None = None

    def lease_dead(self, now: datetime) -> bool:
        """Whether somebody else may have it."""
        return self.lease_until is not None and self.lease_until < now

    def may_be_claimed(self, now: datetime) -> bool:
        """I3, I4."""
        return execution_states.may_claim(
            self.state,
            deadline_passed=now >= self.deadline,
            lease_dead=self.lease_dead(now),
            idempotent=self.idempotent,
            attempt=self.attempt,
        )

    def may_be_lost(self, now: datetime) -> bool:
        """I4, I6."""
        return execution_states.may_decide_lost(
            self.state,
            deadline_passed=now >= self.deadline,
            lease_dead=self.lease_dead(now),
            idempotent=self.idempotent,
            attempt=self.attempt,
        )


def _unclaimed(*columns: Any) -> Execution:
    """What a row would be before its first event."""
    names = [one.name for one in fields(Execution)]
    return Execution(**dict(zip(names, columns, strict=False)), state=State.NONE, attempt=0)


class Locked(Exception):
    """The statement has to wait for another transaction."""


@dataclass(slots=True, eq=False)
class Transaction:
    """What one session changed and nobody else sees yet."""

    locks: set[UUID] = field(default_factory=set)
    writes: dict[UUID, Execution] = field(default_factory=dict)
    effects: list[Any] = field(default_factory=list)
    over: bool = False


Statement = Callable[..., Rows]


class Tables:
    """Rows and locks. `clock` is the database's; no statement here waits."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        """Empty."""
        self.clock = clock
        self.rows: dict[UUID, Execution] = {}
        self.effects: list[Any] = []
        self.open: list[Transaction] = []
        self.changed: Callable[[Execution | None, Execution], None] = lambda _before, _after: None
        self.names = [name for name in _SQL if name not in {"counts", "kinds"}]
        """Statements; the others are for operators, and no rule depends on them."""
        self.statements: dict[str, Statement] = {
            _SQL[name]: getattr(self, f"_{name}") for name in self.names
        }

    def run(self, sql: str, args: tuple[Any, ...], transaction: Transaction | None) -> Rows:
        """One statement. Raises Locked, and then has done nothing."""
        own = transaction or Transaction()
        rows = self.statements[sql](own, *args)
        if transaction is None:
            self.commit(own)
        return rows

    def begin(self) -> Transaction:
        """Open a transaction."""
        transaction = Transaction()
        self.open.append(transaction)
        return transaction

    def commit(self, transaction: Transaction) -> None:
        """Make it so."""
        for execution_id, after in transaction.writes.items():
            before = self.rows.get(execution_id)
            self.rows[execution_id] = after
            self.changed(before, after)
        self.effects += transaction.effects
        self.roll_back(transaction)

    def roll_back(self, transaction: Transaction) -> None:
        """Let go of its locks."""
        transaction.over = True
        if transaction in self.open:
            self.open.remove(transaction)

    def _see(self, own: Transaction, execution_id: UUID) -> Execution | None:
        return own.writes.get(execution_id) or self.rows.get(execution_id)

    def _all(self, own: Transaction) -> Iterable[Execution]:
        return (self.rows | own.writes).values() if own.writes else self.rows.values()

    def _held(self, own: Transaction, execution_id: UUID) -> bool:
        return any(execution_id in one.locks for one in self.open if one is not own)

    def _lock(self, own: Transaction, ids: Iterable[UUID]) -> None:
        for execution_id in ids:
            if self._held(own, execution_id):
                raise Locked
        own.locks.update(ids)

    def _await_writer(self, own: Transaction, execution_id: UUID) -> None:
        """ON CONFLICT waits for who is changing the row, but not for who has only locked it."""
        if any(execution_id in one.writes for one in self.open if one is not own):
            raise Locked

    def _write(self, own: Transaction, row: Execution, event: Event, **fields: Any) -> Execution:
        row = replace(row, state=execution_states.after(row.state, event), **fields)
        own.writes[row.execution_id] = row
        return row

    # -- the statements of shared/ledger.sql ----------------------------------------------------

    def _claim(self, own: Transaction, *args: Any) -> Rows:
        *columns, worker, lease = args
        now, claimed = self.clock(), []
        for one in sorted(zip(*columns, strict=True)):
            fresh = _unclaimed(*one)
            if not fresh.may_be_claimed(now):
                continue
            self._await_writer(own, fresh.execution_id)
            if self._see(own, fresh.execution_id) is not None:
                continue
            until = now + lease
            self._write(own, fresh, Event.CLAIM, attempt=1, worker=worker, lease_until=until)
            claimed.append({"execution_id": fresh.execution_id, "remaining": fresh.deadline - now})
        return claimed

    def _claim_existing(
        self, own: Transaction, execution_id: UUID, worker: UUID, lease: timedelta, _most: int
    ) -> Rows:
        now, row = self.clock(), self._see(own, execution_id)
        if row is None or row.state is State.NONE or not row.may_be_claimed(now):
            return []
        self._lock(own, [execution_id])
        row = self._write(
            own, row, Event.CLAIM, attempt=row.attempt + 1, worker=worker, lease_until=now + lease
        )
        return [{"attempt": row.attempt, "remaining": row.deadline - now}]

    def _read(self, own: Transaction, ids: list[UUID]) -> Rows:
        now = self.clock()
        found = [row for one in dict.fromkeys(ids) if (row := self._see(own, one)) is not None]
        return [
            {
                "execution_id": row.execution_id,
                "state": str(row.state),
                "attempt": row.attempt,
                "worker": row.worker,
                "idempotent": row.idempotent,
                "reply_to": row.reply_to,
                "result": row.result,
                "deadline": row.deadline,
                "lease_until": row.lease_until,
                "published": row.published_at is not None,
                "applied": row.applied_at is not None,
                "lease_left": None if row.lease_until is None else row.lease_until - now,
                "passed": now >= row.deadline,
            }
            for row in found
        ]

    def _record(self, own: Transaction, *given: Any) -> Rows:
        *columns, _events = given
        asked: dict[UUID, tuple[Execution, str, bytes]] = {}
        for execution_id, attempt, outcome, result in zip(*columns, strict=True):
            row = self._see(own, execution_id)
            if (
                row is not None
                and execution_id not in asked
                and execution_states.may_record(
                    row.state, attempt=attempt, claimed_attempt=row.attempt
                )
            ):
                asked[execution_id] = (row, outcome, result)
        self._lock(own, asked)
        for row, outcome, result in asked.values():
            self._write(
                own, row, Event.RECORD, outcome=outcome, result=result, decided_at=self.clock()
            )
        return [{"execution_id": execution_id} for execution_id in asked]

    def _decide_unrun(self, own: Transaction, *values: Any) -> Rows:
        *binding, outcome, result, _events = values
        fresh = _unclaimed(*binding)
        self._await_writer(own, fresh.execution_id)
        row = self._see(own, fresh.execution_id) or fresh
        if not execution_states.may_decide_unrun(row.state):
            return []
        now = self.clock()
        self._write(own, row, Event.DECIDE, outcome=outcome, result=result, decided_at=now)
        return [{"?column?": 1}]

    def _decide_lost(
        self, own: Transaction, execution_id: UUID, outcome: str, result: bytes, *_limits: int
    ) -> Rows:
        now, row = self.clock(), self._see(own, execution_id)
        if row is None or not row.may_be_lost(now):
            return []
        self._lock(own, [execution_id])
        self._write(own, row, Event.DECIDE, outcome=outcome, result=result, decided_at=now)
        return [{"?column?": 1}]

    def _renew(
        self, own: Transaction, ids: list[UUID], attempts: list[int], worker: UUID, lease: timedelta
    ) -> Rows:
        now, kept = self.clock(), []
        for execution_id, attempt in zip(ids, attempts, strict=True):
            row = self._see(own, execution_id)
            if row is None or row.worker != worker:
                continue
            if execution_states.may_record(row.state, attempt=attempt, claimed_attempt=row.attempt):
                kept.append(row)
        self._lock(own, [row.execution_id for row in kept])
        for row in kept:
            own.writes[row.execution_id] = replace(row, lease_until=now + lease)
        return [{"execution_id": row.execution_id} for row in kept]

    def _mark_published(self, own: Transaction, ids: list[UUID]) -> Rows:
        found = [row for one in dict.fromkeys(ids) if (row := self._see(own, one)) is not None]
        due = [row for row in found if row.published_at is None and row.state is not State.CLAIMED]
        self._lock(own, [row.execution_id for row in due])
        for row in due:
            self._write(own, row, Event.CONFIRM, published_at=self.clock())
        return []

    def _apply(self, own: Transaction, ids: list[UUID]) -> Rows:
        found = [row for one in dict.fromkeys(ids) if (row := self._see(own, one)) is not None]
        owed = [row for row in found if execution_states.may_apply(row.state)]
        self._lock(own, [row.execution_id for row in owed])
        for row in owed:
            now = self.clock()
            known = row.published_at or now
            self._write(own, row, Event.APPLY, applied_at=now, published_at=known)
        return [{"execution_id": row.execution_id} for row in owed]

    def _unpublished(self, own: Transaction, older_than: timedelta, limit: int) -> Rows:
        before = self.clock() - older_than
        due = [
            row
            for row in self._all(own)
            if row.decided_at is not None and row.decided_at < before and row.published_at is None
        ]
        due.sort(key=lambda row: row.decided_at or before)
        return [
            {"execution_id": row.execution_id, "reply_to": row.reply_to, "result": row.result}
            for row in self._lock_free(own, due, limit)
        ]

    def _lost(self, own: Transaction, _most: int, limit: int) -> Rows:
        now = self.clock()
        due = [row for row in self._all(own) if row.may_be_lost(now)]
        due.sort(key=lambda row: row.lease_until or now)
        names = ("execution_id", "connection_id", "revision", "action", "attempt", "deadline")
        return [
            {name: getattr(row, name) for name in (*names, "reply_to")}
            for row in self._lock_free(own, due, limit)
        ]

    def _lock_free(self, own: Transaction, due: list[Execution], limit: int) -> list[Execution]:
        """FOR UPDATE SKIP LOCKED."""
        free = [row for row in due if not self._held(own, row.execution_id)][:limit]
        own.locks.update(row.execution_id for row in free)
        return free


@dataclass(slots=True)
class Faults:
    """What the database does to statements, as chances in one."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    slow: float = 0.0
    away: bool = False
    """Nobody listens: connecting fails at once."""
    hung: bool = False
    """It accepts and says nothing."""


@dataclass(slots=True, eq=False)
class Asked:
    """A statement on its way."""

    work: Callable[[], Rows]
    client: Database
    answered: asyncio.Future[Rows]
    when_lost: Callable[[], None] = lambda: None
    lose_answer: bool = False

    def deliver(self, rows: Rows) -> None:
        """The answer came."""
        if not self.answered.done():
            self.answered.set_result(rows)

    def fail(self) -> None:
        """The link dropped; it may have happened."""
        if not self.answered.done():
            self.answered.set_exception(Unavailable("the database is away (simulated)"))

    def lose(self) -> None:
        """It never happened."""
        self.when_lost()
        self.fail()


class Server:
    """The tables behind a network."""

    def __init__(self, loop: VirtualLoop, random: Random) -> None:
        """Without faults."""
        self.loop = loop
        self.random = random
        self.faults = Faults()
        self.troubled_until = 0.0
        """The last instant at which a fault of the database delayed or refused anything."""
        self.tables = Tables(self.clock)
        self.other: dict[str, Callable[..., Rows]] = {}
        """Statements that are not the ledger's, by their text."""
        self._blocked: list[Asked] = []

    def clock(self) -> datetime:
        """The database's time."""
        return EPOCH + timedelta(seconds=self.loop.time())

    def trouble(self) -> None:
        """Remember that something went wrong here just now."""
        self.troubled_until = self.loop.time()

    def latency(self) -> float:
        """Of one way."""
        if self.faults.slow and self.random.random() < self.faults.slow:
            self.trouble()
            return self.random.uniform(0.05, 1.5)
        return self.random.uniform(0.0001, 0.002)

    def submit(self, asked: Asked) -> None:
        """A statement arrives after a while; runs, or waits for a lock; its answer travels."""
        fate = self.random.random()
        if fate < self.faults.lost_before or asked.client.cut:
            self.trouble()
            self.loop.later(self.latency(), asked.lose)
            return
        asked.lose_answer = fate > 1 - self.faults.lost_after
        self.loop.later(self.latency(), self._arrive, asked)

    def _arrive(self, asked: Asked) -> None:
        if self.faults.away or asked.client.cut:
            self.trouble()
            asked.lose()
        elif self.faults.hung:
            self.trouble()
            self.loop.later(0.1, self._arrive, asked)
        elif not self._attempt(asked):
            self.trouble()
            self._blocked.append(asked)

    def _attempt(self, asked: Asked) -> bool:
        """Run it, unless it has to wait for a lock."""
        try:
            rows = asked.work()
        except Locked:
            return asked.answered.done()  # its client has gone: it waits no longer
        except Unavailable:
            asked.lose()
            return True
        if asked.lose_answer:
            self.trouble()
            self.loop.later(self.latency(), asked.fail)
        else:
            self.loop.later(self.latency(), asked.deliver, rows)
        return True

    def unblock(self) -> None:
        """Locks were let go."""
        self._blocked = [asked for asked in self._blocked if not self._attempt(asked)]

    def commit(self, transaction: Transaction) -> Rows:
        """Commit, unless the session has ended."""
        if transaction.over:
            raise Unavailable("the session is gone")
        self.tables.commit(transaction)
        self.loop.later(0, self.unblock)
        return []

    def restart(self) -> None:
        """Every session ends, and every open transaction is rolled back."""
        self.trouble()
        for transaction in list(self.tables.open):
            self.tables.roll_back(transaction)
        self.loop.later(0, self.unblock)


class Session:
    """A session in a transaction."""

    def __init__(self, database: Database, transaction: Transaction) -> None:
        """Made by `Database.transaction`."""
        self.database = database
        self.transaction = transaction

    async def fetch(self, sql: str, *args: Any) -> Rows:
        """All rows of one statement."""
        return await self.database.ask(sql, args, self.transaction)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row."""
        return _first(await self.fetch(sql, *args))

    async def execute(self, sql: str, *args: Any) -> str:
        """For its effect."""
        await self.fetch(sql, *args)
        return ""


class Database:
    """What `shared.database.Database` is to one process."""

    def __init__(self, server: Server, process: Process, offset: timedelta) -> None:
        """`offset`: how wrong this process's idea of the database's clock is."""
        self._server = server
        self._process = process
        self._offset = offset
        self._open: dict[Transaction, None] = {}
        self.cut = False
        """Whether this process alone can't reach the server."""

    def now(self) -> datetime:
        """The database's time, as far as this process knows it."""
        return self._server.clock() + self._offset

    def disconnect(self) -> None:
        """The process is gone: the server notices and rolls back."""
        self.cut = True
        for transaction in list(self._open):
            self._end(transaction)

    def _end(self, transaction: Transaction) -> None:
        self._open.pop(transaction, None)
        if not transaction.over:
            self._server.tables.roll_back(transaction)
            self._server.loop.later(0, self._server.unblock)

    async def ask(self, sql: str, args: tuple[Any, ...], transaction: Transaction | None) -> Rows:
        """One statement and its answer."""
        tables, server = self._server.tables, self._server

        def work() -> Rows:
            if transaction is not None and transaction.over:
                raise Unavailable("the session is gone")
            if sql in tables.statements:
                return tables.run(sql, args, transaction)
            return server.other[sql](*args)

        return await self._asked(work)

    async def _asked(
        self, work: Callable[[], Rows], when_lost: Callable[[], None] = lambda: None
    ) -> Rows:
        loop = self._server.loop
        asked = Asked(work, self, loop.create_future(), when_lost)
        loop.now(self._server.submit, asked)
        overdue = loop.call_later(STATEMENT_WITHIN, asked.fail)
        try:
            return await asked.answered
        finally:
            overdue.cancel()

    async def fetch(self, sql: str, *args: Any) -> Rows:
        """All rows of one statement."""
        return await self.ask(sql, args, None)

    async def fetchrow(self, sql: str, *args: Any) -> dict[str, Any] | None:
        """The first row of one statement."""
        rows = await self.ask(sql, args, None)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row."""
        return _first(await self.ask(sql, args, None))

    async def execute(self, sql: str, *args: Any) -> str:
        """For its effect."""
        await self.ask(sql, args, None)
        return ""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A session in a transaction that commits when the block ends well."""
        # It begins here and not over there: a lost BEGIN would look like a lost first statement.
        transaction = self._server.tables.begin()
        self._open[transaction] = None
        try:
            yield Session(self, transaction)
        except BaseException:
            self._end(transaction)
            raise
        self._open.pop(transaction, None)  # from here on, what becomes of it is decided over there
        await self._asked(lambda: self._server.commit(transaction), lambda: self._end(transaction))


def _first(rows: Rows) -> Any:
    return next(iter(rows[0].values())) if rows else None
