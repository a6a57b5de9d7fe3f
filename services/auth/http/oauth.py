"""`POST /oauth/token` and `/oauth/revoke` (C§7.1), with the errors of C§3.2."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final
from urllib.parse import unquote_plus
from uuid import UUID

import structlog
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.caller import Caller
from services.auth.clients import REALM_GRANT, Client
from services.auth.connections import Connection
from services.auth.consequences import UNAVAILABLE
from services.auth.http.answers import headers_of, later, oauth_error
from services.auth.http.bodies import BadBody, Body, fields, validate
from services.auth.http.state import State, caller, state
from services.auth.login import LoginAnswer, LoginRequest, Refused
from services.auth.logs import Entry
from services.auth.refresh_tokens import InvalidGrant
from services.auth.tokens import ALL_SCOPES, DEFAULT_SCOPE, Granted
from services.auth.users import User
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

EXECUTION_ID: Final = "x-trickle-execution-id"
NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
MAX_PASSWORD_BYTES: Final = 1024
"""Far above what any legacy store compares; argon2id takes any length, at a price."""

Identifier = Annotated[str, Field(min_length=1, max_length=320)]
Secret = Annotated[str, Field(min_length=1, max_length=512)]


class ClientRequest(Body):
    """What every request of a client has."""

    client_id: Annotated[str, Field(min_length=1, max_length=128)]
    client_secret: Secret | None = Field(default=None, repr=False)


class TokenRequest(ClientRequest):
    """What every grant has."""

    grant_type: Annotated[str, Field(max_length=200)]
    audience: Annotated[str, Field(max_length=512)] | None = None
    scope: Annotated[str, Field(max_length=1024)] | None = None


class PasswordRequest(TokenRequest):
    """Resource owner password (RFC 6749, section 4.3), with a realm or without."""

    username: Identifier
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_BYTES, repr=False)]
    realm: Annotated[str, Field(max_length=140)] | None = None


class RefreshRequest(TokenRequest):
    """RFC 6749, section 6."""

    refresh_token: Secret = Field(repr=False)


class CodeRequest(TokenRequest):
    """RFC 6749, section 4.1.3, with PKCE (RFC 7636)."""

    code: Secret = Field(repr=False)
    redirect_uri: Annotated[str, Field(max_length=2048)] | None = None
    code_verifier: Secret | None = Field(default=None, repr=False)


class RevokeRequest(ClientRequest):
    """RFC 7009."""

    token: Secret = Field(repr=False)


class Refuse(Exception):
    """A request ends here, with this response."""

    def __init__(self, response: Response) -> None:
        """`response` is sent as it is."""
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
        return oauth_error(error.status, "invalid_request", error.message, NO_STORE)
    except Refuse as refuse:
        response = refuse.response
    except Unavailable as error:
        response = unavailable(error)
    response.headers.update(NO_STORE)
    return response


def unavailable(error: Unavailable) -> Response:
    """A login, or what surrounds it, that needs what is away."""
    log.warning("request.unavailable", reason=str(error), next="answered 503")
    return JSONResponse(UNAVAILABLE.body(), UNAVAILABLE.status, headers=later(error.retry_after))


async def revoke(http_request: Request) -> Response:
    """`POST /oauth/revoke`: 200 also for a token that nobody knows (RFC 7009, section 2.2)."""
    app = state(http_request)
    try:
        values = _with_basic(http_request, await fields(http_request))
        asked = validate(RevokeRequest, values)
        client = await _client(app, asked)
    except BadBody as error:
        return oauth_error(error.status, "invalid_request", error.message, NO_STORE)
    except Refuse as refuse:
        return refuse.response
    await app.refresh_tokens.revoke(asked.token, client)
    return Response(status_code=200, headers=NO_STORE)


async def _grant(
    app: State, http_request: Request, asked: TokenRequest, client: Client, values: dict[str, Any]
) -> Response:
    known = {"password", REALM_GRANT, "client_credentials", "refresh_token", "authorization_code"}
    if asked.grant_type not in known:
        text = f"Unsupported grant type: {asked.grant_type[:100]}"
        return oauth_error(400, "unsupported_grant_type", text)
    if asked.grant_type not in client.grant_types:
        text = f"Grant type '{asked.grant_type}' not allowed for the client."
        return oauth_error(403, "unauthorized_client", text)
    who = caller(http_request, client, authenticated=True)
    match asked.grant_type:
        case "client_credentials":
            return await _client_credentials(app, asked, client, who)
        case "refresh_token":
            return await _refresh(app, validate(RefreshRequest, values), client, who)
        case "authorization_code":
            return await _code(app, validate(CodeRequest, values), client, who)
        case _:
            return await _password(app, validate(PasswordRequest, values), client, who)


async def _client_credentials(
    app: State, asked: TokenRequest, client: Client, who: Caller
) -> Response:
    if client.auth_method == "none":
        return oauth_error(403, "unauthorized_client", "A public client has no credentials.")
    if asked.audience is None:
        return oauth_error(400, "invalid_request", "Missing required parameter: audience")
    if asked.audience != app.audience or not client.api_scopes:
        text = f'Client is not authorized to access "{asked.audience}".'
        await app.its.logs.write(_entry("feccft", who, text, audience=asked.audience))
        return oauth_error(403, "access_denied", text)
    scopes = list(client.api_scopes)
    if asked.scope:
        scopes = [scope for scope in asked.scope.split() if scope in client.api_scopes]
    await app.its.logs.write(_entry("seccft", who, audience=asked.audience))
    return JSONResponse(app.tokens.for_client(client, asked.audience, scopes))


async def _password(app: State, asked: PasswordRequest, client: Client, who: Caller) -> Response:
    connection = await connection_for(app, await _realm(app, asked), client)
    scope = await _scope(app, asked.scope, asked.audience, "password grant")
    login = LoginRequest(
        connection=connection, identifier=asked.username, password=asked.password, caller=who
    )
    # Owned by the application: when the client hangs up, the import completes all the same.
    answer = await app.log_in(login)
    if isinstance(answer, Refused):
        refusal = answer.refusal
        entry = Entry(
            type="fepft", caller=who, user_name=asked.username, description=refusal.description
        )
        await app.its.logs.write(entry, wait=refusal.status != UNAVAILABLE.status)
        return refused(answer)
    granted = await _granted(app, answer.user, client, scope, asked.audience, "password")
    entry = _entry("sepft", who, user=answer.user, audience=asked.audience, scope=scope)
    body = await app.tokens.for_user(answer.user, granted, entry)
    return with_execution(JSONResponse(body), answer)


def refused(answer: Refused) -> Response:
    """A refused login, in OAuth's shape."""
    refusal = answer.refusal
    headers = headers_of(refusal)
    response = JSONResponse(refusal.body(), status_code=refusal.status, headers=headers)
    return with_execution(response, answer)


def with_execution(response: Response, answer: LoginAnswer) -> Response:
    """Name the execution, but for a denial: those that asked no script must not stand out."""
    alike = isinstance(answer, Refused) and answer.refusal.alike
    if answer.execution_id is not None and not alike:
        response.headers[EXECUTION_ID] = str(answer.execution_id)
    return response


async def _refresh(app: State, asked: RefreshRequest, client: Client, who: Caller) -> Response:
    try:
        renewed = await app.refresh_tokens.renew(asked.refresh_token, client)
    except InvalidGrant:
        text = "Unknown or invalid refresh token."
        await app.its.logs.write(_entry("fertft", who, text))
        return oauth_error(403, "invalid_grant", text)
    user = await app.its.users.get(renewed.user_id)
    if user is None or user.blocked:
        await app.its.logs.write(_entry("fertft", who, "user is blocked", user=user))
        return oauth_error(403, "unauthorized", "user is blocked")
    scope = renewed.scope
    if asked.scope:  # may only narrow (RFC 6749, section 6)
        wanted = asked.scope.split()
        scope = " ".join(one for one in renewed.scope.split() if one in wanted)
    granted = Granted(client, scope, renewed.audience, "refresh_token", refresh_token=renewed.token)
    entry = _entry("sertft", who, user=user, audience=renewed.audience, scope=scope)
    return JSONResponse(await app.tokens.for_user(user, granted, entry))


async def _code(app: State, asked: CodeRequest, client: Client, who: Caller) -> Response:
    try:
        redeemed = await app.authorizations.redeem(
            asked.code, client, asked.redirect_uri, asked.code_verifier
        )
    except InvalidGrant:
        await app.its.logs.write(_entry("feacft", who, "Invalid authorization code"))
        return oauth_error(403, "invalid_grant", "Invalid authorization code")
    user = await app.its.users.get(redeemed.user_id)
    if user is None or user.blocked:
        await app.its.logs.write(_entry("feacft", who, "user is blocked", user=user))
        return oauth_error(403, "unauthorized", "user is blocked")
    granted = await _granted(
        app,
        user,
        client,
        redeemed.scope,
        redeemed.audience,
        "authorization_code",
        nonce=redeemed.nonce,
        family_id=redeemed.family_id,
    )
    entry = _entry("seacft", who, user=user, audience=redeemed.audience)
    return JSONResponse(await app.tokens.for_user(user, granted, entry))


async def _granted(
    app: State,
    user: User,
    client: Client,
    scope: str,
    audience: str | None,
    grant: str,
    *,
    nonce: str | None = None,
    family_id: UUID | None = None,
) -> Granted:
    refresh_token = None
    lasting = "offline_access" in scope.split() and "refresh_token" in client.grant_types
    if lasting and user.stored:
        refresh_token = await app.refresh_tokens.issue(
            client, user.user_id, scope, audience, family_id
        )
    return Granted(client, scope, audience, grant, nonce, refresh_token)


async def _scope(app: State, wanted: str | None, audience: str | None, where: str) -> str:
    """What is granted of what was asked. Raises Refuse for an audience that is none."""
    allowed = set(ALL_SCOPES)
    if audience is not None:
        server = None if audience == app.audience else await app.resource_servers.find(audience)
        if server is None:
            text = f"invalid audience specified for {where} exchange"
            raise Refuse(oauth_error(400, "invalid_request", text))
        allowed |= {str(one.get("value")) for one in server.scopes}
    if not wanted:
        return DEFAULT_SCOPE
    return " ".join(dict.fromkeys(one for one in wanted.split() if one in allowed))


async def scope_for_authorize(app: State, wanted: str | None, audience: str | None) -> str:
    """As for a token. Raises Refuse."""
    return await _scope(app, wanted or "openid profile email", audience, "authorization code")


async def _realm(app: State, asked: PasswordRequest) -> str:
    if asked.realm is not None:
        return asked.realm
    if asked.grant_type == REALM_GRANT:
        raise BadBody("Missing required parameter: realm", missing="realm")
    name = (await app.tenant.known()).default_directory
    if name is None:
        text = "Authorization server not configured with default connection."
        raise Refuse(oauth_error(400, "server_error", text))
    return name


async def connection_for(app: State, name: str, client: Client) -> Connection:
    """The connection of a realm, if this client may use it. Raises Refuse."""
    connection = await app.its.connections.by_name(name)
    if connection is None:
        raise Refuse(oauth_error(400, "invalid_request", f"Unknown realm {name}."))
    if client.client_id not in connection.enabled_clients:
        text = "The connection is not enabled for the client."
        raise Refuse(oauth_error(403, "unauthorized_client", text))
    return connection


async def _client(app: State, asked: ClientRequest) -> Client:
    client = await app.clients.get(asked.client_id)
    if client is None or not client.authenticates(asked.client_secret):
        raise Refuse(
            oauth_error(
                401,
                "invalid_client",
                "Unknown client, or wrong secret.",
                {"www-authenticate": "Basic"},
            )
        )
    return client


def _entry(
    kind: str,
    who: Caller,
    description: str | None = None,
    *,
    user: User | None = None,
    audience: str | None = None,
    scope: str | None = None,
) -> Entry:
    return Entry(
        type=kind,
        caller=who,
        connection_id=None if user is None else user.connection_id,
        user_id=None if user is None else user.user_id,
        user_name=None if user is None else user.email or user.username,
        description=description,
        audience=audience,
        scope=scope,
    )


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
