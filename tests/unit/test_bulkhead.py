"""How many executions of a connection may be in flight, and when to come back otherwise."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta

import pytest

from services.auth.bulkhead import Bulkhead, Shed
from services.auth.connections import Connection
from shared.topology import MAX_QUEUED_REQUESTS
from tests.unit.connections import connection


def after(
    bulkhead: Bulkhead, shop: Connection, *, ran: float, waited: float = 0, runs: int = 40
) -> Bulkhead:
    """What the bulkhead has learnt of so many executions, one after the other."""
    for _ in range(runs):
        with bulkhead.entered(shop, workers=1) as passage:
            passage.ended(timedelta(seconds=waited), timedelta(seconds=ran))
    return bulkhead


@pytest.mark.parametrize(
    ("ran", "workers", "expected"),
    [
        (15, 1, 4),  # more than there are slots would only wait for its deadline
        (15, 3, 12),
        (1, 1, 60),  # three quarters of the budget are worth fifteen runs of each slot
        (0.02, 1, MAX_QUEUED_REQUESTS + 4),  # the queue's own limit
    ],
)
async def test_the_limit_follows_from_how_long_scripts_take(
    ran: float, workers: int, expected: int
) -> None:
    shop = connection()

    assert expected == after(Bulkhead(), shop, ran=ran).limit(shop, workers)


async def test_a_store_that_turned_slow_is_noticed_within_some_runs() -> None:
    shop = connection()
    bulkhead = after(Bulkhead(), shop, ran=0.02)

    after(bulkhead, shop, ran=15, runs=5)

    assert bulkhead.limit(shop, workers=1) <= 5


async def test_a_store_that_is_slow_from_the_start_is_noticed_before_its_first_answer() -> None:
    """When as many as there are slots have been there for so long, no script was quicker."""
    shop, bulkhead = connection(), Bulkhead()
    limits = []

    with ExitStack() as entered:
        for _ in range(4):
            entered.enter_context(bulkhead.entered(shop, workers=1))
        for _ in range(4):
            limits.append(bulkhead.limit(shop, workers=1))
            await asyncio.sleep(5)

    assert [60, 12, 6, 4] == limits


async def test_one_straggler_is_no_slow_store() -> None:
    shop, bulkhead = connection(), Bulkhead()

    with bulkhead.entered(shop, workers=1):
        await asyncio.sleep(19)
        assert 60 == bulkhead.limit(shop, workers=1)


async def test_who_waited_too_long_lowers_the_limit_and_who_did_not_raises_it_again() -> None:
    """Other replicas and other connections have their part of the workers."""
    shop = connection(worker_concurrency=16)
    bulkhead = after(Bulkhead(), shop, ran=15)
    assert 16 == bulkhead.limit(shop, workers=1)

    after(bulkhead, shop, ran=15, waited=5, runs=2)
    assert 7 == bulkhead.limit(shop, workers=1)

    after(bulkhead, shop, ran=15, waited=0.1, runs=6)
    assert 12 == bulkhead.limit(shop, workers=1)
    after(bulkhead, shop, ran=15, waited=0.1)
    assert 16 == bulkhead.limit(shop, workers=1)


async def test_a_crowd_that_waited_together_lowers_the_limit_once() -> None:
    shop = connection(worker_concurrency=16)
    bulkhead = after(Bulkhead(), shop, ran=15)

    with ExitStack() as entered:
        crowd = [entered.enter_context(bulkhead.entered(shop, workers=1)) for _ in range(16)]
        await asyncio.sleep(20)
        for passage in crowd:
            passage.ended(timedelta(seconds=20), timedelta(0))

    assert 11 == bulkhead.limit(shop, workers=1)


async def test_however_bad_it_gets_one_a_worker_may_try() -> None:
    shop = connection()

    assert 2 == after(Bulkhead(), shop, ran=20, waited=20).limit(shop, workers=2)


async def test_one_too_many_is_told_how_long_the_others_need() -> None:
    shop = connection()
    bulkhead = after(Bulkhead(), shop, ran=15)

    with ExitStack() as entered:
        for _ in range(4):
            entered.enter_context(bulkhead.entered(shop, workers=1))
        with pytest.raises(Shed) as refused, bulkhead.entered(shop, workers=1):
            raise AssertionError("it let one more in")

    assert refused.value.retry_after is not None
    assert 15 == pytest.approx(refused.value.retry_after.total_seconds(), rel=0.01)
    with bulkhead.entered(shop, workers=1):
        pass


async def test_one_connection_s_crowd_is_nobody_else_s() -> None:
    shop, bank = connection(), connection(connection_id="con_bank")
    bulkhead = Bulkhead(limit=1)

    with (
        bulkhead.entered(shop, workers=1),
        bulkhead.entered(bank, workers=1),
        pytest.raises(Shed),
        bulkhead.entered(shop, workers=1),
    ):
        raise AssertionError("it let one more in")


async def test_who_fails_inside_leaves_too() -> None:
    shop, bulkhead = connection(), Bulkhead(limit=1)

    for _ in range(3):
        with pytest.raises(KeyError), bulkhead.entered(shop, workers=1):
            raise KeyError
