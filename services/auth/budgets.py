"""Budgets: how often something may happen, counted in Postgres for all replicas together.

A budget is a leaky bucket: each charge adds one, it leaks by so much a second, and after a quiet
time it is empty. Without a leak it is a count that only quiet resets, as stores count their
lock-outs; then each charge starts the quiet time anew.

Rule 1: what doesn't fit is not charged, so being refused never prolongs a block.
Rule 2: keys are keyed hashes; no identifier is stored.
Rule 3: statements are batched naturally (I10), and lock their rows in the order of the keys.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.batcher import Batcher
from shared.database import Database

EVERYTHING: Final = math.inf
"""To give back as much as there is."""
_DAY: Final = 86_400.0
_ALMOST: Final = 1e-6
"""What a bucket may lack for one more: floating point, and a clock of microseconds."""

_LOOK: Final = """
SELECT key, limits_level(level, since, leak, quiet) AS level,
       extract(epoch FROM now() - since)::float8 AS age
FROM limits WHERE key = ANY($1::bytea[])
"""
_TAKE: Final = """
INSERT INTO limits AS l (key, budget, connection_id, subject, ip, capacity, leak, quiet, level, since,
                         granted)
SELECT key, budget, connection_id, subject, ip, capacity, leak, quiet,
       least(wanted, floor(capacity)), now(), least(wanted, floor(capacity))
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::float8[],
            $7::float8[], $8::float8[], $9::float8[])
  AS w (key, budget, connection_id, subject, ip, capacity, leak, quiet, wanted)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    capacity = excluded.capacity, leak = excluded.leak, quiet = excluded.quiet, ip = excluded.ip,
    (level, since, granted) = (
        SELECT CASE WHEN fits > 0 THEN was + fits ELSE l.level END,
               CASE WHEN fits > 0 THEN greatest(l.since, now()) ELSE l.since END, fits
        FROM (SELECT was, greatest(0, least(excluded.level, floor(excluded.capacity - was + 1e-6))) AS fits
              FROM (SELECT limits_level(l.level, l.since, l.leak, l.quiet) AS was) AS before) AS after)
RETURNING key, granted, limits_level(level, since, leak, quiet) AS level,
          extract(epoch FROM now() - since)::float8 AS age
"""
_GIVE_BACK: Final = """
WITH locked AS (SELECT key FROM limits WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE)
UPDATE limits l SET level = greatest(0, l.level - back.number)
FROM unnest($1::bytea[], $2::float8[]) AS back (key, number) JOIN locked USING (key)
WHERE l.key = back.key
"""
_FORGET_OLD: Final = "DELETE FROM limits WHERE since + make_interval(secs => quiet) < now()"


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `capacity` at once."""

    name: str
    capacity: float
    leak: float
    """A second."""
    quiet: float
    """Seconds."""

    @classmethod
    def per(cls, name: str, number: float, seconds: float) -> Budget:
        """So many at once, and in the long run so many in each `seconds`."""
        return cls(name, max(number, 1), number / seconds, max(number, 1) * seconds / number)

    @classmethod
    def per_day(cls, name: str, number: float) -> Budget:
        """So many a day."""
        return cls.per(name, number, _DAY)

    def wait(self, standing: Standing) -> float:
        """Seconds until one more fits; 0: it fits."""
        over = standing.level + 1 - self.capacity
        if over <= _ALMOST:
            return 0.0
        quiet = max(self.quiet - standing.age, 0.0)
        return min(over / self.leak, quiet) if self.leak else quiet


@dataclass(frozen=True, slots=True)
class Standing:
    """How full a bucket is, and for how many seconds it was not charged."""

    level: float
    age: float


EMPTY: Final = Standing(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Charge:
    """One more, for a budget of somebody."""

    key: bytes = field(repr=False)
    budget: Budget
    connection_id: str | None = None
    subject: bytes | None = field(default=None, repr=False)
    ip: str | None = None


class Budgets:
    """Looks at, charges and gives back. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        """`database` holds the counts."""
        self._database = database
        self._looks: Batcher[Sequence[bytes], dict[bytes, Standing]] = Batcher(self._look_all)
        self._takes: Batcher[Sequence[Charge], dict[bytes, Standing]] = Batcher(self._take_all)
        self._returns: Batcher[Mapping[bytes, float], None] = Batcher(self._give_back_all)

    async def look(self, keys: Sequence[bytes]) -> dict[bytes, Standing]:
        """How full buckets are; the empty ones are absent."""
        return await self._looks(keys)

    async def take(self, charges: Sequence[Charge]) -> dict[bytes, Standing]:
        """Charge all or none; the full ones of them, by key. Empty: it was charged."""
        full = await self._takes(charges)
        if full and len(full) < len(charges):
            await self.give_back({one.key: 1.0 for one in charges if one.key not in full})
        return full

    async def give_back(self, amounts: Mapping[bytes, float]) -> None:
        """Undo charges: so many, or EVERYTHING."""
        if amounts:
            await self._returns(amounts)

    async def forget_old(self) -> None:
        """Housekeeping: what is empty by now."""
        await self._database.execute(_FORGET_OLD)

    async def _look_all(self, asked: Sequence[Sequence[bytes]]) -> list[dict[bytes, Standing]]:
        keys = sorted({key for one in asked for key in one})
        found = {
            row["key"]: Standing(row["level"], row["age"])
            for row in await self._database.fetch(_LOOK, keys)
        }
        return [{key: found[key] for key in one if key in found} for one in asked]

    async def _take_all(self, asked: Sequence[Sequence[Charge]]) -> list[dict[bytes, Standing]]:
        """In one statement, each key once; what it grants goes to the first who came."""
        wanted = Counter(charge.key for one in asked for charge in one)
        charges = {charge.key: charge for one in asked for charge in one}
        rows = await self._database.fetch(_TAKE, *_columns(charges, wanted))
        granted = {row["key"]: row["granted"] for row in rows}
        standings = {row["key"]: Standing(row["level"], row["age"]) for row in rows}
        refused = []
        for one in asked:
            full = {}
            for charge in one:
                granted[charge.key] -= 1
                if granted[charge.key] < 0:
                    full[charge.key] = standings[charge.key]
            refused.append(full)
        return refused

    async def _give_back_all(self, asked: Sequence[Mapping[bytes, float]]) -> list[None]:
        amounts: Counter[bytes] = Counter()
        for one in asked:
            for key, number in one.items():
                amounts[key] += number  # type: ignore[assignment] # inf is no int, and adds up
        await self._database.execute(_GIVE_BACK, list(amounts), list(amounts.values()))
        return [None] * len(asked)


def _columns(charges: Mapping[bytes, Charge], wanted: Mapping[bytes, int]) -> list[list[Any]]:
    rows = [
        (
            *(one.key, one.budget.name, one.connection_id, one.subject, one.ip),
            *(one.budget.capacity, one.budget.leak, one.budget.quiet, float(wanted[one.key])),
        )
        for one in charges.values()
    ]
    return [list(column) for column in zip(*rows, strict=True)]
