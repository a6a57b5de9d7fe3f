"""A runner goes when its heap or its handles only ever grow, and not for less."""

from __future__ import annotations

import random

from services.script_worker.growth import Growth

MIB = 1024 * 1024


def test_a_saw_tooth_is_no_leak() -> None:
    growth, noise = Growth(), random.Random(7)  # noqa: S311
    for call in range(2000):
        growth.sample(80 * MIB + (call % 37) * MIB + noise.randrange(MIB), 3)

    assert not growth.suspicious


def test_lows_that_rise_above_the_floor_are_a_leak() -> None:
    growth = Growth()
    for call in range(200):
        growth.sample(70 * MIB + call * MIB // 4 + (call % 7) * MIB, 3)

    assert growth.suspicious


def test_a_small_heap_may_grow() -> None:
    growth = Growth()
    for call in range(1000):
        growth.sample(5 * MIB + call * 1024, 3)

    assert not growth.suspicious


def test_handles_that_come_and_go_are_normal() -> None:
    growth = Growth()
    for call in range(1000):
        growth.sample(MIB, 3 + call % 5)

    assert not growth.suspicious


def test_a_handle_left_by_each_of_many_calls_is_a_leak() -> None:
    growth = Growth()
    for call in range(Growth.HANDLES_IN_A_ROW):
        growth.sample(MIB, 1 + call)

    assert growth.suspicious
