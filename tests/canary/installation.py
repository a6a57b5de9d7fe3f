"""An installation whose every secret is marked, driven over HTTP and over the queue.

Its settings are files, so that no process needs a secret in its environment; its log is at debug
level; core files are allowed, so that a core that somebody writes is there to be found.
"""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from typing_extensions import override

from services.auth.migrate import migrate
from services.standalone.embedded_postgres import EmbeddedPostgres, free_port
from services.standalone.guarded import Guarded
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.database import open_database
from shared.topology import Names
from tests.canary.forms import CORE, Searcher, mint, wrapped
from tests.canary.places import tapped
from tests.processes import System


@dataclass
class Marked:
    """The secrets of one run, by what they are."""

    search: Searcher = field(default_factory=Searcher)

    def core(self, kind: str) -> str:
        """A secret of plain letters and digits."""
        self.search.secrets.setdefault(kind, f"{CORE}{kind}".encode())
        return mint(kind)

    def password(self) -> str:
        """One that every notation writes in its own way."""
        return wrapped(self.core("password"))

    def learned(self, name: str, text: str) -> str:
        """A secret that the system made: a token, a ticket, a code."""
        self.search.add(name, text)
        return text


class MarkedPostgres(EmbeddedPostgres):
    """Whose owner's password is marked."""

    def __init__(self, password: str) -> None:
        super().__init__()
        self._password = password

    @property
    def folder(self) -> Path:
        """Its data and its log."""
        return self._home


class MarkedRabbitMQ(PrivateRabbitMQ):
    """Whose user's password is marked."""

    def __init__(self, password: str) -> None:
        super().__init__()
        self._marked = password

    @property
    def url(self) -> str:
        return f"amqp://marked:{self._marked}@127.0.0.1:{self.port}/"

    @property
    def folder(self) -> Path:
        """Its data and its logs."""
        return self._home

    def _environment(self, installation: Any) -> dict[str, str]:
        environment = super()._environment(installation)
        with (self._home / "rabbitmq.conf").open("a") as config:
            config.write(f"default_user = marked\ndefault_pass = {self._marked}\n")
        return environment


class MailServer:
    """Takes mails from who knows the password."""

    def __init__(self, password: str) -> None:
        self.password = password.encode()
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return "250 OK"

    def login(self, *arguments: Any) -> AuthResult:
        return AuthResult(success=arguments[-1].password == self.password)


@dataclass
class Installation(System):
    """Both services with marked settings, and what they did so far."""

    marked: Marked = field(default_factory=Marked, repr=False)
    mailer: MailServer = field(default_factory=lambda: MailServer(""))
    messages: dict[str, bytes] = field(default_factory=dict, repr=False)
    answers: dict[str, bytes] = field(default_factory=dict, repr=False)
    metrics_ports: list[int] = field(default_factory=list)
    postgres_folder: Path = Path()
    broker_folder: Path = Path()
    secret: str = field(default="", repr=False)
    python: tuple[str, ...] = ()
    """Flags of the interpreter."""
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30))

    @override
    def start(
        self,
        module: str,
        settings: dict[str, str],
        log: Path | None = None,
        through: Sequence[str] = (),
    ) -> Guarded:
        port = free_port()
        self.metrics_ports.append(int(settings.setdefault("TRICKLE_METRICS_PORT", str(port))))
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
            "TRICKLE_BROKER_PREFIX": self.prefix,
            "TRICKLE_LOG_LEVEL": "debug",
            "TRICKLE_SHUTDOWN_DELAY": "0",
            "TRICKLE_SECRETS_DIR": str(self.folder / "settings"),
            **settings,
        }
        log = log or self.folder / "logs" / f"{module}-{len(self.running)}.log"
        process = Guarded(
            [*through, sys.executable, *self.python, "-m", module],
            env=environment,
            log=log,
            grace=35,
        )
        self.running.append(process)
        return process

    @property
    def logs(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "logs").iterdir())

    async def listening(self) -> list[int]:
        """The metrics ports of the processes that still run."""
        return [port for port in self.metrics_ports if await self._ready(_ready_url(port))]

    async def ask(
        self, method: str, path: str, *, answered: bool = True, **options: Any
    ) -> httpx.Response:
        """One request; its answer is among what is searched, unless it is where a secret belongs."""
        answer = await self.http.request(method, f"{self.url}{path}", **options)
        if answered:
            name = f"answer {len(self.answers)} to {method} {urlsplit(path).path}"
            headers = [one for one in answer.headers.multi_items() if one[0] != "set-cookie"]
            self.answers[name] = repr(headers).encode() + answer.content
        return answer

    async def manage(
        self, method: str, path: str, *, answered: bool = True, **options: Any
    ) -> httpx.Response:
        """One request to the Management API."""
        headers = {"authorization": f"Bearer {self.bearer}"}
        return await self.ask(
            method, f"/api/v2/{path}", answered=answered, headers=headers, **options
        )


def _ready_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/livez"


@contextmanager
def cores_allowed() -> Iterator[None]:
    """As far as the machine lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@asynccontextmanager
async def installed(
    postgres: MarkedPostgres,
    broker: MarkedRabbitMQ,
    folder: Path,
    marked: Marked,
    python: tuple[str, ...] = (),
) -> AsyncIterator[Installation]:
    """Settings, database and mail server; the processes are the caller's to start."""
    mailer = MailServer(marked.core("setting"))
    key = marked.core("setting").encode()[:32].ljust(32, b"k")
    (folder / "settings").mkdir()
    (folder / "logs").mkdir()

    def protocol() -> SMTP:
        return SMTP(mailer, authenticator=mailer.login, auth_require_tls=False)

    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    settings = {
        "DATABASE_URL": postgres.url,
        "AMQP_URL": broker.url,
        "TRICKLE_EGRESS_TO_OWN_DATABASE": "true",  # the legacy store is on it
        "TRICKLE_KEY_RING": f"k1:{base64.b64encode(key).decode()}",
        "TRICKLE_SMTP_URL": f"smtp://mailer:{quote(mailer.password)}@{address}",
    }
    for name, value in settings.items():
        (folder / "settings" / name).write_text(value)
    await migrate(postgres.url)
    async with (
        listening,
        open_database(postgres.url, pool_size=2) as database,
        httpx.AsyncClient(timeout=30) as http,
    ):
        made = Installation(
            postgres.url,
            broker.url,
            folder,
            database,
            marked=marked,
            mailer=mailer,
            postgres_folder=postgres.folder,
            broker_folder=broker.folder,
            http=http,
            python=python,
        )
        names = Names(made.prefix)
        try:
            await made.auth()
            async with tapped(broker.url, names) as messages:
                made.messages = messages
                yield made
        finally:
            for process in reversed(made.running):
                await asyncio.to_thread(process.stop)
