"""`/logs` (C§7.4, C§9): the tenant log."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.answers import api_error
from services.auth.http.bodies import validate
from services.auth.http.management.paging import MAX_PAGE, Page
from services.auth.http.operations import API, Operation
from services.auth.http.state import state
from services.auth.logs import number_of
from services.auth.user_queries import BadQuery

_TERM: Final = re.compile(
    r"\s*(?:AND\s+)?(type|user_id|user_name|client_id|connection|connection_id|ip|description)"
    r':(?:"([^"]*)"|(\S+))'
)
_COLUMNS: Final = {
    "connection": "(SELECT name FROM connections n WHERE n.connection_id = l.connection_id)"
}


class LogPage(Page):
    """`from` is a log id here, and totals are the default of one SDK only."""


async def list_logs(http_request: Request) -> Response:
    """`GET /logs`: by page, newest first, or from one line onwards."""
    return await _answer(http_request, "true", [])


async def user_logs(http_request: Request) -> Response:
    """`GET /users/{id}/logs`: of one user."""
    return await _answer(http_request, "l.user_id = $1", [http_request.path_params["id"]])


async def get_log(http_request: Request) -> Response:
    """`GET /logs/{id}`: one line."""
    found = await state(http_request).its.logs.get(http_request.path_params["id"])
    if found is None:
        return api_error(404, "The log event does not exist.", "inexistent_log")
    return JSONResponse(found)


async def _answer(http_request: Request, where: str, arguments: list[Any]) -> Response:
    query = dict(http_request.query_params)
    start = query.pop("from", None)
    asked = validate(Page, query)
    where, arguments = _search(query.get("q") or query.get("search"), where, arguments)
    logs = state(http_request).its.logs
    if start is not None or asked.take is not None:
        number = number_of(start) if start else 0
        if number is None:
            return api_error(400, "'from' is not a log id", "invalid_query_string")
        arguments.append(number)
        checkpoint = f"{where} AND l.log_id > ${len(arguments)}"
        limit = asked.take or MAX_PAGE
        lines, _ = await logs.page(checkpoint, arguments, newest_first=False, offset=0, limit=limit)
        return JSONResponse([asked.chosen(line) for line in lines])
    offset, limit = asked.window()
    newest = query.get("sort", "date:-1") != "date:1"
    lines, total = await logs.page(
        where, arguments, newest_first=newest, offset=offset, limit=limit
    )
    return JSONResponse(asked.answer("logs", lines, total, length=len(lines)))


def _search(query: str | None, where: str, arguments: list[Any]) -> tuple[str, list[Any]]:
    """`field:value` terms, all of which must hold. Raises BadQuery for anything else."""
    found, place = list(arguments), 0
    while query and query[place:].strip():
        match = _TERM.match(query, place)
        if match is None:
            raise BadQuery(
                "the query is field:value terms: "
                + "type, user_id, user_name, client_id, connection, ip, description"
            )
        column = _COLUMNS.get(match[1], f"l.{match[1]}")
        found.append(match[2] if match[3] is None else match[3])
        where += f" AND {column} = ${len(found)}"
        place = match.end()
    return where, found


OPERATIONS: Final = [
    Operation(
        method="GET",
        path=f"{API}/logs",
        endpoint=list_logs,
        tag="logs",
        scope="read:logs",
        query=LogPage,
    ),
    Operation(
        method="GET", path=f"{API}/logs/{{id}}", endpoint=get_log, tag="logs", scope="read:logs"
    ),
    Operation(
        method="GET",
        path=f"{API}/users/{{id}}/logs",
        endpoint=user_logs,
        tag="logs",
        scope="read:logs",
        query=LogPage,
    ),
]
