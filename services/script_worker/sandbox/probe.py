"""Which level this machine really gives: each is tried in a child before any script runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

from services.script_worker.sandbox import seccomp
from services.script_worker.sandbox.confinement import Confinement, attempts
from services.script_worker.sandbox.egress import Endpoint, Grant, Policy
from services.script_worker.sandbox.landlock import Files
from services.script_worker.sandbox.levels import LADDER, Level, Pieces
from services.script_worker.sandbox.supervisor import Supervisor
from services.script_worker.sandbox.syscalls import NUMBERS
from services.script_worker.sandbox.watching import Watch

WITHIN: Final = 10.0
"""Seconds that a try may take; it takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best that works, and what failed on the way down."""

    level: Level
    pieces: Pieces
    missing: dict[str, list[str]]

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Self:
        """What another launcher found. Raises ValueError, TypeError or KeyError."""
        pieces = Pieces(**dict.fromkeys(message["pieces"], True))
        return cls(Level(message["level"]), pieces, message["missing"])


def find(files: Files, ports: tuple[int, ...] | None) -> Found:
    """Try the levels from the top."""
    missing: dict[str, list[str]] = {}
    for level, pieces in LADDER:
        if pieces.ports and ports is None:
            continue  # no ports are listed, so bounding them to the list means nothing
        failed = fails(pieces, files) if pieces != Pieces() else []
        if not failed:
            return Found(level, pieces, missing)
        missing["+".join(pieces.names())] = failed
    raise AssertionError("the ladder ends with nothing to try")


def fails(pieces: Pieces, files: Files) -> list[str]:
    """What does not hold when these pieces are put to use; empty when all does."""
    with ExitStack() as closing:
        listening = [closing.enter_context(_listening()) for _ in range(2)]
        ports = [each.getsockname()[1] for each in listening]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        closing.enter_context(ours)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        closing.callback(os.close, reader)
        confinement = Confinement(pieces, files, (ports[0],))
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _try(confinement, theirs, writer, parent, ports)
        os.close(writer)
        theirs.close()
        try:
            report = _supervise(child, ours, reader, ports)
        finally:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return report


def _listening() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(8)
    return listening


def _try(
    confinement: Confinement, launcher: socket.socket, report: int, parent: int, ports: list[int]
) -> NoReturn:
    try:
        confinement.apply(launcher)
        failed = attempts(__file__, parent, confinement.pieces, ports)
    except BaseException as error:  # noqa: BLE001 - the next statements end the process
        failed = [str(error)]
    os.write(report, json.dumps(failed).encode())
    os._exit(0)


def _supervise(child: int, channel: socket.socket, report: int, ports: list[int]) -> list[str]:
    """Answer the child's connects until it has reported."""
    watch, told = Watch(), bytearray()
    machine = seccomp.machine()
    connect = NUMBERS[machine]["connect"] if machine is not None else -1
    own = Endpoint.of("127.0.0.1", ports[1])
    policy = Policy(own=frozenset({own}), resolvers=frozenset({own.address}))
    supervisor = Supervisor(watch, policy, connect, lambda *_: None)
    supervisor.grant(child, Grant())
    supervisor.adopt(child, channel)
    watch.add(report, lambda _: told.extend(os.read(report, 4096) or b'["it died"]'))
    until = time.monotonic() + WITHIN
    try:
        while not told and time.monotonic() < until:
            watch.handle(watch.wait(100))
    finally:
        supervisor.dismiss(child)
    return [str(each) for each in json.loads(told or b'["it took too long"]')]
