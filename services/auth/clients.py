"""Clients: the applications that ask for tokens."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.database import Database

REALM_GRANT: Final = "http://auth0.com/oauth/grant-type/password-realm"
DEFAULT_GRANTS: Final = ("password", REALM_GRANT, "refresh_token", "client_credentials")
API_SCOPES: Final = tuple(
    f"{verb}:{noun}"
    for noun in ("connections", "users", "clients", "logs")
    for verb in ("read", "create", "update", "delete")
)
_ALPHABET: Final = string.ascii_letters + string.digits
_CACHE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One application; its secret is known here only by its hash."""

    client_id: str
    name: str
    app_type: str
    auth_method: str
    grant_types: tuple[str, ...]
    api_scopes: tuple[str, ...]
    secret_hash: bytes | None = field(repr=False)

    def authenticates(self, secret: str | None) -> bool:
        """Whether the secret is right; a public client has none."""
        if self.auth_method == "none":
            return True
        if self.secret_hash is None or secret is None:
            return False
        return hmac.compare_digest(self.secret_hash, _hash(secret))

    def public(self) -> dict[str, Any]:
        """The Management API's shape (C§7.4), without a secret."""
        return {
            "client_id": self.client_id,
            "name": self.name,
            "app_type": self.app_type,
            "grant_types": list(self.grant_types),
            "token_endpoint_auth_method": self.auth_method,
            "is_first_party": True,
            "oidc_conformant": True,
            "global": False,
        }


class Clients:
    """Reads and writes clients."""

    def __init__(self, database: Database) -> None:
        """Lookups are cached for moments, because every token request asks."""
        self._database = database
        self._cached: dict[str, tuple[float, Client]] = {}

    async def get(self, client_id: str) -> Client | None:
        """By id."""
        now = asyncio.get_running_loop().time()
        until, cached = self._cached.get(client_id, (0.0, None))
        if until > now:
            return cached
        row = await self._database.fetchrow("SELECT * FROM clients WHERE client_id = $1", client_id)
        if row is None:
            return None
        client = _client(row)
        if len(self._cached) > 10_000:
            self._cached.clear()
        self._cached[client_id] = (now + _CACHE_SECONDS, client)
        return client

    async def page(self, offset: int, limit: int) -> tuple[list[Client], int]:
        """One page in the order of creation, and how many there are."""
        rows = await self._database.fetch(
            "SELECT * FROM clients ORDER BY created_at, client_id OFFSET $1 LIMIT $2", offset, limit
        )
        return [_client(row) for row in rows], await self._database.fetchval(
            "SELECT count(*) FROM clients"
        )

    async def create(
        self,
        *,
        name: str,
        app_type: str = "regular_web",
        auth_method: str = "client_secret_post",
        grant_types: Sequence[str] = DEFAULT_GRANTS,
        api_scopes: Sequence[str] = (),
    ) -> tuple[Client, str | None]:
        """Create; the secret is returned this once and nowhere stored."""
        secret = None if auth_method == "none" else secrets.token_urlsafe(48)
        client = Client(
            client_id="".join(secrets.choice(_ALPHABET) for _ in range(32)),
            name=name,
            app_type=app_type,
            auth_method=auth_method,
            grant_types=tuple(grant_types),
            api_scopes=tuple(api_scopes),
            secret_hash=None if secret is None else _hash(secret),
        )
        await self._database.execute(
            "INSERT INTO clients (client_id, name, app_type, secret_hash, auth_method, grant_types,"
            " api_scopes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *(client.client_id, client.name, client.app_type, client.secret_hash),
            *(client.auth_method, list(client.grant_types), list(client.api_scopes)),
        )
        return client, secret


def _hash(secret: str) -> bytes:
    """A plain hash is enough: secrets are 384 random bits, nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()


def _client(row: Any) -> Client:
    return Client(
        client_id=row["client_id"],
        name=row["name"],
        app_type=row["app_type"],
        auth_method=row["auth_method"],
        grant_types=tuple(row["grant_types"]),
        api_scopes=tuple(row["api_scopes"]),
        secret_hash=row["secret_hash"],
    )
