"""Connection revisions as the worker needs them: scripts and decrypted configuration, cached.

A revision is immutable (its id is the hash of its content), so a cached one is never stale.
Configuration is decrypted here, in the worker's Python process, and leaves it only on fd 3 of a
runner that belongs to this connection.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator

from services.script_worker.bundle import Bundle
from shared.contracts import Action, Sealed
from shared.database import Database
from shared.egress import Destination
from shared.errors import Misconfigured, Unsealable
from shared.sealing import KeyRing

log = structlog.get_logger(__name__)

CACHED_REVISIONS: Final = 512
"""A bundle is at most some hundred kilobytes; 512 cover the connections of a busy worker."""

_SELECT: Final = """
SELECT scripts, configuration, with_context, magic_globals, egress FROM connection_revisions
WHERE connection_id = $1 AND revision = $2
"""

_NEWEST_SEALED: Final = """
SELECT r.connection_id, r.revision FROM connection_revisions r
JOIN connections c ON c.connection_id = r.connection_id AND c.current_revision = r.revision
WHERE r.configuration <> '{}' ORDER BY r.created_at DESC LIMIT 10
"""

_CURRENT: Final = "SELECT current_revision FROM connections WHERE connection_id = $1"


class _Row(BaseModel):
    """What the database holds, validated once: `configuration` is sealed value by value."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scripts: dict[Action, str]
    configuration: dict[str, Sealed]
    with_context: bool
    magic_globals: bool = False
    egress: tuple[str, ...] | None = None

    @field_validator("egress")
    @classmethod
    def _is_destinations(cls, listed: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for each in listed or ():
            Destination.parse(each)
        return listed


_ROW: Final = TypeAdapter(_Row)


class Revisions:
    """Loads bundles by connection and revision."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        """`ring` opens configuration values at rest."""
        self._database = database
        self._ring = ring
        self._cached: OrderedDict[tuple[str, str], Bundle] = OrderedDict()

    async def current(self, connection_id: str) -> str:
        """The current revision; empty when there is no such connection. Raises Unavailable."""
        found = await self._database.fetchval(_CURRENT, connection_id)
        return found or ""

    async def look(self) -> str | None:
        """A connection whose configuration was sealed of late, and opens; None where none is sealed.

        Raises Misconfigured when none of the newest opens, Unavailable. One alone that does not is
        that connection's misfortune: a key was lost, and it must not keep the others from working.
        """
        newest = await self._database.fetch(_NEWEST_SEALED)
        opened, closed = [], []
        for connection_id, revision in newest:
            try:
                await self.get(connection_id, revision)
                opened.append(connection_id)
            except Unsealable:
                closed.append(connection_id)
        if closed and not opened:
            raise Misconfigured(
                f"TRICKLE_KEY_RING does not open the configuration of {closed[0]}, nor any other:"
                " auth has another ring"
            )
        for connection_id in closed:
            log.warning(
                "configuration.not_opened",
                connection_id=connection_id,
                next="its scripts fail until its configuration is written again",
            )
        return opened[0] if opened else None

    async def get(self, connection_id: str, revision: str) -> Bundle | None:
        """The bundle, or None if there is no such revision.

        Raises Unavailable when the database is away, Unsealable when the configuration does not
        open under the ring.
        """
        key = (connection_id, revision)
        if bundle := self._cached.get(key):
            self._cached.move_to_end(key)
            return bundle
        row = await self._database.fetchrow(_SELECT, connection_id, revision)
        if row is None:
            return None
        bundle = self._open(connection_id, revision, dict(row))
        self._cached[key] = bundle
        if len(self._cached) > CACHED_REVISIONS:
            self._cached.popitem(last=False)
        return bundle

    def _open(self, connection_id: str, revision: str, row: dict[str, Any]) -> Bundle:
        for column in ("scripts", "configuration", "egress"):
            if isinstance(row[column], str):  # asyncpg hands jsonb over as text
                row[column] = json.loads(row[column])
        stored = _ROW.validate_python(row)
        configuration = {
            name: self._ring.open_at_rest(
                f"connection/{connection_id}/configuration/{name}", sealed
            ).decode()
            for name, sealed in stored.configuration.items()
        }
        return Bundle(
            connection_id=connection_id,
            revision=revision,
            scripts=stored.scripts,
            configuration=configuration,
            with_context=stored.with_context,
            magic_globals=stored.magic_globals,
            egress=stored.egress,
        )
