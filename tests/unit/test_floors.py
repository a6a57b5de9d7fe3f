"""Denials take equally long, whoever they are about: the logic, in virtual time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.floors import FIRST, MARGIN, MOST, RANK, WINDOW, Floor
from services.auth.padding import Padding
from tests.unit.connections import connection


def settled(*took: float) -> Floor:
    """After a window of its own, in which denials took so long."""
    floor = Floor(0)
    for seconds in took:
        floor.noted(seconds, WINDOW)
    return floor


def test_a_fresh_replica_begins_high() -> None:
    floor = Floor(0)
    floor.noted(0.01, 1)

    assert FIRST == floor.seconds(1)
    assert 0 == floor.seconds(WINDOW + 1)


def test_it_is_what_the_slowest_take_and_a_margin() -> None:
    assert pytest.approx(0.3 * MARGIN) == settled(0.5, 0.4, 0.3, 0.01).seconds(WINDOW)


def test_one_accident_does_not_make_it() -> None:
    assert pytest.approx(0.03 * MARGIN) == settled(0.03, 0.03, 0.03, 1.9).seconds(WINDOW)


def test_a_flood_of_fast_denials_does_not_push_it_down() -> None:
    floor = settled(0.4, 0.4, 0.4)
    for _ in range(10_000):
        floor.noted(0.001, WINDOW + 1)

    assert pytest.approx(0.4 * MARGIN) == floor.seconds(WINDOW + 1)


def test_it_fades_and_is_bounded() -> None:
    floor = settled(9, 9, 9)

    assert MOST == floor.seconds(WINDOW + 1)
    floor.noted(0.1, 2 * WINDOW - 1)
    assert pytest.approx(0.1 * MARGIN) == floor.seconds(2 * WINDOW)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 200)), max_size=200))
def test_at_most_two_of_a_window_take_longer_than_it_says(
    denials: list[tuple[float, float]],
) -> None:
    floor, now, kept = Floor(0), 0.0, []
    for took, passed in denials:
        now += passed
        floor.noted(took, now)
        kept.append((now, took))
    seconds = floor.seconds(now)
    recent = [took for at, took in kept if now - at < WINDOW / 2]

    assert sum(took > seconds for took in recent if took < MOST) < RANK
    assert len(floor._slices) <= 11


async def test_fast_and_slow_denials_are_answered_after_the_same_time() -> None:
    padding, shop, loop = Padding(), connection(), asyncio.get_running_loop()
    answered = []
    for number in range(40):
        began = loop.time()
        await asyncio.sleep((0.001, 0.04, 0.3)[number % 3])  # unknown here, known here, the store
        await padding.wait(shop, "login", began, told=True)
        answered.append(loop.time() - began)

    warm = answered[9:]
    assert {round(0.3 * MARGIN, 6)} == {round(one, 6) for one in warm}


async def test_each_connection_has_its_own() -> None:
    padding, loop = Padding(), asyncio.get_running_loop()
    slow, fast = connection(), connection(connection_id="con_" + "b" * 16)
    for _ in range(RANK):
        began = loop.time()
        await asyncio.sleep(1)
        await padding.wait(slow, "login", began, told=True)
    began = loop.time()
    await padding.wait(fast, "login", began, told=True)

    assert pytest.approx(FIRST) == loop.time() - began


async def test_a_denial_never_waits_beyond_the_soft_deadline() -> None:
    padding, loop = Padding(), asyncio.get_running_loop()
    shop = connection(soft_deadline=timedelta(seconds=0.2))
    began = loop.time()
    await padding.wait(shop, "login", began, told=True)

    assert pytest.approx(0.16) == loop.time() - began


async def test_a_refusal_that_asked_nobody_waits_but_teaches_nothing() -> None:
    padding, shop, loop = Padding(), connection(), asyncio.get_running_loop()
    for _ in range(RANK):
        await padding.wait(shop, "login", loop.time() - 1.0, told=False)
    began = loop.time()
    await padding.wait(shop, "login", began, told=False)

    assert pytest.approx(FIRST) == loop.time() - began
