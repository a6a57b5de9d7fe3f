"""`GET /userinfo` (OpenID Connect Core, section 5.3; C§7.2)."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.auth.http.state import state
from services.auth.tokens import PROFILE_CLAIMS, Access, InvalidToken, user_claims

_NO_STORE: Final = {"cache-control": "no-store"}


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
    if access.claims is not None:  # of a user who is not stored
        return JSONResponse(_within(access), headers=_NO_STORE)
    user = await app.its.users.get(access.user_id)
    if user is None or user.blocked:
        return _unauthorized()
    return JSONResponse(user_claims(user, access.scope), headers=_NO_STORE)


def _within(access: Access) -> dict[str, Any]:
    """What the scope lets through."""
    names = {"sub"}
    if "profile" in access.scope:
        names |= set(PROFILE_CLAIMS)
    if "email" in access.scope:
        names |= {"email", "email_verified"}
    if "phone" in access.scope:
        names |= {"phone_number", "phone_number_verified"}
    return {name: item for name, item in (access.claims or {}).items() if name in names}


def _unauthorized() -> Response:
    """A text body, as recorded (C§7.2)."""
    return PlainTextResponse(
        "Unauthorized",
        status_code=401,
        headers={"www-authenticate": 'Bearer realm="Users", error="invalid_token"'},
    )
