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
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from shared.errors import Unavailable

log = structlog.get_logger(__name__)

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_MAX_PACKET: Final = 64 * 1024
CLOSE_WITHIN: Final = 6.0
"""Seconds: the launcher's own last wish ends after five."""

Exited = Callable[[int | None], None]
"""Called once with the exit code (negative: the signal), or None if the launcher was lost."""


class NotSpawned(Unavailable):
    """A process could not be started."""


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

    def __init__(self) -> None:
        self._launcher: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lost: asyncio.Future[None] | None = None
        self._spawning: dict[int, tuple[asyncio.Future[Child], Exited]] = {}
        self._children: dict[int, tuple[Child, Exited]] = {}
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
            command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(theirs.fileno())]
            self._launcher = subprocess.Popen(  # noqa: S603 - our own file
                [*command, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the worker, which then drains
            )
        self._socket = ours
        self._lost = loop.create_future()
        loop.add_reader(ours.fileno(), self._read)
        return ours

    async def spawn(
        self, argv: Sequence[str], *, output: int, control: int, exited: Exited
    ) -> Child:
        """Start `argv` with `output` as stdout and stderr, and `control` as descriptor 3."""
        sock = self.start()
        self._token += 1
        packet = json.dumps({"spawn": self._token, "argv": list(argv)}).encode()
        spawned: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._spawning[self._token] = (spawned, exited)
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
            case {"refused": token, "why": why}:
                spawned, _ = self._spawning.pop(token)
                if not spawned.done():
                    spawned.set_exception(NotSpawned(f"the launcher refused: {why}"))
            case {"exited": pid, "code": code}:
                child, exited = self._children.pop(pid)
                child.release()
                exited(code)

    def _spawned(self, token: int, child: Child) -> None:
        spawned, exited = self._spawning.pop(token)
        self._children[child.pid] = (child, exited)
        if spawned.done():  # nobody waits any more
            child.kill()
        else:
            spawned.set_result(child)

    def _lose(self) -> None:
        """The launcher is gone, and takes its children with it."""
        if self._socket is None or self._launcher is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._launcher.kill()
        self._launcher.wait()  # its end is what closed the socket
        self._socket = self._launcher = None
        if not self._closed:
            log.error("launcher.lost", runners=len(self._children), next="started again on demand")
        self._disown()
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def _disown(self) -> None:
        spawning, self._spawning = self._spawning, {}
        children, self._children = self._children, {}
        for spawned, _ in spawning.values():
            if not spawned.done():
                spawned.set_exception(NotSpawned("the launcher was lost"))
        for child, exited in children.values():
            child.kill()  # PDEATHSIG has done so already
            child.release()
            exited(None)
