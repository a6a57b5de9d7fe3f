"""OpenID Connect discovery and the JWKS (C§7.3)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.state import state
from services.auth.tokens import DEFAULT_SCOPE

_CACHED: Final = {"cache-control": "public, max-age=15, stale-while-revalidate=15"}


async def openid_configuration(http_request: Request) -> Response:
    """`GET /.well-known/openid-configuration`: what this server does, and nothing it does not."""
    issuer = state(http_request).issuer
    body = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}authorize",
        "token_endpoint": f"{issuer}oauth/token",
        "revocation_endpoint": f"{issuer}oauth/revoke",
        "end_session_endpoint": f"{issuer}oidc/logout",
        "userinfo_endpoint": f"{issuer}userinfo",
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "scopes_supported": [*DEFAULT_SCOPE.split(), "offline_access"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "response_modes_supported": ["query"],
        "response_types_supported": ["code"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "password",
            "http://auth0.com/oauth/grant-type/password-realm",
            "client_credentials",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "none",
        ],
        "claims_supported": [
            *("aud", "email", "email_verified", "exp", "family_name", "given_name", "iat", "iss"),
            *("name", "nickname", "phone_number", "picture", "sub", "updated_at"),
        ],
    }
    return JSONResponse(body, headers=_CACHED)


async def jwks(http_request: Request) -> Response:
    """`GET /.well-known/jwks.json` (RFC 7517)."""
    return JSONResponse(state(http_request).tokens.jwks, headers=_CACHED)
