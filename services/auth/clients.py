"""Clients: the applications that ask for tokens."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from services.auth.secret_tokens import digest
from shared.database import Database
from shared.errors import Unavailable

REALM_GRANT: Final = "http://auth0.com/oauth/grant-type/password-realm"
DEFAULT_GRANTS: Final = (
    "authorization_code",
    "refresh_token",
    "password",
    REALM_GRANT,
    "client_credentials",
)
_NOUNS: Final = (
    *("connections", "users", "users_app_metadata", "clients", "logs", "logs_users"),
    *("resource_servers", "tenant_settings", "signing_keys", "actions", "user_blocks"),
    *("anomaly_blocks",),
)
API_SCOPES: Final = (
    *(f"{verb}:{noun}" for noun in _NOUNS for verb in ("read", "create", "update", "delete")),
    "read:user_idp_tokens",
    "create:user_tickets",
    "blacklist:tokens",
    "read:client_keys",
    "update:client_keys",
)
_ALPHABET: Final = string.ascii_letters + string.digits
_CACHE_SECONDS: Final = 2.0
ORIGINS_WITHIN: Final = 1.0
"""Seconds: they are looked up before a request's own bound begins (`http.patience`)."""

Url = Annotated[str, Field(max_length=2048)]
Urls = Annotated[list[Url], Field(max_length=200)]
AuthMethod = Literal["none", "client_secret_post", "client_secret_basic"]
AppType = Literal["native", "spa", "regular_web", "non_interactive"]


class RefreshTokenSettings(BaseModel):
    """`refresh_token` of an application."""

    model_config = ConfigDict(extra="allow")

    rotation_type: Literal["rotating", "non-rotating"] = "rotating"
    leeway: Annotated[int, Field(ge=0, le=60)] = 0
    token_lifetime: Annotated[int, Field(ge=60, le=157_788_000)] = 2_592_000


class ClientFields(BaseModel):
    """What we act upon of an application's settings; every other one is kept as it came."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    callbacks: Urls = Field(default_factory=list)
    allowed_logout_urls: Urls = Field(default_factory=list)
    web_origins: Urls = Field(default_factory=list)
    allowed_origins: Urls = Field(default_factory=list)
    refresh_token: RefreshTokenSettings | None = None
    cross_origin_authentication: bool = False
    initiate_login_uri: Url | None = None
    is_token_endpoint_ip_header_trusted: bool = False


_NOT_SETTINGS: Final = frozenset(
    {"client_id", "client_secret", "name", "app_type", "grant_types", "token_endpoint_auth_method"}
    | {"tenant", "global", "signing_keys", "is_first_party", "oidc_conformant"}
)


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
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    known: ClientFields = field(default_factory=ClientFields, repr=False)

    def authenticates(self, secret: str | None) -> bool:
        """Whether the secret is right; a public client has none."""
        if self.auth_method == "none":
            return True
        if self.secret_hash is None or secret is None:
            return False
        return hmac.compare_digest(self.secret_hash, digest(secret))

    @property
    def speaks_for_addresses(self) -> bool:
        """Whether its `auth0-forwarded-for` is believed (C§7)."""
        return self.auth_method != "none" and self.known.is_token_endpoint_ip_header_trusted

    @property
    def refresh_lifetime(self) -> timedelta:
        """How long a login lasts without a password, at most."""
        return timedelta(seconds=self._refresh.token_lifetime)

    @property
    def refresh_leeway(self) -> timedelta:
        """How long a rotated token still works."""
        return timedelta(seconds=self._refresh.leeway)

    @property
    def rotates_refresh_tokens(self) -> bool:
        """Whether each use gives a new one."""
        return self._refresh.rotation_type == "rotating"

    @property
    def _refresh(self) -> RefreshTokenSettings:
        return self.known.refresh_token or RefreshTokenSettings()

    def takes_origin(self, origin: str | None) -> bool:
        """Whether pages of this origin may ask for tokens of this client."""
        if not origin:
            return False
        known = self.known
        listed = {one.rstrip("/") for one in (*known.allowed_origins, *known.web_origins)}
        return origin in listed or origin in {origin_of(one) for one in known.callbacks}

    def public(self) -> dict[str, Any]:
        """The Management API's shape (C§7.4), without a secret."""
        return {
            **self.settings,
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
        self._origins: tuple[float, frozenset[str]] = (0.0, frozenset())

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

    async def origins(self) -> frozenset[str]:
        """Every origin that some application lists: whom browsers may let in (CORS).

        As last known, if the database does not say soon.
        """
        now = asyncio.get_running_loop().time()
        until, held = self._origins
        if until > now:
            return held
        try:
            async with asyncio.timeout(ORIGINS_WITHIN):
                rows = await self._database.fetch("SELECT settings FROM clients LIMIT 10000")
        except (TimeoutError, Unavailable):
            # Yesterday's pages are still today's; and not every request has to wait for a silent
            # database.
            self._origins = (asyncio.get_running_loop().time() + _CACHE_SECONDS, held)
            return held
        found: set[str] = set()
        for row in rows:
            known = ClientFields.model_validate(json.loads(row["settings"]))
            found.update(one.rstrip("/") for one in (*known.allowed_origins, *known.web_origins))
            found.update(origin_of(one) for one in known.callbacks)
        self._origins = (now + _CACHE_SECONDS, frozenset(found - {""}))
        return self._origins[1]

    async def create(
        self,
        *,
        name: str,
        app_type: str = "regular_web",
        auth_method: str = "client_secret_post",
        grant_types: Sequence[str] = DEFAULT_GRANTS,
        api_scopes: Sequence[str] = (),
        settings: dict[str, Any] | None = None,
    ) -> tuple[Client, str | None]:
        """Create; the secret is returned this once and nowhere stored."""
        secret = None if auth_method == "none" else _new_secret()
        kept = _settings(settings or {})
        client = Client(
            client_id="".join(secrets.choice(_ALPHABET) for _ in range(32)),
            name=name,
            app_type=app_type,
            auth_method=auth_method,
            grant_types=tuple(grant_types),
            api_scopes=tuple(api_scopes),
            secret_hash=None if secret is None else digest(secret),
            settings=kept,
            known=ClientFields.model_validate(kept),
        )
        await self._database.execute(
            "INSERT INTO clients (client_id, name, app_type, secret_hash, auth_method, grant_types,"
            " api_scopes, settings) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            *(client.client_id, client.name, client.app_type, client.secret_hash),
            *(client.auth_method, list(client.grant_types), list(client.api_scopes)),
            json.dumps(kept),
        )
        return client, secret

    async def update(self, client: Client, changes: dict[str, Any]) -> tuple[Client, str | None]:
        """Apply a PATCH; null unsets. A client that becomes confidential gets its secret now."""
        kept = {
            name: value
            for name, value in (client.settings | _settings(changes)).items()
            if value is not None
        }
        method = changes.get("token_endpoint_auth_method") or client.auth_method
        secret = _new_secret() if method != "none" and client.secret_hash is None else None
        await self._database.execute(
            "UPDATE clients SET name = $2, app_type = $3, auth_method = $4, grant_types = $5,"
            " settings = $6, secret_hash = coalesce($7, secret_hash) WHERE client_id = $1",
            client.client_id,
            changes.get("name") or client.name,
            changes.get("app_type") or client.app_type,
            method,
            list(changes.get("grant_types") or client.grant_types),
            json.dumps(kept),
            None if secret is None else digest(secret),
        )
        return await self._fresh(client), secret

    async def rotate_secret(self, client: Client) -> tuple[Client, str]:
        """A new secret; the old one ends at once here, within moments everywhere."""
        secret = _new_secret()
        await self._database.execute(
            "UPDATE clients SET secret_hash = $2 WHERE client_id = $1",
            *(client.client_id, digest(secret)),
        )
        return await self._fresh(client), secret

    async def delete(self, client_id: str) -> None:
        """Its tokens and connections' lists go with it."""
        await self._database.execute("DELETE FROM clients WHERE client_id = $1", client_id)
        self._cached.pop(client_id, None)

    async def _fresh(self, client: Client) -> Client:
        self._cached.pop(client.client_id, None)
        return await self.get(client.client_id) or client


def origin_of(url: str) -> str:
    """Scheme, host and port of a web URL; empty for an app's own scheme."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else ""


def _new_secret() -> str:
    return secrets.token_urlsafe(48)


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in _NOT_SETTINGS}


def _client(row: Any) -> Client:
    settings = json.loads(row["settings"])
    return Client(
        client_id=row["client_id"],
        name=row["name"],
        app_type=row["app_type"],
        auth_method=row["auth_method"],
        grant_types=tuple(row["grant_types"]),
        api_scopes=tuple(row["api_scopes"]),
        secret_hash=row["secret_hash"],
        settings=settings,
        known=ClientFields.model_validate(settings),
    )
