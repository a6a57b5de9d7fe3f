"""The tenant itself: settings, resource servers, signing keys; and actions, of which there are none."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.answers import api_error
from services.auth.http.bodies import Body, body, validate
from services.auth.http.management.paging import Page, page
from services.auth.http.operations import API, Operation
from services.auth.http.state import state
from services.auth.resource_servers import IdentifierTaken
from services.auth.signing_keys import NotRevocable
from services.auth.tenant import TenantFields

Text = Annotated[str, Field(min_length=1, max_length=512)]


class Scope(Body):
    """One scope of a resource server."""

    value: Annotated[str, Field(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]{1,280}$")]
    description: Annotated[str, Field(max_length=500)] = ""


class ResourceServerChanges(Body):
    """A PATCH."""

    name: Text | None = None
    scopes: Annotated[list[Scope], Field(max_length=1000)] | None = None


class NewResourceServer(ResourceServerChanges):
    """A POST."""

    identifier: Text


async def get_settings(http_request: Request) -> Response:
    """`GET /tenants/settings`: the tenant's settings."""
    found = await state(http_request).tenant.settings()
    return JSONResponse(page(http_request).chosen(found))


async def update_settings(http_request: Request) -> Response:
    """`PATCH /tenants/settings`: change them; null unsets."""
    given = await body(http_request)
    validate(TenantFields, {k: v for k, v in given.items() if v is not None})
    return JSONResponse(await state(http_request).tenant.update(given))


async def list_resource_servers(http_request: Request) -> Response:
    """`GET /resource-servers`: the APIs that tokens may be issued for."""
    asked = page(http_request)
    found = [one.public() for one in await state(http_request).resource_servers.all()]
    offset, limit = asked.window()
    shown = found[offset : offset + limit]
    return JSONResponse(asked.answer("resource_servers", shown, len(found)))


async def create_resource_server(http_request: Request) -> Response:
    """`POST /resource-servers`: one more."""
    given = await body(http_request)
    asked = validate(NewResourceServer, {k: v for k, v in given.items() if v is not None})
    scopes = [one.model_dump() for one in asked.scopes or []]
    try:
        made = await state(http_request).resource_servers.create(
            asked.identifier, asked.name or asked.identifier, scopes
        )
    except IdentifierTaken as error:
        return api_error(409, str(error), "conflict")
    return JSONResponse(made.public(), status_code=201)


async def get_resource_server(http_request: Request) -> Response:
    """`GET /resource-servers/{id}`: one of them."""
    found = await state(http_request).resource_servers.find(http_request.path_params["id"])
    return _unknown() if found is None else JSONResponse(found.public())


async def update_resource_server(http_request: Request) -> Response:
    """`PATCH /resource-servers/{id}`: change it."""
    servers = state(http_request).resource_servers
    found = await servers.find(http_request.path_params["id"])
    if found is None:
        return _unknown()
    given = await body(http_request)
    asked = validate(ResourceServerChanges, {k: v for k, v in given.items() if v is not None})
    scopes = list(found.scopes) if asked.scopes is None else [s.model_dump() for s in asked.scopes]
    await servers.update(found.id, asked.name or found.name, scopes)
    changed = await servers.find(found.id)
    return _unknown() if changed is None else JSONResponse(changed.public())


async def delete_resource_server(http_request: Request) -> Response:
    """`DELETE /resource-servers/{id}`: no token is issued for it any more."""
    await state(http_request).resource_servers.delete(http_request.path_params["id"])
    return Response(status_code=204)


async def list_signing_keys(http_request: Request) -> Response:
    """`GET /keys/signing`: current, next, previous and revoked."""
    return JSONResponse(state(http_request).signing_keys.listed())


async def rotate_signing_key(http_request: Request) -> Response:
    """`POST /keys/signing/rotate`: the next key signs from now on."""
    return JSONResponse(await state(http_request).signing_keys.rotate(), status_code=201)


async def revoke_signing_key(http_request: Request) -> Response:
    """`PUT /keys/signing/{kid}/revoke`: a previous key verifies no more."""
    try:
        revoked = await state(http_request).signing_keys.revoke(http_request.path_params["kid"])
    except NotRevocable as error:
        return api_error(400, str(error), "invalid_body")
    if revoked is None:
        return api_error(404, "The signing key does not exist", "inexistent_key")
    return JSONResponse(revoked)


async def list_actions(http_request: Request) -> Response:
    """`GET /actions/actions`: none; deploy-cli asks all the same (C§6.4)."""
    asked = page(http_request)
    empty: dict[str, Any] = {"actions": [], "total": 0, "page": asked.page}
    return JSONResponse(empty | {"per_page": asked.per_page})


def _unknown() -> Response:
    return api_error(404, "The resource server does not exist", "inexistent_resource_server")


_SERVERS: Final = f"{API}/resource-servers"
OPERATIONS: Final = [
    Operation(
        method="GET",
        path=f"{API}/tenants/settings",
        endpoint=get_settings,
        tag="tenant",
        scope="read:tenant_settings",
    ),
    Operation(
        method="PATCH",
        path=f"{API}/tenants/settings",
        endpoint=update_settings,
        tag="tenant",
        scope="update:tenant_settings",
        body=TenantFields,
    ),
    Operation(
        method="GET",
        path=_SERVERS,
        endpoint=list_resource_servers,
        tag="resource servers",
        scope="read:resource_servers",
        query=Page,
    ),
    Operation(
        method="POST",
        path=_SERVERS,
        endpoint=create_resource_server,
        tag="resource servers",
        scope="create:resource_servers",
        body=NewResourceServer,
        status=201,
    ),
    Operation(
        method="GET",
        path=f"{_SERVERS}/{{id}}",
        endpoint=get_resource_server,
        tag="resource servers",
        scope="read:resource_servers",
    ),
    Operation(
        method="PATCH",
        path=f"{_SERVERS}/{{id}}",
        endpoint=update_resource_server,
        tag="resource servers",
        scope="update:resource_servers",
        body=ResourceServerChanges,
    ),
    Operation(
        method="DELETE",
        path=f"{_SERVERS}/{{id}}",
        endpoint=delete_resource_server,
        tag="resource servers",
        scope="delete:resource_servers",
        status=204,
    ),
    Operation(
        method="GET",
        path=f"{API}/keys/signing",
        endpoint=list_signing_keys,
        tag="signing keys",
        scope="read:signing_keys",
    ),
    Operation(
        method="POST",
        path=f"{API}/keys/signing/rotate",
        endpoint=rotate_signing_key,
        tag="signing keys",
        scope="create:signing_keys",
        status=201,
    ),
    Operation(
        method="PUT",
        path=f"{API}/keys/signing/{{kid}}/revoke",
        endpoint=revoke_signing_key,
        tag="signing keys",
        scope="update:signing_keys",
    ),
    Operation(
        method="GET",
        path=f"{API}/actions/actions",
        endpoint=list_actions,
        tag="actions",
        scope="read:actions",
        query=Page,
    ),
]
