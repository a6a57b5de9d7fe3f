"""`POST /oauth/token` (C§7.1), with the errors of C§3.2."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, assert_never
from urllib.parse import unquote_plus

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.clients import REALM_GRANT, Client
from services.auth.connections import Connection
from services.auth.http.answers import RETRY_AFTER, oauth_error
from services.auth.http.bodies import BadBody, Body, fields, validate
from services.auth.http.state import State, state
from services.auth.login import LoggedIn, LoginRequest, Refused
from shared.telemetry import child_traceparent

EXECUTION_ID: Final = "x-trickle-execution-id"
_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
MAX_PASSWORD_BYTES: Final = 1024
"""Far above what any legacy store compares; argon2id takes any length, at a price."""

Identifier = Annotated[str, Field(min_length=1, max_length=320)]


class TokenRequest(Body):
    """What every grant has."""

    grant_type: Annotated[str, Field(max_length=200)]
    client_id: Annotated[str, Field(min_length=1, max_length=128)]
    client_secret: Annotated[str, Field(max_length=512)] | None = Field(default=None, repr=False)
    audience: Annotated[str, Field(max_length=512)] | None = None
    scope: Annotated[str, Field(max_length=1024)] | None = None


class PasswordRequest(TokenRequest):
    """Resource owner password (RFC 6749, section 4.3), with a realm or without."""

    username: Identifier
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_BYTES, repr=False)]
    realm: Annotated[str, Field(max_length=140)] | None = None


class _Refuse(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def token(http_request: Request) -> Response:
    """The token endpoint."""
    app = state(http_request)
    try:
        values = _with_basic(http_request, await fields(http_request))
        asked = validate(TokenRequest, values)
        client = await _client(app, asked)
        response = await _grant(app, http_request, asked, client, values)
    except BadBody as error:
        return oauth_error(error.status, "invalid_request", error.message, _NO_STORE)
    except _Refuse as refuse:
        response = refuse.response
    response.headers.update(_NO_STORE)
    return response


async def _grant(
    app: State, http_request: Request, asked: TokenRequest, client: Client, values: dict[str, Any]
) -> Response:
    if asked.grant_type not in {"password", REALM_GRANT, "client_credentials"}:
        return oauth_error(
            400, "unsupported_grant_type", f"Unsupported grant type: {asked.grant_type[:100]}"
        )
    if asked.grant_type not in client.grant_types:
        text = f"Grant type '{asked.grant_type}' not allowed for the client."
        return oauth_error(403, "unauthorized_client", text)
    if asked.grant_type == "client_credentials":
        return _client_credentials(app, asked, client)
    return await _password(app, http_request, validate(PasswordRequest, values), client)


def _client_credentials(app: State, asked: TokenRequest, client: Client) -> Response:
    if client.auth_method == "none":
        return oauth_error(403, "unauthorized_client", "A public client has no credentials.")
    if asked.audience is None:
        return oauth_error(400, "invalid_request", "Missing required parameter: audience")
    if asked.audience != app.audience:
        text = f"Service not found: {asked.audience}"
        return oauth_error(403, "access_denied", text)
    if not client.api_scopes:
        text = f'Client is not authorized to access "{asked.audience}".'
        return oauth_error(403, "access_denied", text)
    scopes = list(client.api_scopes)
    if asked.scope:
        scopes = [scope for scope in asked.scope.split() if scope in client.api_scopes]
    return JSONResponse(app.tokens.for_client(client, asked.audience, scopes))


async def _password(
    app: State, http_request: Request, asked: PasswordRequest, client: Client
) -> Response:
    connection = await _connection(app, asked, client)
    login = LoginRequest(
        connection=connection,
        identifier=asked.username,
        password=asked.password,
        client_id=client.client_id,
        ip=http_request.client.host if http_request.client else None,
        traceparent=child_traceparent(http_request.headers.get("traceparent")),
    )
    # Owned by the application: when the client hangs up, the import completes all the same.
    answer = await app.complete(app.logins.login(login))
    match answer:
        case LoggedIn(user):
            body = await app.tokens.for_user(
                user, client, asked.scope, asked.audience, asked.grant_type.rpartition("/")[2]
            )
            response: Response = JSONResponse(body)
        case Refused(refusal):
            later = RETRY_AFTER if refusal.retry_after is not None else None
            response = JSONResponse(refusal.body(), status_code=refusal.status, headers=later)
        case never:
            assert_never(never)
    if answer.execution_id is not None:
        response.headers[EXECUTION_ID] = str(answer.execution_id)
    return response


async def _connection(app: State, asked: PasswordRequest, client: Client) -> Connection:
    name = asked.realm
    if name is None:
        if asked.grant_type == REALM_GRANT:
            raise BadBody("Missing required parameter: realm", missing="realm")
        name = await app.default_directory()
        if name is None:
            text = "Authorization server not configured with default connection."
            raise _Refuse(oauth_error(400, "server_error", text))
    connection = await app.connections.by_name(name)
    if connection is None:
        raise _Refuse(oauth_error(400, "invalid_request", f"Unknown realm {name}."))
    if client.client_id not in connection.enabled_clients:
        text = "The connection is not enabled for the client."
        raise _Refuse(oauth_error(403, "unauthorized_client", text))
    return connection


async def _client(app: State, asked: TokenRequest) -> Client:
    client = await app.clients.get(asked.client_id)
    if client is None or not client.authenticates(asked.client_secret):
        raise _Refuse(
            oauth_error(
                401,
                "invalid_client",
                "Unknown client, or wrong secret.",
                {"www-authenticate": "Basic"},
            )
        )
    return client


def _with_basic(http_request: Request, values: dict[str, Any]) -> dict[str, Any]:
    """Client credentials from the Authorization header, where the body has none."""
    scheme, _, encoded = http_request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or "client_secret" in values:
        return values
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise BadBody("the Authorization header can't be read") from None
    return values | {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret)}
