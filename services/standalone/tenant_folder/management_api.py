"""The Management API as these commands use it (C§7.4): one token, every page, refusals as errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.standalone.http_client import Answer, call
from services.standalone.tenant_folder.access import Access
from shared.errors import ServiceError, Unavailable

REVISION: Final = "x-trickle-revision"
"""Header of a connection's answers: names scripts and configuration by a keyed hash."""
_MAX_PAGES: Final = 1000
_PER_PAGE: Final = 100
_TAKE: Final = 50
_MAX_TEXT: Final = 300


class Refused(ServiceError):
    """The server said no; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a server holds, as far as a folder can speak of it."""

    clients: tuple[dict[str, Any], ...] = field(repr=False)
    connections: tuple[dict[str, Any], ...] = field(repr=False)
    tenant: dict[str, Any] | None = field(default=None, repr=False)
    own_client_id: str = ""

    def client_names(self) -> dict[str, list[str]]:
        """Ids by name: Auth0 lets two clients have the same."""
        names: dict[str, list[str]] = {}
        for client in self.clients:
            names.setdefault(str(client.get("name")), []).append(str(client.get("client_id")))
        return names


class ManagementApi:
    """An authorised caller of one server."""

    def __init__(self, url: str, bearer: str, client_id: str) -> None:
        """`bearer` is a token for the audience `<issuer>api/v2/`."""
        self._url = url
        self._bearer = bearer
        self._client_id = client_id

    @classmethod
    async def sign_in(cls, access: Access) -> ManagementApi:
        """Fetch a token. Raises Unavailable, Refused."""
        discovery = f"{access.url}/.well-known/openid-configuration"
        found = _taken(await _sent("GET", discovery), "discovery")
        # The issuer may be a public name while `url` is a private way to the same server.
        issuer = found.get("issuer") if isinstance(found, dict) else None
        if not isinstance(issuer, str):
            raise Refused(f"{access.url} does not answer as Trickle does")
        body = {
            "grant_type": "client_credentials",
            "client_id": access.client_id,
            "client_secret": access.client_secret.get_secret_value(),
            "audience": f"{issuer.rstrip('/')}/api/v2/",
        }
        token = _taken(await _sent("POST", f"{access.url}/oauth/token", body), "sign-in")
        return cls(access.url, str(token["access_token"]), access.client_id)

    async def send(self, method: str, path: str, body: Any = None) -> Answer:
        """One call below /api/v2/. Raises Unavailable, Refused."""
        answer = await _sent(method, f"{self._url}/api/v2/{path}", body, self._bearer)
        _taken(answer, f"{method} {path.partition('?')[0]}")
        return answer

    async def snapshot(self, *, with_tenant: bool) -> Snapshot:
        """Everything that a folder can speak of."""
        return Snapshot(
            clients=tuple(await self._clients()),
            connections=tuple(await self._connections()),
            tenant=await self._tenant() if with_tenant else None,
            own_client_id=self._client_id,
        )

    async def _clients(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(_MAX_PAGES):
            query = f"clients?page={page}&per_page={_PER_PAGE}&include_totals=true"
            body = (await self.send("GET", query)).body
            found += body["clients"]
            if not body["clients"] or len(found) >= body["total"]:
                return found
        raise Refused("the server has more clients than can be read")

    async def _connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = f"connections?strategy=auth0&take={_TAKE}"
        for _ in range(_MAX_PAGES):
            body = (await self.send("GET", query)).body
            found += body["connections"]
            if not body.get("next"):
                return found
            query = f"connections?strategy=auth0&take={_TAKE}&from={body['next']}"
        raise Refused("the server has more connections than can be read")

    async def _tenant(self) -> dict[str, Any] | None:
        """None from a server that has no tenant settings."""
        answer = await _sent("GET", f"{self._url}/api/v2/tenants/settings", None, self._bearer)
        if answer.status in (403, 404):
            return None
        body = _taken(answer, "GET tenants/settings")
        return body if isinstance(body, dict) else None


async def _sent(method: str, url: str, body: Any = None, bearer: str | None = None) -> Answer:
    try:
        return await call(method, url, body=body, bearer=bearer)
    except OSError as error:
        raise Unavailable(f"{url.partition('?')[0]} can't be reached: {error}") from None


def _taken(answer: Answer, what: str) -> Any:
    if answer.status < 300:
        return answer.body
    said = answer.body if isinstance(answer.body, dict) else {}
    text = str(said.get("message") or said.get("error_description") or said.get("error") or "")
    message = f"{what}: {answer.status} {text[:_MAX_TEXT]}".rstrip()
    raise Unavailable(message) if answer.status >= 500 else Refused(message)
