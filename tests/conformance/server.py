"""Trickle over HTTPS on a free loopback port, and clients that are programs of their own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import bcrypt
import trustme
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.legacy_store import LegacyStore
from tests.site import Site, opened

PASSWORD: Final = "Tr1ckle-by-night"
CLIENTS: Final = Path(__file__).parent / "clients"
WITHIN: Final = 120.0


@dataclass(slots=True)
class Requests:
    """What came in: method and path of each request."""

    app: ASGIApp
    seen: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note."""
        if scope["type"] == "http":
            self.seen.append((scope["method"], scope["path"]))
        await self.app(scope, receive, send)


@dataclass
class Served:
    """A site that any client can reach, with the certificate authority that signed for it."""

    site: Site
    store: LegacyStore
    requests: Requests
    domain: str
    ca: Path
    realm: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """What a client's program needs to know."""
        given = os.environ  # noqa: TID251 - handed on
        kept = {name: given[name] for name in ("PATH", "HOME", "LANG") if name in given}
        return kept | {
            "CONFORMANCE_DOMAIN": self.domain,
            "CONFORMANCE_PASSWORD": PASSWORD,
            "CONFORMANCE_PASSWORD_HASH": _bcrypt(PASSWORD),
            "CONFORMANCE_REALM": self.realm["name"],
            "CONFORMANCE_CLIENT_ID": self.site.client_id,
            "CONFORMANCE_CLIENT_SECRET": self.site.secret,
            "CONFORMANCE_MANAGER_ID": self.site.management["client_id"],
            "CONFORMANCE_MANAGER_SECRET": self.site.management["client_secret"],
            "NODE_EXTRA_CA_CERTS": str(self.ca),
            "NODE_OPTIONS": f"--import={(CLIENTS / 'loopback.mjs').as_uri()}",
            "REQUESTS_CA_BUNDLE": str(self.ca),
            "SSL_CERT_FILE": str(self.ca),
        }

    async def run(
        self, command: Sequence[str | Path], more: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run a client to its end: exit code, standard output, standard error."""
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            env=self.environment | dict(more or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(WITHIN):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out.decode(), err.decode()

    async def calls(
        self,
        run: str,
        command: Sequence[str | Path],
        *,
        seconds: float = 0.0,
        realm: str | None = None,
    ) -> list[dict[str, Any]]:
        """The calls that a client reports; `run` begins the names of what it makes.

        `seconds`: how long the legacy store takes for the client's user. `realm`: another one.
        """
        legacy_user = f"{run}-legacy@example.com"
        await self.store.add(legacy_user, PASSWORD, verified=True, seconds=seconds)
        await self.store.details()
        more = {"CONFORMANCE_RUN": run, "CONFORMANCE_LEGACY_USER": legacy_user}
        if realm is not None:
            more["CONFORMANCE_REALM"] = realm
        code, out, err = await self.run(command, more)
        assert code == 0, err[-3000:]
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@cache
def _bcrypt(password: str) -> str:
    """A hash as Auth0 exports it (C§2.2)."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()


@asynccontextmanager
async def served(ours: str, theirs: str, folder: Path) -> AsyncIterator[Served]:
    """`ours`: a migrated database; `theirs`: an empty one for the legacy store."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    issuer = f"https://127.0.0.1:{port}/"
    async with AsyncExitStack() as owned:
        store = await LegacyStore.open(theirs)
        owned.push_async_callback(store.connection.close)
        site = await owned.enter_async_context(opened(ours, TRICKLE_ISSUER=issuer))
        requests = Requests(site.auth.app)
        config = uvicorn.Config(
            requests,
            ssl_certfile=str(folder / "server.pem"),
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        server = uvicorn.Server(config)
        # `_serve` and not `serve`: that one takes over the process's signals.
        serving = asyncio.get_running_loop().create_task(server._serve([listening]))
        try:
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            realm = await site.connect("customers", **store.options(import_mode=True))
            yield Served(site, store, requests, f"127.0.0.1:{port}", folder / "ca.pem", realm)
        finally:
            server.should_exit = True
            await asyncio.wait({serving})
