"""What a script's answer means: a value, a denial, or a failure. Pure.

Rule 1: a denial is an empty profile, or an error whose *name* is one of the three classes. It is
        never judged by `.code`: drivers' errors carry codes too, and an outage of the legacy
        store must not become a wrong password.
Rule 2: no id is ever invented for a profile: that would duplicate users (C§2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from services.script_worker.frames import BindError, Result, ScriptError
from shared.contracts import Action, Denied, DeniedReason, Detail, Failed, FailureKind


@dataclass(frozen=True, slots=True)
class Value:
    """What the script called back with, valid for its action. Its repr says nothing."""

    value: Any

    def __repr__(self) -> str:
        return "Value(...)"


Verdict = Value | Denied | Failed

_CLASSES: Final = {
    "WrongUsernameOrPasswordError": DeniedReason.WRONG_PASSWORD,
    "ValidationError": DeniedReason.VALIDATION,
    "UnauthorizedError": DeniedReason.UNAUTHORIZED,
}
_EMPTY: Final = {
    Action.LOGIN: DeniedReason.WRONG_PASSWORD,
    Action.GET_USER: DeniedReason.NOT_FOUND,
}
"""What an empty profile means; other actions have no profile, so `callback(null)` succeeds."""
_SAID_BY_THE_SCRIPT: Final = {Detail.CALLED_BACK_ERROR, Detail.THREW, Detail.REJECTED}
"""Ways in which an error is the script's own statement. Auth0 lets a throw or a rejection stall;
naming it at once is a superset. An uncaught error comes from somewhere else, say a driver."""

_SCRIPTS_OWN: Final = {
    FailureKind.SCRIPT_ERROR,
    FailureKind.CONTRACT_VIOLATION,
    FailureKind.TIMED_OUT,
}
"""What a script that waits for a connection, or gives up on it, comes to."""


def verdict(action: Action, result: Result) -> Verdict:
    """The one reading of a result frame."""
    if result.ok:
        return _value(action, result.value)
    detail, error = result.detail or Detail.CALLED_BACK_ERROR, result.error or ScriptError()
    reason = _CLASSES.get(error.name or "") if detail in _SAID_BY_THE_SCRIPT else None
    if reason is not None:
        return Denied(
            reason=reason, code=error.code, message=error.message, user_id=error.user_id or None
        )
    return Failed.of(detail, error.message or error.description, error.code)


def for_want_of_egress(failed: Failed, refused: str) -> Failed:
    """A script that failed after a refused connect failed for that, unless it went further wrong."""
    if failed.kind not in _SCRIPTS_OWN:
        return failed
    said = f"; the script: {failed.message}" if failed.message else ""
    return Failed.of(Detail.CONNECT_DENIED, f"{refused}{said}", failed.code)


def bind_failure(frame: BindError) -> Failed:
    """A script that does not compile is the administrator's to mend."""
    where = frame.action if frame.line is None else f"{frame.action}, line {frame.line}"
    what = ": ".join(part for part in (frame.error.name, frame.error.message) if part)
    return Failed.of(Detail.BIND_ERROR, f"Unable to compile submitted JavaScript. {what} ({where})")


def _value(action: Action, value: object) -> Verdict:
    if action not in _EMPTY:
        return Value(value)
    if not value and not isinstance(value, dict | list):  # JavaScript's falsy values
        return Denied(reason=_EMPTY[action])
    problem = _profile_problem(value)
    return Value(value) if problem is None else Failed.of(Detail.INVALID_PROFILE, problem)


def _profile_problem(profile: object) -> str | None:
    """Why this is not a profile. Values never appear in the text: they belong to a user."""
    if not isinstance(profile, dict):
        return f"the profile must be an object, not {_JAVASCRIPT[type(profile)]}"
    key = "user_id" if profile.get("user_id") is not None else "id"
    user_id = profile.get(key)
    if user_id is None:
        return "the profile has neither user_id nor id"
    if isinstance(user_id, bool) or not isinstance(user_id, str | int | float):
        return f"the profile's {key} must be a string or a number, not {_JAVASCRIPT[type(user_id)]}"
    return None if str(user_id).strip() else f"the profile's {key} is empty"


_JAVASCRIPT: Final = {
    bool: "a boolean",
    str: "a string",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}
