"""The whole HTTP surface: every operation, once, as routes and as documentation."""

from __future__ import annotations

from typing import Final, Literal

from starlette.routing import Route

from services.auth.http import (
    authorize,
    cross_origin,
    dbconnections,
    discovery,
    health,
    hosted_login,
    management,
    oauth,
    openapi,
    pages,
    ticket_pages,
    userinfo,
)
from services.auth.http.management.guard import guarded
from services.auth.http.operations import Endpoint, Operation

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
        produces=None,
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
        produces="text/html",
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
_GETS: Final = {
    "/authorize": authorize.authorize,
    "/u/login": hosted_login.login_page,
    "/u/signup": hosted_login.signup_page,
    "/u/forgot-password": hosted_login.forgot_page,
    "/u/reset-password": ticket_pages.reset_page,
    "/u/email-verification": ticket_pages.verify_page,
    "/u/style.css": pages.style,
    "/v2/logout": authorize.logout,
    "/oidc/logout": authorize.logout,
}
_POSTS: Final = {
    "/u/login": hosted_login.log_in,
    "/u/signup": hosted_login.sign_up,
    "/u/forgot-password": hosted_login.forgot,
    "/u/reset-password": ticket_pages.reset,
    "/u/email-verification": ticket_pages.verify,
}
_STYLE: Final = "/u/style.css"
_METHODS: Final[tuple[tuple[Literal["GET", "POST"], dict[str, Endpoint]], ...]] = (
    ("GET", _GETS),
    ("POST", _POSTS),
)
_PAGES: Final = [
    Operation(
        method=method,
        path=path,
        endpoint=endpoint,
        tag="hosted pages",
        produces="text/css" if path == _STYLE else "text/html",
    )
    for method, found in _METHODS
    for path, endpoint in found.items()
]
OPERATIONS: Final = [*_AUTHENTICATION, *_PAGES, *management.OPERATIONS]


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
