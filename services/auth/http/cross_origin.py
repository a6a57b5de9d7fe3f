"""Cross-origin authentication (C§7.2), and which origins browsers let in (CORS).

`/co/authenticate` proves a password from a page of the application's own; `/authorize` redeems
its login ticket, in the same browser: the cookie says so.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.clients import REALM_GRANT
from services.auth.consequences import BLOCKED, Refusal
from services.auth.http.answers import headers_of, oauth_error
from services.auth.http.bodies import BadBody, Body, fields, validate
from services.auth.http.oauth import (
    EXECUTION_ID,
    MAX_PASSWORD_BYTES,
    NO_STORE,
    Refuse,
    connection_for,
    unavailable,
    with_execution,
)
from services.auth.http.state import State, caller, state
from services.auth.login import LoginRequest, Refused
from services.auth.logs import Entry
from shared.errors import Unavailable

COOKIE: Final = "trickle_co_verifier"
OPEN_PATHS: Final = frozenset(
    {"/oauth/token", "/oauth/revoke", "/userinfo", "/co/authenticate", "/dbconnections/signup"}
    | {"/dbconnections/change_password", "/.well-known/openid-configuration"}
    | {"/.well-known/jwks.json"}
)
"""What pages of applications call; the Management API is for servers."""


class CrossOriginRequest(Body):
    """`/co/authenticate`."""

    client_id: Annotated[str, Field(min_length=1, max_length=128)]
    username: Annotated[str, Field(min_length=1, max_length=320)]
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_BYTES, repr=False)]
    realm: Annotated[str, Field(min_length=1, max_length=140)]
    credential_type: Annotated[str, Field(max_length=200)]


async def authenticate(http_request: Request) -> Response:
    """`POST /co/authenticate`: a login ticket for a right password."""
    app = state(http_request)
    try:
        asked = validate(CrossOriginRequest, await fields(http_request))
        return await _authenticate(app, http_request, asked)
    except BadBody as error:
        return oauth_error(error.status, "invalid_request", error.message, NO_STORE)
    except Refuse as refuse:
        return refuse.response
    except Unavailable as error:
        return unavailable(error)


async def _authenticate(app: State, http_request: Request, asked: CrossOriginRequest) -> Response:
    if asked.credential_type != REALM_GRANT:
        text = "Unsupported credential type parameter."
        return oauth_error(400, "unsupported_credential_type", text, NO_STORE)
    client = await app.clients.get(asked.client_id)
    origin = http_request.headers.get("origin")
    if client is None or not client.takes_origin(origin):
        text = "Cross origin login not allowed."
        return oauth_error(401, "unauthorized_client", text, NO_STORE)
    connection = await connection_for(app, asked.realm, client)
    who = caller(http_request, client)
    login = LoginRequest(
        connection=connection, identifier=asked.username, password=asked.password, caller=who
    )
    answer = await app.log_in(login)
    kind = "fcoa" if isinstance(answer, Refused) else "scoa"
    entry = Entry(
        type=kind,
        caller=who,
        connection_id=connection.connection_id,
        user_id=None if isinstance(answer, Refused) else answer.user.user_id,
        user_name=asked.username,
    )
    await app.its.logs.write(entry)
    if isinstance(answer, Refused):
        response = _refused(answer.refusal)
    elif not answer.user.stored:  # a ticket has to remember whose it is
        text = "Users of this connection are not kept, so they can't log in here."
        response = oauth_error(403, "access_denied", text, NO_STORE)
    else:
        ticket = await app.authorizations.login_ticket(answer.user.user_id, client.client_id)
        response = JSONResponse(ticket, headers=NO_STORE)
        secure = app.issuer.startswith("https:")
        response.set_cookie(
            COOKIE,
            ticket["co_verifier"],
            max_age=120,
            path="/authorize",
            httponly=True,
            secure=secure,
            samesite="none" if secure else "lax",
        )
    return with_execution(response, answer)


def _refused(refusal: Refusal) -> Response:
    """This surface has words of its own for some refusals (C§3.2)."""
    body = refusal.body()
    if refusal.error == "invalid_grant":
        body["error"] = "access_denied"
    if refusal is BLOCKED:
        body["error"] = "blocked_user"
    headers = NO_STORE | headers_of(refusal)
    return JSONResponse(body, status_code=refusal.status, headers=headers)


async def headers_for(app: State, path: str, origin: str | None) -> list[tuple[bytes, bytes]]:
    """The CORS headers of an answer; none for who is not listed by any client."""
    if origin is None or path not in OPEN_PATHS:
        return []
    if origin not in await app.clients.origins():
        return []
    try:
        allowed = origin.encode("ascii")
    except UnicodeEncodeError:
        return []
    return [
        (b"access-control-allow-origin", allowed),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", EXECUTION_ID.encode()),
        (b"vary", b"Origin"),
    ]


PREFLIGHT: Final[list[tuple[bytes, bytes]]] = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, auth0-client"),
    (b"access-control-max-age", b"600"),
]


def is_preflight(scope: Any) -> bool:
    """Whether a browser asks before it asks (Fetch standard, CORS-preflight)."""
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in names
