"""Broken rules of the model of one request (`tests.delivery_model`), and what objects to each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from shared import execution_states
from shared.execution_states import State
from tests.delivery_model import Protocol

SMALL: Final = Protocol(idempotent=False)
CONFIGURATIONS: Final = {
    "not idempotent": SMALL,
    "idempotent": Protocol(idempotent=True, copies=0, losses=0),
    "auth dies": Protocol(idempotent=False, cuts=0, copies=0, deaths=1),
}


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


MODEL_MUTANTS: Final[dict[str, tuple[Protocol, str]]] = {
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
    "the ledger's server loses a claim that it had committed": (
        replace(SMALL, forgotten=1),
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
