"""From a signal, or an error, to an exit code; and retrying within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
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
