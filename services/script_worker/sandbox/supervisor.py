"""Connects on behalf of scripts: judged, then made here, then handed over.

The kernel stops a runner's `connect` and asks us (seccomp user notification). We read the address
once, judge it, connect a socket of our own to exactly that address, and put it in the place of the
script's (ADDFD with SETFD): what the script writes into its memory meanwhile changes nothing. Its
`execve` is asked for as well, and happens once.

Rule 1: nothing here blocks. A blocking connect waits in our poll, not in us.
Rule 2: a verdict is told to the worker before the script can act on it. While the worker does not
        listen no question is taken (`pause`): it waits in the kernel, and so does who asked it.
Rule 3: the kernel's word for "it is gone" (ENOENT) is no error; anything else refuses.
Rule 4: by UDP a runner asks name servers, and nothing else. Such a connect sends nothing and is made
        of habit: resolvers look up in this way which of a name's addresses is the nearest. So one
        to anywhere else fails, and is no violation.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from services.script_worker.sandbox.egress import Endpoint, Grant, Policy, SocketAddress, Verdict
from services.script_worker.sandbox.watching import Watch

RECEIVE, SEND, VALID, ADD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
"""SECCOMP_IOCTL_NOTIF_{RECV,SEND,ID_VALID,ADDFD}: `<linux/seccomp.h>`."""
_CONTINUE: Final = 1
_SETFD: Final = 1
_NOTIFICATION: Final = struct.Struct("=QII iIQ6Q")
MAX_CONNECTS: Final = 500
PER_SECONDS: Final = 10.0
"""A runner connects no more often than this: each costs the launcher some hundred microseconds."""
MAX_PENDING: Final = 8
"""Blocking connects of a runner that are under way, each a descriptor of ours. Node's own connects
don't block; its four threads' do, which look names up. One ends with its runner, or when the
kernel gives up, after some two minutes."""
MAX_REFUSED_TOLD: Final = 64
"""As many as travel with a result; a runner with one is at its end anyway. The others are counted,
and told when it has ended."""
_UNREADABLE: Final = (OSError, ValueError, OverflowError, StopIteration)
"""What reading a script's memory and descriptors may raise, whatever it handed us."""

_KINDS: Final = {
    b"TCP": socket.SOCK_STREAM,
    b"TCPv6": socket.SOCK_STREAM,
    b"UDP": socket.SOCK_DGRAM,
    b"UDPv6": socket.SOCK_DGRAM,
}

Tell = Callable[[int, SocketAddress | None, Verdict, int], None]
"""Called with the runner's pid, where to, the verdict, and how many times."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One syscall that waits for us."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Supervised:
    """One runner: its listener, and what it may."""

    pid: int
    listener: int
    grant: Grant | None = None
    executions: int = 1
    since: float = 0.0
    connects: int = 0
    refused: int = 0
    untold: Counter[Verdict] = field(default_factory=Counter)
    pending: dict[int, tuple[_Asked, socket.socket]] = field(default_factory=dict)
    """Blocking connects under way, by our socket's descriptor."""


class Supervisor:
    """Answers for all runners of a launcher."""

    def __init__(self, watch: Watch, policy: Policy, connect: int, tell: Tell) -> None:
        """`connect` is that syscall's number here; the other one asked for is `execve`."""
        self.policy = policy
        self._watch = watch
        self._connect = connect
        self._tell = tell
        self._runners: dict[int, Supervised] = {}
        self._granted: dict[int, Grant] = {}
        self._awaited: dict[int, socket.socket] = {}
        self._paused = False
        # The other half is for what every runner needs: EMFILE would hit neighbours first.
        self._max_pending = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def pause(self) -> None:
        """Take no question until `resume`."""
        self._paused = True
        for runner in self._runners.values():
            self._watch.remove(runner.listener)

    def resume(self) -> None:
        """Take them again."""
        self._paused = False
        for runner in self._runners.values():
            self._listen(runner)

    def adopt(self, pid: int, channel: socket.socket) -> None:
        """Take the listener that a new child sends over `channel`, and close that."""
        self._awaited[pid] = channel
        self._watch.add(channel.fileno(), lambda _: self._introduce(pid, channel))

    def grant(self, pid: int, grant: Grant) -> None:
        """What a runner may, from now on; it may not have introduced itself yet."""
        self._granted[pid] = grant
        if pid in self._runners:
            self._runners[pid].grant = grant

    def dismiss(self, pid: int) -> None:
        """It has ended."""
        self._granted.pop(pid, None)
        if (channel := self._awaited.get(pid)) is not None:
            self._introduce(pid, channel)  # what it sent before it died is ours to close
        runner = self._runners.pop(pid, None)
        if runner is None:
            return
        for descriptor, (_, ours) in runner.pending.items():
            self._watch.remove(descriptor)
            ours.close()
        self._watch.remove(runner.listener)
        os.close(runner.listener)
        for verdict, times in runner.untold.items():
            self._tell(pid, None, verdict, times)

    def _introduce(self, pid: int, channel: socket.socket) -> None:
        del self._awaited[pid]
        self._watch.remove(channel.fileno())
        descriptors: list[int] = []
        with channel, suppress(OSError):
            flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
            _, descriptors, _, _ = socket.recv_fds(channel, 64, 1, flags)
        if not descriptors:
            return  # it ended before it was confined
        runner = Supervised(pid, descriptors[0], self._granted.get(pid))
        self._runners[pid] = runner
        if not self._paused:
            self._listen(runner)

    def _listen(self, runner: Supervised) -> None:
        self._watch.add(runner.listener, lambda events: self._question(runner, events))

    def _question(self, runner: Supervised, events: int) -> None:
        if not events & select.POLLIN or not self._answer(runner):
            self._watch.remove(runner.listener)  # nobody is left who could ask

    def _answer(self, runner: Supervised) -> bool:
        """Take one question of a runner; False when there will be no more."""
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(runner.listener, RECEIVE, buffer)
        except OSError as error:
            # Nobody waits any more: a signal came first. Or the filter has no process left, and
            # then the poll says so.
            return error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN)
        id, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
        asked = _Asked(id, thread, number, tuple(arguments))
        try:
            if number == self._connect:
                self._judge(runner, asked)
            elif runner.executions:
                runner.executions -= 1
                self._respond(runner, asked, flags=_CONTINUE)
            else:
                self._respond(runner, asked, error=errno.EPERM)
        except _UNREADABLE:
            self._respond(runner, asked, error=errno.EACCES)
        return True

    def _finish(self, runner: Supervised, descriptor: int) -> None:
        """A blocking connect has come to an end."""
        self._watch.remove(descriptor)
        asked, ours = runner.pending.pop(descriptor)
        with ours:
            error = ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error == 0:
                ours.setblocking(True)  # noqa: FBT003 - takes no keyword
                error = self._hand_over(runner, asked, ours)
            self._respond(runner, asked, error=error)

    def _judge(self, runner: Supervised, asked: _Asked) -> None:
        kind, flags = _descriptor(asked)
        to = self._destination(runner, asked)
        verdict = self._verdict(runner, to)
        if kind is socket.SOCK_DGRAM and (to is None or not self.policy.is_resolver(to.to)):
            self._respond(runner, asked, error=errno.ENETUNREACH)
            return
        self._note(runner, to, verdict)
        if to is None or verdict is not Verdict.ALLOWED:
            self._respond(runner, asked, error=errno.EACCES)
            return
        ours = socket.socket(to.family, kind | socket.SOCK_NONBLOCK)
        error = ours.connect_ex(to.for_python())
        if error == errno.EINPROGRESS and not flags & os.O_NONBLOCK:
            its = ours.fileno()
            runner.pending[its] = (asked, ours)
            self._watch.add(its, lambda _: self._finish(runner, its), select.POLLOUT)
            return
        with ours:
            if error in (0, errno.EINPROGRESS):
                ours.setblocking(not flags & os.O_NONBLOCK)
                error = self._hand_over(runner, asked, ours) or error
            self._respond(runner, asked, error=error)

    def _note(self, runner: Supervised, to: SocketAddress | None, verdict: Verdict) -> None:
        runner.refused += verdict is not Verdict.ALLOWED
        if verdict is not Verdict.ALLOWED and runner.refused > MAX_REFUSED_TOLD:
            runner.untold[verdict] += 1
        else:
            self._tell(runner.pid, to, verdict, 1)

    def _destination(self, runner: Supervised, asked: _Asked) -> SocketAddress | None:
        _, pointer, length = asked.arguments[:3]
        length &= 0xFFFFFFFF
        if not 2 <= length <= 128:
            return None
        memory = os.open(f"/proc/{asked.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.pread(memory, min(length, 28), pointer)
        finally:
            os.close(memory)
        # Only now is it certain that the memory was this thread's, and not a later one's.
        fcntl.ioctl(runner.listener, VALID, struct.pack("=Q", asked.id))
        return SocketAddress.parse(raw)

    def _verdict(self, runner: Supervised, to: SocketAddress | None) -> Verdict:
        now = time.monotonic()
        if now - runner.since >= PER_SECONDS:
            runner.since, runner.connects = now, 0
        runner.connects += 1
        pending = sum(len(each.pending) for each in self._runners.values())
        full = len(runner.pending) >= MAX_PENDING or pending >= self._max_pending
        if runner.connects > MAX_CONNECTS or full:
            return Verdict.TOO_MANY
        if to is None:
            return Verdict.NOT_INTERNET
        return self.policy.judge(to.to, runner.grant, local=is_local(to.to))

    def _hand_over(self, runner: Supervised, asked: _Asked, ours: socket.socket) -> int:
        """Put our socket in the place of theirs; an errno, 0 if it went well."""
        number = asked.arguments[0] & 0xFFFFFFFF
        try:
            _, flags = _descriptor(asked)  # closed meanwhile, it may be, or its process gone
            request = struct.pack(
                "=QIIII", asked.id, _SETFD, ours.fileno(), number, flags & os.O_CLOEXEC
            )
            fcntl.ioctl(runner.listener, ADD, request)
        except OSError as error:
            return error.errno or errno.EACCES
        except _UNREADABLE:
            return errno.EACCES
        return 0

    def _respond(
        self, runner: Supervised, asked: _Asked, *, error: int = 0, flags: int = 0
    ) -> None:
        with suppress(OSError):  # it is gone
            fcntl.ioctl(runner.listener, SEND, struct.pack("=QqiI", asked.id, 0, -error, flags))


def _descriptor(asked: _Asked) -> tuple[socket.SocketKind, int]:
    """What the script's socket is, and its flags (octal in fdinfo). Raises OSError for others.

    The protocol's name is an attribute of each socket in the kernel (`sockfs_xattr_get` in
    net/socket.c), readable without the descriptor.
    """
    place = f"/proc/{asked.thread}"
    number = asked.arguments[0] & 0xFFFFFFFF
    protocol = os.getxattr(f"{place}/fd/{number}", "system.sockprotoname").rstrip(b"\0")
    kind = _KINDS.get(protocol)
    if kind is None:
        raise OSError(errno.ENOTSOCK, "neither TCP nor UDP")
    with open(f"{place}/fdinfo/{number}", encoding="ascii") as lines:  # noqa: PTH123 - on the path of each connect
        flags = next(line for line in lines if line.startswith("flags:"))
    return kind, int(flags.split()[1], 8)


def is_local(to: Endpoint) -> bool:
    """Whether the address is one of this machine's: only then can it be bound."""
    family = socket.AF_INET if to.address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(to.address), 0))
        except OSError:
            return False
    return True
