"""Resource servers: the APIs that access tokens may be issued for."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from shared.database import Database, UniqueViolation
from shared.errors import ServiceError


class IdentifierTaken(ServiceError):
    """A resource server with the same identifier already exists"""


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """One API: its identifier is the audience of its tokens."""

    id: str
    identifier: str
    name: str
    scopes: tuple[dict[str, str], ...]

    def public(self) -> dict[str, Any]:
        """The Management API's shape."""
        return {
            "id": self.id,
            "name": self.name,
            "identifier": self.identifier,
            "scopes": list(self.scopes),
            "signing_alg": "RS256",
            "allow_offline_access": True,
            "token_lifetime": 86_400,
            "is_system": False,
        }


class ResourceServers:
    """Reads and writes them."""

    def __init__(self, database: Database) -> None:
        """One statement each."""
        self._database = database

    async def all(self) -> list[ResourceServer]:
        """Every one: there are few."""
        rows = await self._database.fetch(
            "SELECT * FROM resource_servers ORDER BY created_at LIMIT 1000"
        )
        return [_from(row) for row in rows]

    async def find(self, key: str) -> ResourceServer | None:
        """By id or identifier."""
        row = await self._database.fetchrow(
            "SELECT * FROM resource_servers WHERE identifier = $1 OR resource_server_id = $1", key
        )
        return None if row is None else _from(row)

    async def create(
        self, identifier: str, name: str, scopes: list[dict[str, str]]
    ) -> ResourceServer:
        """Raises IdentifierTaken."""
        made = ResourceServer(secrets.token_hex(12), identifier, name, tuple(scopes))
        try:
            await self._database.execute(
                "INSERT INTO resource_servers (resource_server_id, identifier, name, scopes)"
                " VALUES ($1, $2, $3, $4)",
                *(made.id, identifier, name, json.dumps(scopes)),
            )
        except UniqueViolation:
            raise IdentifierTaken from None
        return made

    async def update(self, id: str, name: str, scopes: list[dict[str, str]]) -> None:
        """Rename, or change its scopes."""
        await self._database.execute(
            "UPDATE resource_servers SET name = $2, scopes = $3 WHERE resource_server_id = $1",
            *(id, name, json.dumps(scopes)),
        )

    async def delete(self, id: str) -> None:
        """No token is issued for it any more."""
        await self._database.execute(
            "DELETE FROM resource_servers WHERE resource_server_id = $1 OR identifier = $1", id
        )


def _from(row: Any) -> ResourceServer:
    return ResourceServer(
        row["resource_server_id"],
        row["identifier"],
        row["name"],
        tuple(json.loads(row["scopes"])),
    )
