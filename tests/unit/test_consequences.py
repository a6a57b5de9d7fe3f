"""Verdicts and failures stay apart in everything that follows from them."""

from __future__ import annotations

import pytest

from services.auth.consequences import refusal
from shared.contracts import FOLD, Denied, DeniedReason, Detail, Failed, FailureKind
from tests.unit.connections import connection


def test_every_detail_folds_and_every_kind_is_reached() -> None:
    assert set(Detail) == set(FOLD)
    assert set(FailureKind) == set(FOLD.values()) | {FailureKind.EGRESS_DENIED}


@pytest.mark.parametrize("detail", list(Detail))
def test_a_failure_never_reads_like_a_wrong_password(detail: Detail) -> None:
    found = refusal(Failed.of(detail, "a secret of the legacy store"), connection())

    assert "invalid_grant" != found.error
    assert "secret" not in found.description
    assert not found.counts_toward_lockout


@pytest.mark.parametrize("reason", list(DeniedReason))
def test_a_denial_never_trips_the_breaker(reason: DeniedReason) -> None:
    found = refusal(Denied(reason=reason, message="no"), connection())

    assert 403 == found.status
    assert not found.trips_breaker
    assert not found.retryable


@pytest.mark.parametrize("reason", [DeniedReason.WRONG_PASSWORD, DeniedReason.NOT_FOUND])
def test_known_and_unknown_users_read_the_same(reason: DeniedReason) -> None:
    known = refusal(Denied(reason=reason, user_id="7"), connection())
    unknown = refusal(Denied(reason=reason), connection())

    assert known.body() == unknown.body()
    assert known.status == unknown.status


def test_a_script_s_message_is_shown_only_where_it_is_switched_on() -> None:
    denied = Denied(reason=DeniedReason.WRONG_PASSWORD, message="your account moved")

    assert "Wrong email or password." == refusal(denied, connection()).description
    shown = refusal(denied, connection(show_script_messages=True))
    assert "your account moved" == shown.description


@pytest.mark.parametrize("kind", [Detail.WAITING, Detail.THREW, Detail.PROCESS_DIED])
def test_a_connection_may_answer_its_failures_with_503(kind: Detail) -> None:
    found = refusal(Failed.of(kind), connection(failures_as_503=True))

    assert (503, "temporarily_unavailable") == (found.status, found.error)
    assert found.trips_breaker == refusal(Failed.of(kind), connection()).trips_breaker
