"""The OpenAPI document, made from the operations and their models; served and kept in `docs/`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.operations import Operation
from services.auth.http.state import state

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_FORM_TOO: Final = "/api/v2"
_JSON: Final = "application/json"
_ANYTHING: Final[dict[str, dict[str, Any]]] = {_JSON: {"type": ["object", "array"]}}
_ERRORS: Final = {
    "400": "The request can't be used; the body says why.",
    "401": "No client, token or password that is known.",
    "403": "It is refused: by the user's store, or because something is not allowed.",
    "404": "There is no such thing.",
    "409": "There is one already.",
    "413": "The body is too large.",
    "429": "Too many; again after `Retry-After` seconds.",
    "503": "Try again after `Retry-After` seconds.",
}
_UNAUTHORISED: Final = {"401", "403"}
_API_ERROR: Final = {
    "type": "object",
    "required": ["statusCode", "error", "message"],
    "properties": {
        "statusCode": {"type": "integer"},
        "error": {"type": "string"},
        "message": {"type": "string"},
        "errorCode": {"type": "string"},
    },
}
_REFERENCE: Final = "#/components/schemas/{model}"


def document(operations: Sequence[Operation], issuer: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    models = {model for one in operations for model in (one.body, one.query) if model is not None}
    _, schema = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)],
        ref_template=_REFERENCE,
    )
    definitions = schema.get("$defs", {})
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, definitions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trickle",
            "version": "2",
            "description": "Authentication API and the Management API v2 subset that Auth0's own"
            " clients use.",
        },
        "servers": [{"url": issuer.rstrip("/")}],
        "paths": paths,
        "components": {
            "schemas": definitions | {"ApiError": _API_ERROR},
            "securitySchemes": {
                "management": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def serve(operations: Sequence[Operation]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers the document."""

    async def openapi(http_request: Request) -> Response:
        return JSONResponse(document(operations, state(http_request).issuer))

    return openapi


def _operation(one: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": one.id,
        "tags": [one.tag],
        "summary": one.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(one.path)
        ],
        "responses": _responses(one),
    }
    if one.query is not None:
        made["parameters"] += _query(one.query, definitions)
    if one.body is not None:
        made["requestBody"] = _body(one, one.body)
    if one.scope is not None:
        made["security"] = [{"management": [one.scope]}]
        made["description"] = f"Scope: `{one.scope}`."
    return made


def _responses(one: Operation) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if one.produces is not None and one.status != 204:
        done["content"] = {
            one.produces: {"schema": _ANYTHING.get(one.produces, {"type": "string"})}
        }
    found = {str(one.status): done}
    if one.tag == "hosted pages":
        return found | _pages()
    for status, text in _ERRORS.items():
        if status in _UNAUTHORISED and one.scope is None and one.tag != "authentication":
            continue
        found[status] = {"description": text, "content": {_JSON: {"schema": _error(one)}}}
    if one.scope is not None:
        found["403"]["description"] = f"The token lacks the scope `{one.scope}`."
    if one.path.endswith("/errors") or one.method == "DELETE":
        found.setdefault("204", {"description": "There is none."})
    if one.path == "/userinfo":  # RFC 6750, section 3: the header says why
        found["401"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return found


def _pages() -> dict[str, Any]:
    page = {"text/html": {"schema": {"type": "string"}}}
    shown = {"400", "403", "404", "429", "503"}
    texts = {status: text for status, text in _ERRORS.items() if status in shown}
    return {
        "302": {"description": "On to the next page, or back to the application."},
        **{status: {"description": text, "content": page} for status, text in texts.items()},
    }


def _error(one: Operation) -> dict[str, Any]:
    if one.scope is not None:
        return {"$ref": _REFERENCE.format(model="ApiError")}
    return {"type": "object"}


def _query(model: type[BaseModel], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    properties = definitions.get(model.__name__, {}).get("properties", {})
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]


def _body(one: Operation, model: type[BaseModel]) -> dict[str, Any]:
    content = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}
    kinds = ["application/json"]
    if one.path.endswith("/users-imports"):
        kinds = ["multipart/form-data"]
    elif not one.path.startswith(_FORM_TOO):
        kinds.append("application/x-www-form-urlencoded")
    return {"required": True, "content": dict.fromkeys(kinds, content)}
