"""The accountant of the fault campaign finds every kind of broken promise, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.contracts import Action
from tests.faults.accounting import (
    MARGIN,
    Breach,
    Call,
    Evidence,
    Published,
    Recorded,
    Told,
    account,
)
from tests.faults.store import Key, Start, key_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE = NOW + timedelta(seconds=6)
CREATED, LOGGED_IN = UUID(int=1), UUID(int=2)
CREATE: Key = (Action.CREATE, "ada@example.com")
LOGIN: Key = (Action.LOGIN, "1")


def call(**changes: Any) -> Call:
    """A sign-up that went well, in a second."""
    made = Call(
        1, "sign-up", "auth-0", 100.0, 6.0, (CREATE, LOGIN), ended=101.0, told=Told.DONE, status=200
    )
    return replace(made, **changes)


def start(after: float = 0.0, nonce: str = "a") -> Start:
    return Start(NOW + timedelta(seconds=after), nonce, 4711)


def evidence(**changes: Any) -> Evidence:
    """What one sign-up leaves when every promise is kept."""
    kept = Evidence(
        calls=[call()],
        published={
            CREATED: Published(Action.CREATE, CREATE, DEADLINE),
            LOGGED_IN: Published(Action.LOGIN, LOGIN, DEADLINE),
        },
        recorded={
            CREATED: Recorded(Action.CREATE, "applied", "succeeded", 1),
            LOGGED_IN: Recorded(Action.LOGIN, "applied", "succeeded", 1),
        },
        starts={CREATE: [start()], LOGIN: [start()]},
        effects={CREATE: ["a"]},
    )
    return replace(kept, **changes)


def rows(**changes: Any) -> dict[UUID, Recorded]:
    """The ledger, with another row for the creation."""
    known = evidence().recorded
    return {**known, CREATED: replace(known[CREATED], **changes)}


def test_promises_that_were_kept_are_no_violation() -> None:
    assert [] == account(evidence())


def test_a_repeated_login_whose_worker_was_lost_is_no_violation() -> None:
    known = evidence()
    recorded = {
        **known.recorded,
        LOGGED_IN: Recorded(Action.LOGIN, "applied", "succeeded", 2),
    }
    starts = {**known.starts, LOGIN: [start(), start(5)]}

    assert [] == account(replace(known, recorded=recorded, starts=starts))


def test_a_request_that_was_refused_with_503_needs_no_row() -> None:
    refused = evidence(
        calls=[call(told=Told.LATER, status=503)], recorded={}, starts={}, effects={}
    )

    assert [] == account(refused)


def test_time_in_which_auth_was_stopped_is_not_counted() -> None:
    paused = evidence(
        calls=[call(ended=100 + 6 + MARGIN + 1)], troubles={"auth-0": [(100.0, 103.0)]}
    )

    assert [] == account(paused)


BROKEN: dict[str, tuple[Evidence, Breach, tuple[UUID, ...]]] = {
    "published, and not recorded": (
        evidence(recorded={LOGGED_IN: evidence().recorded[LOGGED_IN]}, calls=[], starts={}),
        Breach.NO_OUTCOME,
        (CREATED,),
    ),
    "still claimed": (
        evidence(recorded=rows(state="claimed", outcome=None), calls=[]),
        Breach.NO_OUTCOME,
        (CREATED,),
    ),
    "misconfigured, and nothing was": (
        evidence(recorded=rows(outcome="misconfigured"), calls=[]),
        Breach.UNEXPLAINED,
        (CREATED,),
    ),
    "written twice": (
        evidence(rewritten=[(CREATED, "its outcome changed")]),
        Breach.OUTCOME_CHANGED,
        (CREATED,),
    ),
    "started twice": (
        evidence(starts={**evidence().starts, CREATE: [start(), start(1, "b")]}),
        Breach.STARTED_TWICE,
        (CREATED,),
    ),
    "started, and said never to have run": (
        evidence(recorded=rows(outcome="expired", attempt=0), calls=[]),
        Breach.STARTED_UNCLAIMED,
        (CREATED,),
    ),
    "started after the deadline": (
        evidence(starts={**evidence().starts, CREATE: [start(8)]}),
        Breach.STARTED_LATE,
        (CREATED,),
    ),
    "a login started more often than claimed": (
        evidence(starts={**evidence().starts, LOGIN: [start(), start(1)]}),
        Breach.TOO_OFTEN,
        (LOGGED_IN,),
    ),
    "two changes in the legacy store": (
        evidence(effects={CREATE: ["a", "b"]}),
        Breach.EFFECT_TWICE,
        (CREATED,),
    ),
    "two records here": (evidence(applied_twice=["2 mails"]), Breach.EFFECT_TWICE, ()),
    "success, and nothing changed": (
        evidence(effects={}),
        Breach.FALSE_SUCCESS,
        (CREATED, LOGGED_IN),
    ),
    "success, and the outcome is a failure": (
        evidence(recorded=rows(outcome="indeterminate")),
        Breach.FALSE_SUCCESS,
        (CREATED, LOGGED_IN),
    ),
    "success with a wrong password": (
        evidence(calls=[call(right_password=False)]),
        Breach.FALSE_SUCCESS,
        (CREATED, LOGGED_IN),
    ),
    "the right password denied": (
        evidence(calls=[call(told=Told.DENIED, status=403, right_password=True)]),
        Breach.FALSE_DENIAL,
        (CREATED, LOGGED_IN),
    ),
    "answered late": (
        evidence(calls=[call(ended=100 + 6 + MARGIN + 0.1)]),
        Breach.ANSWERED_LATE,
        (CREATED, LOGGED_IN),
    ),
    "never answered": (
        evidence(calls=[call(told=Told.NOTHING, ended=160)]),
        Breach.NOT_ANSWERED,
        (CREATED, LOGGED_IN),
    ),
    "a connection that broke for nothing": (
        evidence(calls=[call(told=Told.BROKEN)], troubles={"auth-0": [(90.0, 99.0)]}),
        Breach.BROKEN,
        (CREATED, LOGGED_IN),
    ),
    "an internal error": (
        evidence(calls=[call(told=Told.INTERNAL, status=500)]),
        Breach.INTERNAL,
        (CREATED, LOGGED_IN),
    ),
    "a service that ended": (evidence(crashes=["worker-1 ended with 1"]), Breach.CRASHED, ()),
    "a fault that was not mended": (evidence(stumbles=["broker"]), Breach.STUMBLED, ()),
    "a message in a queue": (
        evidence(left_behind=["1 messages wait in dead"]),
        Breach.LEFT_BEHIND,
        (),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_reported_with_its_executions(name: str) -> None:
    seen, breach, executions = BROKEN[name]

    assert [(breach, executions)] == [(one.breach, one.executions) for one in account(seen)]


def test_what_the_ledger_does_not_know_is_told_with_who_asked_for_it() -> None:
    """Else a campaign of an hour that finds one such execution leaves nothing to look for."""
    refused = evidence(
        calls=[call(told=Told.FAILED, status=400)], recorded={}, starts={}, effects={}
    )
    nobodys = replace(refused, calls=[])

    told, unknown = ([str(one) for one in account(seen)] for seen in (refused, nobodys))

    assert "request 1 at auth-0 was told failed (status 400) after 1.0 s" in told[0]
    assert "nobody asked for 'ada@example.com'" in unknown[0]


def test_every_kind_of_breach_is_tried() -> None:
    assert set(Breach) == {breach for _, breach, _ in BROKEN.values()}


def test_a_request_is_known_by_what_no_other_has() -> None:
    user = {"email": "ada@example.com", "password": "secret#1"}

    assert CREATE == key_of(Action.CREATE, [user])
    assert LOGIN == key_of(Action.LOGIN, ["ada@example.com", "secret#1"])
