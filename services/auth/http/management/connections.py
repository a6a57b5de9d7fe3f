"""`/connections` (C§6.4, C§7.4)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.connection_options import Options
from services.auth.connections import Connection, NameTaken
from services.auth.http.answers import api_error
from services.auth.http.bodies import MANAGEMENT_BYTES, BadBody, Body, body, read, validate
from services.auth.http.management.paging import Page, page
from services.auth.http.operations import API, Operation
from services.auth.http.state import caller, state
from services.auth.users import iso

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$", max_length=128)]
ShortText = Annotated[str, Field(max_length=255)]
REVISION: Final = "x-trickle-revision"
"""Header of our own: which revision an answer shows, for a client that compares."""


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


class ClientStatus(Body):
    """One client of a connection, on or off."""

    client_id: ShortText
    status: bool


_STATUSES: Final = TypeAdapter(Annotated[list[ClientStatus], Field(max_length=1000)])


async def list_connections(http_request: Request) -> Response:
    """`GET /connections`: both pagination styles."""
    asked = page(http_request)
    query = http_request.query_params
    strategies = [one for given in query.getlist("strategy") for one in given.split(",")]
    if strategies and "auth0" not in strategies:
        return JSONResponse(asked.answer("connections", [], 0))
    offset, limit = asked.window()
    found, total = await state(http_request).its.connections.page(
        name=query.get("name"), offset=offset, limit=limit
    )
    return JSONResponse(asked.answer("connections", [one.public() for one in found], total))


async def create_connection(http_request: Request) -> Response:
    """`POST /connections`: create a connection."""
    asked = validate(NewConnection, _present(await body(http_request)))
    check_options(asked.options)
    try:
        connection = await state(http_request).its.connections.create(
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


async def get_connection(http_request: Request) -> Response:
    """`GET /connections/{id}`: one connection."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown()
    return JSONResponse(
        page(http_request).chosen(connection.public()), headers=_revision(connection)
    )


async def update_connection(http_request: Request) -> Response:
    """`PATCH /connections/{id}`: options are replaced wholesale."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown()
    given = _present(await body(http_request))
    asked = validate(ConnectionChanges, given)
    if "options" in given:
        check_options(asked.options)
    changes = {name: getattr(asked, name) for name in asked.model_fields_set}
    changed = await state(http_request).its.connections.update(connection, changes)
    return JSONResponse(changed.public(), headers=_revision(changed))


async def delete_connection(http_request: Request) -> Response:
    """`DELETE /connections/{id}`: delete a connection and all its users."""
    connection = await _connection(http_request)
    if connection is None:
        return Response(status_code=204)
    deleted_at = await state(http_request).its.connections.delete(connection)
    return JSONResponse({"deleted_at": iso(deleted_at)}, status_code=202)


async def list_connection_clients(http_request: Request) -> Response:
    """`GET /connections/{id}/clients`: the clients that may use it."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown()
    asked = page(http_request)
    offset, limit = asked.window()
    every = sorted(connection.enabled_clients)
    clients = [{"client_id": client} for client in every[offset : offset + limit]]
    shape = asked.answer("clients", clients, len(every))
    return JSONResponse(shape if isinstance(shape, dict) else {"clients": shape})


async def update_connection_clients(http_request: Request) -> Response:
    """`PATCH /connections/{id}/clients`: enable and disable clients."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown()
    raw = await read(http_request, MANAGEMENT_BYTES)
    try:
        statuses = _STATUSES.validate_json(raw)
    except ValidationError:
        raise BadBody("a list of {client_id, status} is expected") from None
    wanted = {one.client_id: one.status for one in statuses}
    await state(http_request).its.connections.enable_clients(connection, wanted)
    return Response(status_code=204)


async def delete_connection_user(http_request: Request) -> Response:
    """`DELETE /connections/{id}/users`: delete a connection's user by e-mail address."""
    connection = await _connection(http_request)
    if connection is None:
        return _unknown()
    email = http_request.query_params.get("email")
    if not email:
        return api_error(400, "Query validation error: 'email' is required", "invalid_query_string")
    app = state(http_request)
    user = await app.its.users.find(connection.connection_id, email[:320])
    if user is not None:
        who = caller(http_request).for_client(http_request.state.client_id)
        await app.complete(app.accounts.delete(connection, user, who), connection)
    return Response(status_code=204)


async def _connection(http_request: Request) -> Connection | None:
    return await state(http_request).its.connections.get(http_request.path_params["id"])


def _present(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _unknown() -> Response:
    return api_error(404, "The connection does not exist", "inexistent_connection")


def check_options(options: dict[str, Any]) -> None:
    """Raise BadBody unless we can act upon them."""
    try:
        Options.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["options", *map(str, first["loc"])])
        raise BadBody(f"'{first['msg']}' on property {where}") from None


_PATH: Final = f"{API}/connections"
OPERATIONS: Final = [
    Operation(
        method="GET",
        path=_PATH,
        endpoint=list_connections,
        tag="connections",
        scope="read:connections",
        query=Page,
    ),
    Operation(
        method="POST",
        path=_PATH,
        endpoint=create_connection,
        tag="connections",
        scope="create:connections",
        body=NewConnection,
        status=201,
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/{{id}}",
        endpoint=get_connection,
        tag="connections",
        scope="read:connections",
    ),
    Operation(
        method="PATCH",
        path=f"{_PATH}/{{id}}",
        endpoint=update_connection,
        tag="connections",
        scope="update:connections",
        body=ConnectionChanges,
    ),
    Operation(
        method="DELETE",
        path=f"{_PATH}/{{id}}",
        endpoint=delete_connection,
        tag="connections",
        scope="delete:connections",
        status=202,
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/{{id}}/clients",
        endpoint=list_connection_clients,
        tag="connections",
        scope="read:connections",
        query=Page,
    ),
    Operation(
        method="PATCH",
        path=f"{_PATH}/{{id}}/clients",
        endpoint=update_connection_clients,
        tag="connections",
        scope="update:connections",
        status=204,
    ),
    Operation(
        method="DELETE",
        path=f"{_PATH}/{{id}}/users",
        endpoint=delete_connection_user,
        tag="connections",
        scope="delete:users",
        status=204,
    ),
]


def _revision(connection: Connection) -> dict[str, str]:
    return {REVISION: str(connection.revision)}
