"""What hostile scripts are let loose on: one worker's pool, a neighbour, stand-ins, bait.

Rule 1: everything is ours: a file that is bait, a folder that may be written, services that only
        count who comes. A script that gets through does no harm to the machine that tests it.
Rule 2: after each attack everything is as it was before it, or `harm` says what is not.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.pool_events import PoolEvent
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared.contracts import Action

SETTLES_WITHIN: Final = 10.0
METADATA: Final = "127.0.0.66"
"""Stands in for the cloud's metadata address: tests never go near the real one."""
BAIT: Final = f"bait-{secrets.token_hex(16)}"
"""Stands in the file, and in this process's environment when `campaign` was started for it."""
NEIGHBOURS_SECRET: Final = "hunter2-of-the-neighbour"
NEIGHBOUR: Final = """
let calls = 0;
function login(email, password, callback) {
  calls += 1;
  const poisoned = Boolean({}.poisoned ?? require('lodash').poisoned);
  callback(null, { user_id: 'neighbour', calls, poisoned, secret: configuration.secret });
}
"""
_PASSING: Final = {"pool.refill", "pool.start"}
_TEMPORARY: Final = (Path("/tmp"), Path("/dev/shm"), Path("/"))  # noqa: S108 - looked at only


class Visitors:
    """Services on loopback that note who comes, and say nothing."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._datagrams: list[asyncio.DatagramTransport] = []

    async def listen(self, what: str, host: str = "127.0.0.1") -> int:
        """A TCP port."""
        server = await asyncio.start_server(self._noting(what), host, 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_unix(self, what: str, path: str) -> None:
        """A unix socket; a path that begins with NUL is abstract."""
        self._servers.append(await asyncio.start_unix_server(self._noting(what), path))

    def hang(self) -> int:
        """A TCP port where connects neither succeed nor fail: its queue is full."""
        server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._sockets.append(server)
        for _ in range(2):
            waiting = socket.socket()
            self._sockets.append(waiting)
            waiting.setblocking(False)  # noqa: FBT003 - takes no keyword
            waiting.connect_ex(server.getsockname())
        return int(server.getsockname()[1])

    def reserve(self) -> int:
        """A TCP port that nobody is given, and that who asks for it by number may listen on."""
        holder = socket.socket()
        self._sockets.append(holder)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])

    async def receive(self, what: str) -> int:
        """A UDP port."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(lambda: self.seen.append(what)), ("127.0.0.1", 0)
        )
        self._datagrams.append(transport)
        return int(transport.get_extra_info("sockname")[1])

    def _noting(self, what: str) -> Callable[[Any, asyncio.StreamWriter], None]:
        def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.seen.append(what)
            writer.close()

        return note

    async def close(self) -> None:
        """End all."""
        for each in self._sockets:
            each.close()
        for transport in self._datagrams:
            transport.close()
        for server in self._servers:
            server.close()
            await server.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._note()


class Arena:
    """A pool with a neighbour in it, and all that an attack could hurt."""

    def __init__(self, pool: Pool, command: NodeCommand, folder: Path) -> None:
        self.pool = pool
        self.events: list[PoolEvent] = []
        self.visitors = Visitors()
        self._command = command
        self._folder = folder
        self._mark = f"trickle-{secrets.token_hex(8)}"
        self._fixed: dict[str, str] = {}
        self._neighbour = 0
        self._calls = 0
        self._before: dict[str, Any] = {}
        self.worst_tick = 0.0

    async def prepare(self) -> None:
        """Lay the bait, open the services, warm the neighbour up."""
        outside = self._folder / "outside"
        (outside / "kept").mkdir(parents=True)
        (outside / "keep").touch()
        (outside / "addon.node").write_bytes(b"\x7fELF not really")
        secret = self._folder / "secret"
        secret.write_text(BAIT)
        (outside / "link-to-secret").symlink_to(secret)
        abstract = f"{self._mark}-abstract"
        visitors = self.visitors
        await visitors.listen_unix("unix socket", str(self._folder / "socket"))
        await visitors.listen_unix("abstract socket", f"\0{abstract}")
        self._fixed = {
            "secret": "hunter2-of-this-connection",
            "secret_file": str(secret),
            "folder": str(outside),
            "mark": self._mark,
            "modules": str(self._command.modules),
            "harness": str(self._command.harness),
            "unix": str(self._folder / "socket"),
            "abstract": abstract,
            "broker": str(await visitors.listen("broker")),
            "database": str(await visitors.listen("database")),
            "metadata_port": str(await visitors.listen("metadata", METADATA)),
            "udp": str(await visitors.receive("datagram")),
            "hung": str(visitors.hang()),
            "listen": str(visitors.reserve()),
            "worker": str(os.getpid()),
        }
        own = tuple(("127.0.0.1", int(self._fixed[name])) for name in ("broker", "database"))
        order = replace(self._command.order(), own=own, refused=(f"{METADATA}/32",))
        self.pool._spawner.order(order)
        await self.call_neighbour()
        await self.settle()
        self._before = self._things()

    @property
    def configuration(self) -> dict[str, str]:
        """What a hostile script knows: more than it could find out."""
        processes = {"launcher": self.pool.launcher_pid, "neighbour": self._neighbour}
        return self._fixed | {name: str(pid) for name, pid in processes.items()}

    async def call_neighbour(self) -> str | None:
        """What is wrong with the neighbour: another connection, which keeps its state."""
        bundle = Bundle(
            "con_" + "n" * 16, "0" * 32, {Action.LOGIN: NEIGHBOUR}, {"secret": NEIGHBOURS_SECRET}
        )
        deadline = asyncio.get_running_loop().time() + 20
        run = await self.pool.run(
            bundle, Action.LOGIN, ["neighbour", "its password"], context={}, deadline=deadline
        )
        self._calls += 1
        wanted = {"user_id": "neighbour", "calls": self._calls, "poisoned": False}
        seen = run.outcome.value if isinstance(run.outcome, Value) else None
        pid = run.runner.pid if run.runner else 0
        self._neighbour = self._neighbour or pid
        if seen != wanted | {"secret": NEIGHBOURS_SECRET} or pid != self._neighbour:
            return f"the neighbour: {run.outcome} in {pid}, it was {self._neighbour}"
        return None

    def end(self, run: Run) -> None:
        """Kill the attacker's process, if it still is there."""
        if run.runner is not None and run.runner.pid in self.pool.pids() - {self._neighbour}:
            with suppress(ProcessLookupError):
                os.kill(run.runner.pid, signal.SIGKILL)

    async def settle(self) -> None:
        """Until there are the neighbour and one blank, and nobody else, on the way or leaving."""
        await eventually(
            lambda: (
                len(self.pool.pids()) == 2
                and self.pool.states()["blank"] == 1
                and not {task.get_name() for task in asyncio.all_tasks()} & _PASSING
            )
        )

    async def harm(self) -> list[str]:
        """What is not as it was before."""
        await self.settle()
        found = [] if (neighbour := await self.call_neighbour()) is None else [neighbour]
        await eventually(lambda: self._things() == self._before)
        for what, now in self._things().items():
            if now != self._before[what]:
                found.append(f"{what}: {now} instead of {self._before[what]}")
        if self.visitors.seen:
            found.append(f"reached: {', '.join(sorted(set(self.visitors.seen)))}")
            self.visitors.seen.clear()
        return found

    def _things(self) -> dict[str, Any]:
        outside = Path(self._fixed["folder"])
        return {
            "launcher": self.pool.launcher_pid,
            "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names suffice
            "tasks": len(asyncio.all_tasks()),
            "strays": sorted(_descendants(os.getpid()) - self.pool.pids()),
            "listening": int(self._fixed["listen"]) in _listening(),
            "written": sorted(str(p) for p in _TEMPORARY for p in p.glob(f"*{self._mark}*")),
            "folder": sorted((p.name, p.lstat().st_mode) for p in outside.rglob("*")),
            "modules": _stamp(self._command.modules / "node_modules"),
            "bait": (self._folder / "secret").read_text() == BAIT,
        }

    async def tick(self) -> None:
        """Measure how long the worker's loop is held up at worst."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            self.worst_tick = max(self.worst_tick, loop.time() - before - 0.01)


@asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Arena]:
    """A whole one, closed again."""
    events: list[PoolEvent] = []
    command = NodeCommand.installed()
    async with Pool(command, limits=PoolLimits(blanks=1), observe=events.append) as pool:
        made = Arena(pool, command, folder)
        made.events = events
        ticking = asyncio.create_task(made.tick())
        try:
            await made.prepare()
            yield made
        finally:
            ticking.cancel()
            await made.visitors.close()


async def eventually(condition: Callable[[], bool], within: float = SETTLES_WITHIN) -> bool:
    """Polled: what ends here is nobody's child that could be waited for."""
    try:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


def resident() -> int:
    """Bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _listening() -> set[int]:
    """TCP ports of this network namespace that somebody listens on."""
    ports = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def _descendants(ancestor: int) -> set[int]:
    """All of our processes but the launcher: it is known apart."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(stat[1])
    found: set[int] = set()
    for pid in parents:
        line, walk = [], pid
        while walk in parents and walk != ancestor:
            line.append(walk)
            walk = parents[walk]
        if walk == ancestor:
            found.update(line[:-1])  # the last is the launcher, a child of ours
    return found


def _stamp(folder: Path) -> tuple[int, int]:
    """Changes when a package is added, removed or renamed."""
    status = folder.stat()
    return status.st_mtime_ns, len([*folder.iterdir()])
