"""The delivery contract, explored: every promise holds, and every broken rule is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared import execution_states
from shared.execution_states import State
from tests.delivery_model import Protocol, explore

SMALL = Protocol(idempotent=False)
CONFIGURATIONS = {
    "not idempotent": SMALL,
    "idempotent": Protocol(idempotent=True, copies=0, losses=0),
    "auth dies": Protocol(idempotent=False, cuts=0, copies=0, deaths=1),
}
LARGE = {
    "two crashes, two cuts": Protocol(idempotent=False, crashes=2, cuts=2, copies=1, losses=0),
    "idempotent, everything once": Protocol(idempotent=True, deaths=1),
}


@pytest.mark.parametrize("rules", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_every_promise_holds_in_every_world(rules: Protocol) -> None:
    found = explore(rules)

    assert found.broken is None, (found.broken, found.path)
    assert found.stuck is None, (found.stuck, found.path)
    assert found.worlds > 1000


@pytest.mark.slow
@pytest.mark.parametrize("rules", LARGE.values(), ids=LARGE.keys())
def test_every_promise_holds_under_more_faults(rules: Protocol) -> None:
    found = explore(rules)

    assert found.broken is None, (found.broken, found.path)
    assert found.stuck is None, (found.stuck, found.path)


def record_unfenced(state: State, *, attempt: int, claimed_attempt: int) -> bool:
    return state is not State.NONE


def claim_again(state: State, **of: Any) -> bool:
    """Repeats what must not be repeated."""
    return execution_states.may_claim(state, **{**of, "idempotent": True})


def claim_late(state: State, **of: Any) -> bool:
    return execution_states.may_claim(state, **{**of, "deadline_passed": False})


def claim_over_a_live_lease(state: State, **of: Any) -> bool:
    return execution_states.may_claim(state, **{**of, "lease_dead": True, "idempotent": True})


def claim_over_a_tombstone(state: State, **of: Any) -> bool:
    unrun = State.NONE if of["attempt"] == 0 else state
    return execution_states.may_claim(unrun, **{**of, "deadline_passed": False})


def lost_while_leased(state: State, **of: Any) -> bool:
    return execution_states.may_decide_lost(state, **{**of, "lease_dead": True})


MUTANTS: dict[str, tuple[Protocol, str]] = {
    "an outcome is written without its fence": (
        replace(CONFIGURATIONS["idempotent"], may_record=record_unfenced),
        "I1",
    ),
    "a result is published before it is recorded": (
        replace(SMALL, record_first=False),
        "I2",
    ),
    "what may not be repeated is claimed again": (replace(SMALL, may_claim=claim_again), "I4"),
    "a live lease is ignored": (replace(SMALL, may_claim=claim_over_a_live_lease), "I4"),
    "a tombstone does not stop a claim": (
        replace(SMALL, may_claim=claim_over_a_tombstone),
        "I5",
    ),
    "giving up leaves no tombstone": (replace(SMALL, tombstone=False), "told what is not so"),
    '"it never ran" is said of what was claimed': (
        replace(SMALL, may_decide_unrun=lambda state: state in (State.NONE, State.CLAIMED)),
        "I5",
    ),
    "effects are not deduplicated": (
        replace(SMALL, may_apply=lambda state: state not in (State.NONE, State.CLAIMED)),
        "I8",
    ),
    "there is no outbox": (replace(SMALL, outbox=False), "stuck"),
    "there is no reaper": (replace(SMALL, reaper=False), "stuck"),
    "dead letters are dropped, and auth dies": (
        replace(CONFIGURATIONS["auth dies"], dead_letters=False),
        "stuck",
    ),
    "the ledger is not asked when a reply was lost": (replace(SMALL, reconcile=False), "stuck"),
    "a delivery is acked when it is claimed, and nobody reaps": (
        replace(SMALL, ack_last=False, reaper=False),
        "stuck",
    ),
}


@pytest.mark.parametrize(("rules", "expected"), MUTANTS.values(), ids=MUTANTS.keys())
def test_a_broken_rule_is_noticed(rules: Protocol, expected: str) -> None:
    found = explore(rules)

    said = found.broken or ("stuck" if found.stuck is not None else "nothing")
    assert expected in said


def test_starting_after_the_deadline_is_harmless_to_the_ledger_but_forbidden() -> None:
    """I3 protects the caller, not the ledger: the rule itself is what has to be tested."""
    assert explore(replace(SMALL, may_claim=claim_late)).broken is None
    assert not execution_states.may_claim(
        State.NONE, deadline_passed=True, lease_dead=False, idempotent=True, attempt=0
    )


def test_a_claim_is_only_lost_when_its_lease_is_dead() -> None:
    rules = replace(SMALL, may_decide_lost=lost_while_leased)

    assert explore(rules).broken is None  # honest, but every slow script would be indeterminate
    assert not execution_states.may_decide_lost(
        State.CLAIMED, deadline_passed=True, lease_dead=False, idempotent=False, attempt=1
    )
