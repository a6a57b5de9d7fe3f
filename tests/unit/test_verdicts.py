"""A verdict of the script and a failure to get one are never confused."""

from __future__ import annotations

from typing import Any

import pytest

from services.script_worker.frames import BindError, Result, ScriptError
from services.script_worker.verdicts import Value, bind_failure, verdict
from shared.contracts import Action, Denied, DeniedReason, Detail, Failed, FailureKind

PROFILED = [Action.LOGIN, Action.GET_USER]
OTHERS = [action for action in Action if action not in PROFILED]


def returned(value: Any) -> Result:
    return Result("n", True, value, None, None, (), 0, 0)  # noqa: FBT003


def failed(detail: Detail = Detail.CALLED_BACK_ERROR, **error: str) -> Result:
    return Result("n", False, None, detail, ScriptError(**error), (), 0, 0)  # noqa: FBT003


@pytest.mark.parametrize("empty", [None, False, 0, 0.0, ""])
def test_an_empty_profile_is_a_denial(empty: object) -> None:
    assert Denied(reason=DeniedReason.WRONG_PASSWORD) == verdict(Action.LOGIN, returned(empty))
    assert Denied(reason=DeniedReason.NOT_FOUND) == verdict(Action.GET_USER, returned(empty))


@pytest.mark.parametrize("action", OTHERS)
@pytest.mark.parametrize("value", [None, True, False, 0, {"last_password_reset": "2026-01-01"}])
def test_actions_without_a_profile_succeed_with_anything(action: Action, value: object) -> None:
    assert Value(value) == verdict(action, returned(value))


@pytest.mark.parametrize("action", PROFILED)
@pytest.mark.parametrize(
    "profile",
    [{"user_id": "a"}, {"user_id": 7}, {"id": "a"}, {"user_id": 0}, {"user_id": None, "id": 1.5}],
)
def test_a_profile_with_an_id_is_a_value(action: Action, profile: dict[str, object]) -> None:
    assert Value(profile) == verdict(action, returned(profile))


@pytest.mark.parametrize("action", PROFILED)
@pytest.mark.parametrize(
    "profile",
    [
        {},
        [],
        [{"user_id": 1}],
        "alice",
        True,
        5,
        {"email": "a@b.c"},
        {"user_id": ""},
        {"user_id": "  "},
        {"user_id": True},
        {"user_id": {"$oid": "5b2"}},
        {"user_id": ["1"]},
    ],
    ids=repr,
)
def test_a_profile_without_a_usable_id_is_a_failure(action: Action, profile: object) -> None:
    outcome = verdict(action, returned(profile))

    assert isinstance(outcome, Failed)
    assert outcome.detail == Detail.INVALID_PROFILE
    assert outcome.kind == FailureKind.CONTRACT_VIOLATION


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("WrongUsernameOrPasswordError", DeniedReason.WRONG_PASSWORD),
        ("ValidationError", DeniedReason.VALIDATION),
        ("UnauthorizedError", DeniedReason.UNAUTHORIZED),
    ],
)
@pytest.mark.parametrize("detail", [Detail.CALLED_BACK_ERROR, Detail.THREW, Detail.REJECTED])
def test_an_error_class_is_a_denial_by_its_name(
    name: str, reason: DeniedReason, detail: Detail
) -> None:
    outcome = verdict(Action.LOGIN, failed(detail, name=name, message="m", code="c", user_id="u"))

    assert Denied(reason=reason, message="m", code="c", user_id="u") == outcome


@pytest.mark.parametrize("code", ["wrongusernameorpassword", "unauthorized", "ECONNREFUSED"])
def test_a_code_never_makes_a_denial(code: str) -> None:
    outcome = verdict(Action.LOGIN, failed(name="Error", message="connect failed", code=code))

    assert Failed.of(Detail.CALLED_BACK_ERROR, "connect failed", code) == outcome


@pytest.mark.parametrize("detail", [Detail.UNCAUGHT_EXCEPTION, Detail.UNHANDLED_REJECTION])
def test_an_uncaught_error_is_a_failure_whatever_its_name(detail: Detail) -> None:
    """A driver's own ValidationError, thrown in the background, is an outage."""
    outcome = verdict(Action.LOGIN, failed(detail, name="ValidationError", message="m"))

    assert Failed.of(detail, "m") == outcome


def test_a_broken_script_names_itself_and_its_line() -> None:
    frame = BindError("login", 3, ScriptError(name="SyntaxError", message="Unexpected token"))

    outcome = bind_failure(frame)

    assert outcome.kind == FailureKind.MISCONFIGURED
    assert (
        outcome.message
        == "Unable to compile submitted JavaScript. SyntaxError: Unexpected token (login, line 3)"
    )


def test_the_repr_of_a_value_shows_nothing_of_it() -> None:
    assert repr(Value({"user_id": 1, "ssn": "078-05-1120"})) == "Value(...)"
