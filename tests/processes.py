"""Both services as real processes, each of which a test may kill."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.auth.bootstrap import create_management_client
from services.auth.clients import REALM_GRANT
from services.standalone.embedded_postgres import free_port
from services.standalone.guarded import Guarded
from services.standalone.http_client import Answer, call
from shared.database import Database, open_database
from shared.ledger import Counts, Ledger
from shared.sealing import KeyRing

SOON = 20.0


@dataclass
class System:
    """One installation: a database, a broker prefix, and the processes that a test starts."""

    database_url: str
    amqp_url: str
    folder: Path
    database: Database = field(repr=False)
    ring: str = field(default_factory=KeyRing.generate, repr=False)
    prefix: str = field(default_factory=lambda: f"t{uuid4().hex[:8]}")
    port: int = field(default_factory=free_port)
    running: list[Guarded] = field(default_factory=list)
    bearer: str = field(default="", repr=False)
    client_id: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    async def auth(self, port: int | None = None, **settings: str) -> Guarded:
        """Start auth, on a port of its own if it is one of several, and wait until it is ready."""
        port = port or self.port
        given = {"TRICKLE_ISSUER": f"{self.url}/", "TRICKLE_PORT": str(port), **settings}
        process = self.start("services.auth", given)
        await eventually(lambda: self._ready(f"http://127.0.0.1:{port}/readyz"))
        return process

    async def worker(self, **settings: str) -> Guarded:
        """Start a worker and wait until it consumes."""
        port = settings.get("TRICKLE_METRICS_PORT") or str(free_port())
        given = {**settings, "TRICKLE_METRICS_PORT": port}
        process = self.start("services.script_worker", given)
        await eventually(lambda: self._ready(f"http://127.0.0.1:{port}/readyz"))
        return process

    def start(
        self,
        module: str,
        settings: dict[str, str],
        log: Path | None = None,
        through: Sequence[str] = (),
    ) -> Guarded:
        """Start a service, and wait for nothing; `settings` come before the installation's own.

        `through` is a command that becomes the service, as `env` does.
        """
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
            "DATABASE_URL": self.database_url,
            "AMQP_URL": self.amqp_url,
            "TRICKLE_KEY_RING": self.ring,
            "TRICKLE_BROKER_PREFIX": self.prefix,
            "TRICKLE_METRICS_PORT": "0",
            "TRICKLE_EGRESS_TO_OWN_DATABASE": "true",  # the legacy store is on it
            "TRICKLE_SHUTDOWN_DELAY": "0",
            **settings,
        }
        log = log or self.folder / f"{module}-{len(self.running)}.log"
        command = [*through, sys.executable, "-m", module]
        process = Guarded(command, env=environment, log=log, grace=35)
        self.running.append(process)
        return process

    async def _ready(self, url: str) -> bool:
        """Whether a service says that it is."""
        try:
            return (await call("GET", url, wait=5)).status == 200
        except OSError:
            return False

    async def connect(self, name: str, login: str, **options: Any) -> str:
        """A connection in import mode with one script, enabled for the test's application; its id."""
        if not self.bearer:
            await self._introduce()
        body = {
            "name": name,
            "strategy": "auth0",
            "enabled_clients": [self.client_id],
            "options": {
                "enabledDatabaseCustomization": True,
                "import_mode": True,
                "customScripts": {"login": login},
                **options,
            },
        }
        made = await call("POST", f"{self.url}/api/v2/connections", body=body, bearer=self.bearer)
        assert made.status == 201, made.body
        return str(made.body["id"])

    async def _introduce(self) -> None:
        management = await create_management_client(self.database_url)
        asked = {"grant_type": "client_credentials", "audience": f"{self.url}/api/v2/"}
        token = await call("POST", f"{self.url}/oauth/token", body=management | asked)
        self.bearer = token.body["access_token"]
        body = {
            "name": "app",
            "grant_types": [REALM_GRANT],
            "token_endpoint_auth_method": "none",
        }
        made = await call("POST", f"{self.url}/api/v2/clients", body=body, bearer=self.bearer)
        self.client_id = made.body["client_id"]

    async def login(
        self, username: str, password: str = "pw", realm: str = "shop", wait: float = 30.0
    ) -> Answer:
        """Log in as an application does; OSError when nobody answers within `wait` seconds."""
        body = {
            "grant_type": REALM_GRANT,
            "client_id": self.client_id,
            "username": username,
            "password": password,
            "realm": realm,
        }
        return await call("POST", f"{self.url}/oauth/token", body=body, wait=wait)

    async def counts(self) -> Counts:
        """What the ledger holds."""
        return await Ledger(self.database).counts()

    async def settled(self) -> bool:
        """Whether every request has its outcome, published."""
        counts = await self.counts()
        return counts.undecided == 0 and counts.unpublished == 0

    async def claimed(self) -> bool:
        """Whether a script is running somewhere."""
        return (await self.counts()).undecided > 0

    def kill(self, process: Guarded) -> None:
        """SIGKILL, as a crash would."""
        process.signal(signal.SIGKILL)


async def eventually(holds: Callable[[], Any], within: float = SOON) -> None:
    """Poll until it holds; TimeoutError when it never does."""
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.02)


def children(pid: int) -> list[int]:
    """Every descendant of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found += [int(entry.name), *children(int(entry.name))]
    return found


@asynccontextmanager
async def system(database_url: str, amqp_url: str, folder: Path) -> AsyncIterator[System]:
    """An installation whose processes end with the block."""
    async with open_database(database_url, pool_size=2) as database:
        made = System(database_url, amqp_url, folder, database)
        try:
            yield made
        finally:
            for process in reversed(made.running):
                await asyncio.to_thread(process.stop)
