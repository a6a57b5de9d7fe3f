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
            "schemas": definitions,
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
    found = {str(one.status): {"description": "Done."}}
    if one.body is not None or one.query is not None:
        found["400"] = {"description": "The request can't be used; the body says why."}
    if one.scope is not None:
        found["401"] = {"description": "No token of a client, or one that is over."}
        found["403"] = {"description": f"The token lacks the scope `{one.scope}`."}
        found["404"] = {"description": "There is no such thing."}
        found["409"] = {"description": "There is one already."}
    found["503"] = {"description": "Try again after `Retry-After` seconds."}
    return found


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
