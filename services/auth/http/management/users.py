"""`/users` and `/users-by-email` (C§7.4)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.caller import Caller
from services.auth.connections import Connection
from services.auth.http.answers import api_error
from services.auth.http.bodies import BadBody, Body, body, validate
from services.auth.http.management.paging import Page, page
from services.auth.http.operations import API, Operation
from services.auth.http.state import State, caller, state
from services.auth.new_users import NewUser, UserFields
from services.auth.user_queries import BadQuery, Condition, condition
from services.auth.users import User

_SORT: Final = re.compile(
    r"^(created_at|updated_at|last_login|logins_count|email|name|user_id):(-?1)$"
)
_MOST: Final = 1000
"""Of a search; as at Auth0, further pages need a narrower query (C§7.4)."""
_SENSITIVE: Final = "read:user_idp_tokens"

Named = Annotated[str, Field(min_length=1, max_length=128)]


class NewUserBody(NewUser, Body):
    """A POST."""

    connection: Named


class UserChanges(UserFields, Body):
    """A PATCH; null unsets."""

    connection: Named | None = None
    client_id: Named | None = None


async def list_users(http_request: Request) -> Response:
    """`GET /users`: search; the understood part of the query language is documented."""
    asked, query = page(http_request), http_request.query_params
    offset, limit = asked.window()
    if offset + limit > _MOST and asked.take is None and query.get("q"):
        text = f"You can only page through the first {_MOST} records."
        return api_error(400, text, "invalid_paging")
    where = _where(query.get("q"), query.get("connection"))
    app = state(http_request)
    found, total = await app.its.users.page(where, _order(query.get("sort")), offset, limit)
    shapes = [await _shape(http_request, user) for user in found]
    return JSONResponse(asked.answer("users", shapes, total, length=len(shapes)))


async def create_user(http_request: Request) -> Response:
    """`POST /users`: create a user, in the legacy store too where that is the authority."""
    given = await body(http_request)
    asked = validate(NewUserBody, {k: v for k, v in given.items() if v is not None})
    app = state(http_request)
    connection = await _named(app, asked.connection)
    if asked.password is None:
        raise BadBody("Missing required property: password")
    user = NewUser.model_validate(asked.model_dump(exclude_unset=True))
    work = app.signups.create(connection, user, _who(http_request))
    created = await app.complete(work, connection)
    return JSONResponse(await _shape(http_request, created), status_code=201)


async def get_user(http_request: Request) -> Response:
    """`GET /users/{id}`: one user."""
    user = await _user(http_request)
    if user is None:
        return _unknown()
    return JSONResponse(page(http_request).chosen(await _shape(http_request, user)))


async def update_user(http_request: Request) -> Response:
    """`PATCH /users/{id}`: change a user, in the legacy store too where that is the authority."""
    user = await _user(http_request)
    if user is None:
        return _unknown()
    given = await body(http_request)
    validate(UserChanges, {name: value for name, value in given.items() if value is not None})
    app = state(http_request)
    connection = await app.its.connections.get(user.connection_id)
    if connection is None:
        return _unknown()
    work = app.accounts.change(connection, user, given, _who(http_request))
    return JSONResponse(await _shape(http_request, await app.complete(work, connection)))


async def delete_user(http_request: Request) -> Response:
    """`DELETE /users/{id}`: delete a user, in the legacy store too where that is the authority."""
    user = await _user(http_request)
    if user is not None:
        app = state(http_request)
        connection = await app.its.connections.get(user.connection_id)
        work = app.accounts.delete(connection, user, _who(http_request))
        await app.complete(work, connection)
    return Response(status_code=204)


async def users_by_email(http_request: Request) -> Response:
    """`GET /users-by-email`: everybody with exactly this address."""
    email = http_request.query_params.get("email")
    if not email:
        return api_error(400, "Query validation error: 'email' is required", "invalid_query_string")
    found = await state(http_request).its.users.by_email(email[:320])
    asked = page(http_request)
    return JSONResponse([asked.chosen(await _shape(http_request, user)) for user in found])


def _where(query: str | None, connection: str | None) -> Condition:
    found = (
        condition(query) if query and query.strip() not in {"*", "*:*"} else Condition("true", [])
    )
    if connection is None:
        return found
    arguments = [*found.arguments, connection]
    return Condition(f"{found.sql} AND c.name = ${len(arguments)}", arguments)


def _order(sort: str | None) -> str:
    if sort is None:
        return "u.created_at, u.user_id"
    match = _SORT.match(sort)
    if match is None:
        raise BadQuery("sort is field:1 or field:-1, of a date, logins_count, email, name, user_id")
    column = "u.profile->>'name'" if match[1] == "name" else f"u.{match[1]}"
    return f"{column} {'ASC' if match[2] == '1' else 'DESC'} NULLS LAST, u.user_id"


async def _shape(http_request: Request, user: User) -> dict[str, Any]:
    """The legacy provider's tokens only for who may see them (C§2.2)."""
    tokens = None
    if _SENSITIVE in http_request.state.scopes:
        tokens = await state(http_request).its.users.tokens(user)
    return user.public(tokens)


async def _user(http_request: Request) -> User | None:
    return await state(http_request).its.users.get(http_request.path_params["id"])


async def _named(app: State, name: str) -> Connection:
    connection = await app.its.connections.by_name(name)
    if connection is None:
        raise BadBody("The connection does not exist", 404)
    return connection


def _who(http_request: Request) -> Caller:
    return caller(http_request).for_client(http_request.state.client_id)


def _unknown() -> Response:
    return api_error(404, "The user does not exist.", "inexistent_user")


_PATH: Final = f"{API}/users"
OPERATIONS: Final = [
    Operation(
        method="GET", path=_PATH, endpoint=list_users, tag="users", scope="read:users", query=Page
    ),
    Operation(
        method="POST",
        path=_PATH,
        endpoint=create_user,
        tag="users",
        scope="create:users",
        body=NewUserBody,
        status=201,
    ),
    Operation(
        method="GET", path=f"{_PATH}/{{id}}", endpoint=get_user, tag="users", scope="read:users"
    ),
    Operation(
        method="PATCH",
        path=f"{_PATH}/{{id}}",
        endpoint=update_user,
        tag="users",
        scope="update:users",
        body=UserChanges,
    ),
    Operation(
        method="DELETE",
        path=f"{_PATH}/{{id}}",
        endpoint=delete_user,
        tag="users",
        scope="delete:users",
        status=204,
    ),
    Operation(
        method="GET",
        path=f"{API}/users-by-email",
        endpoint=users_by_email,
        tag="users",
        scope="read:users",
    ),
]
