"""What an outcome means: one table, from a verdict or a failure to everything that follows.

Verdicts and failures stay apart: a denial never trips the breaker, a failure never counts
towards a lock-out and never reads like a wrong password (design, section 2; C§3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, assert_never

from services.auth.connections import Connection
from services.auth.default_scripts import SETTINGS_URL
from services.auth.problems import TRY_LATER, Problem
from services.auth.problems import UNAVAILABLE as UNAVAILABLE_PROBLEM
from shared.contracts import Action, Denied, DeniedReason, Failed, FailureKind, Succeeded

WRONG: Final = "Wrong email or password."
NO_ANSWER: Final = "Authentication error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """How a login is refused, and what that refusal counts as."""

    status: int
    error: str
    description: str
    log_type: str
    result: str
    """The metric's label."""
    counts_toward_lockout: bool = False
    trips_breaker: bool = False
    retryable: bool = False
    retry_after: timedelta | None = None
    limit: int | None = None
    """Of the budget that is used up."""

    @property
    def alike(self) -> bool:
        """Whether it is the answer for known and unknown users alike."""
        return self.counts_toward_lockout or self.log_type == "limit_wc"

    def body(self) -> dict[str, Any]:
        """The OAuth error (RFC 6749, section 5.2)."""
        return {"error": self.error, "error_description": self.description}


WRONG_CREDENTIALS: Final = Refusal(
    status=403,
    error="invalid_grant",
    description=WRONG,
    log_type="fp",
    result="wrong_password",
    counts_toward_lockout=True,
)
UNKNOWN_USER: Final = replace(WRONG_CREDENTIALS, log_type="fu", result="user_unknown")
BLOCKED: Final = Refusal(
    status=403, error="unauthorized", description="user is blocked", log_type="f", result="denied"
)
MFA_REQUIRED: Final = Refusal(
    status=403,
    error="mfa_required",
    description="Multifactor authentication required",
    log_type="f",
    result="mfa_required",
)
FAILURE: Final = Refusal(
    status=403,
    error="access_denied",
    description=NO_ANSWER,
    log_type="f",
    result="script_error",
    trips_breaker=True,
)
UNAVAILABLE: Final = Refusal(
    status=503,
    error="temporarily_unavailable",
    description=TRY_LATER,
    log_type="f",
    result="unavailable",
    retryable=True,
    retry_after=timedelta(seconds=1),
)
BREAKER_OPEN: Final = replace(UNAVAILABLE, result="breaker_open")
TOO_MANY_ATTEMPTS: Final = Refusal(
    status=429,
    error="too_many_attempts",
    description="Your account has been blocked after multiple consecutive login attempts."
    " We've sent you an email with instructions on how to unblock it.",
    log_type="limit_wc",
    result="too_many_attempts",
)
"""C§3.2, word for word: applications look for it."""
TOO_MANY_REQUESTS: Final = Refusal(
    status=429,
    error="too_many_requests",
    description="Rate limit exceeded.",
    log_type="limit_mu",
    result="too_many_requests",
    retryable=True,
)
INVALID_PROFILE: Final = replace(FAILURE, result="invalid_profile", trips_breaker=False)

_RESULTS: Final[dict[FailureKind, Refusal]] = {
    FailureKind.SCRIPT_ERROR: FAILURE,
    FailureKind.CONTRACT_VIOLATION: replace(
        FAILURE, result="contract_violation", trips_breaker=False
    ),
    FailureKind.TIMED_OUT: replace(FAILURE, result="script_timeout"),
    FailureKind.EXPIRED: replace(FAILURE, result="expired", trips_breaker=False),  # our queue's
    FailureKind.CRASHED: replace(FAILURE, result="crashed"),
    FailureKind.OUT_OF_MEMORY: replace(FAILURE, result="out_of_memory"),
    FailureKind.EGRESS_DENIED: replace(FAILURE, result="egress_denied", trips_breaker=False),
    FailureKind.TOO_LARGE: replace(FAILURE, result="too_large", trips_breaker=False),
    FailureKind.CAPACITY: replace(UNAVAILABLE, result="capacity"),
    FailureKind.INDETERMINATE: replace(FAILURE, result="indeterminate"),
    FailureKind.MISCONFIGURED: replace(FAILURE, result="misconfigured", trips_breaker=False),
}
"""Not a `match`: a test asserts that every kind has its row."""

AUTH0_TEXTS: Final[dict[FailureKind, str]] = {
    FailureKind.TIMED_OUT: "Request to Webtask exceeded allowed execution time",
    FailureKind.CAPACITY: "resource_exhausted",
}
"""What customers search their logs for (C§3.3)."""


def refusal(outcome: Denied | Failed, connection: Connection) -> Refusal:
    """The consequence of an outcome at /oauth/token, with the connection's switches applied."""
    match outcome:
        case Denied():
            return _denied(outcome, connection)
        case Failed():
            row = _RESULTS[outcome.kind]
            if connection.failures_as_503 and row.status != UNAVAILABLE.status:
                return replace(
                    row,
                    status=UNAVAILABLE.status,
                    error=UNAVAILABLE.error,
                    retryable=True,
                    retry_after=UNAVAILABLE.retry_after,
                )
            return row
        case never:
            assert_never(never)


def _denied(outcome: Denied, connection: Connection) -> Refusal:
    match outcome.reason:
        case DeniedReason.WRONG_PASSWORD:
            row = WRONG_CREDENTIALS if outcome.user_id else UNKNOWN_USER
        case DeniedReason.NOT_FOUND:
            row = UNKNOWN_USER
        case DeniedReason.UNAUTHORIZED | DeniedReason.VALIDATION:
            return Refusal(
                status=403,
                error="access_denied",
                description=outcome.message or NO_ANSWER,
                log_type="f",
                result="denied",
            )
        case never:
            assert_never(never)
    if connection.show_script_messages and outcome.message:
        return replace(row, description=outcome.message)
    return row


def explanation(outcome: Succeeded | Denied | Failed) -> str:
    """One line for the tenant log: the client never sees a failure's detail."""
    match outcome:
        case Succeeded():
            return ""
        case Denied():
            return outcome.message or ""
        case Failed():
            text = AUTH0_TEXTS.get(outcome.kind, outcome.message or "")
            return f"{outcome.detail}: {text}" if text else str(outcome.detail)
        case never:
            assert_never(never)


_STUBS: Final = {
    Action.LOGIN: "Login",
    Action.GET_USER: "Get User",
    Action.CREATE: "Create",
    Action.VERIFY: "Verify",
    Action.CHANGE_PASSWORD: "Change Password",
    Action.DELETE: "Delete",
}


def script_missing(action: Action) -> Problem:
    """The legacy store is the authority, and nobody said how to ask it (C§1.3)."""
    text = (
        f"Please implement the {_STUBS[action]} script for this database connection at {SETTINGS_URL}"
        if action in _STUBS
        else f"{action} script does not exist"
    )
    return _sandbox(text)


def from_script(outcome: Denied | Failed) -> Problem:
    """What a script's verdict or failure means outside a login (C§3.2)."""
    match outcome:
        case Denied():
            return _denied_problem(outcome)
        case Failed() if outcome.kind is FailureKind.CAPACITY:
            return UNAVAILABLE_PROBLEM
        case Failed():
            return _sandbox(outcome.message or "", explanation(outcome))
        case never:
            assert_never(never)


def _denied_problem(outcome: Denied) -> Problem:
    names = {
        DeniedReason.VALIDATION: ("ValidationError", "validation_error"),
        DeniedReason.UNAUTHORIZED: ("UnauthorizedError", "unauthorized"),
        DeniedReason.WRONG_PASSWORD: ("WrongUsernameOrPasswordError", "wrongusernameorpassword"),
        DeniedReason.NOT_FOUND: ("Error", "user_not_found"),
    }
    name, code = names[outcome.reason]
    text = outcome.message or "The user database refused."
    exists = outcome.code == "user_exists"
    return Problem(
        name=name,
        code=outcome.code or code,
        description=text,
        from_sandbox=True,
        management_status=409 if exists else 400,
        management_message=text,
        management_code="auth0_idp_error",
    )


def _sandbox(text: str, log: str | None = None) -> Problem:
    return Problem(
        name="Error",
        code="custom_db_error",
        description="The user database could not be asked.",
        from_sandbox=True,
        management_message=f"Sandbox Error: {text or 'the script failed'}",
        management_code="auth0_idp_error",
        log=log or text,
    )
