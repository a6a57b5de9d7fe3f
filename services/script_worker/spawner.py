"""The worker's end of the launcher: the one door to starting processes.

The launcher is started first, and again when it was lost: its children die with it, so a lost
launcher is a crash of every runner and of nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import structlog

from services.script_worker import launcher
from services.script_worker.sandbox.confinement import Order
from services.script_worker.sandbox.egress import Grant, Verdict
from services.script_worker.sandbox.levels import Level
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

_MAX_PACKET: Final = 64 * 1024
ISOLATION_WITHIN: Final = 60.0
"""Seconds: a handful of tries, of which each ends after ten."""
CLOSE_WITHIN: Final = 6.0
"""Seconds: the launcher's own last wish ends after five."""

Exited = Callable[[int | None], None]
"""Called once with the exit code (negative: the signal), or None if the launcher was lost."""


@dataclass(frozen=True, slots=True)
class Connect:
    """A connect that a child asked for, and what the launcher said."""

    address: str
    """Empty: it was no internet address, or several."""
    port: int
    verdict: Verdict
    times: int = 1
    """More than one: those that the launcher did not tell one by one."""

    @property
    def to(self) -> str:
        """Where to, for a person."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" if host else "no internet address"


Connected = Callable[[Connect], None]


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the launcher found that this machine gives."""

    level: Level
    pieces: tuple[str, ...] = ()
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What failed, by the pieces that were tried."""


class NotSpawned(Unavailable):
    """A process could not be started."""


_FOUND: Final[dict[bool, Isolation]] = {}
"""What this machine was found to give, by whether ports are listed. It stays so while we live, so
that a launcher that replaces a lost one tries nothing again."""


@dataclass(frozen=True, slots=True)
class _Ears:
    """Who hears of a child."""

    exited: Exited
    connected: Connected


def _unheard(_: Connect) -> None:
    """Nobody is interested."""


@dataclass(slots=True)
class Child:
    """A process of the launcher's, held by a pidfd: a signal can't hit a reused pid."""

    pid: int
    pidfd: int

    def kill(self) -> None:
        """SIGKILL; the launcher does the same to its group and strays. Never blocks or fails."""
        if self.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def release(self) -> None:
        """Give the pidfd back."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Spawner:
    """Starts processes through the launcher, and hears of their ends."""

    def __init__(self, order: Order | None = None) -> None:
        """`order`: what to put around each child; None: limits alone."""
        self._order = order
        self._isolation: asyncio.Future[Isolation] | None = None
        self._launcher: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lost: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._spawning: dict[int, tuple[asyncio.Future[Child], _Ears]] = {}
        self._children: dict[int, tuple[Child, _Ears]] = {}
        self._token = 0
        self._closed = False

    @property
    def launcher_pid(self) -> int | None:
        """The launcher's pid while it lives."""
        return self._launcher.pid if self._launcher is not None else None

    def start(self) -> socket.socket:
        """Start the launcher, if it isn't there. Call it before the worker grows."""
        if self._socket is not None:
            return self._socket
        if self._closed:
            raise NotSpawned("the launcher is closed")
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)  # noqa: FBT003 - takes no keyword
            self._launcher = subprocess.Popen(  # noqa: S603 - our own file
                launcher.command(theirs.fileno(), os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the worker, which then drains
            )
        self._socket = ours
        self._lost = loop.create_future()
        self._isolation = loop.create_future()
        if self._order is None:
            self._isolation.set_result(Isolation(Level.RLIMITS))
        else:
            ours.send(json.dumps(self._confine(self._order)).encode())
        loop.add_reader(ours.fileno(), self._read)
        return ours

    async def isolation(self) -> Isolation:
        """What this machine gives, once the launcher has tried it. Raises NotSpawned."""
        self.start()
        assert self._isolation is not None  # noqa: S101 - made by `start`
        done, _ = await asyncio.wait([self._isolation], timeout=ISOLATION_WITHIN)
        if not done:
            raise NotSpawned("the launcher does not say what this machine gives")
        return self._isolation.result()

    def order(self, order: Order) -> None:
        """What to put around children; later only addresses of our own services may differ.

        A launcher that takes nothing right now is told at the next call.
        """
        if order != self._order:
            with suppress(BlockingIOError):
                self._send(self._confine(order))
                self._order = order

    def _confine(self, order: Order) -> dict[str, Any]:
        message: dict[str, Any] = {"confine": asdict(order)}
        known = _FOUND.get(order.ports is not None)
        return message if known is None else message | {"found": asdict(known)}

    async def grant(self, child: Child, grant: Grant, until: float) -> None:
        """What a child may connect to, from now on; before, nothing.

        Raises NotSpawned if the launcher has not taken it by then, on the loop's clock: without it
        a script would be refused what is allowed.
        """
        listed = [(str(each.address), each.port) for each in grant.listed]
        message = {"grant": child.pid, "open": grant.open, "listed": listed}
        try:
            async with asyncio.timeout_at(until):
                while not self._taken(message):
                    await asyncio.wait([self._room()])
        except TimeoutError:
            raise NotSpawned("the launcher does not take what it is sent") from None

    def _taken(self, message: dict[str, Any]) -> bool:
        try:
            self._send(message)
        except BlockingIOError:
            return False
        return True

    def _send(self, message: dict[str, Any]) -> None:
        """Raises BlockingIOError while the launcher is behind with reading."""
        if self._socket is not None:
            try:
                self._socket.send(json.dumps(message).encode())
            except BlockingIOError:
                raise
            except OSError:
                return  # it is lost, and the reader will say so

    def _room(self) -> asyncio.Future[None]:
        """Done when the launcher takes more, or is lost."""
        if self._writable is None:
            loop = asyncio.get_running_loop()
            self._writable = loop.create_future()
            assert self._socket is not None  # noqa: S101 - it would block
            loop.add_writer(self._socket.fileno(), self._has_room)
        return self._writable

    def _has_room(self) -> None:
        if self._writable is not None and self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket.fileno())
            self._writable.set_result(None)
            self._writable = None

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        output: int,
        control: int,
        exited: Exited,
        connected: Connected = _unheard,
    ) -> Child:
        """Start `argv` with `output` as stdout and stderr, and `control` as descriptor 3."""
        sock = self.start()
        self._token += 1
        packet = json.dumps({"spawn": self._token, "argv": list(argv)}).encode()
        spawned: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._spawning[self._token] = (spawned, _Ears(exited, connected))
        try:
            socket.send_fds(sock, [packet], [output, control])
        except OSError as error:
            del self._spawning[self._token]
            raise NotSpawned(f"the launcher does not take requests: {error.strerror}") from error
        try:
            return await spawned
        except asyncio.CancelledError:
            # Spawned but never handed over; had it not been, `_spawned` would kill it.
            if not spawned.cancelled() and spawned.exception() is None:
                spawned.result().kill()
            raise

    async def close(self) -> None:
        """End the launcher and with it every process, strays included."""
        self._closed = True
        if self._socket is None or self._lost is None or self._launcher is None:
            return
        launcher, lost = self._launcher, self._lost
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await asyncio.wait([lost])
        finally:
            if not lost.done():
                launcher.kill()
                self._lose()

    def _read(self) -> None:
        while self._socket is not None:
            try:
                packet, descriptors, _, _ = socket.recv_fds(
                    self._socket, _MAX_PACKET, 4, socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                packet, descriptors = b"", []
            if not packet:
                self._lose()
                return
            self._take(json.loads(packet), descriptors)

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        match message:
            case {"spawned": token, "pid": pid}:
                self._spawned(token, Child(pid, descriptors[0]))
            case {"refused": None, "why": why}:
                self._refuse_all(why)
            case {"refused": token, "why": why}:
                spawned, _ = self._spawning.pop(token)
                if not spawned.done():
                    spawned.set_exception(NotSpawned(f"the launcher refused: {why}"))
            case {"exited": pid, "code": code}:
                child, ears = self._children.pop(pid)
                child.release()
                ears.exited(code)
            case {"connect": pid}:
                self._connected(pid, message)
            case {"confined": _}:
                self._confined(message)

    def _connected(self, pid: int, message: dict[str, Any]) -> None:
        if (known := self._children.get(pid)) is not None:
            verdict = Verdict(message["verdict"])
            connect = Connect(message["address"], message["port"], verdict, message["times"])
            known[1].connected(connect)

    def _confined(self, message: dict[str, Any]) -> None:
        if self._isolation is not None and not self._isolation.done():
            pieces, missing = tuple(message["pieces"]), message["missing"]
            found = Isolation(Level(message["confined"]), pieces, missing)
            if self._order is not None:
                _FOUND[self._order.ports is not None] = found
            self._isolation.set_result(found)

    def _spawned(self, token: int, child: Child) -> None:
        spawned, ears = self._spawning.pop(token)
        self._children[child.pid] = (child, ears)
        if spawned.done():  # nobody waits any more
            child.kill()
        else:
            spawned.set_result(child)

    def _lose(self) -> None:
        """The launcher is gone, and takes its children with it."""
        if self._socket is None or self._launcher is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._has_room()
        self._socket.close()
        self._launcher.kill()
        self._launcher.wait()  # its end is what closed the socket
        self._socket = self._launcher = None
        if not self._closed:
            log.error("launcher.lost", runners=len(self._children), next="started again on demand")
        self._disown()
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def _refuse_all(self, why: str) -> None:
        """It can't confine; nobody is to find out only when a script runs."""
        if self._isolation is not None and not self._isolation.done():
            self._isolation.set_exception(NotSpawned(f"the launcher can't confine: {why}"))
            self._isolation.exception()  # who doesn't ask need not be told

    def _disown(self) -> None:
        spawning, self._spawning = self._spawning, {}
        children, self._children = self._children, {}
        for spawned, _ in spawning.values():
            if not spawned.done():
                spawned.set_exception(NotSpawned("the launcher was lost"))
        self._refuse_all("it was lost")
        for child, ears in children.values():
            child.kill()  # PDEATHSIG has done so already
            child.release()
            ears.exited(None)
