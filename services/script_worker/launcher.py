"""The launcher: a tiny process that spawns every runner, and the only place that spawns.

It is started first, by `python -I -S` (see `command`), and imports the standard library and
`sandbox` alone: a fork of it is cheap and safe (one thread, some megabytes), where a fork of the
worker would stall the worker's event loop and copy its secrets.

Rule 1: a child starts with nothing: no descriptor, no environment, no privilege it could gain.
Rule 2: nothing outlives the launcher, and the launcher doesn't outlive the worker.
Rule 3: what arrives on the socket may be garbage; it is answered, and the loop goes on.
Rule 4: it never waits for the worker. What that does not take is kept, in order, and meanwhile
        no connect is judged: so what is kept has a bound, a message or two for each runner.
Rule 5: once it was told to confine, no child starts with less than the level it found.

One message a packet (SEQPACKET, JSON):
worker -> launcher  {"confine": {...}}  what to put around each child from now on (`Order`);
                    "found": {...} besides, when another launcher has tried this machine before
                    {"spawn": token, "argv": [...]} with two descriptors: output pipe, control socket
                    {"grant": pid, "open": bool, "listed": [[address, port], ...]}
launcher -> worker  {"confined": level, "pieces": [...], "missing": {level: [...]}}
                    {"spawned": token, "pid": n} with a pidfd | {"refused": token, "why": "..."}
                    {"connect": pid, "address": "...", "port": n, "verdict": "...", "times": n}
                    {"exited": pid, "code": n}   n < 0: died by signal -n
"""

from __future__ import annotations

import array
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from services.script_worker.sandbox import probe, seccomp
from services.script_worker.sandbox.child import ENVIRONMENT, become, die_with, prctl
from services.script_worker.sandbox.confinement import (
    Confinement,
    Order,
    policy_of,
    prepared_files,
)
from services.script_worker.sandbox.egress import Grant, SocketAddress, Verdict, endpoints
from services.script_worker.sandbox.probe import Found
from services.script_worker.sandbox.supervisor import Supervisor
from services.script_worker.sandbox.syscalls import NUMBERS
from services.script_worker.sandbox.watching import Watch

__all__ = ["ENVIRONMENT", "command"]

MAX_PACKET: Final = 64 * 1024
LAST_WISH_SECONDS: Final = 5.0
MAX_DESCRIPTORS: Final = 4096
"""Where the hard limit gives as many: one for each runner, and those of connects under way."""
PR_SET_CHILD_SUBREAPER: Final = 36
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]);"  # last: the standard library goes first
    " from services.script_worker.launcher import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


def command(descriptor: int, parent: int) -> list[str]:
    """How a launcher is started: no site, no environment, no path but the one to this package."""
    root = str(Path(__file__).parents[2])
    return [sys.executable, "-I", "-S", "-c", _BOOT, root, str(descriptor), str(parent)]


class Launcher:
    """Spawns on request, supervises, reaps everything, tells the worker."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._worker_full = os.dup(worker.fileno())
        """To wait by until the worker takes more: a poll knows each number once."""
        self._kept: deque[tuple[bytes, int | None]] = deque()
        self._pid = os.getpid()
        self._runners: set[int] = set()
        self._watch = Watch()
        self._to_be_confined = False
        self._confinement: Confinement | None = None
        self._supervisor: Supervisor | None = None

    def serve(self, wakeup: int) -> None:
        """Until the worker is gone."""
        self._watch.add(self._worker.fileno(), lambda _: None)
        self._watch.add(wakeup, lambda _: self._wake(wakeup))
        while not _terminated:
            ready = self._watch.wait()
            # The worker goes first: a grant that it sent before the script's first connect has to
            # be known when that is judged, whichever of the two was seen first.
            while self._readable():
                if not self._listen():
                    return
            self._watch.handle(ready)

    def end_all(self) -> None:
        """Kill every descendant and reap it (rule 2)."""
        until = time.monotonic() + LAST_WISH_SECONDS
        while time.monotonic() < until:
            for pid in self._runners | _children(self._pid):
                _kill_group(pid)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.002)

    def _wake(self, wakeup: int) -> None:
        os.read(wakeup, 4096)
        self._reap()

    # -- the worker ---------------------------------------------------------------------------

    def _readable(self) -> bool:
        return bool(select.select([self._worker], [], [], 0)[0])

    def _listen(self) -> bool:
        try:
            packet, descriptors, flags = _receive(self._worker)
        except OSError:
            return False
        try:
            if not packet:
                return False
            self._answer(packet, descriptors, truncated=bool(flags & socket.MSG_CTRUNC))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _answer(self, packet: bytes, descriptors: list[int], *, truncated: bool) -> None:
        token: Any = None
        try:
            message = json.loads(packet)
            if "confine" in message:
                self._to_be_confined = True
                self._confine(Order.parse(message["confine"]), message.get("found"))
                return
            if "grant" in message:
                self._grant(message)
                return
            token, argv = message["spawn"], message["argv"]
            _check(argv, descriptors, truncated=truncated)
            self._check_confined()
            pid, pidfd = self._spawn(argv, *descriptors)
        except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
            self._tell({"refused": token, "why": f"{type(error).__name__}: {error}"[:500]})
            return
        self._tell({"spawned": token, "pid": pid}, pidfd)

    def _check_confined(self) -> None:
        if self._to_be_confined and self._confinement is None:
            raise ValueError("what was to be put around it could not be")

    def _confine(self, order: Order, known: dict[str, Any] | None) -> None:
        """From now on, and again with other addresses of our own services."""
        policy = policy_of(order)
        if self._supervisor is not None:
            self._supervisor.policy = policy
        if self._confinement is not None:
            return
        earlier = None if known is None else Found.parse(known)
        with ExitStack() as undoing:
            files = prepared_files(order)
            undoing.callback(files.close)
            found = earlier or probe.find(files, order.ports)
            undoing.pop_all()
        self._confinement = Confinement(found.pieces, files, order.ports)
        machine = seccomp.machine()
        if found.pieces.supervised and machine is not None:
            self._supervisor = Supervisor(
                self._watch, policy, NUMBERS[machine]["connect"], self._told
            )
        self._tell(
            {
                "confined": found.level.value,
                "pieces": found.pieces.names(),
                "missing": found.missing,
            }
        )

    def _grant(self, message: dict[str, Any]) -> None:
        pid = message["grant"]
        grant = Grant(open=bool(message["open"]), listed=endpoints(message["listed"]))
        if self._supervisor is not None and pid in self._runners:
            self._supervisor.grant(pid, grant)

    def _told(self, pid: int, to: SocketAddress | None, verdict: Verdict, times: int) -> None:
        address = str(to.to.address) if to is not None else ""
        port = to.to.port if to is not None else 0
        where = {"address": address, "port": port}
        self._tell({"connect": pid, **where, "verdict": verdict.value, "times": times})

    def _tell(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Send, or keep until the worker takes it (rule 4). The descriptor is ours to close."""
        self._kept.append((json.dumps(message).encode(), descriptor))
        if len(self._kept) == 1 and not self._send_kept():
            self._watch.add(self._worker_full, lambda _: self._go_on(), select.POLLOUT)
            if self._supervisor is not None:
                self._supervisor.pause()

    def _go_on(self) -> None:
        if self._send_kept():
            self._watch.remove(self._worker_full)
            if self._supervisor is not None:
                self._supervisor.resume()

    def _send_kept(self) -> bool:
        """Whether all is sent."""
        while self._kept:
            packet, descriptor = self._kept[0]
            rights = [] if descriptor is None else [array.array("i", [descriptor])]
            along = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, each) for each in rights]
            try:  # not `send_fds`: it drops the flags
                self._worker.sendmsg([packet], along, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                pass  # the worker is gone: the loop's next read says so
            self._kept.popleft()
            if descriptor is not None:
                os.close(descriptor)
        return True

    # -- the runners --------------------------------------------------------------------------

    def _spawn(self, argv: list[str], output: int, control: int) -> tuple[int, int]:
        ours = theirs = None
        if self._supervisor is not None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            become(argv, output, control, self._pid, self._confinement, theirs)
        self._runners.add(pid)
        if self._supervisor is not None and ours is not None and theirs is not None:
            theirs.close()
            self._supervisor.adopt(pid, ours)
        try:
            return pid, os.pidfd_open(pid)  # ours to reap, so the pid can't have been reused
        except OSError:
            self._runners.discard(pid)  # nobody will know of it
            if self._supervisor is not None:
                self._supervisor.dismiss(pid)
            _kill_group(pid)
            raise

    def _reap(self) -> None:
        any_ended = False
        while (ended := _next_ended()) is not None:
            any_ended = True
            # Before the zombie is reaped its pid can't be reused, so this group is its own.
            _kill_group(ended)
            _, status = os.waitpid(ended, 0)
            if ended in self._runners:
                self._runners.discard(ended)
                if self._supervisor is not None:
                    self._supervisor.dismiss(ended)
                self._tell({"exited": ended, "code": os.waitstatus_to_exitcode(status)})
        # A daemon that left its group is our child now: we are the subreaper.
        for stray in _children(self._pid) - self._runners if any_ended else ():
            _kill_group(stray)


def _receive(sock: socket.socket) -> tuple[bytes, list[int], int]:
    size = array.array("i").itemsize
    packet, ancillary, flags, _ = sock.recvmsg(
        MAX_PACKET, socket.CMSG_SPACE(8 * size), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % size])
    return packet, list(descriptors), flags


def _check(argv: object, descriptors: list[int], *, truncated: bool) -> None:
    if truncated or len(descriptors) != 2:
        raise ValueError("two descriptors are needed")
    if not (isinstance(argv, list) and argv and all(map(_is_word, argv))):
        raise ValueError("argv must be a list of strings")


def _is_word(word: object) -> bool:
    return isinstance(word, str) and "\0" not in word


def _next_ended() -> int | None:
    """The pid of a child that has ended, left as a zombie."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended is not None else None


def _kill_group(pid: int) -> None:
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _children(parent: int) -> set[int]:
    """All our children, strays included; slow (all of /proc), so only asked after a death."""
    found = set()
    with suppress(OSError):  # no descriptor is left; the next death looks again
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _parent_of(entry) == parent:
                found.add(int(entry.name))
    return found


def _parent_of(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[1])


_terminated = False


def _terminate(*_: object) -> None:
    global _terminated  # noqa: PLW0603 - a signal handler has no other way to speak
    _terminated = True


def _fill_up() -> None:
    """Nothing of ours gets the numbers that a child's own descriptors take."""
    while (spare := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) <= 3:
        pass
    os.close(spare)


def main(descriptor: int, parent: int) -> None:
    """Serve the worker at the other end of the socket until it is gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MAX_DESCRIPTORS), most))
    _fill_up()
    # Everything from here on, its signals included, must find us ready to clean up.
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # SIGTERM rather than SIGKILL: strays have to be killed too, and nobody else could.
    die_with(parent, signal.SIGTERM)
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
    launcher = Launcher(socket.socket(fileno=descriptor))
    try:
        launcher.serve(reader)
    finally:
        launcher.end_all()
