"""Answers in the shapes that SDKs parse: OAuth's for the Authentication API, Auth0's for the rest."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import JSONResponse

from services.auth.consequences import Refusal

_STATUS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_MOST_LATER: Final = 60.0


def later(after: timedelta | None = None) -> dict[str, str]:
    """`Retry-After` (RFC 9110, section 10.2.3): from half to one and a half of `after`, so that

    those who were refused together don't come back together; at least a second.
    """
    seconds = 1.0 if after is None else min(max(after.total_seconds(), 1.0), _MOST_LATER)
    return {"retry-after": str(math.ceil(seconds * random.uniform(0.5, 1.5)))}  # noqa: S311 - jitter


def headers_of(refusal: Refusal) -> dict[str, str]:
    """When to come back; of a used-up budget exactly, as SDKs read it (C§3.2)."""
    if refusal.retry_after is None:
        return {}
    if refusal.status != 429:
        return later(refusal.retry_after)
    seconds = max(math.ceil(refusal.retry_after.total_seconds()), 1)
    headers = {"retry-after": str(seconds)}
    if refusal.limit is None:
        return headers
    return headers | {
        "x-ratelimit-limit": str(refusal.limit),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(datetime.now(UTC).timestamp()) + seconds),
    }


def oauth_error(
    status: int, error: str, description: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """RFC 6749, section 5.2."""
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def api_error(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The Management API's (C§3.2)."""
    body: dict[str, Any] = {
        "statusCode": status,
        "error": _STATUS.get(status, "Error"),
        "message": message,
    }
    if code is not None:
        body["errorCode"] = code
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))
