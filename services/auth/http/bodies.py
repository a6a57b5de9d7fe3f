"""Request bodies: read within a limit, JSON or form, validated once by pydantic."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from services.auth.storable import storable, storable_value

AUTHENTICATION_BYTES: Final = 64 * 1024
MANAGEMENT_BYTES: Final = 1024 * 1024
_MAX_FIELDS: Final = 100
NOT_STORABLE: Final = "a text holds NUL, or half of a surrogate pair"


class Body(BaseModel):
    """A request body. What we don't know is ignored: SDKs send more than they need."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


B = TypeVar("B", bound=BaseModel)


class BadBody(Exception):
    """The body can't be used; the message names fields, never values."""

    def __init__(self, message: str, status: int = 400, missing: str | None = None) -> None:
        """`missing`: the first required field that is not there."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.missing = missing


async def read(http_request: Request, limit: int) -> bytes:
    """The body. Raises BadBody above `limit`, without reading the rest."""
    declared = http_request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise BadBody(f"the body is above {limit} bytes", 413)
    chunks: list[bytes] = []
    size = 0
    async for chunk in http_request.stream():
        size += len(chunk)
        if size > limit:
            raise BadBody(f"the body is above {limit} bytes", 413)
        chunks.append(chunk)
    return b"".join(chunks)


async def fields(http_request: Request, limit: int = AUTHENTICATION_BYTES) -> dict[str, Any]:
    """The fields of a JSON or form body; null means absent (C§7). Raises BadBody."""
    raw = await read(http_request, limit)
    kind = http_request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _form(raw)
    return {name: value for name, value in _object(raw).items() if value is not None}


async def body(http_request: Request) -> dict[str, Any]:
    """A JSON object of the Management API, its nulls kept: null unsets. Raises BadBody."""
    found = _object(await read(http_request, MANAGEMENT_BYTES))
    http_request.state.body = found
    return found


def validate(model: type[B], values: dict[str, Any]) -> B:
    """Fields as a model. Raises BadBody."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        if first["type"] == "missing":
            raise BadBody(f"Missing required parameter: {where}", missing=where) from None
        raise BadBody(f"'{first['msg']}' on property {where}") from None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise BadBody("the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadBody("the body is not a JSON object")
    # Only an escape can smuggle them past the parser; most bodies have none.
    if b"\\u" in raw and not storable_value(value):
        raise BadBody(NOT_STORABLE)
    return value


def _form(raw: bytes) -> dict[str, Any]:
    try:
        found = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise BadBody("the form can't be read") from None
    if not all(storable(one) for pair in found for one in pair):
        raise BadBody(NOT_STORABLE)
    return dict(found)
