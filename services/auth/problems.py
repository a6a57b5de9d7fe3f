"""What ends a flow other than a login: one exception, rendered in the shape of each surface (C§3.2).

Public answers never hold a failure's detail: that is for the tenant log, and for the Management
API, whose callers may read that log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from shared.errors import ServiceError

TRY_LATER: Final = "The service is temporarily unavailable, please try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a flow ended, for whoever asked."""

    status: int = 400
    name: str = "BadRequestError"
    code: str
    description: Any
    """What an application shows: a text, or the rules of a password policy."""
    message: str | None = None
    """Where it differs from the description."""
    policy: str | None = None
    from_sandbox: bool = False
    management_status: int | None = None
    management_message: str | None = None
    management_code: str | None = None
    log: str | None = field(default=None, repr=False)
    """What the tenant log says of it, where that is more."""
    retryable: bool = False

    def public(self) -> dict[str, Any]:
        """The shape of `/dbconnections/*` (C§3.2)."""
        if self.from_sandbox:
            return {
                "name": self.name,
                "message": self.text,
                "code": self.code,
                "description": self.description,
                "fromSandbox": True,
            }
        shape = {
            "name": self.name,
            "code": self.code,
            "description": self.description,
            "message": self.message,
            "policy": self.policy,
            "statusCode": self.status,
        }
        return {name: value for name, value in shape.items() if value is not None}

    @property
    def text(self) -> str:
        """One sentence."""
        return self.message if self.message is not None else str(self.description)

    @property
    def rules(self) -> list[str] | None:
        """The rules of the password policy, for a page."""
        return None if self.policy is None else self.policy.replace("*", "").splitlines()

    @property
    def for_log(self) -> str:
        """What the tenant log says."""
        return self.log or self.text


class FlowEnded(ServiceError):
    """A flow ended with a problem; nothing was changed."""

    def __init__(self, problem: Problem) -> None:
        """`problem` says why, and renders the answer."""
        super().__init__(problem.text)
        self.problem = problem


INVALID_SIGNUP: Final = Problem(
    code="invalid_signup",
    description="Invalid sign up",
    management_status=409,
    management_message="The user already exists.",
    management_code="auth0_idp_error",
    log="the user already exists",
)
USER_EXISTS: Final = Problem(
    code="user_exists",
    description="The user already exists.",
    management_status=409,
    management_message="The user already exists.",
    management_code="auth0_idp_error",
)
EMAIL_TAKEN: Final = Problem(
    code="email_taken",
    description="The specified new email already exists",
    management_code="auth0_idp_error",
)
USERNAME_TAKEN: Final = Problem(
    code="username_taken",
    description="The specified new username already exists",
    management_code="auth0_idp_error",
)
SIGNUP_DISABLED: Final = Problem(
    code="public_signup_disabled", description="Public sign up is disabled"
)
UNKNOWN_USER: Final = Problem(
    status=404, code="inexistent_user", description="The user does not exist."
)
UNAVAILABLE: Final = Problem(
    status=503,
    name="ServiceUnavailableError",
    code="temporarily_unavailable",
    description=TRY_LATER,
    retryable=True,
)
NOT_CHANGED: Final = Problem(
    code="not_changed",
    description="The user database did not make the change.",
    from_sandbox=True,
    name="Error",
)
"""The script said `false`, or no user was there to change."""
