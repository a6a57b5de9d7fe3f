"""After a new key is in front of the ring: what the old one sealed is sealed afresh.

Works while the services run: a row is only replaced if it still holds what was read. It may be
stopped and started again at any time.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from services.auth import places
from shared.contracts import Sealed
from shared.database import Database
from shared.errors import Unsealable
from shared.sealing import KeyRing

log = structlog.get_logger(__name__)

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class _Kept:
    """A column with one sealed value a row."""

    table: str
    key: tuple[str, ...]
    column: str
    place: Callable[[Mapping[str, Any]], str]
    beside: tuple[str, ...] = ()
    """Names in the stored object besides the sealed value's own."""


_COLUMNS: Final = (
    _Kept("signing_keys", ("kid",), "sealed_key", lambda row: places.signing_key(row["kid"])),
    _Kept(
        "identities",
        ("connection_id", "legacy_id", "user_id"),
        "sealed_tokens",
        lambda row: places.tokens(row["user_id"]),
    ),
    _Kept("users", ("user_id",), "mfa_factors", lambda row: places.factors(row["user_id"])),
    _Kept(
        "tickets", ("ticket_hash",), "sealed_profile", lambda row: places.ticket(row["ticket_hash"])
    ),
    _Kept(
        "mails",
        ("mail_id",),
        "sealed_body",
        lambda row: places.mail(json.loads(row["sealed"])["place"]),
        beside=("place",),
    ),
    _Kept(
        "integrator_keys",
        ("key_id",),
        "sealed_key",
        lambda row: places.integrator_key(row["key_id"]),
    ),
    _Kept("jobs", ("job_id",), "sealed_users", lambda row: places.job(row["job_id"])),
)


@dataclass(slots=True)
class Resealed:
    """What became of what was found under another key than the current one."""

    afresh: int = 0
    lost: int = 0
    """Sealed under a key that is not in the ring, or not openable: left as it was."""


async def reseal(database: Database, ring: KeyRing) -> dict[str, Resealed]:
    """Seal under the current key whatever is not, table by table."""
    done = {"connection_revisions.configuration": await _configurations(database, ring)}
    for kept in _COLUMNS:
        done[f"{kept.table}.{kept.column}"] = await _column(database, ring, kept)
    return done


async def _column(database: Database, ring: KeyRing, kept: _Kept) -> Resealed:
    counted = Resealed()
    keys = ", ".join(kept.key)
    matches = " AND ".join(f"{key} = ${place}" for place, key in enumerate(kept.key, 3))
    async for row in _stale(database, ring, kept):
        stored = json.loads(row["sealed"])
        try:
            sealed = Sealed(key_id=stored["key_id"], data=stored["data"])
            plain = ring.open_at_rest(kept.place(row), sealed)
        except (Unsealable, KeyError):
            counted.lost += 1
            log.warning("reseal.left", table=kept.table, column=kept.column, key=keys)
            continue
        fresh = ring.seal_at_rest(kept.place(row), plain).model_dump()
        text = json.dumps({name: stored[name] for name in kept.beside} | fresh)
        await database.execute(
            f"UPDATE {kept.table} SET {kept.column} = $1"  # noqa: S608 - names of ours alone
            f" WHERE {kept.column} = $2 AND {matches}",
            *(text, row["sealed"], *(row[key] for key in kept.key)),
        )
        counted.afresh += 1
    return counted


async def _stale(
    database: Database, ring: KeyRing, kept: _Kept
) -> AsyncIterator[Mapping[str, Any]]:
    """Rows under another key, in the order of their keys, some at a time."""
    keys = ", ".join(kept.key)
    after: tuple[Any, ...] | None = None
    while True:
        later = "" if after is None else f"AND ({keys}) > ({_places(len(kept.key), 3)})"
        rows = await database.fetch(
            f"SELECT {keys}, {kept.column}::text AS sealed FROM {kept.table}"  # noqa: S608
            f" WHERE {kept.column}->>'key_id' <> $1 {later} ORDER BY {keys} LIMIT $2",
            *(ring.current, _BATCH, *(after or ())),
        )
        for row in rows:
            yield dict(row)
        if len(rows) < _BATCH:
            return
        after = tuple(rows[-1][key] for key in kept.key)


def _places(count: int, first: int) -> str:
    return ", ".join(f"${place}" for place in range(first, first + count))


async def _configurations(database: Database, ring: KeyRing) -> Resealed:
    """Configurations are sealed value by value."""
    counted = Resealed()
    rows = await database.fetch(
        "SELECT connection_id, revision, configuration::text AS sealed FROM connection_revisions"
    )
    for row in rows:
        stored = json.loads(row["sealed"])
        fresh = dict(stored)
        for name, value in stored.items():
            if value["key_id"] == ring.current:
                continue
            place = places.configuration(row["connection_id"], name)
            try:
                plain = ring.open_at_rest(place, Sealed.model_validate(value))
            except Unsealable:
                counted.lost += 1
                log.warning("reseal.left", connection_id=row["connection_id"])
                continue
            fresh[name] = ring.seal_at_rest(place, plain).model_dump()
            counted.afresh += 1
        if fresh != stored:
            await database.execute(
                "UPDATE connection_revisions SET configuration = $1"
                " WHERE connection_id = $2 AND revision = $3 AND configuration = $4",
                *(json.dumps(fresh), row["connection_id"], row["revision"], row["sealed"]),
            )
    return counted
