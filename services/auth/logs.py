"""The tenant log (C§9): what an administrator reads. Never a password, never a profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog

from shared.database import Database, Session
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

USER_IMPORTED: Final = "trickle_user_imported"
"""Our own type: Auth0 has none for a moved user."""
_INSERT: Final = """
INSERT INTO logs (type, connection_id, client_id, user_id, ip, execution_id, description, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the tenant log."""

    type: str
    connection_id: str | None = None
    client_id: str | None = None
    user_id: str | None = None
    ip: str | None = None
    execution_id: UUID | None = None
    description: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> tuple[Any, ...]:
        """In the order of the columns."""
        return (
            *(self.type, self.connection_id, self.client_id, self.user_id, self.ip),
            *(self.execution_id, self.description, json.dumps(dict(self.details))),
        )


async def write(session: Session, entry: Entry) -> None:
    """Write inside the caller's transaction."""
    await session.execute(_INSERT, *entry.values())


class Logs:
    """Writes entries that belong to no transaction."""

    def __init__(self, database: Database) -> None:
        """One statement an entry."""
        self._database = database

    async def write(self, entry: Entry) -> None:
        """Write; a login does not fail because its log line could not be written."""
        try:
            await self._database.execute(_INSERT, *entry.values())
        except Unavailable:
            log.warning("log.lost", type=entry.type, next="the login goes on")
