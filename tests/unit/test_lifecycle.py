"""From a signal, or an error, to an exit code; and retrying within a bound."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import lifecycle
from shared.errors import Misconfigured, Unavailable
from shared.lifecycle import Stop
from shared.retry import retrying


async def test_the_first_signal_asks_and_the_second_hurries() -> None:
    stop = Stop()

    stop.signal()
    assert stop.asked.is_set()
    assert not stop.now.is_set()

    stop.signal()
    assert stop.now.is_set()


def ending(*errors: Exception) -> Callable[[], Coroutine[Any, Any, int]]:
    async def main() -> int:
        if len(errors) > 1:
            raise ExceptionGroup("several", list(errors))
        for error in errors:
            raise error
        return 0

    return main


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([Unavailable("the broker is away")], 1),
        ([Misconfigured("no key ring")], lifecycle.EX_CONFIG),
        ([Unavailable("away"), Misconfigured("no key ring")], lifecycle.EX_CONFIG),
    ],
    ids=["done", "unavailable", "misconfigured", "both"],
)
def test_the_exit_code_says_who_has_to_act(
    errors: list[Exception], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == lifecycle.run(ending(*errors), "auth")

    said = capsys.readouterr().err
    assert all(f"auth: {error}" in said for error in errors)


def test_a_bug_crashes_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """With its class and place; what it says may quote anything (test_tracebacks)."""
    code = lifecycle.run(ending(Unavailable("away"), KeyError("a bug")), "auth")

    said = capsys.readouterr().err
    assert 1 == code
    assert "KeyError" in said
    assert "shared.errors.Unavailable: away" in said


async def persist(error: type[Exception], within: timedelta) -> int:
    """How often something that always fails with `error` is tried."""
    tries = 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        raise error

    try:
        async for attempt in retrying(within):
            with attempt:
                fail()
    except error:
        return tries
    raise AssertionError("it gave up without saying why")


async def test_what_is_unavailable_is_tried_again_until_the_bound() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    tries = await persist(Unavailable, timedelta(seconds=10))

    assert tries > 5
    assert 8.9 < loop.time() - began <= 10


async def test_only_what_is_unavailable_is_tried_again() -> None:
    assert 1 == await persist(Misconfigured, timedelta(seconds=10))


NOBODY = 65534


def as_nobody(does: Callable[[], bytes]) -> bytes:
    """What a child says that has no rights but those of its user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os.write(writer, does())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        answer = said.read()
    os.waitpid(child, 0)
    return answer


def seen_of(pid: int) -> bytes:
    """What a process of the same user's sees of another, apart from what everybody may."""
    seen = []
    for name in ("environ", "mem", "maps", "fd", "root"):
        place = Path(f"/proc/{pid}/{name}")
        try:
            if name in ("fd", "root"):
                os.listdir(place)  # noqa: PTH208 - whether it may
            else:
                os.close(os.open(place, os.O_RDONLY))
        except OSError:
            continue
        seen.append(name)
    return " ".join(seen).encode()


def test_a_service_is_closed_to_other_processes_of_its_user() -> None:
    def neighbour_sees() -> bytes:
        pid, (reader, writer) = os.getpid(), os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, seen_of(pid) or b"nothing")
            os._exit(0)
        os.waitpid(child, 0)
        return os.read(reader, 100)

    def before_and_after() -> bytes:
        dumpable = ctypes.c_ulong(1)  # a change of the user took it away
        ctypes.CDLL(None).prctl(lifecycle.PR_SET_DUMPABLE, dumpable, 0, 0, 0)
        seen = [neighbour_sees()]

        lifecycle.run(ending(), "auth")
        seen.append(neighbour_sees())
        return b", ".join(seen)

    before, after = as_nobody(before_and_after).split(b", ")

    assert {b"environ", b"maps", b"fd"} <= {*before.split()}
    assert b"nothing" == after
