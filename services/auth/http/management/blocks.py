"""`/user-blocks` and `/anomaly/blocks/ips` (C§7.4): who may not log in for now, and letting them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.addresses import parsed
from services.auth.guard import Blocked
from services.auth.http.answers import api_error
from services.auth.http.operations import API, Operation
from services.auth.http.state import caller, state
from services.auth.logs import Entry
from services.auth.users import User

MAX_IDENTIFIER: Final = 320


class Named(BaseModel):
    """Whom it is about: an e-mail address or a username."""

    identifier: Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER)]


async def get_user_blocks(http_request: Request) -> Response:
    """`GET /user-blocks/{id}`: from where this user is blocked."""
    user = await _user(http_request)
    if user is None:
        return _unknown()
    guard = state(http_request).its.guard
    return _shown(await guard.blocks((user.email, user.username), user.connection_id))


async def delete_user_blocks(http_request: Request) -> Response:
    """`DELETE /user-blocks/{id}`: unblock a user."""
    user = await _user(http_request)
    if user is None:
        return _unknown()
    await state(http_request).its.guard.unblock((user.email, user.username), user.connection_id)
    await _note(http_request, user.email or user.username, user)
    return Response(status_code=204)


async def get_identifier_blocks(http_request: Request) -> Response:
    """`GET /user-blocks`: from where an identifier is blocked, in all connections."""
    identifier = _identifier(http_request)
    if identifier is None:
        return _missing()
    return _shown(await state(http_request).its.guard.blocks((identifier,)))


async def delete_identifier_blocks(http_request: Request) -> Response:
    """`DELETE /user-blocks`: unblock an identifier in all connections."""
    identifier = _identifier(http_request)
    if identifier is None:
        return _missing()
    await state(http_request).its.guard.unblock((identifier,))
    await _note(http_request, identifier, None)
    return Response(status_code=204)


async def get_address_block(http_request: Request) -> Response:
    """`GET /anomaly/blocks/ips/{id}`: whether an address is blocked."""
    address = parsed(http_request.path_params["id"])
    if address is None:
        return _no_address()
    if await state(http_request).its.guard.is_blocked(str(address)):
        return Response(status_code=200)
    return api_error(404, "The IP address is not blocked.", "inexistent_ip_block")


async def delete_address_block(http_request: Request) -> Response:
    """`DELETE /anomaly/blocks/ips/{id}`: unblock an address."""
    address = parsed(http_request.path_params["id"])
    if address is None:
        return _no_address()
    await state(http_request).its.guard.unblock_address(str(address))
    return Response(status_code=204)


def _shown(blocks: list[Blocked]) -> Response:
    found = [
        {"identifier": one.identifier, "connection": one.connection}
        | ({} if one.ip is None else {"ip": one.ip})
        for one in blocks
    ]
    return JSONResponse({"blocked_for": found})


async def _note(http_request: Request, identifier: str | None, user: User | None) -> None:
    """C§9.1: a block was lifted."""
    entry = Entry(
        type="ublkdu",
        caller=caller(http_request).for_client(http_request.state.client_id),
        connection_id=None if user is None else user.connection_id,
        user_id=None if user is None else user.user_id,
        user_name=identifier,
    )
    await state(http_request).its.logs.write(entry)


async def _user(http_request: Request) -> User | None:
    return await state(http_request).its.users.get(http_request.path_params["id"])


def _identifier(http_request: Request) -> str | None:
    return http_request.query_params.get("identifier", "")[:MAX_IDENTIFIER] or None


def _unknown() -> Response:
    return api_error(404, "The user does not exist.", "inexistent_user")


def _missing() -> Response:
    text = "Query validation error: 'identifier' is required"
    return api_error(400, text, "invalid_query_string")


def _no_address() -> Response:
    text = "Path validation error: 'id' must be an IP address"
    return api_error(400, text, "invalid_uri")


_USERS, _ADDRESS = f"{API}/user-blocks", f"{API}/anomaly/blocks/ips/{{id}}"
OPERATIONS: Final = [
    Operation(
        method="GET",
        path=_USERS,
        endpoint=get_identifier_blocks,
        tag="blocks",
        scope="read:users",
        query=Named,
    ),
    Operation(
        method="DELETE",
        path=_USERS,
        endpoint=delete_identifier_blocks,
        tag="blocks",
        scope="update:users",
        query=Named,
        status=204,
    ),
    Operation(
        method="GET",
        path=f"{_USERS}/{{id}}",
        endpoint=get_user_blocks,
        tag="blocks",
        scope="read:users",
    ),
    Operation(
        method="DELETE",
        path=f"{_USERS}/{{id}}",
        endpoint=delete_user_blocks,
        tag="blocks",
        scope="update:users",
        status=204,
    ),
    Operation(
        method="GET",
        path=_ADDRESS,
        endpoint=get_address_block,
        tag="blocks",
        scope="read:anomaly_blocks",
    ),
    Operation(
        method="DELETE",
        path=_ADDRESS,
        endpoint=delete_address_block,
        tag="blocks",
        scope="delete:anomaly_blocks",
        status=204,
    ),
]
