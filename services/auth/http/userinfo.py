"""`GET /userinfo` (OpenID Connect Core, section 5.3; C§7.2)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.auth.http.state import state
from services.auth.tokens import InvalidToken, user_claims


async def userinfo(http_request: Request) -> Response:
    """Who the access token was issued for."""
    app = state(http_request)
    scheme, _, token = http_request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return _unauthorized()
    try:
        access = await app.tokens.access(token.strip())
    except InvalidToken:
        return _unauthorized()
    user = await app.users.get(access.user_id)
    if user is None or user.blocked:
        return _unauthorized()
    return JSONResponse(user_claims(user, access.scope), headers={"cache-control": "no-store"})


def _unauthorized() -> Response:
    """A text body, as recorded (C§7.2)."""
    return PlainTextResponse(
        "Unauthorized",
        status_code=401,
        headers={"www-authenticate": 'Bearer realm="Users", error="invalid_token"'},
    )
