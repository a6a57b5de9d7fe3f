"""Who asks is answered a little after the scripts' deadline, whatever holds the work up (I11)."""

from __future__ import annotations

import asyncio
from dataclasses import MISSING, fields
from typing import Any

import pytest

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
