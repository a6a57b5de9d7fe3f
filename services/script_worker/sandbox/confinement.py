"""What a child does to itself between the fork and the exec, in an order that can't be changed.

Rule 1: a piece that this machine was found to give and that fails now ends the child: a script
        never starts with less than its worker said.
Rule 2: only the child runs this; what is prepared ahead, in the launcher, is descriptors.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from services.script_worker.sandbox import landlock, seccomp
from services.script_worker.sandbox.egress import (
    DNS_PORT,
    Endpoint,
    Policy,
    endpoints,
    resolvers_of,
)
from services.script_worker.sandbox.files import program_files, system_files
from services.script_worker.sandbox.landlock import Files
from services.script_worker.sandbox.levels import Pieces
from services.script_worker.sandbox.supervisor import is_local

MAX_DESCRIPTORS: Final = 256
"""That a runner may have open: numbers are below it."""
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAPBSET_DROP: Final = 24
_CAPABILITY_VERSION_3: Final = 0x20080522
_MOST_CAPABILITIES: Final = 64


@dataclass(frozen=True, slots=True)
class Order:
    """What the worker wants around its runners; as JSON over the launcher's socket."""

    node: str
    read: tuple[str, ...] = ()
    """Folders that scripts may read: the harness and the modules."""
    own: tuple[tuple[str, int], ...] = ()
    shared: tuple[tuple[str, int], ...] = ()
    refused: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = None

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Self:
        """From the wire. Raises TypeError for what is missing, not known, or no path."""
        order = cls(**message)
        if not all(isinstance(path, str) for path in (order.node, *order.read)):
            raise TypeError("a path is a text")
        return order


@dataclass(frozen=True, slots=True)
class Confinement:
    """The pieces in use, ready for any number of children."""

    pieces: Pieces
    files: Files
    ports: tuple[int, ...] | None = None

    def apply(self, launcher: socket.socket | None) -> None:
        """Confine the calling process for good. Raises OSError.

        `launcher` takes the descriptor by which the process is supervised.
        """
        channel = None
        if self.pieces.supervised:
            if launcher is None:
                raise OSError("nobody supervises")
            beyond = fcntl.fcntl(launcher, fcntl.F_DUPFD_CLOEXEC, MAX_DESCRIPTORS)
            channel = socket.socket(fileno=beyond)
        limit()
        drop_capabilities()
        if self.pieces.landlock:
            landlock.restrict(landlock.Ruleset(self.files, self._ports()))
        if self.pieces.seccomp:
            _give_up_syscalls(channel)

    def _ports(self) -> tuple[int, ...] | None:
        if self.pieces.supervised:
            return ()  # the launcher connects, so the process itself has no use for any
        return self.ports if self.pieces.ports else None


def _give_up_syscalls(channel: socket.socket | None) -> None:
    machine = seccomp.machine()
    if machine is None:
        raise OSError("no table of syscalls for this machine")
    number = None if channel is None else channel.fileno()
    filters = seccomp.program(machine, os.getpid(), number)
    listener = seccomp.install(machine, filters, listen=channel is not None)
    if channel is not None:
        socket.send_fds(channel, [b"listener"], [listener])
        channel.close()


def limit() -> None:
    """Resource limits, and no way to gain privileges: every machine gives these."""
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        resource.setrlimit(what, (0, 0))  # a core would hold passwords
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))
    # SIGXFSZ stays ignored, so that a write to a file fails with EFBIG instead of killing.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "prctl(NO_NEW_PRIVS)")
    with suppress(OSError):  # when memory runs out the kernel takes a script, not the worker
        Path("/proc/self/oom_score_adj").write_text("1000")


def drop_capabilities() -> None:
    """Give up what a worker that runs as root would hand down. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST_CAPABILITIES):  # unknown ones are refused, and so is having none
        libc.prctl(_PR_CAPBSET_DROP, *map(ctypes.c_ulong, (capability, 0, 0, 0)))
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if libc.capset(header, struct.pack("=6I", *[0] * 6)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def prepared_files(order: Order) -> Files:
    """Everything that Node opens, opened ahead."""
    execute, libraries = program_files(order.node)
    return Files.opened(execute=execute, read=(*libraries, *order.read, *system_files()))


def policy_of(order: Order) -> Policy:
    """The rules for connects, with the resolvers that this machine is configured for."""
    from ipaddress import ip_network  # noqa: PLC0415 - egress has it loaded already

    resolv_conf = Path("/etc/resolv.conf")
    text = ""
    with suppress(OSError, UnicodeDecodeError):
        text = resolv_conf.read_text()
    own, shared = endpoints(order.own), endpoints(order.shared)
    # On this machine, by whatever name, it may answer at the loopback address too.
    here = {Endpoint.of("127.0.0.1", each.port) for each in own - shared if is_local(each)}
    return Policy(
        own=own | here,
        shared=shared,
        refused=tuple(ip_network(each) for each in order.refused),
        ports=None if order.ports is None else frozenset(order.ports),
        resolvers=resolvers_of(text),
    )


def attempts(decoy: str, parent: int, pieces: Pieces, listeners: Sequence[int]) -> list[str]:
    """Try what must not work, from inside; the names of what did. Never raises.

    `decoy`: a file that is there and outside of every rule; `listeners`: two ports of 127.0.0.1
    that accept, of which the first may be connected to and the second may not. 127.0.0.1 is a name
    server.
    """
    tried: dict[str, bool] = {}
    if pieces.landlock:
        tried["read"] = _works(lambda: open(decoy, "rb").close())  # noqa: PTH123 - a probe
        tried["list"] = _works(lambda: os.listdir(os.path.dirname(decoy)))  # noqa: PTH120, PTH208
    if pieces.seccomp:
        tried["fork"] = _works(_fork)
        tried["signal"] = _works(lambda: os.kill(parent, 0))
        tried["udp"] = _works(lambda: _datagrams(listeners[0]))
        tried["udp to an address"] = _works(lambda: _datagrams(None, listeners[0]))
        tried["unix"] = _works(lambda: socket.socket(socket.AF_UNIX).close())
    if pieces.supervised:
        tried["no name server"] = not _works(lambda: _datagrams(DNS_PORT))
        # Nothing but an address for a send is behind this pointer.
        tried["sendmsg"] = _works(lambda: _datagrams(DNS_PORT, listeners[0], message=True))
    if pieces.supervised or pieces.ports:
        tried["connect"] = _works(lambda: _connect(listeners[1]))
        tried["no connect"] = not _works(lambda: _connect(listeners[0]))
        tried["no blocking connect"] = not _works(lambda: _connect(listeners[0], None))
    return [name for name, worked in tried.items() if worked]


def _works(attempt: Any) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _datagrams(to: int | None, send: int | None = None, *, message: bool = False) -> None:
    """By UDP: connect to a port of 127.0.0.1, send an empty datagram to another. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        if to is not None:
            datagrams.connect(("127.0.0.1", to))
        if send is not None and message:
            datagrams.sendmsg([b""], [], 0, ("127.0.0.1", send))
        elif send is not None:
            datagrams.sendto(b"", ("127.0.0.1", send))


def _connect(port: int, timeout: float | None = 5.0) -> None:
    with socket.socket() as connecting:  # `create_connection` would load modules from files
        connecting.settimeout(timeout)
        connecting.connect(("127.0.0.1", port))
        if connecting.getpeername()[1] != port:
            raise OSError("connected to somewhere else")
