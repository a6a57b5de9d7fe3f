"""Everything that a running system needs, started on free ports and stopped in order.

Postgres comes from the wheel unless `DATABASE_URL` is set, the broker is private unless
`AMQP_URL` is set. With a broker the two services are two real processes; without one they share
this process and its in-process transport, which is not durable and says so.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from services.auth.app import open_auth
from services.auth.bootstrap import create_management_client
from services.auth.migrate import migrate
from services.auth.serve import answer
from services.auth.settings import AuthSettings
from services.script_worker.app import open_worker
from services.script_worker.serve import work
from services.script_worker.settings import WorkerSettings
from services.standalone.embedded_postgres import EmbeddedPostgres, free_port
from services.standalone.guarded import Guarded
from services.standalone.http_client import call
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.database import Database, open_database
from shared.errors import Misconfigured, ServiceError, Unavailable
from shared.http_server import listening
from shared.inprocess import InProcessBroker
from shared.ledger import Counts, Ledger
from shared.lifecycle import Stop
from shared.sealing import KeyRing
from shared.settings import read_settings
from shared.telemetry import configure_logging, metrics_server

Say = Callable[[str], None]
Broker = Literal["auto", "private", "never"]

_MODULES: Final = ("services.auth", "services.script_worker")
_MAIL: Final = ("TRICKLE_SMTP_URL", "TRICKLE_MAIL_FROM", "TRICKLE_MAIL_FOLDER")
READY_WITHIN: Final = 60.0
STOP_WITHIN: Final = 40.0
"""Above the services' drain: a script's deadline of 20 s, and 10 s to publish and ack."""


class ServiceDied(ServiceError):
    """A service ended by itself."""


@dataclass(slots=True)
class Stack:
    """A running system and where to reach it."""

    auth_url: str
    metrics: dict[str, str]
    management: dict[str, str]
    database_url: str
    amqp_url: str | None
    database: Database = field(repr=False)
    mails: Path
    """Where the system's mails are, unless a mail server is set."""
    pids: dict[str, int] = field(default_factory=dict)
    ended: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def issuer(self) -> str:
        """The issuer, with its trailing slash (C§7.3)."""
        return f"{self.auth_url}/"

    def described(self) -> dict[str, Any]:
        """What `up --json` writes."""
        return {
            "auth_url": self.auth_url,
            "metrics": self.metrics,
            "management": self.management,
            "database_url": self.database_url,
            "amqp_url": self.amqp_url,
            "mails": str(self.mails),
            "pids": self.pids,
        }

    async def ledger_counts(self) -> Counts:
        """What the ledger holds."""
        return await Ledger(self.database).counts()


@asynccontextmanager
async def open_stack(*, rabbitmq: Broker, say: Say) -> AsyncIterator[Stack]:
    """Start everything; stop it in reverse order, whatever happens inside the block."""
    configure_logging("warning", "console")
    async with AsyncExitStack() as owned:
        database_url, amqp_url = await asyncio.gather(
            _postgres(owned, say), _rabbitmq(owned, rabbitmq, say)
        )
        applied = await migrate(database_url)
        say(f"database migrated: {len(applied)} migrations")
        environment = await _environment(database_url, amqp_url)
        # With the database goes what its mails link to: nobody wants them afterwards.
        mails = owned.enter_context(TemporaryDirectory(prefix="trickle-mails-"))
        environment["TRICKLE_MAIL_FOLDER"] = mails
        database = await owned.enter_async_context(
            open_database(database_url, pool_size=2, application_name="standalone")
        )
        stack = Stack(
            auth_url=environment["TRICKLE_ISSUER"].rstrip("/"),
            metrics={
                "auth": f"http://127.0.0.1:{environment['auth_metrics']}/metrics",
                "script_worker": f"http://127.0.0.1:{environment['worker_metrics']}/metrics",
            },
            management={},
            database_url=database_url,
            amqp_url=amqp_url,
            database=database,
            mails=Path(mails),
        )
        stack.management = await create_management_client(database_url)
        start = _two_processes if amqp_url else _one_process
        await start(owned, stack, environment, say)
        yield stack


async def _postgres(owned: AsyncExitStack, say: Say) -> str:
    if url := os.environ.get("DATABASE_URL"):  # noqa: TID251 - the launcher hands it on
        say("Postgres: the one of DATABASE_URL")
        return url
    server = EmbeddedPostgres()
    owned.push_async_callback(asyncio.to_thread, server.close)
    await asyncio.to_thread(server.start)
    say("Postgres: embedded, on a free port")
    return server.url


async def _rabbitmq(owned: AsyncExitStack, wanted: Broker, say: Say) -> str | None:
    if wanted == "never":
        say("broker: in-process; not durable, for a look only")
        return None
    if url := os.environ.get("AMQP_URL"):  # noqa: TID251 - the launcher hands it on
        say("RabbitMQ: the one of AMQP_URL")
        return url
    server = PrivateRabbitMQ()
    owned.push_async_callback(asyncio.to_thread, server.close)
    say("RabbitMQ: starting a private one (the first time it is unpacked, which takes a while)")
    try:
        await asyncio.to_thread(server.start)
    except (Misconfigured, Unavailable) as error:
        if wanted == "private":
            raise
        say(f"no RabbitMQ to be had ({error})")
        say("broker: in-process; not durable, for a look only")
        return None
    say("RabbitMQ: private, on a free port")
    return server.url


async def _environment(database_url: str, amqp_url: str | None) -> dict[str, str]:
    """The settings of both services, as environment variables."""
    port = free_port()
    environment = {
        "TRICKLE_SHUTDOWN_DELAY": "0",  # nobody balances between several of them
        "TRICKLE_KEY_RING": KeyRing.generate(),
        "TRICKLE_ISSUER": f"http://127.0.0.1:{port}/",
        "TRICKLE_HOST": "127.0.0.1",
        "auth_database_url": database_url,
        "TRICKLE_PORT": str(port),
        "auth_metrics": str(free_port()),
        "worker_metrics": str(free_port()),
        "worker_database_url": await _worker_role(database_url),
    }
    if amqp_url:
        environment["AMQP_URL"] = amqp_url
    return environment


async def _worker_role(database_url: str) -> str:
    """A login of its own for the worker, which can't see users or hashes (design, section 6)."""
    name, password = f"trickle_worker_{secrets.token_hex(4)}", secrets.token_hex(16)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE trickle_worker"
        )
    except asyncpg.InsufficientPrivilegeError:
        return database_url  # a given database whose owner may not create roles
    finally:
        await connection.close()
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{password}@{place}"))


def _settings(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The environments of auth and of the worker: each gets only what it needs."""
    ours = ("PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "TRICKLE_LOG_LEVEL")
    shared = {name: os.environ[name] for name in ours if name in os.environ}  # noqa: TID251 - handed on
    shared.setdefault("TRICKLE_LOG_LEVEL", "warning")
    shared["TRICKLE_LOG_FORMAT"] = "console"
    shared |= {
        name: environment[name] for name in ("TRICKLE_KEY_RING", "AMQP_URL") if name in environment
    }
    auth = {
        **shared,
        "DATABASE_URL": environment["auth_database_url"],
        "TRICKLE_ISSUER": environment["TRICKLE_ISSUER"],
        "TRICKLE_HOST": environment["TRICKLE_HOST"],
        "TRICKLE_PORT": environment["TRICKLE_PORT"],
        "TRICKLE_METRICS_PORT": environment["auth_metrics"],
        "TRICKLE_MAIL_FOLDER": environment["TRICKLE_MAIL_FOLDER"],
        **{name: os.environ[name] for name in _MAIL if name in os.environ},  # noqa: TID251 - handed on
    }
    worker = {
        **shared,
        "DATABASE_URL": environment["worker_database_url"],
        "TRICKLE_METRICS_PORT": environment["worker_metrics"],
    }
    return auth, worker


async def _two_processes(
    owned: AsyncExitStack, stack: Stack, environment: Mapping[str, str], say: Say
) -> None:
    for module, settings in zip(_MODULES, _settings(environment), strict=True):
        command = [sys.executable, "-m", module]
        process = Guarded(command, env=settings, grace=STOP_WITHIN)
        owned.push_async_callback(asyncio.to_thread, process.stop)
        stack.pids[module.rpartition(".")[2]] = process.pid
        watching = asyncio.get_running_loop().create_task(_watch(process, module, stack.ended))
        owned.callback(watching.cancel)
    await _until_ready(stack)
    say(f"two processes: auth {stack.pids['auth']}, script_worker {stack.pids['script_worker']}")


async def _one_process(
    owned: AsyncExitStack, stack: Stack, environment: Mapping[str, str], say: Say
) -> None:
    auth, worker = _settings(environment)
    broker, stop = InProcessBroker(), Stop()
    auth_settings, worker_settings = (
        read_settings(AuthSettings, auth),
        read_settings(WorkerSettings, worker),
    )
    opened_auth = await owned.enter_async_context(
        open_auth(auth_settings, broker.transport("auth"))
    )
    opened_worker = await owned.enter_async_context(
        open_worker(worker_settings, broker.transport("script_worker"))
    )
    for settings, ready in (
        (auth_settings, lambda: not opened_auth.state.problems()),
        (worker_settings, lambda: opened_worker.ready),
    ):
        await owned.enter_async_context(
            metrics_server(settings.metrics_host, settings.metrics_port, ready)
        )
    at = owned.enter_context(listening(auth_settings.host, auth_settings.port, "TRICKLE_PORT"))
    tasks = await owned.enter_async_context(asyncio.TaskGroup())
    owned.callback(stop.signal)
    for name, work_of in (
        ("services.auth", answer(opened_auth, at, stop, auth_settings)),
        ("services.script_worker", work(opened_worker, stop, 30)),
    ):
        task = tasks.create_task(work_of, name=name)
        task.add_done_callback(lambda done: _ended(stack, stop, done))
    stack.pids = {"auth": os.getpid(), "script_worker": os.getpid()}
    await _until_ready(stack)
    say("both services in this process")


def _ended(stack: Stack, stop: Stop, task: asyncio.Task[None]) -> None:
    if not stop.asked.is_set() and not stack.ended.done():
        stack.ended.set_result(f"{task.get_name()} ended by itself")


async def _watch(process: Guarded, module: str, ended: asyncio.Future[str]) -> None:
    while process.returncode is None:
        await asyncio.sleep(0.1)
    if not ended.done():
        ended.set_result(f"{module} ended by itself with exit code {process.returncode}")


async def _until_ready(stack: Stack) -> None:
    """Wait for both services' /readyz. Raises ServiceDied when one ends, Unavailable when late."""
    worker = stack.metrics["script_worker"].removesuffix("/metrics")
    for url in (f"{stack.auth_url}/readyz", f"{worker}/readyz"):
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not await _ready(url):
                    if stack.ended.done():
                        raise ServiceDied(stack.ended.result())
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise Unavailable(f"{url} was not ready within {READY_WITHIN:.0f} s") from None


async def _ready(url: str) -> bool:
    try:
        return (await call("GET", url, wait=5)).status == 200
    except OSError:
        return False
