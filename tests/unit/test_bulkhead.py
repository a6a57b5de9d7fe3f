"""How many executions of a connection may be in flight, and when to come back otherwise."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import pytest

from services.auth.bulkhead import Bulkhead, Shed
from services.auth.connections import Connection
from shared.topology import MAX_QUEUED_REQUESTS
from tests.unit.connections import connection


def after(bulkhead: Bulkhead, shop: Connection, *, seconds: float, runs: int = 40) -> Bulkhead:
    for _ in range(runs):
        bulkhead.ran(shop, timedelta(seconds=seconds))
    return bulkhead


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [
        (15, 1, 8),  # twice the slots: more would only wait for its deadline
        (15, 3, 24),
        (1, 1, 40),  # half of the budget is worth ten runs of each slot
        (0.02, 1, MAX_QUEUED_REQUESTS + 4),  # the queue's own limit
    ],
)
def test_the_limit_follows_from_how_long_scripts_take(
    seconds: float, workers: int, expected: int
) -> None:
    shop = connection()

    assert expected == after(Bulkhead(), shop, seconds=seconds).limit(shop, workers)


def test_a_store_that_turned_slow_is_noticed_within_some_runs() -> None:
    shop = connection()
    bulkhead = after(Bulkhead(), shop, seconds=0.02)

    after(bulkhead, shop, seconds=15, runs=4)

    assert 8 == bulkhead.limit(shop, workers=1)


def test_one_too_many_is_told_how_long_the_others_need() -> None:
    shop = connection()
    bulkhead = after(Bulkhead(), shop, seconds=15)

    with ExitStack() as entered:
        for _ in range(8):
            entered.enter_context(bulkhead.entered(shop, workers=1))
        with pytest.raises(Shed) as refused, bulkhead.entered(shop, workers=1):
            raise AssertionError("it let one more in")

    assert refused.value.retry_after is not None
    assert 30 == pytest.approx(refused.value.retry_after.total_seconds(), rel=0.01)
    with bulkhead.entered(shop, workers=1):
        pass


def test_one_connection_s_crowd_is_nobody_else_s() -> None:
    shop, bank = connection(), connection(connection_id="con_bank")
    bulkhead = Bulkhead(limit=1)

    with (
        bulkhead.entered(shop, workers=1),
        bulkhead.entered(bank, workers=1),
        pytest.raises(Shed),
        bulkhead.entered(shop, workers=1),
    ):
        raise AssertionError("it let one more in")


def test_who_fails_inside_leaves_too() -> None:
    shop, bulkhead = connection(), Bulkhead(limit=1)

    for _ in range(3):
        with pytest.raises(KeyError), bulkhead.entered(shop, workers=1):
            raise KeyError
