"""A crash shows where, and what kind; never what an exception of somebody else's says."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import structlog

from shared import lifecycle
from shared.errors import Unavailable
from shared.telemetry import configure_logging
from shared.tracebacks import described

SECRET = "hunter2-hunter2"


def fail() -> None:
    try:
        int(SECRET)
    except ValueError as error:
        raise KeyError(SECRET) from error


def raised(fail: Callable[[], None]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        fail()
    return caught.value


def test_classes_and_places_of_a_whole_chain() -> None:
    text = described(raised(fail))

    assert ["ValueError", "which led to", "KeyError"] == [
        line for line in text.splitlines() if not line.startswith("  ")
    ]
    assert "test_tracebacks.py" in text
    assert " in fail" in text
    assert SECRET not in text


def test_the_members_of_a_group_and_the_texts_of_our_own() -> None:
    def group() -> None:
        raise BaseExceptionGroup(SECRET, [raised(fail), Unavailable("the broker is away")])

    text = described(raised(group))

    assert "KeyError" in text
    assert "shared.errors.Unavailable: the broker is away" in text
    assert SECRET not in text


def test_an_exception_that_is_its_own_cause() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    assert "KeyError\nwhich led to\nValueError" == described(first)


@pytest.mark.parametrize("form", ["json", "console"])
def test_logged_exceptions_and_those_of_libraries(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configure_logging("debug", form)
    try:
        fail()
    except KeyError:
        structlog.get_logger("ours").exception("it.failed")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    finally:
        structlog.reset_defaults()
        logging.basicConfig(force=True)

    lines = capsys.readouterr().err
    assert 2 == lines.count("which led to")
    assert SECRET not in lines
    if form == "json":
        assert 2 == len([json.loads(line) for line in lines.splitlines()])


async def crash() -> int:
    fail()
    return 0


async def crash_in_a_task() -> int:
    async def lost() -> None:
        fail()

    task = asyncio.get_running_loop().create_task(lost())
    await asyncio.wait({task})
    del task
    return 0


@pytest.mark.parametrize(("main", "code"), [(crash, 1), (crash_in_a_task, 0)])
def test_a_process_that_crashes(
    capsys: pytest.CaptureFixture[str], main: Callable[[], Coroutine[Any, Any, int]], code: int
) -> None:
    assert code == lifecycle.run(main, "auth")

    written = "".join(capsys.readouterr())
    assert "KeyError" in written
    assert SECRET not in written
