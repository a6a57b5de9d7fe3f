"""What the campaign torments: several replicas of both services, each behind links of its own.

Every replica reaches the broker and the database through a proxy of its own, so that a fault hits
one and spares the others. A replica that ends without being told to is noted, and started again as
an orchestrator would.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from services.auth.clients import REALM_GRANT
from services.auth.migrate import migrate
from services.standalone.debian_packages import Unpacking, default_cache
from services.standalone.embedded_postgres import EmbeddedPostgres, free_port
from services.standalone.guarded import Guarded
from services.standalone.http_client import call
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.database import open_database
from shared.errors import ServiceError, Unavailable
from shared.topology import Names
from tests.faults.store import Store, scripts
from tests.processes import System, children
from tests.proxy import Proxy

AUTHS: Final = 2
WORKERS: Final = 3
START_WITHIN: Final = 90.0
GRACE: Final = 35.0
WORKER_SETTINGS: Final = {
    "TRICKLE_MAX_PROCESSES": "10",
    "TRICKLE_PROCESSES_PER_CONNECTION": "3",
    "TRICKLE_BLANKS": "1",
}
LAUNCHER: Final = 1
MOST_PROCESSES: Final = int(WORKER_SETTINGS["TRICKLE_MAX_PROCESSES"]) + LAUNCHER

_FAKETIME: Final = Unpacking(
    name="faketime",
    version="unpacked-1",
    packages=("libfaketime",),
    needs=lambda _: False,
    without="clocks are not stepped",
)


@dataclass(frozen=True, slots=True)
class Realm:
    """A connection, and what its callers are promised."""

    name: str
    budget: float
    """Seconds that its scripts have."""
    import_mode: bool = False
    connection_id: str = ""


REALMS: Final = (
    Realm("brief", 6),
    Realm("patient", 14),  # long enough for a second attempt after a lease of five seconds
    Realm("moving", 9, import_mode=True),
)


@dataclass
class Replica:
    """One process that may be killed, paused and cut off; it comes back under the same name."""

    name: str
    module: str
    settings: dict[str, str] = field(repr=False)
    health: str
    broker: Proxy
    database: Proxy
    start: Callable[[Replica], Guarded] = field(repr=False)
    metrics: str
    log: Path
    url: str = ""
    clock: Path | None = None
    process: Guarded | None = None
    up: bool = False
    ours: bool = False
    """Whether whatever ends it now is our doing."""
    troubles: list[tuple[float, float]] = field(default_factory=list)
    """Spans of the loop's clock in which it was killed, stopped or paused."""
    deaths: list[str] = field(default_factory=list)
    """Ends that nobody asked for, with its last words."""
    heaviest: int = 0
    """The most bytes that it was seen to have in memory."""

    @property
    def pid(self) -> int:
        """Of the process that runs now; 0 between two."""
        return (
            0 if self.process is None or self.process.returncode is not None else self.process.pid
        )

    async def rise(self) -> None:
        """Start, again if the start fails for want of a server, until it is ready."""
        try:
            async with asyncio.timeout(START_WITHIN):
                while not self.up:
                    self.process = await asyncio.to_thread(self.start, self)
                    while self.process.returncode is None and not await self._ready():
                        await asyncio.sleep(0.05)
                    self.up = self.process.returncode is None
                    await asyncio.sleep(0 if self.up else 0.3)
        except TimeoutError:
            if self.process is not None:
                self.process.kill()
            raise Unavailable(f"{self.name} did not get ready: {self.last_words()}") from None

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-1500:]

    async def _ready(self) -> bool:
        with suppress(OSError):
            return (await call("GET", self.health, wait=5)).status == 200
        return False

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        """Whatever its callers meet inside the block is our doing."""
        began = asyncio.get_running_loop().time()
        self.ours = True
        self.troubles.append((began, float("inf")))
        place = len(self.troubles) - 1
        try:
            yield
        finally:
            self.ours = False
            self.troubles[place] = (began, asyncio.get_running_loop().time())

    def signal(self, number: signal.Signals) -> None:
        """To the process itself."""
        if self.process is not None:
            self.process.signal(number)

    def offspring(self) -> list[int]:
        """Every process under it: the worker's launcher first, then its runners."""
        return children(self.pid) if self.pid else []


@dataclass
class Installation:
    """Everything, started."""

    postgres: EmbeddedPostgres
    rabbitmq: PrivateRabbitMQ
    store: Store
    store_link: Proxy
    system: System
    auths: list[Replica]
    workers: list[Replica]
    realms: list[Realm] = field(default_factory=list)
    seen: dict[int, float] = field(default_factory=dict)
    """Processes that workers had, by pid with the time that they were created."""

    @property
    def replicas(self) -> list[Replica]:
        """All of them."""
        return [*self.auths, *self.workers]

    @property
    def names(self) -> Names:
        """On the broker."""
        return Names(self.system.prefix)

    async def watch(self) -> None:
        """Notice who ended by itself, who is how heavy, and which processes there are."""
        while True:
            await asyncio.sleep(0.5)
            for replica in self.replicas:
                if not replica.ours and replica.pid == 0:
                    await self._revive(replica)
            await asyncio.to_thread(self._look)

    async def _revive(self, replica: Replica) -> None:
        assert replica.process is not None
        code = replica.process.returncode
        replica.deaths.append(f"{replica.name} ended with {code}: {replica.last_words()}")
        async with replica.trouble():
            replica.up = False
            try:
                await replica.rise()
            except Unavailable as error:
                replica.deaths.append(str(error))

    def _look(self) -> None:
        for replica in self.replicas:
            with suppress(psutil.Error):
                if replica.pid:
                    used = psutil.Process(replica.pid).memory_info().rss
                    replica.heaviest = max(replica.heaviest, used)
        self.remember(pid for worker in self.workers for pid in worker.offspring())

    async def stop(self) -> None:
        """Stop all services in order, while their servers are still there."""
        for replica in self.replicas:
            replica.ours, replica.up = True, False
            replica.signal(signal.SIGCONT)
            for proxy in (replica.broker, replica.database):
                proxy.flow()
                proxy.accept()
        running = [replica.process for replica in self.replicas if replica.process is not None]
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in running))

    def remember(self, pids: Any) -> None:
        """These belong to us: none of them may be there in the end."""
        for pid in pids:
            if pid not in self.seen:
                with suppress(psutil.Error):
                    self.seen[pid] = psutil.Process(pid).create_time()

    def kill(self, pid: int, number: signal.Signals) -> None:
        """A signal to a process of ours that was seen; fine if it is gone."""
        if self.seen.get(pid) == _born(pid):
            with suppress(psutil.Error):
                psutil.Process(pid).send_signal(number)

    def survivors(self) -> list[int]:
        """Those of the processes seen that are still there; a pid may be somebody else's by now."""
        return [pid for pid, born in self.seen.items() if _born(pid) == born]


def _born(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


@asynccontextmanager
async def installation(seed: int, logs: Path | None = None) -> AsyncIterator[Installation]:
    """Servers, a store and all replicas, until the block ends; `logs` are kept if a folder is given."""
    async with AsyncExitStack() as owned:
        postgres, rabbitmq = EmbeddedPostgres(), PrivateRabbitMQ()
        owned.callback(postgres.close)
        owned.callback(rabbitmq.close)
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(rabbitmq.start))
        await migrate(postgres.url)
        folder = logs or Path(
            owned.enter_context(tempfile.TemporaryDirectory(prefix="trickle-faults-"))
        )
        database = await owned.enter_async_context(open_database(postgres.url, pool_size=2))
        store = await owned.enter_async_context(Store(seed))
        store_link = await owned.enter_async_context(Proxy(store.port))
        system = System(postgres.url, rabbitmq.url, folder, database)
        its = Installation(postgres, rabbitmq, store, store_link, system, [], [])
        owned.push_async_callback(its.stop)
        for number in range(AUTHS):
            its.auths.append(await _auth(its, owned, number))
        for number in range(WORKERS):
            its.workers.append(await _worker(its, owned, number))
        await asyncio.gather(*(replica.rise() for replica in its.replicas))
        await _connect(its)
        yield its


async def _auth(its: Installation, owned: AsyncExitStack, number: int) -> Replica:
    port = its.system.port if number == 0 else free_port()
    settings = {
        "TRICKLE_ISSUER": f"{its.system.url}/",
        "TRICKLE_PORT": str(port),
        "TRICKLE_MAIL_FOLDER": str(its.system.folder / "mails"),
        "TRICKLE_SHUTDOWN_DELAY": "0.5",  # our balancer notices at once
    }
    made = await _replica(its, owned, "services.auth", f"auth-{number}", settings)
    made.url = f"http://127.0.0.1:{port}"
    made.health = f"{made.url}/readyz"  # the other port may be ready before this one listens
    return made


async def _worker(its: Installation, owned: AsyncExitStack, number: int) -> Replica:
    settings = dict(WORKER_SETTINGS)
    clock = its.system.folder / "clock" if number == 0 else None
    if clock is not None and (library := await asyncio.to_thread(_faketime)) is not None:
        clock.write_text("+0")
        through = [
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={clock}",
            "FAKETIME_CACHE_DURATION=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]
    else:
        clock, through = None, []
    made = await _replica(
        its, owned, "services.script_worker", f"worker-{number}", settings, through
    )
    made.clock = clock
    return made


async def _replica(
    its: Installation,
    owned: AsyncExitStack,
    module: str,
    name: str,
    settings: dict[str, str],
    through: Sequence[str] = (),
) -> Replica:
    port = free_port()
    broker = await owned.enter_async_context(Proxy(its.rabbitmq.port))
    database = await owned.enter_async_context(Proxy(its.postgres.port))

    def start(replica: Replica) -> Guarded:
        links = {
            "AMQP_URL": its.rabbitmq.url.replace(f":{its.rabbitmq.port}", f":{broker.port}"),
            "DATABASE_URL": its.postgres.url.replace(f":{its.postgres.port}", f":{database.port}"),
            "TRICKLE_METRICS_PORT": str(port),
        }
        settings = replica.settings | links
        return its.system.start(replica.module, settings, replica.log, through)

    operations = f"http://127.0.0.1:{port}"
    health, metrics = f"{operations}/readyz", f"{operations}/metrics"
    log = its.system.folder / f"{name}.log"
    return Replica(name, module, settings, health, broker, database, start, metrics, log)


async def _connect(its: Installation) -> None:
    """The connections, and an application that may use them."""
    configuration = {
        "STORE_PORT": str(its.store_link.port),
        "WITNESS_PORT": str(its.store.witness_port),
    }
    for realm in REALMS:
        made = await its.system.connect(
            realm.name,
            scripts()["login"],
            import_mode=realm.import_mode,
            customScripts=scripts(),
            configuration=configuration,
            passwordPolicy="none",
            set_user_root_attributes="on_first_login",
            script_timeout_seconds=realm.budget,
            worker_concurrency=16,
        )
        its.realms.append(Realm(realm.name, realm.budget, realm.import_mode, made))


def _faketime() -> Path | None:
    """libfaketime from the distribution's package; None where there is none to be had."""
    try:
        root = _FAKETIME.folder(default_cache())
    except ServiceError:
        return None
    return next(root.glob("usr/lib/*/faketime/libfaketime.so.1"), None)


__all__ = ["REALM_GRANT", "Installation", "Realm", "Replica", "installation"]
