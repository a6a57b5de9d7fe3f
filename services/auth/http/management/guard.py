"""Who may call the Management API, and what its errors look like (C§3.2).

Every call needs a bearer token that a client got for itself, for the audience `<issuer>api/v2/`,
with the scope of the call. Every write is a line of the tenant log (`sapi`, C§9.2).
"""

from __future__ import annotations

import json
from functools import wraps
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.auth.guard import Limited
from services.auth.http.answers import api_error, headers_of, later
from services.auth.http.bodies import BadBody
from services.auth.http.operations import Endpoint, Operation
from services.auth.http.state import caller, state
from services.auth.logs import Entry
from services.auth.masking import masked
from services.auth.problems import FlowEnded
from services.auth.tokens import InvalidToken
from services.auth.user_queries import BadQuery
from shared.errors import Unavailable

_MAX_LOGGED: Final = 4096


def guarded(operation: Operation) -> Endpoint:
    """Check the token and its scope; turn what goes wrong into the API's errors."""
    endpoint = operation.endpoint

    @wraps(endpoint)
    async def checked(http_request: Request) -> Response:
        refusal = _authorise(http_request, operation.scope or "")
        if refusal is not None:
            return refusal
        try:
            response = await endpoint(http_request)
        except BadBody as error:
            text = f"Payload validation error: {error.message}"
            return api_error(error.status, text, "invalid_body")
        except BadQuery as error:
            return api_error(400, str(error), "invalid_query_string")
        except FlowEnded as error:
            return _ended(error)
        except Unavailable as error:
            return api_error(503, str(error), headers=later(error.retry_after))
        if operation.method != "GET":
            await _log(http_request, operation, response)
        return response

    return checked


def _authorise(http_request: Request, scope: str) -> Response | None:
    app = state(http_request)
    scheme, _, token = http_request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return api_error(401, "Missing authentication")
    try:
        client_id, scopes = app.tokens.management(token.strip(), app.audience)
    except InvalidToken:
        return api_error(401, "Invalid token")
    http_request.state.client_id, http_request.state.scopes = client_id, scopes
    if scope not in scopes:
        text = f"Insufficient scope, expected any of: {scope}"
        return api_error(403, text, "insufficient_scope")
    return None


def _ended(error: FlowEnded) -> Response:
    if isinstance(error, Limited):
        refusal = error.refusal
        text, headers = refusal.description, headers_of(refusal)
        return api_error(refusal.status, text, refusal.error, headers)
    problem = error.problem
    return api_error(
        problem.management_status or problem.status,
        problem.management_message or problem.text,
        problem.management_code or problem.code,
        later() if problem.retryable else None,
    )


async def _log(http_request: Request, operation: Operation, response: Response) -> None:
    """C§9.2, `sapi`: what was asked, without its secrets."""
    who = caller(http_request)
    request = {
        "method": operation.method.lower(),
        "path": http_request.url.path[:_MAX_LOGGED],
        "query": masked(dict(list(http_request.query_params.items())[:50])),
        "userAgent": who.user_agent,
        "body": masked(getattr(http_request.state, "body", None)),
        "channel": "api",
        "ip": who.ip,
        "auth": {"strategy": "jwt", "credentials": {"scopes": [operation.scope]}},
    }
    details = {"request": request, "response": {"statusCode": response.status_code}}
    if len(json.dumps(details, default=str)) > 4 * _MAX_LOGGED:
        request["body"] = "(too large)"
    entry = Entry(
        type="sapi",
        caller=who.for_client(http_request.state.client_id),
        description=operation.summary.rstrip("."),
        details=details,
    )
    await state(http_request).its.logs.write(entry)
