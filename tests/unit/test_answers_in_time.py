"""Who asks is answered a little after the scripts' deadline, whatever holds the work up (I11)."""

from __future__ import annotations

import asyncio
from dataclasses import MISSING, fields
from typing import Any

import pytest
from starlette.types import Message

from services.auth.app import _Observed
from services.auth.http.patience import AFTERWARDS, UNKNOWN, bounded
from services.auth.http.state import AFTER_BUDGET, LONGEST_BUDGET, State
from shared.errors import Unavailable


def empty_state() -> State:
    """One whose collaborators are not asked for anything."""
    needed = [
        one.name
        for one in fields(State)
        if one.default is MISSING and one.default_factory is MISSING
    ]
    given: dict[str, Any] = dict.fromkeys(needed)
    return State(**given)


async def test_work_that_is_held_up_goes_on_without_its_caller() -> None:
    state, loop = empty_state(), asyncio.get_running_loop()
    ended = []

    async def held_up() -> None:
        await asyncio.sleep(60)
        ended.append(loop.time())

    began = loop.time()
    with pytest.raises(Unavailable):
        await state.complete(held_up(), None)
    answered = loop.time() - began
    await state.drain()

    assert (LONGEST_BUDGET + AFTER_BUDGET).total_seconds() == pytest.approx(answered, abs=0.01)
    assert [pytest.approx(began + 60, abs=0.01)] == ended


async def test_work_that_is_done_in_time_says_what_it_came_to() -> None:
    async def quick() -> str:
        await asyncio.sleep(1)
        return "done"

    assert "done" == await empty_state().complete(quick(), None)


async def test_a_request_that_never_learns_what_it_is_about_is_given_up_early() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(TimeoutError):
        async with bounded("/oauth/token"):
            await asyncio.sleep(60)

    assert UNKNOWN.total_seconds() == pytest.approx(loop.time() - began, abs=0.01)


async def test_slow_reads_before_and_after_the_scripts_count_against_the_whole() -> None:
    """Four seconds until the connection was known, and then no end: the deadline is the request's."""
    state, loop = empty_state(), asyncio.get_running_loop()
    began = loop.time()

    async def slow_reads() -> None:
        async with bounded("/dbconnections/signup"):
            await asyncio.sleep(4)
            await state.complete(asyncio.sleep(1), None)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await slow_reads()

    until = LONGEST_BUDGET + AFTER_BUDGET + AFTERWARDS
    assert until.total_seconds() == pytest.approx(loop.time() - began, abs=0.01)


async def test_a_caller_who_is_given_up_does_not_take_the_work_along() -> None:
    state = empty_state()
    ended = []

    async def held_up() -> None:
        await asyncio.sleep(60)
        ended.append(True)

    with pytest.raises((TimeoutError, Unavailable)):
        async with bounded("/dbconnections/signup"):
            await state.complete(held_up(), None)
    await state.drain()

    assert [True] == ended


async def test_what_is_given_up_is_answered_503_in_the_shape_of_its_route() -> None:
    async def never(*_: object) -> Any:
        await asyncio.sleep(1000)

    bodies: dict[str, list[Message]] = {"/oauth/token": [], "/userinfo": []}
    for path, sent in bodies.items():

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "method": "POST", "headers": [], "query_string": b""}
        await _Observed(never, empty_state())._answered(scope, never, send)

    for sent in bodies.values():
        assert 503 == sent[0]["status"]
        assert b"retry-after" in dict(sent[0]["headers"])
    assert b"temporarily_unavailable" in bodies["/oauth/token"][1]["body"]
    assert b"statusCode" in bodies["/userinfo"][1]["body"]
