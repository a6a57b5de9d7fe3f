"""The circuit breaker: tripped by failures alone, closed by a probe; in front of it, the shield."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.auth import metrics
from services.auth.breaker import Breaker, Permit, Policy, Report, State, Wait
from services.auth.connections import Connection
from services.auth.executions import Answer, Executions
from services.auth.guard import Guard
from services.auth.shield import IDLE, BreakerOpen, Shield
from shared.contracts import (
    Action,
    Denied,
    DeniedReason,
    Detail,
    ExecutionResult,
    Failed,
    Outcome,
)
from shared.errors import Unavailable
from shared.execution_ids import mint
from tests.unit.connections import connection

POLICY = Policy(remembered=10, failures=3, share=0.5, open_for=2, open_at_most=5)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def let_through(breaker: Breaker, now: float) -> Permit:
    asked = breaker.ask(now, 20)
    assert isinstance(asked, Permit)
    return asked


def tripped(now: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    for subject in range(3):
        breaker.report(let_through(breaker, now), Report.FAILED, subject, now)
    assert isinstance(breaker.ask(now, 20), Wait)
    return breaker


def test_enough_failures_open_it_and_it_says_how_long() -> None:
    breaker = tripped(now=10)

    assert Wait(2) == breaker.ask(10, 20)
    assert Wait(0.5) == breaker.ask(11.5, 20)


def test_denials_never_open_it() -> None:
    breaker = Breaker(POLICY)
    for number in range(1000):
        breaker.report(let_through(breaker, 0), Report.ANSWERED, number, 0)

    assert State.CLOSED is breaker.state


def test_one_user_whom_the_script_can_t_handle_does_not_open_it() -> None:
    breaker = Breaker(POLICY)
    for now in range(100):
        breaker.report(let_through(breaker, now), Report.FAILED, 7, now)

    assert State.CLOSED is breaker.state


def test_a_few_failures_among_many_answers_do_not_open_it() -> None:
    breaker = Breaker(POLICY)
    for number in range(100):
        report = Report.FAILED if number % 3 == 0 else Report.ANSWERED
        breaker.report(let_through(breaker, 0), report, number, 0)

    assert State.CLOSED is breaker.state


def test_failures_of_long_ago_are_forgotten() -> None:
    breaker = Breaker(POLICY)
    for number in range(100):
        now = number * 31.0  # two of them are remembered at any time
        breaker.report(let_through(breaker, now), Report.FAILED, number, now)

    assert State.CLOSED is breaker.state


def test_after_its_time_one_probe_goes_through_and_its_answer_closes_it() -> None:
    breaker = tripped()
    probe = let_through(breaker, 2)

    assert Wait(1) == breaker.ask(2, 20)  # everybody else
    breaker.report(probe, Report.ANSWERED, 0, 3)
    let_through(breaker, 3)
    let_through(breaker, 3)


def test_a_failed_probe_opens_it_for_longer_each_time_up_to_a_bound() -> None:
    breaker, now, waits = tripped(), 0.0, []
    for _ in range(4):
        asked = breaker.ask(now, 20)
        assert isinstance(asked, Wait)
        waits.append(asked.seconds)
        now += asked.seconds
        breaker.report(let_through(breaker, now), Report.FAILED, 0, now)

    assert [2, 4, 5, 5] == waits


def test_once_closed_it_opens_for_the_first_time_again() -> None:
    breaker = tripped()
    breaker.report(let_through(breaker, 2), Report.FAILED, 0, 2)
    breaker.report(let_through(breaker, 6), Report.ANSWERED, 0, 6)
    for subject in range(3):
        breaker.report(let_through(breaker, 7), Report.FAILED, subject, 7)

    assert Wait(2) == breaker.ask(7, 20)


def test_a_probe_that_says_nothing_or_never_reports_is_replaced() -> None:
    breaker = tripped()
    breaker.report(let_through(breaker, 2), Report.NOTHING, 0, 2)
    lost = let_through(breaker, 2)

    assert isinstance(breaker.ask(21.9, 20), Wait)
    let_through(breaker, 22)
    breaker.report(lost, Report.ANSWERED, 0, 22)  # it has been given up
    assert State.HALF_OPEN is breaker.state


def test_what_began_before_it_opened_neither_closes_nor_prolongs_it() -> None:
    breaker = Breaker(POLICY)
    early = [let_through(breaker, 0) for _ in range(5)]
    for subject, permit in enumerate(early[:3]):
        breaker.report(permit, Report.FAILED, subject, 0)
    breaker.report(early[3], Report.ANSWERED, 3, 1)
    breaker.report(early[4], Report.FAILED, 4, 1)

    assert Wait(1) == breaker.ask(1, 20)


@given(
    st.lists(st.tuples(st.sampled_from(Report), st.integers(0, 9), st.floats(0, 5)), max_size=60)
)
def test_it_never_stays_shut_and_never_lets_two_probes_through(
    steps: list[tuple[Report, int, float]],
) -> None:
    breaker, now = Breaker(POLICY), 0.0
    for report, subject, passed in steps:
        now += passed
        asked = breaker.ask(now, 20)
        if breaker.state is State.HALF_OPEN:
            assert isinstance(breaker.ask(now, 20), Wait)
        if isinstance(asked, Permit):
            breaker.report(asked, report, subject, now)

    assert isinstance(breaker.ask(now + POLICY.open_at_most, 20), Permit)


class Store:
    """A legacy store that answers what it is told, in a second."""

    def __init__(self) -> None:
        self.outcome: Outcome = Denied(reason=DeniedReason.NOT_FOUND)
        self.asked = 0

    async def run(self, *_: Any, **__: Any) -> Answer:
        self.asked += 1
        await asyncio.sleep(1)
        return Answer(
            ExecutionResult(
                execution_id=mint(NOW),
                connection_id="con_" + "a" * 16,
                revision="0" * 32,
                action=Action.LOGIN,
                deadline=NOW,
                outcome=self.outcome,
                attempt=1,
            )
        )


class Plenty:
    """A budget that is never used up."""

    async def call(self, _: Connection) -> None:
        pass


def shielding(store: Store) -> Shield:
    return Shield(cast(Executions, store), cast(Guard, Plenty()))


async def knock(shield: Shield, number: int, **changes: Any) -> None:
    await shield.run(connection(**changes), Action.LOGIN, [f"user{number}@example.com", "x"])


async def test_an_outage_opens_the_breaker_and_its_end_closes_it() -> None:
    store = Store()
    shield = shielding(store)
    loop = asyncio.get_running_loop()
    store.outcome = Failed.of(Detail.THREW, "connect ECONNREFUSED")
    for number in range(5):
        await knock(shield, number)
    asked, began = store.asked, loop.time()

    with pytest.raises(BreakerOpen) as refused:
        await knock(shield, 99)
    with pytest.raises(BreakerOpen):  # it may have opened since its caller looked
        await shield.run(connection(), Action.LOGIN, ["a@example.com", "x"], charged=True)
    assert (asked, began) == (store.asked, loop.time())  # at once, and nobody was asked
    assert timedelta(seconds=2) == refused.value.retry_after

    store.outcome = Denied(reason=DeniedReason.WRONG_PASSWORD)
    await asyncio.sleep(2)
    async with asyncio.TaskGroup() as tasks:
        probe = tasks.create_task(knock(shield, 1))
        await asyncio.sleep(0.5)
        with pytest.raises(BreakerOpen):
            await knock(shield, 2)
    assert probe.done()
    assert State.CLOSED is shield.state(connection())
    assert asked + 1 == store.asked


async def test_a_new_revision_is_tried_at_once() -> None:
    store = Store()
    shield = shielding(store)
    store.outcome = Failed.of(Detail.THREW, "a typo")
    for number in range(5):
        await knock(shield, number)
    with pytest.raises(BreakerOpen):
        await knock(shield, 6)

    await knock(shield, 6, revision="1" * 32)


async def test_a_breaker_that_nobody_asks_any_more_is_forgotten_with_its_gauge() -> None:
    store = Store()
    shield = shielding(store)
    store.outcome = Failed.of(Detail.THREW, "connect ECONNREFUSED")
    for number in range(5):
        await knock(shield, number, name="deserted")
    assert 2 == gauge("deserted")

    await asyncio.sleep(IDLE - 2)
    await shield.forget_idle()
    assert 2 == gauge("deserted")

    await asyncio.sleep(2)
    await shield.forget_idle()
    assert gauge("deserted") is None


async def test_connections_that_share_a_label_don_t_hide_an_outage() -> None:
    for number in range(metrics.MAX_CONNECTION_LABELS):
        metrics.connection_label(f"earlier{number}")
    store = Store()
    shield = shielding(store)
    store.outcome = Failed.of(Detail.THREW, "connect ECONNREFUSED")
    for number in range(5):
        await knock(shield, number, name="broken", connection_id="con_" + "b" * 16)
    store.outcome = Denied(reason=DeniedReason.NOT_FOUND)
    await knock(shield, 9, name="well", connection_id="con_" + "c" * 16)

    assert 2 == gauge("other")
    for name in metrics.labelled_connections():
        metrics.forget_connection(name)


async def test_an_outage_ends_under_the_label_under_which_it_began() -> None:
    """Also if a label of the connection's own has come free meanwhile."""
    for number in range(metrics.MAX_CONNECTION_LABELS):
        metrics.connection_label(f"earlier{number}")
    store = Store()
    shield = shielding(store)
    store.outcome = Failed.of(Detail.THREW, "connect ECONNREFUSED")
    for number in range(5):
        await knock(shield, number, name="broken")
    assert 2 == gauge("other")

    metrics.forget_connection("earlier0")
    store.outcome = Denied(reason=DeniedReason.NOT_FOUND)
    await asyncio.sleep(2)
    await knock(shield, 9, name="broken")

    assert 0 == gauge("other")
    for name in metrics.labelled_connections():
        metrics.forget_connection(name)


def gauge(label: str) -> float | None:
    return REGISTRY.get_sample_value("auth_circuit_breaker_state", {"connection": label})


@pytest.mark.parametrize("detail", [Detail.RUNNER_UNAVAILABLE, Detail.INVALID_PROFILE])
async def test_what_is_not_the_store_s_fault_does_not_open_it(detail: Detail) -> None:
    store = Store()
    shield = shielding(store)
    store.outcome = Failed.of(detail)
    for number in range(50):
        await knock(shield, number)

    assert State.CLOSED is shield.state(connection())


async def test_a_call_that_never_began_says_nothing() -> None:
    class Away(Store):
        async def run(self, *_: Any, **__: Any) -> Answer:
            raise Unavailable("the broker is away")

    shield = shielding(Away())
    for number in range(50):
        with pytest.raises(Unavailable, match="broker"):
            await knock(shield, number)

    assert State.CLOSED is shield.state(connection())
