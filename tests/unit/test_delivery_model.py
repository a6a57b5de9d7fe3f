"""The delivery contract, explored: every promise holds, and every broken rule is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared import execution_states
from shared.execution_states import State
from tests.delivery_model import Protocol, explore
from tests.delivery_mutants import (
    CONFIGURATIONS,
    MODEL_MUTANTS,
    SMALL,
    claim_late,
    lost_while_leased,
)

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


@pytest.mark.parametrize(("rules", "expected"), MODEL_MUTANTS.values(), ids=MODEL_MUTANTS.keys())
def test_a_broken_rule_is_noticed(rules: Protocol, expected: str) -> None:
    found = explore(rules)

    said = found.broken or ("stuck" if found.stuck is not None else "nothing")
    assert expected in said


def test_starting_after_the_deadline_is_harmless_to_the_ledger_but_forbidden() -> None:
    """I3 protects the caller, not the ledger: the rule itself is what has to be tested."""
    assert explore(replace(SMALL, may_claim=claim_late, copies=0, losses=0)).broken is None
    assert not execution_states.may_claim(
        State.NONE, deadline_passed=True, lease_dead=False, idempotent=True, attempt=0
    )


def test_a_claim_is_only_lost_when_its_lease_is_dead() -> None:
    rules = replace(SMALL, may_decide_lost=lost_while_leased, copies=0, losses=0)

    assert explore(rules).broken is None  # honest, but every slow script would be indeterminate
    assert not execution_states.may_decide_lost(
        State.CLAIMED, deadline_passed=True, lease_dead=False, idempotent=False, attempt=1
    )
