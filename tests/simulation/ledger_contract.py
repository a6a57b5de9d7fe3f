"""The same random statements on a real Postgres and on the simulated tables: every answer is compared.

So the simulation's database is a verified fake, and a changed condition in `shared/ledger.sql` is
noticed: SQL_MUTANTS are such changes.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

import asyncpg

from shared.database import Database
from shared.execution_ids import mint
from shared.execution_states import MAX_ATTEMPTS
from shared.ledger import _SQL, LEASE
from tests.simulation.database import Locked, Rows, Tables, Transaction

STEPS: Final = 40
WORKERS: Final = (UUID(int=1), UUID(int=2))
_NEAR: Final = timedelta(seconds=1.5)
"""Two clocks were read; what the test moves, it moves by more."""
_MOVES: Final = {
    "lease_until": "UPDATE executions SET lease_until = clock_timestamp() + $2::interval"
    " WHERE execution_id = $1 AND lease_until IS NOT NULL",
    "deadline": "UPDATE executions SET deadline = clock_timestamp() + $2::interval"
    " WHERE execution_id = $1",
    "decided_at": "UPDATE executions SET decided_at = clock_timestamp() + $2::interval"
    " WHERE execution_id = $1 AND decided_at IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class SqlMutant:
    """A statement with one condition changed."""

    what: str
    statement: str
    old: str
    new: str


SQL_MUTANTS: Final = (
    SqlMutant("a claim does not look at the deadline", "claim", "WHERE clock_timestamp() < deadline", ""),
    SqlMutant("a repeated claim ignores the lease", "claim_existing", "AND lease_until < clock_timestamp()", ""),
    SqlMutant("a repeated claim ignores the action", "claim_existing", "AND idempotent", ""),
    SqlMutant("a repeated claim ignores the deadline", "claim_existing", "AND clock_timestamp() < deadline", ""),
    SqlMutant("a repeated claim does not count", "claim_existing", "AND attempt < $4", "AND $4 > 0"),
    SqlMutant("a repeated claim keeps its attempt", "claim_existing", "attempt = attempt + 1", "attempt = attempt"),
    SqlMutant("a decided row is claimed again", "claim_existing", "AND state = 'claimed'", ""),
    SqlMutant("a record ignores the fence", "record", "AND e.attempt = asked.attempt", ""),
    SqlMutant("a record overwrites an outcome", "record", "AND e.outcome IS NULL", ""),
    SqlMutant(
        "a tombstone overwrites a claim", "decide_unrun", "DO NOTHING",
        "DO UPDATE SET state = 'decided', outcome = excluded.outcome, result = excluded.result",
    ),
    SqlMutant("the reaper's verdict ignores the lease", "decide_lost", "AND lease_until < clock_timestamp()", ""),
    SqlMutant("the reaper's verdict takes what may be repeated", "decide_lost",
              "AND NOT (idempotent AND clock_timestamp() < deadline AND attempt < $4)", "AND $4 > 0"),
    SqlMutant("the reaper overwrites an outcome", "decide_lost", "AND state = 'claimed'", ""),
    SqlMutant("the reaper finds live leases", "lost", "AND lease_until < clock_timestamp()", ""),
    SqlMutant("the reaper waits for locked rows", "lost", "SKIP LOCKED", ""),
    SqlMutant("anybody renews a lease", "renew", "AND e.worker = $3", "AND $3::uuid IS NOT NULL"),
    SqlMutant("an earlier claim is renewed", "renew", "AND e.attempt = t.attempt", ""),
    SqlMutant("a decided row is renewed", "renew", "AND e.outcome IS NULL", ""),
    SqlMutant("a claim is marked published", "mark_published", "AND state <> 'claimed'", ""),
    SqlMutant("an effect is applied twice", "apply", "AND state IN ('decided', 'published')",
              "AND state <> 'claimed'"),
    SqlMutant("a claim is applied", "apply", "AND state IN ('decided', 'published')",
              "AND state <> 'applied'"),
    SqlMutant("the outbox takes what was published", "unpublished", "AND published_at IS NULL", ""),
    SqlMutant("the outbox does not wait", "unpublished", "< clock_timestamp() - $1::interval",
              "< clock_timestamp() - $1::interval * 0"),
    SqlMutant("the outbox waits for locked rows", "unpublished", "SKIP LOCKED", ""),
)  # fmt: skip


def statements(mutant: SqlMutant | None) -> dict[str, str]:
    """The statements for Postgres. A mutant whose text is gone has to follow the code."""
    found = dict(_SQL)
    if mutant is not None:
        assert found[mutant.statement].count(mutant.old) == 1, mutant
        found[mutant.statement] = found[mutant.statement].replace(mutant.old, mutant.new)
    return found


class Comparison:
    """One sequence of statements on both."""

    def __init__(self, database: Database, sql: dict[str, str], seed: int) -> None:
        """`sql`: what Postgres is asked."""
        self._database = database
        self._sql = sql
        self._random = Random(seed)
        self._tables = Tables(lambda: datetime.now(UTC))
        self._ids = [mint(datetime.now(UTC)) for _ in range(self._random.randint(1, 3))]
        self._idempotent = {one: self._random.random() < 0.6 for one in self._ids}
        self._deadline = datetime.now(UTC) + timedelta(seconds=60)
        self._attempts = dict.fromkeys(self._ids, 0)

    async def first_difference(self) -> str | None:
        """The first answer that differs; None if none does."""
        async with AsyncExitStack() as owned:
            outside = await owned.enter_async_context(self._database.connection())
            inside = await owned.enter_async_context(self._database.connection())
            await outside.execute("DELETE FROM executions")
            await outside.execute("SET lock_timeout = '40ms'")
            try:
                for _ in range(STEPS):
                    if difference := await self._step(outside, inside):
                        return difference
                return await self._compare(outside, None, "read", self._ids)
            finally:
                await outside.execute("RESET lock_timeout")

    async def _step(self, outside: Any, inside: Any) -> str | None:
        random = self._random
        if random.random() < 0.25:
            await self._move(outside)
            return None
        if random.random() < 0.15:
            return await self._in_transaction(outside, inside)
        return await self._any(outside, None)

    async def _in_transaction(self, outside: Any, inside: Any) -> str | None:
        """Some statements in a transaction, others beside it, and a commit or none."""
        own, transaction = self._tables.begin(), inside.transaction()
        await transaction.start()
        commit = self._random.random() < 0.6
        try:
            for _ in range(self._random.randint(1, 3)):
                name = self._random.choice(["unpublished", "lost", "apply", "mark_published"])
                if difference := await self._any(inside, own, name):
                    return difference
                if difference := await self._any(outside, None):
                    return difference
        finally:
            await (transaction.commit() if commit else transaction.rollback())
            (self._tables.commit if commit else self._tables.roll_back)(own)
        return None

    async def _any(
        self, session: Any, own: Transaction | None, name: str | None = None
    ) -> str | None:
        usual = [*self._tables.names, "claim", "claim_existing", "claim_existing", "record"]
        name = name or self._random.choice(usual)
        return await self._compare(session, own, name, *self._arguments(name))

    def _arguments(self, name: str) -> list[Any]:
        random, one = self._random, self._random.choice(self._ids)
        some = random.sample(self._ids, random.randint(1, len(self._ids)))
        attempts = [random.randint(1, 3) for _ in some]
        worker, text = random.choice(WORKERS), random.randbytes(4)
        bound = ("con_" + "a" * 16, "0" * 32, "login")
        rows = [(each, *bound, self._idempotent[each], self._due(), "replica") for each in some]
        unrun = [
            one,
            *bound,
            self._idempotent[one],
            self._deadline,
            "replica",
            "expired",
            text,
            False,
        ]
        given: dict[str, list[Any]] = {
            "claim": [*map(list, zip(*rows, strict=True)), worker, LEASE],
            "claim_existing": [one, worker, LEASE, MAX_ATTEMPTS],
            "record": [some, attempts, ["denied"] * len(some), [text] * len(some), False],
            "decide_unrun": unrun,
            "decide_lost": [one, "indeterminate", text, MAX_ATTEMPTS, False],
            "renew": [some, attempts, worker, LEASE],
            "unpublished": [timedelta(seconds=random.choice([0, 5])), 10],
            "lost": [MAX_ATTEMPTS, 10],
        }
        return given.get(name, [some])

    def _due(self) -> datetime:
        late = self._random.random() < 0.15
        return datetime.now(UTC) - timedelta(seconds=5) if late else self._deadline

    async def _move(self, session: Any) -> None:
        """Time is moved by moving a row's instants."""
        column = self._random.choice([*_MOVES, "lease_until", "lease_until"])
        by = timedelta(seconds=self._random.choice([-10, -3, 30]))
        one = self._random.choice(self._ids)
        row = self._tables.rows.get(one)
        await session.execute(_MOVES[column], one, by)
        if row is not None and getattr(row, column) is not None:
            moved: dict[str, Any] = {column: datetime.now(UTC) + by}
            self._tables.rows[one] = replace(row, **moved)

    async def _compare(
        self, session: Any, own: Transaction | None, name: str, *arguments: Any
    ) -> str | None:
        expected: Rows | str
        actual: Rows | str
        try:
            expected = self._tables.run(_SQL[name], arguments, own)
        except Locked:
            expected = "locked"
        try:
            actual = [dict(row) for row in await session.fetch(self._sql[name], *arguments)]
        except asyncpg.LockNotAvailableError:
            actual = "locked"
        except asyncpg.PostgresError as error:
            actual = type(error).__name__  # a constraint that no statement should meet
        if isinstance(expected, str) or isinstance(actual, str):
            same = expected == actual
        else:
            same = len(expected) == len(actual) and all(
                map(_alike, sorted(expected, key=_key), sorted(actual, key=_key))
            )
        return None if same else f"{name}: here {expected}, in Postgres {actual}"


def _key(row: dict[str, Any]) -> str:
    return str(row.get("execution_id"))


def _alike(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        abs(value - theirs[name]) < _NEAR
        if isinstance(value, datetime | timedelta) and theirs[name] is not None
        else value == theirs[name]
        for name, value in ours.items()
    )
