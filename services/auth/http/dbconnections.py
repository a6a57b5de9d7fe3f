"""`/dbconnections/*`: sign-up and forgotten passwords (C§7.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.auth.clients import Client
from services.auth.connections import Connection
from services.auth.guard import Limited
from services.auth.http.answers import headers_of, later, oauth_error
from services.auth.http.bodies import BadBody, Body, fields, validate
from services.auth.http.state import State, caller, state
from services.auth.new_users import Email, NewUser, Password
from services.auth.problems import INVALID_SIGNUP, UNAVAILABLE, USER_EXISTS, FlowEnded, Problem
from services.auth.users import User
from shared.errors import Unavailable

SENT: Final = "We've just sent you an email to reset your password."
"""To everybody: who is known and who is not must not be told apart."""
_ECHOED: Final = ("given_name", "family_name", "name", "nickname", "picture", "user_metadata")

Endpoint = Callable[[Request], Awaitable[Response]]


class ConnectionRequest(Body):
    """What both have."""

    client_id: Annotated[str, Field(min_length=1, max_length=128)]
    connection: Annotated[str, Field(min_length=1, max_length=128)]


class ForgottenRequest(ConnectionRequest):
    """`/dbconnections/change_password`."""

    email: Email | None = None
    username: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class SignupRequest(ConnectionRequest, NewUser):
    """`/dbconnections/signup`."""

    password: Password = Field(repr=False)


def answering(endpoint: Endpoint) -> Endpoint:
    """Turn what ends a flow into the answer's shape."""

    @wraps(endpoint)
    async def answered(http_request: Request) -> Response:
        try:
            return await endpoint(http_request)
        except BadBody as error:
            return _ended(
                Problem(status=error.status, code="invalid_body", description=error.message)
            )
        except Limited as error:
            refusal = error.refusal
            headers = headers_of(refusal)
            return oauth_error(refusal.status, refusal.error, refusal.description, headers)
        except FlowEnded as error:
            return _ended(error.problem)
        except Unavailable as error:
            return _ended(UNAVAILABLE, error.retry_after)

    return answered


def _ended(problem: Problem, after: timedelta | None = None) -> Response:
    headers = later(after) if problem.retryable else None
    return JSONResponse(problem.public(), status_code=problem.status, headers=headers)


@answering
async def signup(http_request: Request) -> Response:
    """`POST /dbconnections/signup`."""
    app = state(http_request)
    values = await fields(http_request)
    asked = validate(SignupRequest, {**values, "user_id": None})
    client, connection = await _where(app, asked)
    user = NewUser.model_validate(asked.model_dump(exclude_unset=True))
    who = caller(http_request, client)
    try:
        # Owned by the application: a user who hung up has an account all the same.
        work = app.signups.sign_up(connection, user, who)
        created = await app.complete(work, connection)
    except FlowEnded as error:
        told = (await app.tenant.known()).flags.enable_public_signup_user_exists_error
        if error.problem is INVALID_SIGNUP and told:
            return _ended(USER_EXISTS)
        raise
    return JSONResponse(_signed_up(created, values))


def _signed_up(user: User, given: dict[str, Any]) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "_id": user.legacy_id,
        "email": user.email,
        "email_verified": user.email_verified,
        "username": user.username,
        **{name: given[name] for name in _ECHOED if name in given},
    }
    return {name: value for name, value in shape.items() if value is not None}


@answering
async def change_password(http_request: Request) -> Response:
    """`POST /dbconnections/change_password`: 200 whoever asks for whomever."""
    app = state(http_request)
    asked = validate(ForgottenRequest, await fields(http_request))
    client, connection = await _where(app, asked)
    who = caller(http_request, client)
    identifier = asked.email or asked.username
    if identifier is None:
        raise BadBody("email is required")
    await app.resets.admit(connection, identifier, who)
    app.after_the_answer(app.resets.forgot(connection, identifier, who))
    return PlainTextResponse(SENT, media_type="text/html")


async def _where(app: State, asked: ConnectionRequest) -> tuple[Client, Connection]:
    client = await app.clients.get(asked.client_id)
    if client is None:
        raise FlowEnded(Problem(code="invalid_client", description="Unknown client."))
    connection = await app.its.connections.by_name(asked.connection)
    if connection is None:
        text = "The connection was not found."
        raise FlowEnded(Problem(code="invalid_connection", description=text))
    if client.client_id not in connection.enabled_clients:
        text = "The connection is not enabled for the client."
        raise FlowEnded(Problem(code="unauthorized_client", description=text))
    return client, connection
