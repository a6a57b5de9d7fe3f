"""The whole HTTP surface: every operation, once, as routes and as documentation."""

from __future__ import annotations

from typing import Final

from starlette.routing import Route

from services.auth.http import (
    cross_origin,
    dbconnections,
    discovery,
    health,
    management,
    oauth,
    openapi,
    userinfo,
)
from services.auth.http.management.guard import guarded
from services.auth.http.operations import Operation

_AUTHENTICATION: Final = [
    Operation(
        method="POST",
        path="/oauth/token",
        endpoint=oauth.token,
        tag="authentication",
        body=oauth.TokenRequest,
    ),
    Operation(
        method="POST",
        path="/oauth/revoke",
        endpoint=oauth.revoke,
        tag="authentication",
        body=oauth.RevokeRequest,
    ),
    Operation(
        method="POST",
        path="/dbconnections/signup",
        endpoint=dbconnections.signup,
        tag="authentication",
        body=dbconnections.SignupRequest,
    ),
    Operation(
        method="POST",
        path="/dbconnections/change_password",
        endpoint=dbconnections.change_password,
        tag="authentication",
        body=dbconnections.ForgottenRequest,
    ),
    Operation(
        method="POST",
        path="/co/authenticate",
        endpoint=cross_origin.authenticate,
        tag="authentication",
        body=cross_origin.CrossOriginRequest,
    ),
    Operation(method="GET", path="/userinfo", endpoint=userinfo.userinfo, tag="authentication"),
    Operation(method="POST", path="/userinfo", endpoint=userinfo.userinfo, tag="authentication"),
    Operation(
        method="GET",
        path="/.well-known/openid-configuration",
        endpoint=discovery.openid_configuration,
        tag="discovery",
    ),
    Operation(
        method="GET", path="/.well-known/jwks.json", endpoint=discovery.jwks, tag="discovery"
    ),
    Operation(method="GET", path="/livez", endpoint=health.livez, tag="health"),
    Operation(method="GET", path="/readyz", endpoint=health.readyz, tag="health"),
]
OPERATIONS: Final = [*_AUTHENTICATION, *management.OPERATIONS]


def routes() -> list[Route]:
    """Starlette's routes; those with a scope are guarded."""
    made = [
        Route(
            one.path,
            guarded(one) if one.scope is not None else one.endpoint,
            methods=[one.method],
        )
        for one in OPERATIONS
    ]
    return [*made, Route("/openapi.json", openapi.serve(OPERATIONS))]
