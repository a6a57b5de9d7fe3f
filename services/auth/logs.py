"""The tenant log (C§9): what an administrator reads. Never a password, never a profile.

Entries that belong to no statement of their flow's are written in batches; a flow does not fail
because such a line could not be written.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog

from services.auth.caller import Caller
from services.auth.connections import Connection
from shared.batcher import Batcher
from shared.contracts import ExecutionResult
from shared.database import Database, Session
from shared.errors import Unavailable
from shared.events import EventType

log = structlog.get_logger(__name__)

USER_IMPORTED: Final = "trickle_user_imported"
"""Our own type: Auth0 has none for a moved user."""
WRITE_WITHIN: Final = 1.0
"""Seconds that a flow waits for its line."""
_COLUMNS: Final = """(type, connection_id, client_id, user_id, user_name, ip, user_agent,
                  execution_id, description, scope, audience, details)"""
_INSERT: Final = f"""
INSERT INTO logs {_COLUMNS}
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::jsonb[])
"""  # noqa: S608 - a constant
_INSERT_WITH_EVENTS: Final = f"""
WITH told AS (
    INSERT INTO events (type, connection_id, data)
    SELECT * FROM unnest($13::text[], $14::text[], $15::jsonb[])
)
{_INSERT}
"""  # noqa: S608 - a constant
_SELECT: Final = """
SELECT l.*, c.name AS connection_name, k.name AS client_name FROM logs l
LEFT JOIN connections c USING (connection_id) LEFT JOIN clients k USING (client_id)
"""
_ID: Final = re.compile(r"^900(\d{17})(\d{36})$")
_MAX_TEXT: Final = 4096
_CONSOLE_LINES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the tenant log."""

    type: str
    caller: Caller = field(default_factory=Caller)
    connection_id: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    execution_id: UUID | None = None
    description: str | None = None
    scope: str | None = None
    audience: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    event: EventType | None = None
    """What other teams are told, in the same statement."""

    def facts(self) -> str:
        """The event's data (`shared.events`)."""
        facts: dict[str, Any] = {
            "execution_id": None if self.execution_id is None else str(self.execution_id)
        }
        if self.event is EventType.USER_IMPORTED:
            facts["user_id"] = self.user_id
        else:
            facts["reason"] = self.type
        return json.dumps(facts)

    def values(self) -> tuple[Any, ...]:
        """In the order of the columns."""
        caller = self.caller
        return (
            *(self.type, self.connection_id, caller.client_id, self.user_id),
            *(_text(self.user_name), caller.ip, _text(caller.user_agent), self.execution_id),
            *(_text(self.description), self.scope, self.audience),
            json.dumps(dict(self.details)).replace("\\u0000", ""),
        )


def beside(taken: int) -> str:
    """A part of a `WITH` that writes a line in another statement, for one round trip and one commit.

    That statement has `taken` parameters of its own; the entry's `values` come after them. Nobody
    is told its `event`.
    """
    values = ", ".join(f"${taken + number}" for number in range(1, 13))
    return f"line AS (INSERT INTO logs {_COLUMNS} VALUES ({values}))"  # noqa: S608 - a constant


async def write(session: Session, entry: Entry) -> None:
    """Write inside the caller's transaction."""
    await session.execute(*_statement([entry]))


def console(result: ExecutionResult) -> dict[str, Any]:
    """What the script wrote, as `details` hold it: already masked by the worker (C§4.2)."""
    lines = [line.text for line in result.console[-_CONSOLE_LINES:]]
    return {"consoleOut": lines} if lines else {}


def _statement(entries: Sequence[Entry]) -> tuple[Any, ...]:
    """The lines, and the events that go with them, in one statement."""
    columns = [list(column) for column in zip(*(one.values() for one in entries), strict=True)]
    told = [one for one in entries if one.event is not None]
    if not told:
        return (_INSERT, *columns)
    events = (
        [str(one.event) for one in told],
        [one.connection_id for one in told],
        [one.facts() for one in told],
    )
    return (_INSERT_WITH_EVENTS, *columns, *events)


class Logs:
    """Writes and reads the log."""

    def __init__(self, database: Database, *, events: bool = False) -> None:
        """Writes are gathered: under load a line costs microseconds.

        `events`: other teams are told what happened.
        """
        self._events = events
        self._database = database
        self._insert = Batcher(self._insert_all)

    def told(self, event: EventType) -> EventType | None:
        """What goes into an entry's `event`: nothing, where nobody is told."""
        return event if self._events else None

    async def write(self, entry: Entry, *, wait: bool = True) -> None:
        """Write; the flow goes on when that is not possible, or takes long.

        `wait`: until it is there; without, a line may get lost with this process.
        """
        if not wait:
            self._insert.note(entry)
            return
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                await self._insert(entry)
        except Unavailable:
            log.warning("log.lost", type=entry.type, next="the flow goes on")
        except TimeoutError:
            log.warning("log.late", type=entry.type, next="it is still being written")

    async def step(
        self,
        kind: str,
        connection: Connection,
        user_id: str | None,
        user_name: str,
        caller: Caller,
        description: str | None,
    ) -> None:
        """One step of a flow: what happened to whom, perhaps why."""
        entry = Entry(
            type=kind,
            caller=caller,
            connection_id=connection.connection_id,
            user_id=user_id,
            user_name=user_name,
            description=description,
        )
        await self.write(entry)

    async def _insert_all(self, entries: Sequence[Entry]) -> list[None]:
        await self._database.execute(*_statement(entries))
        return [None] * len(entries)

    async def page(
        self, where: str, arguments: Sequence[Any], *, newest_first: bool, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """Lines that `where` chooses (its parameters are `$1…`), and how many there are."""
        order = "DESC" if newest_first else "ASC"
        rows = await self._database.fetch(
            f"{_SELECT} WHERE {where} ORDER BY l.log_id {order}"
            f" OFFSET {int(offset)} LIMIT {int(limit)}",
            *arguments,
        )
        total = await self._database.fetchval(
            f"SELECT count(*) FROM logs l WHERE {where}",  # noqa: S608 - a fixed set of conditions
            *arguments,
        )
        return [_public(row) for row in rows], int(total)

    async def get(self, log_id: str) -> dict[str, Any] | None:
        """One line by its public id."""
        number = number_of(log_id)
        if number is None:
            return None
        row = await self._database.fetchrow(f"{_SELECT} WHERE l.log_id = $1", number)
        return None if row is None else _public(row)


def public_id(row: Any) -> str:
    """56 digits that sort by time, as Auth0's do (C§9.2): `900`, the instant, our number."""
    instant = row["date"].strftime("%Y%m%d%H%M%S%f")[:17]
    return f"900{instant}{row['log_id']:036d}"


def number_of(log_id: str) -> int | None:
    """Our number in a public id; None when it is none of ours."""
    match = _ID.match(log_id)
    number = int(match[2]) if match else None
    return number if number is not None and number < 2**63 else None


def _public(row: Any) -> dict[str, Any]:
    """C§9.2; what is absent is omitted, but for what SDKs read."""
    shape = {
        "date": row["date"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "type": row["type"],
        "description": row["description"],
        "connection": row["connection_name"],
        "connection_id": row["connection_id"],
        "client_id": row["client_id"],
        "client_name": row["client_name"],
        "ip": row["ip"],
        "user_agent": row["user_agent"],
        "details": json.loads(row["details"]) or None,
        "user_id": row["user_id"],
        "user_name": row["user_name"],
        "scope": row["scope"],
        "audience": row["audience"],
        "strategy": "auth0" if row["connection_id"] else None,
        "strategy_type": "database" if row["connection_id"] else None,
        "execution_id": None if row["execution_id"] is None else str(row["execution_id"]),
        "log_id": public_id(row),
        "_id": public_id(row),
        "isMobile": False,
    }
    return {name: value for name, value in shape.items() if value is not None}


def _text(value: str | None) -> str | None:
    """What a text column takes: cut, without NUL."""
    return None if value is None else value.replace("\0", "")[:_MAX_TEXT]
