"""Management API v2: the part that exists (C§7.4): connections, clients, users to read.

Every call needs a bearer token for the audience `<issuer>api/v2/` with the scope of its verb.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.clients import DEFAULT_GRANTS
from services.auth.connections import Connection, NameTaken, Options
from services.auth.http.answers import RETRY_AFTER, api_error
from services.auth.http.bodies import MANAGEMENT_BYTES, BadBody, Body, fields, read, validate
from services.auth.http.state import state
from services.auth.tokens import InvalidToken
from shared.errors import Unavailable

Endpoint = Callable[[Request], Awaitable[Response]]
MAX_PAGE: Final = 100

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$", max_length=128)]
ShortText = Annotated[str, Field(max_length=255)]


class ConnectionChanges(Body):
    """A PATCH: what is given replaces what was there."""

    display_name: ShortText | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    enabled_clients: list[ShortText] = Field(default_factory=list, max_length=1000)
    realms: Annotated[list[ShortText], Field(max_length=10)] | None = None
    is_domain_connection: bool = False
    metadata: Annotated[dict[str, ShortText], Field(max_length=10)] = Field(default_factory=dict)


class NewConnection(ConnectionChanges):
    """A POST."""

    name: Name
    strategy: Literal["auth0"]


class NewClient(Body):
    """A POST of an application."""

    name: ShortText
    app_type: Literal["native", "spa", "regular_web", "non_interactive"] = "regular_web"
    token_endpoint_auth_method: Literal["none", "client_secret_post", "client_secret_basic"] = (
        "client_secret_post"  # noqa: S105 - the name of a method
    )
    grant_types: list[ShortText] = Field(default=list(DEFAULT_GRANTS), max_length=20)


class ClientStatus(Body):
    """One client of a connection, on or off."""

    client_id: ShortText
    status: bool


class Page(Body):
    """Either page and per_page with totals, or from and take."""

    page: int = Field(default=0, ge=0, le=100_000)
    per_page: int = Field(default=50, ge=1, le=MAX_PAGE)
    include_totals: bool = False
    take: Annotated[int, Field(ge=1, le=MAX_PAGE)] | None = None
    start: Annotated[int, Field(ge=0)] = Field(default=0, alias="from")


def guarded(scope: str) -> Callable[[Endpoint], Endpoint]:
    """Check the bearer token and its scope; turn what goes wrong into the API's errors."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def checked(http_request: Request) -> Response:
            refusal = _authorise(http_request, scope)
            if refusal is not None:
                return refusal
            try:
                return await endpoint(http_request)
            except BadBody as error:
                text = f"Payload validation error: {error.message}"
                return api_error(error.status, text, "invalid_body")
            except Unavailable as error:
                return api_error(503, str(error), headers=RETRY_AFTER)

        return checked

    return decorate


def _authorise(http_request: Request, scope: str) -> Response | None:
    app = state(http_request)
    scheme, _, token = http_request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return api_error(401, "Missing authentication")
    try:
        scopes = app.tokens.management_scopes(token.strip(), app.audience)
    except InvalidToken:
        return api_error(401, "Invalid token")
    if scope not in scopes:
        text = f"Insufficient scope, expected any of: {scope}"
        return api_error(403, text, "insufficient_scope")
    return None


@guarded("read:connections")
async def list_connections(http_request: Request) -> Response:
    """`GET /connections`: both pagination styles."""
    page = _page(http_request)
    name = http_request.query_params.get("name")
    if http_request.query_params.get("strategy", "auth0") != "auth0":
        return JSONResponse(_paged(page, "connections", [], 0))
    offset, limit = _window(page)
    found, total = await state(http_request).connections.page(name=name, offset=offset, limit=limit)
    return JSONResponse(_paged(page, "connections", [one.public() for one in found], total))


@guarded("create:connections")
async def create_connection(http_request: Request) -> Response:
    """`POST /connections`."""
    asked = validate(NewConnection, await fields(http_request, MANAGEMENT_BYTES))
    _check_options(asked.options)
    try:
        connection = await state(http_request).connections.create(
            name=asked.name,
            display_name=asked.display_name,
            options=asked.options,
            enabled_clients=tuple(asked.enabled_clients),
            realms=None if asked.realms is None else tuple(asked.realms),
            is_domain_connection=asked.is_domain_connection,
            metadata=dict(asked.metadata),
        )
    except NameTaken as error:
        return api_error(409, str(error), "duplicate_connection")
    return JSONResponse(connection.public(), status_code=201)


@guarded("read:connections")
async def get_connection(http_request: Request) -> Response:
    """`GET /connections/{id}`."""
    connection = await _connection(http_request)
    return _unknown_connection() if connection is None else JSONResponse(connection.public())


@guarded("update:connections")
async def update_connection(http_request: Request) -> Response:
    """`PATCH /connections/{id}`: options are replaced wholesale."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown_connection()
    given = await fields(http_request, MANAGEMENT_BYTES)
    asked = validate(ConnectionChanges, given)
    if "options" in given:
        _check_options(asked.options)
    changes = {name: getattr(asked, name) for name in asked.model_fields_set}
    changed = await state(http_request).connections.update(connection, changes)
    return JSONResponse(changed.public())


@guarded("read:connections")
async def list_connection_clients(http_request: Request) -> Response:
    """`GET /connections/{id}/clients`."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown_connection()
    clients = [{"client_id": client} for client in sorted(connection.enabled_clients)]
    return JSONResponse({"clients": clients})


@guarded("update:connections")
async def update_connection_clients(http_request: Request) -> Response:
    """`PATCH /connections/{id}/clients`."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown_connection()
    status = await _client_statuses(http_request)
    await state(http_request).connections.enable_clients(connection, status)
    return Response(status_code=204)


@guarded("read:clients")
async def list_clients(http_request: Request) -> Response:
    """`GET /clients`."""
    page = _page(http_request)
    found, total = await state(http_request).clients.page(*_window(page))
    return JSONResponse(_paged(page, "clients", [client.public() for client in found], total))


@guarded("create:clients")
async def create_client(http_request: Request) -> Response:
    """`POST /clients`: the only answer that holds the secret."""
    asked = validate(NewClient, await fields(http_request, MANAGEMENT_BYTES))
    client, secret = await state(http_request).clients.create(
        name=asked.name,
        app_type=asked.app_type,
        auth_method=asked.token_endpoint_auth_method,
        grant_types=asked.grant_types,
    )
    body = client.public() | ({} if secret is None else {"client_secret": secret})
    return JSONResponse(body, status_code=201)


@guarded("read:clients")
async def get_client(http_request: Request) -> Response:
    """`GET /clients/{id}`."""
    client = await state(http_request).clients.get(http_request.path_params["id"])
    if client is None:
        return api_error(404, "The client does not exist", "inexistent_client")
    return JSONResponse(client.public())


@guarded("read:users")
async def get_user(http_request: Request) -> Response:
    """`GET /users/{id}`."""
    app = state(http_request)
    user = await app.users.get(http_request.path_params["id"])
    if user is None:
        return api_error(404, "The user does not exist.", "inexistent_user")
    connection = await app.connections.get(user.connection_id)
    return JSONResponse(user.public(None if connection is None else connection.name))


@guarded("read:users")
async def users_by_email(http_request: Request) -> Response:
    """`GET /users-by-email`."""
    email = http_request.query_params.get("email")
    if not email:
        return api_error(400, "Query validation error: 'email' is required", "invalid_query_string")
    found = await state(http_request).users.by_email(email[:320])
    return JSONResponse([user.public() for user in found])


async def _connection(http_request: Request) -> Connection | None:
    return await state(http_request).connections.get(http_request.path_params["id"])


async def _client_statuses(http_request: Request) -> dict[str, bool]:
    raw = await read(http_request, MANAGEMENT_BYTES)
    try:
        statuses = TypeAdapter(list[ClientStatus]).validate_json(raw)
    except ValidationError:
        raise BadBody("a list of {client_id, status} is expected") from None
    return {one.client_id: one.status for one in statuses}


def _unknown_connection() -> Response:
    return api_error(404, "The connection does not exist", "inexistent_connection")


def _check_options(options: dict[str, Any]) -> None:
    try:
        Options.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["options", *map(str, first["loc"])])
        raise BadBody(f"'{first['msg']}' on property {where}") from None


def _page(http_request: Request) -> Page:
    return validate(Page, dict(http_request.query_params))


def _window(page: Page) -> tuple[int, int]:
    if page.take is not None:
        return page.start, page.take
    return page.page * page.per_page, page.per_page


def _paged(page: Page, name: str, items: list[dict[str, Any]], total: int) -> Any:
    """An array, an envelope with totals, or a checkpoint; `take` wins (C§7.4)."""
    offset, limit = _window(page)
    if page.take is not None:
        more = offset + len(items)
        return {name: items} | ({"next": str(more)} if more < total else {})
    if page.include_totals:
        return {"total": total, "start": offset, "limit": limit, name: items}
    return items
