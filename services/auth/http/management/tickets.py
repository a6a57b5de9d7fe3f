"""`/tickets` (C§7.4): links that somebody else delivers."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.answers import api_error
from services.auth.http.bodies import BadBody, Body, body, validate
from services.auth.http.operations import API, Operation
from services.auth.http.state import State, caller, state
from services.auth.new_users import Email
from services.auth.tickets import DEFAULT_TTL

Url = Annotated[str, Field(pattern=r"^https?://", max_length=2048)]
Id = Annotated[str, Field(min_length=1, max_length=300)]
Ttl = Annotated[int, Field(ge=0, le=2_592_000)]


class TicketRequest(Body):
    """What both have."""

    user_id: Id | None = None
    result_url: Url | None = None
    client_id: Id | None = None
    ttl_sec: Ttl | None = None
    includeEmailInRedirect: bool = False  # noqa: N815 - Auth0's spelling

    @property
    def ttl(self) -> timedelta:
        """How long the link works; 0 is the default, as at Auth0."""
        return timedelta(seconds=self.ttl_sec) if self.ttl_sec else DEFAULT_TTL

    def settings(self) -> dict[str, Any]:
        """What the page needs later."""
        return {
            "result_url": self.result_url,
            "client_id": self.client_id,
            "include_email": self.includeEmailInRedirect,
        }


class PasswordTicket(TicketRequest):
    """`/tickets/password-change`."""

    email: Email | None = None
    connection_id: Id | None = None
    mark_email_as_verified: bool = False


class VerificationTicket(TicketRequest):
    """`/tickets/email-verification`."""

    user_id: Id


async def password_change(http_request: Request) -> Response:
    """`POST /tickets/password-change`: a link to the page that sets a new password."""
    asked = validate(PasswordTicket, _present(await body(http_request)))
    app = state(http_request)
    user = None if asked.user_id is None else await app.its.users.get(asked.user_id)
    if asked.user_id is not None and user is None:
        return api_error(404, "The user does not exist.", "inexistent_user")
    connection = await app.its.connections.get(
        user.connection_id if user else asked.connection_id or ""
    )
    email = (user.email or user.username) if user else asked.email
    if connection is None or email is None:
        raise BadBody("user_id, or email and connection_id, are required")
    link = await app.resets.ticket(
        connection,
        user,
        email,
        caller=caller(http_request).for_client(http_request.state.client_id),
        settings=asked.settings() | {"mark_email_as_verified": asked.mark_email_as_verified},
        ttl=asked.ttl,
    )
    return JSONResponse({"ticket": link}, status_code=201)


async def email_verification(http_request: Request) -> Response:
    """`POST /tickets/email-verification`: a link that verifies an address."""
    asked = validate(VerificationTicket, _present(await body(http_request)))
    app: State = state(http_request)
    user = await app.its.users.get(asked.user_id)
    if user is None or user.email is None:
        return api_error(404, "The user does not exist.", "inexistent_user")
    link = await app.verifications.ticket(user, asked.settings(), asked.ttl)
    return JSONResponse({"ticket": link}, status_code=201)


def _present(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


OPERATIONS: Final = [
    Operation(
        method="POST",
        path=f"{API}/tickets/password-change",
        endpoint=password_change,
        tag="tickets",
        scope="create:user_tickets",
        body=PasswordTicket,
        status=201,
    ),
    Operation(
        method="POST",
        path=f"{API}/tickets/email-verification",
        endpoint=email_verification,
        tag="tickets",
        scope="create:user_tickets",
        body=VerificationTicket,
        status=201,
    ),
]
