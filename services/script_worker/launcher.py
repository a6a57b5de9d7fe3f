"""The launcher: a tiny process that spawns every runner, and the only place that spawns.

It is started first, as `python -I -S launcher.py FD PARENT`, and imports the standard library
alone: a fork of it is cheap and safe (8 MB, one thread), where a fork of the worker would stall
the worker's event loop and copy its secrets.

Rule 1: a child starts with nothing: no descriptor, no environment, no privilege it could gain.
Rule 2: nothing outlives the launcher, and the launcher doesn't outlive the worker.
Rule 3: what arrives on the socket may be garbage; it is answered, and the loop goes on.

One message a packet (SEQPACKET, JSON):
worker -> launcher  {"spawn": token, "argv": [...]} with two descriptors: output pipe, control socket
launcher -> worker  {"spawned": token, "pid": n} with a pidfd | {"refused": token, "why": "..."}
                    {"exited": pid, "code": n}   n < 0: died by signal -n
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

MAX_PACKET = 64 * 1024
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LANG": "C.UTF-8"}
LAST_WISH_SECONDS = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _die_with(parent: int, signum: int) -> None:
    """Ask the kernel for a signal when the parent ends; it may have ended before we asked."""
    _prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(0)


def confine() -> None:
    """Take everything away that a script has no use for. Runs in the child, before `execve`.

    This is the place where Landlock and seccomp belong: after the limits, before the exec.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold passwords
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    # SIGXFSZ stays ignored, so that a write to a file fails with EFBIG instead of killing.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGXFSZ}:
        with suppress(OSError, ValueError):  # the C library keeps two for itself
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _become(argv: list[str], output: int, control: int, launcher: int) -> NoReturn:
    """The child's side of the fork: never returns, never runs the launcher's own code again."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        _reset_signals()
        # Moved out of the way first: a received descriptor may itself be number 0 to 3.
        output = fcntl.fcntl(output, fcntl.F_DUPFD_CLOEXEC, 10)
        control = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, 10)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(control, 3)
        os.closerange(4, 1024)  # a second lock: all of ours close at exec anyway
        os.umask(0o077)
        os.chdir("/")
        confine()
        _die_with(launcher, signal.SIGKILL)
        os.execve(argv[0], argv, ENVIRONMENT)  # noqa: S606 - a shell is what we avoid
    except BaseException as error:  # noqa: BLE001 - the next statement ends the process
        with suppress(OSError):
            os.write(2, f"cannot start {argv[0]}: {error}\n".encode())
    os._exit(127)


class Launcher:
    """Spawns on request, reaps everything, tells the worker."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._pid = os.getpid()
        self._runners: set[int] = set()

    def serve(self, wakeup: int) -> None:
        """Until the worker is gone."""
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        while not _terminated:
            ready = dict(poll.poll())
            if wakeup in ready:
                os.read(wakeup, 4096)
                self._reap()
            if self._worker.fileno() in ready and not self._listen():
                return

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
            token, argv = message["spawn"], message["argv"]
            _check(argv, descriptors, truncated=truncated)
            pid, pidfd = self._spawn(argv, *descriptors)
        except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
            self._tell({"refused": token, "why": f"{type(error).__name__}: {error}"[:500]})
            return
        try:
            self._tell({"spawned": token, "pid": pid}, pidfd)
        finally:
            os.close(pidfd)

    def _spawn(self, argv: list[str], output: int, control: int) -> tuple[int, int]:
        pid = os.fork()
        if pid == 0:
            _become(argv, output, control, self._pid)
        self._runners.add(pid)
        return pid, os.pidfd_open(pid)  # ours to reap, so the pid can't have been reused

    def _reap(self) -> None:
        while (ended := _next_ended()) is not None:
            # Before the zombie is reaped its pid can't be reused, so this group is its own.
            _kill_group(ended)
            _, status = os.waitpid(ended, 0)
            if ended in self._runners:
                self._runners.discard(ended)
                self._tell({"exited": ended, "code": os.waitstatus_to_exitcode(status)})
            # A daemon that left its group is our child now: we are the subreaper.
            for stray in _children(self._pid) - self._runners:
                _kill_group(stray)

    def _tell(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        packet = json.dumps(message).encode()
        with suppress(OSError):  # the worker is gone: the loop's next read says so
            if descriptor is None:
                self._worker.send(packet)
            else:
                socket.send_fds(self._worker, [packet], [descriptor])


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


def main(descriptor: int, parent: int) -> None:
    """Serve the worker at the other end of the socket until it is gone."""
    # Everything from here on, its signals included, must find us ready to clean up.
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    # SIGTERM rather than SIGKILL: strays have to be killed too, and nobody else could.
    _die_with(parent, signal.SIGTERM)
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
    launcher = Launcher(socket.socket(fileno=descriptor))
    try:
        launcher.serve(reader)
    finally:
        launcher.end_all()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
