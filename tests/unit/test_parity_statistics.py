"""What `./dev bench parity` concludes from samples."""

from __future__ import annotations

import random

from tests.benchmarks.parity import APART, Comparison, compare

PAIR = ("migrated", "unknown")


def normal(mean: float, number: int, seed: int) -> list[float]:
    source = random.Random(seed)  # noqa: S311 - samples
    return [source.gauss(mean, 1.0) for _ in range(number)]


def compared(shift: float, number: int) -> Comparison:
    return compare(PAIR, normal(0, number, 1), normal(shift, number, 2))


def test_enough_samples_of_the_same_are_alike() -> None:
    found = compared(0.0, 1000)

    assert found.alike
    assert found.low < 0.5 < found.high


def test_a_difference_is_seen_in_both_directions() -> None:
    assert APART == compared(1.0, 200).verdict
    assert APART == compared(-1.0, 200).verdict


def test_too_few_samples_decide_nothing() -> None:
    assert "undecided" == compared(0.0, 20).verdict


def test_ties_count_half() -> None:
    assert 0.5 == compare(PAIR, [1.0] * 10, [1.0] * 10).auc
    assert 1.0 == compare(PAIR, [1.0] * 10, [2.0] * 10).auc
    assert 0.75 == compare(PAIR, [1.0, 2.0], [2.0, 2.0]).auc
