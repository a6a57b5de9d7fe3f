"""Other teams on the queue: a name, the connections it may ask for, and its sealing keys.

A key is bound to its integrator, and through it to the connections: the worker opens nothing else
with it. It is shown once, and kept sealed. Several are valid while one replaces another.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.auth import places
from shared.contracts import AUTH
from shared.database import Database, Session, UniqueViolation
from shared.errors import Misconfigured
from shared.sealing import KeyRing
from shared.topology import Names
from shared.transport import Transport

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_RESERVED: Final = {AUTH, "worker"}
MAX_KEYS: Final = 8
"""Valid ones of one integrator: a rotation needs two."""
_LIST: Final = """
SELECT i.name, i.created_at,
       ARRAY(SELECT connection_id FROM integrator_connections c WHERE c.name = i.name
             ORDER BY connection_id) AS connections,
       ARRAY(SELECT key_id FROM integrator_keys k WHERE k.name = i.name
             ORDER BY created_at, key_id) AS keys
FROM integrators i WHERE $1::text IS NULL OR i.name = $1 ORDER BY i.name
"""


@dataclass(frozen=True, slots=True)
class Integrator:
    """Who may ask for what; `keys` are ids."""

    name: str
    created_at: datetime
    connections: tuple[str, ...]
    keys: tuple[str, ...]


class Integrators:
    """Keeps them. What an operator has to mend raises Misconfigured."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        """`ring` seals their keys."""
        self._database = database
        self._ring = ring

    async def add(self, name: str, connections: Sequence[str]) -> str:
        """A new one, for connections by name or id; its key, `id:base64`, shown this once."""
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise Misconfigured(f"a name matches {_NAME.pattern} and is none of {_RESERVED}")
        async with self._database.transaction() as session:
            try:
                await session.execute("INSERT INTO integrators (name) VALUES ($1)", name)
            except UniqueViolation:
                raise Misconfigured(f"there is an integrator {name} already") from None
            await self._bind(session, name, connections)
            return await self._issue(session, name)

    async def rotate(self, name: str) -> str:
        """One more key; the former ones are valid until they are revoked."""
        async with self._database.transaction() as session:
            await _locked(session, name)
            held = await session.fetchval(
                "SELECT count(*) FROM integrator_keys WHERE name = $1", name
            )
            if held >= MAX_KEYS:
                raise Misconfigured(f"{name} has {held} keys: revoke one first")
            return await self._issue(session, name)

    async def revoke(self, name: str, key_id: str | None = None) -> None:
        """One key, or all and the integrator with them; at once, also for what is in a queue."""
        async with self._database.transaction() as session:
            await _locked(session, name)
            if key_id is None:
                await session.execute("DELETE FROM integrators WHERE name = $1", name)
                return
            found = await session.fetchval(
                "DELETE FROM integrator_keys WHERE name = $1 AND key_id = $2 RETURNING 1",
                *(name, key_id),
            )
        if found is None:
            raise Misconfigured(f"{name} has no key {key_id}")

    async def all(self, name: str | None = None) -> list[Integrator]:
        """Every one, or the one of that name."""
        return [
            Integrator(
                row["name"], row["created_at"], tuple(row["connections"]), tuple(row["keys"])
            )
            for row in await self._database.fetch(_LIST, name)
        ]

    async def get(self, name: str) -> Integrator:
        """By name."""
        found = await self.all(name)
        if not found:
            raise Misconfigured(f"there is no integrator {name}")
        return found[0]

    async def declare(self, transport: Transport, names: Names) -> None:
        """Their queues, which they may only consume. Raises Unavailable."""
        for each in await self.all():
            await transport.declare(names.integrator(each.name, each.connections))

    async def _bind(self, session: Session, name: str, connections: Sequence[str]) -> None:
        for given in connections:
            connection_id = await session.fetchval(
                "SELECT connection_id FROM connections WHERE name = $1 OR connection_id = $1", given
            )
            if connection_id is None:
                raise Misconfigured(f"there is no connection {given}")
            await session.execute(
                "INSERT INTO integrator_connections (name, connection_id) VALUES ($1, $2)"
                " ON CONFLICT DO NOTHING",
                *(name, connection_id),
            )

    async def _issue(self, session: Session, name: str) -> str:
        number = await session.fetchval("SELECT nextval('integrator_key_numbers')")
        key_id = f"{name}.{number}"
        key = os.urandom(32)
        sealed = self._ring.seal_at_rest(places.integrator_key(key_id), key)
        await session.execute(
            "INSERT INTO integrator_keys (key_id, name, sealed_key) VALUES ($1, $2, $3)",
            *(key_id, name, sealed.model_dump_json()),
        )
        return f"{key_id}:{base64.b64encode(key).decode()}"


async def _locked(session: Session, name: str) -> None:
    if not await session.fetchval("SELECT 1 FROM integrators WHERE name = $1 FOR UPDATE", name):
        raise Misconfigured(f"there is no integrator {name}")
