"""The launcher's socket, fed with garbage by seed: it answers, goes on, and keeps nothing."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from services.script_worker import launcher
from services.script_worker.sandbox.confinement import Order

SOON = 30.0
QUIET = 10
"""Looks in a row that show the same."""
PACKETS = 300
MANY_DESCRIPTORS = 12
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 2**70, 1e308, "", "\0", "/bin/true", "x" * 9000, [], {}, [[]]),
    *(["/bin/true"], ["/bin/true", "\0"], [None], [["/bin/true"]], {"node": 1}, {"node": "/x"}),
)
_KEYS = ("spawn", "argv", "confine", "grant", "open", "listed", "found", "x")


@contextmanager
def running() -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SOON)
    command = launcher.command(theirs.fileno(), os.getpid())
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield ours, process
        finally:
            ours.close()
            process.wait(timeout=SOON)


def garbage(chance: random.Random) -> bytes:
    """A packet: bytes, half of a message, or one whose members are of any type."""
    kind = chance.random()
    if kind < 0.2:
        return chance.randbytes(chance.choice((1, 40, 60_000)))
    if kind < 0.3:
        return chance.choice((b"[", b'{"a":')) * chance.choice((10, 10_000))
    members = chance.sample(_KEYS, chance.randint(1, 4))
    packet = json.dumps({name: chance.choice(_VALUES) for name in members}).encode()
    return packet[: chance.randint(1, len(packet))] if kind < 0.5 else packet


def descriptors(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            links.append(os.readlink(entry))  # noqa: PTH115 - a name, not a path
    return sorted(links)


def settled(pid: int, wanted: list[str] | None = None) -> list[str]:
    """What it holds once its children are reaped, and it has looked through /proc for strays."""
    until, same = time.monotonic() + SOON, 0
    held = descriptors(pid)
    while held != wanted and same < QUIET and time.monotonic() < until:
        time.sleep(0.01)
        now = descriptors(pid)
        busy = children(pid) or any(re.match(r"/proc/\d", link) for link in now)
        same = same + 1 if wanted is None and now == held and not busy else 0
        held = now
    return held


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def spawned(sock: socket.socket, token: int, null: int) -> dict[str, Any]:
    message = json.dumps({"spawn": token, "argv": ["/bin/true"]}).encode()
    socket.send_fds(sock, [message], [null, null])
    return answered(sock, token)


def answered(sock: socket.socket, token: int) -> dict[str, Any]:
    """The answer to a spawn of ours, past all others; descriptors that come along are closed."""
    while True:
        packet, received, _, _ = socket.recv_fds(sock, 65536, 4)
        for descriptor in received:
            os.close(descriptor)
        message: dict[str, Any] = json.loads(packet)
        if token in (message.get("spawned"), message.get("refused")):
            return message


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_launcher_fed_with_garbage_serves_the_next_request_and_keeps_nothing(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's, to be had again
    null = os.open(os.devnull, os.O_RDWR)
    order = asdict(Order(node=sys.executable))
    with running() as (sock, process):
        sock.send(json.dumps({"confine": order}).encode())
        assert "confined" in json.loads(sock.recv(65536))
        assert "pid" in spawned(sock, 10**6, null)
        before = settled(process.pid)
        for number in range(PACKETS):
            given = [null] * chance.choice((0, 0, 1, 2, 3, MANY_DESCRIPTORS))
            socket.send_fds(sock, [garbage(chance)], given)
            if number % 10 == 0:
                assert "pid" in spawned(sock, 10**6 + number + 1, null), seed

        assert process.poll() is None
        after = settled(process.pid, before)
        assert before == after, seed
    os.close(null)
    assert process.returncode == 0


def test_a_launcher_that_was_told_nonsense_to_confine_spawns_nothing_and_keeps_nothing() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    nonsense = [{}, {"node": 1}, {"node": "/bin/true", "read": [1]}, {"node": "/bin/true", "x": 1}]
    with running() as (sock, process):
        assert "pid" in spawned(sock, 1, null)
        before = settled(process.pid)
        assert "exited" in json.loads(sock.recv(65536))
        for order in [*nonsense, *nonsense]:
            for found in (None, {}, {"pieces": ["x"]}):
                sock.send(json.dumps({"confine": order, "found": found}).encode())
                assert "refused" in json.loads(sock.recv(65536))
        sock.send(json.dumps({"confine": {"node": "/bin/true"}, "found": {"level": 1}}).encode())
        assert "refused" in json.loads(sock.recv(65536))

        assert "could not be" in spawned(sock, 2, null)["why"]
        assert before == settled(process.pid, before)
    os.close(null)
