"""Both services in one process, on a real Postgres and real Node processes, driven over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.auth.app import Auth, open_auth
from services.auth.bootstrap import create_management_client
from services.auth.clients import REALM_GRANT
from services.auth.settings import AuthSettings
from services.script_worker.app import Worker, open_worker
from services.script_worker.settings import WorkerSettings
from shared.beside import beside
from shared.database import Database
from shared.inprocess import InProcessBroker, InProcessTransport
from shared.sealing import KeyRing
from shared.settings import read_settings

ISSUER = "https://auth.example/"
PASSWORD = "correct horse 42"
LOGIN = """function login(email, password, callback) {
  if (password === 'outage') return callback(new Error('connect ECONNREFUSED'));
  if (password === 'stall') return;
  if (password === 'barred') return callback(new UnauthorizedError('come back tomorrow'));
  if (password === 'nameless') return callback(null, { email: email });
  if (password !== configuration.PASSWORD) return callback(new WrongUsernameOrPasswordError(email));
  setTimeout(() => callback(null, {
    user_id: 7, email: email, name: 'Ada', email_verified: true, calls: (global.calls = (global.calls || 0) + 1)
  }), 20);
}"""
OPTIONS: dict[str, Any] = {
    "enabledDatabaseCustomization": True,
    "import_mode": True,
    "customScripts": {"login": LOGIN},
    "configuration": {"PASSWORD": PASSWORD},
}


@dataclass
class Site:
    """A running pair of services and a client that talks to them."""

    http: httpx.AsyncClient
    auth: Auth
    database: Database
    transport: InProcessTransport
    broker: InProcessBroker = field(default_factory=InProcessBroker)
    bearer: dict[str, str] = field(default_factory=dict, repr=False)
    client_id: str = ""
    secret: str = field(default="", repr=False)
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    management: dict[str, str] = field(default_factory=dict, repr=False)

    async def authorise(self) -> None:
        """Get a token for the Management API."""
        bearer = (await self.token(self.management)).json()["access_token"]
        self.bearer = {"authorization": f"Bearer {bearer}"}

    async def manage(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.http.request(method, f"/api/v2/{path}", json=body, headers=self.bearer)

    async def connect(self, name: str = "shop", **options: Any) -> dict[str, Any]:
        body = {
            "name": name,
            "strategy": "auth0",
            "enabled_clients": [self.client_id],
            "options": OPTIONS | options,
        }
        made = await self.manage("POST", "connections", body)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found

    async def login(
        self,
        password: Any,
        username: str | None = "ada@example.com",
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        body = {
            "grant_type": REALM_GRANT,
            "client_id": self.client_id,
            "client_secret": self.secret,
            "username": username,
            "password": password,
            "realm": "shop",
            "audience": None,
            **more,
        }
        return await self.http.post("/oauth/token", json=body, headers=headers)

    async def count(self, table: str) -> int:
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608

    async def token(self, management: dict[str, str], **more: Any) -> httpx.Response:
        body = {"grant_type": "client_credentials", "audience": self.auth.state.audience}
        return await self.http.post("/oauth/token", json=body | management | more)


@asynccontextmanager
async def opened(database_url: str, **settings: str) -> AsyncIterator[Site]:
    """`settings`: more environment variables for both services. Here denials don't wait."""
    async with without_worker(database_url, **settings) as site, working(site):
        yield site


@asynccontextmanager
async def working(site: Site, name: str = "worker") -> AsyncIterator[Worker]:
    """One more worker."""
    scripts = open_worker(
        read_settings(WorkerSettings, site.environment), site.broker.transport(name)
    )
    async with scripts as worker, beside(worker.run(), name):
        yield worker


@asynccontextmanager
async def without_worker(database_url: str, **settings: str) -> AsyncIterator[Site]:
    """auth alone: the test plays the worker's part, on `Site.broker`."""
    environment = _environment(database_url) | settings
    broker = InProcessBroker()
    transport = broker.transport("auth")
    async with AsyncExitStack() as owned:
        auth = await owned.enter_async_context(
            open_auth(read_settings(AuthSettings, environment), transport)
        )
        auth.state.its.padding.enabled = False
        started = asyncio.Event()
        await owned.enter_async_context(beside(auth.run(started), "auth"))
        await started.wait()
        http = await owned.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(auth.app), base_url="https://auth.example", timeout=30
            )
        )
        site = Site(http, auth, auth.state.its.database, transport, broker)
        site.environment = environment
        site.management = await create_management_client(database_url)
        await site.authorise()
        made = (await site.manage("POST", "clients", {"name": "app"})).json()
        site.client_id, site.secret = made["client_id"], made["client_secret"]
        yield site


def _environment(database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "TRICKLE_KEY_RING": KeyRing.generate(),
        "TRICKLE_ISSUER": ISSUER,
        "TRICKLE_EGRESS_TO_OWN_DATABASE": "true",  # the legacy store is on it
    }
