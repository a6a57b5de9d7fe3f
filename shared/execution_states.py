"""The life of one execution, as a table.

Rule 1: every state change of an execution is a row of TRANSITIONS.
Rule 2: nothing in this module awaits, logs, or asks what time it is.
Rule 3: the statements of `shared/ledger.sql` say the same in SQL; the delivery model
(`tests/unit/test_delivery_model.py`) explores these functions, and the integration tests hold
the statements against them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MAX_ATTEMPTS: Final = 3
"""Claims of one idempotent execution: two workers could else take it from each other for ever."""


class State(StrEnum):
    """Where an execution stands in the ledger. `NONE`: there is no row."""

    NONE = "none"
    CLAIMED = "claimed"
    DECIDED = "decided"
    PUBLISHED = "published"
    APPLIED = "applied"


class Event(StrEnum):
    """What happens to an execution."""

    CLAIM = "claim"
    RECORD = "record"
    DECIDE = "decide"
    CONFIRM = "confirm"
    APPLY = "apply"


class IllegalTransition(AssertionError):
    """A bug: this can't happen to an execution in that state."""


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.NONE, Event.CLAIM): State.CLAIMED,
    (State.NONE, Event.DECIDE): State.DECIDED,  # expired, given up, poison: never ran
    (State.CLAIMED, Event.CLAIM): State.CLAIMED,  # the lease is dead, the action idempotent
    (State.CLAIMED, Event.RECORD): State.DECIDED,  # by the holder of the claim only
    (State.CLAIMED, Event.DECIDE): State.DECIDED,  # the lease is dead: indeterminate
    (State.DECIDED, Event.CONFIRM): State.PUBLISHED,
    (State.DECIDED, Event.APPLY): State.APPLIED,  # a result may overtake its confirm
    (State.PUBLISHED, Event.CONFIRM): State.PUBLISHED,
    (State.PUBLISHED, Event.APPLY): State.APPLIED,
    (State.APPLIED, Event.CONFIRM): State.APPLIED,
}


def after(state: State, event: Event) -> State:
    """The next state. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} in state {state}") from None


def may_claim(
    state: State, *, deadline_passed: bool, lease_dead: bool, idempotent: bool, attempt: int
) -> bool:
    """Whether a script may start under a new claim (I3, I4)."""
    if deadline_passed:
        return False
    if state is State.NONE:
        return True
    return state is State.CLAIMED and lease_dead and idempotent and attempt < MAX_ATTEMPTS


def may_record(state: State, *, attempt: int, claimed_attempt: int) -> bool:
    """Whether the holder of a claim may write its outcome: fencing (I1)."""
    return state is State.CLAIMED and attempt == claimed_attempt


def may_decide_unrun(state: State) -> bool:
    """Whether "it never ran" may be recorded: only for what nobody claimed (I5, I6)."""
    return state is State.NONE


def may_decide_lost(
    state: State, *, deadline_passed: bool, lease_dead: bool, idempotent: bool, attempt: int
) -> bool:
    """Whether "its worker was lost" may be recorded: nobody can answer or repeat it (I4, I6)."""
    repeatable = idempotent and not deadline_passed and attempt < MAX_ATTEMPTS
    return state is State.CLAIMED and lease_dead and not repeatable


def may_apply(state: State) -> bool:
    """Whether an effect is still owed: once only (I8)."""
    return state in (State.DECIDED, State.PUBLISHED)


def owes_publication(state: State) -> bool:
    """Whether the outbox has to publish it (I7)."""
    return state is State.DECIDED


def render_markdown() -> str:
    """The document `docs/execution-states.md`, generated from the table."""
    lines = [
        "# The life of one execution",
        "",
        "Generated from `shared/execution_states.py` by `./dev docs`; do not edit.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> none",
        *(f"    {state} --> {target}: {event}" for (state, event), target in TRANSITIONS.items()),
        "    applied --> [*]",
        "```",
        "",
        f"An idempotent action is claimed at most {MAX_ATTEMPTS} times. A decided outcome is final.",
        "",
    ]
    return "\n".join(lines)
