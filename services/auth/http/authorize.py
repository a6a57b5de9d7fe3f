"""`/authorize` and logout (RFC 6749, section 4.1; C§7.3)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.auth.authorizations import SESSION_LIFETIME, Asked
from services.auth.clients import Client
from services.auth.connections import Connection
from services.auth.http.bodies import BadBody, Body, validate
from services.auth.http.cross_origin import COOKIE as VERIFIER_COOKIE
from services.auth.http.oauth import Refuse, scope_for_authorize
from services.auth.http.pages import (
    BROWSER_COOKIE,
    SESSION_COOKIE,
    STATE_SECONDS,
    Transaction,
    browser_of,
    fingerprint,
    message,
    new_browser,
    redirect,
    seal,
    set_cookie,
)
from services.auth.http.state import State, caller, state
from services.auth.logs import Entry
from services.auth.users import User

Text = Annotated[str, Field(max_length=2048)]


class AuthorizeRequest(Body):
    """The query of `/authorize`."""

    client_id: Annotated[str, Field(min_length=1, max_length=128)]
    redirect_uri: Text
    response_type: Annotated[str, Field(max_length=100)] = "code"
    scope: Annotated[str, Field(max_length=1024)] | None = None
    state: Text | None = None
    nonce: Annotated[str, Field(max_length=512)] | None = None
    audience: Annotated[str, Field(max_length=512)] | None = None
    connection: Annotated[str, Field(max_length=140)] | None = None
    code_challenge: Annotated[str, Field(min_length=43, max_length=128)] | None = None
    code_challenge_method: Annotated[str, Field(pattern="^(S256|plain)$")] = "plain"
    login_hint: Annotated[str, Field(max_length=320)] | None = None
    prompt: Annotated[str, Field(max_length=50)] | None = None
    login_ticket: Annotated[str, Field(max_length=200)] | None = None


async def authorize(http_request: Request) -> Response:
    """`GET /authorize`: to the login page, or straight back for who is logged in."""
    app = state(http_request)
    query = {name: value for name, value in http_request.query_params.items() if value}
    client = await app.clients.get(query.get("client_id", "")[:128])
    target = query.get("redirect_uri")
    # Until both are known to belong together nobody is sent anywhere (RFC 6749, section 4.1.2.1).
    if client is None or target is None or target not in client.known.callbacks:
        text = (
            "The application is unknown, or its redirect_uri is not one of its allowed callbacks."
        )
        return message("This login can't go on", text, status=400)
    try:
        asked = validate(AuthorizeRequest, query)
        return await _authorize(app, http_request, client, asked)
    except BadBody as error:
        return _back(target, query.get("state"), "invalid_request", error.message)
    except Refuse:
        text = f"Service not found: {query.get('audience', '')[:200]}"
        return _back(target, query.get("state"), "access_denied", text)


async def _authorize(
    app: State, http_request: Request, client: Client, asked: AuthorizeRequest
) -> Response:
    problem = _objection(client, asked)
    if problem is not None:
        return _back(asked.redirect_uri, asked.state, *problem)
    wanted = Asked(
        client_id=client.client_id,
        redirect_uri=asked.redirect_uri,
        scope=await scope_for_authorize(app, asked.scope, asked.audience),
        audience=asked.audience,
        nonce=asked.nonce,
        code_challenge=asked.code_challenge,
        code_challenge_method=asked.code_challenge_method if asked.code_challenge else None,
    )
    if asked.login_ticket is not None:
        return await _redeem(app, http_request, asked, wanted)
    user = await _session_user(app, http_request)
    if user is not None and asked.prompt != "login" and await _may_use(app, client, asked, user):
        return await _code(app, wanted, asked.state, user)
    if asked.prompt == "none":
        return _back(asked.redirect_uri, asked.state, "login_required", "Login required")
    connection = await _connection(app, client, asked.connection)
    if connection is None:
        text = "No connection is enabled for the client."
        return _back(asked.redirect_uri, asked.state, "invalid_request", text)
    return _to_login(app, http_request, client, connection, asked, wanted)


def _objection(client: Client, asked: AuthorizeRequest) -> tuple[str, str] | None:
    if asked.response_type != "code":
        return "unsupported_response_type", "Only response_type=code is supported."
    if "authorization_code" not in client.grant_types:
        text = "Grant type 'authorization_code' not allowed for the client."
        return "unauthorized_client", text
    if client.auth_method == "none" and asked.code_challenge is None:
        return "invalid_request", "A public client must send a code_challenge (RFC 7636)."
    return None


def _to_login(
    app: State,
    http_request: Request,
    client: Client,
    connection: Connection,
    asked: AuthorizeRequest,
    wanted: Asked,
) -> Response:
    browser = browser_of(http_request) or new_browser()
    transaction = Transaction(
        asked=wanted,
        connection=connection.name,
        application=client.name,
        oauth_state=asked.state,
        login_hint=asked.login_hint or "",
        expires=app.its.database.now().timestamp() + STATE_SECONDS,
        browser=fingerprint(browser),
    )
    response = redirect("/u/login", {"state": seal(app, transaction)})
    set_cookie(app, response, BROWSER_COOKIE, browser, STATE_SECONDS)
    return response


async def _redeem(
    app: State, http_request: Request, asked: AuthorizeRequest, wanted: Asked
) -> Response:
    """A login ticket of cross-origin authentication, from the browser that got it (C§7.2)."""
    verifier = http_request.cookies.get(VERIFIER_COOKIE)
    user_id = await app.authorizations.redeem_login_ticket(
        asked.login_ticket or "", wanted.client_id, verifier
    )
    user = None if user_id is None else await app.its.users.get(user_id)
    if user is None or user.blocked:
        return _back(asked.redirect_uri, asked.state, "access_denied", "Invalid login ticket")
    return await logged_in(app, wanted, asked.state, user)


async def logout(http_request: Request) -> Response:
    """`GET /v2/logout` and `/oidc/logout`: end the session, and go where the client allows."""
    app, query = state(http_request), http_request.query_params
    session = http_request.cookies.get(SESSION_COOKIE)
    user = await _session_user(app, http_request)
    await app.authorizations.end_session(session)
    client = await app.clients.get(query.get("client_id", "")[:128])
    target = query.get("returnTo") or query.get("post_logout_redirect_uri")
    allowed = set((await app.tenant.known()).allowed_logout_urls)
    if client is not None:
        allowed |= set(client.known.allowed_logout_urls)
    if target is not None and target not in allowed:
        text = "You are logged out. The address to go on to is not one of the allowed logout URLs."
        response = message("Logged out", text, status=400)
    elif target is not None:
        response = redirect(target, {"state": query.get("state")})
    else:
        response = message("Logged out", "You are logged out.")
    response.delete_cookie(SESSION_COOKIE, path="/")
    if user is not None:
        await _note(app, "slo", http_request, client, user)
    return response


async def logged_in(app: State, asked: Asked, oauth_state: str | None, user: User) -> Response:
    """Back to the application with a code, and with a session here (RFC 6749, section 4.1.2)."""
    response = await _code(app, asked, oauth_state, user)
    session = await app.authorizations.start_session(user.user_id)
    seconds = int(SESSION_LIFETIME.total_seconds())
    set_cookie(app, response, SESSION_COOKIE, session, seconds)
    return response


async def _code(app: State, asked: Asked, oauth_state: str | None, user: User) -> Response:
    code = await app.authorizations.code(asked, user.user_id)
    return redirect(asked.redirect_uri, {"code": code, "state": oauth_state})


async def _session_user(app: State, http_request: Request) -> User | None:
    session = http_request.cookies.get(SESSION_COOKIE, "")[:200]
    user_id = await app.authorizations.session_user(session)
    user = None if user_id is None else await app.its.users.get(user_id)
    return None if user is None or user.blocked else user


async def _may_use(app: State, client: Client, asked: AuthorizeRequest, user: User) -> bool:
    """Whether who is logged in elsewhere is somebody at this client too."""
    connection = await app.its.connections.get(user.connection_id)
    if connection is None or client.client_id not in connection.enabled_clients:
        return False
    return asked.connection is None or asked.connection == connection.name


async def _connection(app: State, client: Client, name: str | None) -> Connection | None:
    """The one that was named, the tenant's default, or the client's first."""
    wanted = name or (await app.tenant.known()).default_directory
    if wanted is not None:
        found = await app.its.connections.by_name(wanted)
        if found is not None and client.client_id in found.enabled_clients:
            return found
        if name is not None:
            return None
    return await app.its.connections.first_for(client.client_id)


def _back(target: str, oauth_state: str | None, error: str, description: str) -> Response:
    """An error for the application (RFC 6749, section 4.1.2.1)."""
    parameters = {"error": error, "error_description": description, "state": oauth_state}
    return redirect(target, parameters)


async def _note(
    app: State, kind: str, http_request: Request, client: Client | None, user: User
) -> None:
    entry = Entry(
        type=kind,
        caller=caller(http_request, client),
        connection_id=user.connection_id,
        user_id=user.user_id,
        user_name=user.email or user.username,
    )
    await app.its.logs.write(entry)
