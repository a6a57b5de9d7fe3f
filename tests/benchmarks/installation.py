"""Both services as processes of their own, and logins over HTTP as an application sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.auth.clients import REALM_GRANT
from tests.benchmarks.stack import Servers
from tests.processes import System, system


@dataclass(slots=True)
class Installation:
    """A running installation and a client of it."""

    its: System
    http: httpx.AsyncClient
    pids: dict[str, int]

    async def connect(self, name: str, login: str, **options: Any) -> str:
        """A connection that nothing but its scripts slows down; its id."""
        return await self.its.connect(name, login, **options)

    async def login(self, username: str, realm: str, password: str = "pw") -> int:
        """Log in; the HTTP status."""
        body = {
            "grant_type": REALM_GRANT,
            "client_id": self.its.client_id,
            "username": username,
            "password": password,
            "realm": realm,
        }
        return (await self.http.post("/oauth/token", json=body)).status_code


@asynccontextmanager
async def installation(
    servers: Servers, folder: Path, *, workers: int = 1, **settings: str
) -> AsyncIterator[Installation]:
    """auth and workers, ready; `settings` are the workers' environment."""
    async with system(servers.database_url, servers.amqp_url, folder) as its:
        auth = await its.auth()
        pids = {**servers.pids, "auth": auth.pid}
        for number in range(workers):
            started = its.start(
                "services.script_worker", {"TRICKLE_LOG_LEVEL": "warning", **settings}
            )
            pids[f"worker {number + 1}" if workers > 1 else "worker"] = started.pid
        async with httpx.AsyncClient(base_url=its.url, timeout=60) as http:
            yield Installation(its, http, pids)
