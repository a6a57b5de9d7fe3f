"""`/clients` (C§7.4): applications."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.clients import DEFAULT_GRANTS, AppType, AuthMethod, Client, ClientFields
from services.auth.http.answers import api_error
from services.auth.http.bodies import body, validate
from services.auth.http.management.paging import Page, page
from services.auth.http.operations import API, Operation
from services.auth.http.state import state

Grant = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^<>]+$")]


class ClientChanges(ClientFields):
    """A PATCH."""

    name: Name | None = None
    app_type: AppType | None = None
    token_endpoint_auth_method: AuthMethod | None = None
    grant_types: Annotated[list[Grant], Field(max_length=20)] | None = None


class NewClient(ClientFields):
    """A POST of an application."""

    name: Name
    app_type: AppType = "regular_web"
    token_endpoint_auth_method: AuthMethod | None = None
    grant_types: list[Grant] = Field(default=list(DEFAULT_GRANTS), max_length=20)

    @property
    def auth_method(self) -> AuthMethod:
        """Apps that can't keep a secret get none."""
        public = self.app_type in {"native", "spa"}
        return self.token_endpoint_auth_method or ("none" if public else "client_secret_post")


async def list_clients(http_request: Request) -> Response:
    """`GET /clients`: applications."""
    asked = page(http_request)
    found, total = await state(http_request).clients.page(*asked.window())
    return JSONResponse(asked.answer("clients", [client.public() for client in found], total))


async def create_client(http_request: Request) -> Response:
    """`POST /clients`: create an application; the only answer that holds its secret."""
    given = {name: value for name, value in (await body(http_request)).items() if value is not None}
    asked = validate(NewClient, given)
    client, secret = await state(http_request).clients.create(
        name=asked.name,
        app_type=asked.app_type,
        auth_method=asked.auth_method,
        grant_types=asked.grant_types,
        settings=given,
    )
    return JSONResponse(_with_secret(client, secret), status_code=201)


async def get_client(http_request: Request) -> Response:
    """`GET /clients/{id}`: one application."""
    client = await _client(http_request)
    return (
        _unknown() if client is None else JSONResponse(page(http_request).chosen(client.public()))
    )


async def update_client(http_request: Request) -> Response:
    """`PATCH /clients/{id}`: change an application; null unsets."""
    client = await _client(http_request)
    if client is None:
        return _unknown()
    given = await body(http_request)
    validate(ClientChanges, {name: value for name, value in given.items() if value is not None})
    return JSONResponse(_with_secret(*await state(http_request).clients.update(client, given)))


async def rotate_secret(http_request: Request) -> Response:
    """`POST /clients/{id}/rotate-secret`: a new secret, shown this once."""
    client = await _client(http_request)
    if client is None:
        return _unknown()
    return JSONResponse(_with_secret(*await state(http_request).clients.rotate_secret(client)))


async def delete_client(http_request: Request) -> Response:
    """`DELETE /clients/{id}`: delete an application."""
    await state(http_request).clients.delete(http_request.path_params["id"])
    return Response(status_code=204)


async def _client(http_request: Request) -> Client | None:
    return await state(http_request).clients.get(http_request.path_params["id"])


def _with_secret(client: Client, secret: str | None) -> dict[str, Any]:
    return client.public() | ({} if secret is None else {"client_secret": secret})


def _unknown() -> Response:
    return api_error(404, "The client does not exist", "inexistent_client")


_PATH: Final = f"{API}/clients"
OPERATIONS: Final = [
    Operation(
        method="GET",
        path=_PATH,
        endpoint=list_clients,
        tag="clients",
        scope="read:clients",
        query=Page,
    ),
    Operation(
        method="POST",
        path=_PATH,
        endpoint=create_client,
        tag="clients",
        scope="create:clients",
        body=NewClient,
        status=201,
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/{{id}}",
        endpoint=get_client,
        tag="clients",
        scope="read:clients",
    ),
    Operation(
        method="PATCH",
        path=f"{_PATH}/{{id}}",
        endpoint=update_client,
        tag="clients",
        scope="update:clients",
        body=ClientChanges,
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/{{id}}/rotate-secret",
        endpoint=rotate_secret,
        tag="clients",
        scope="update:client_keys",
    ),
    Operation(
        method="DELETE",
        path=f"{_PATH}/{{id}}",
        endpoint=delete_client,
        tag="clients",
        scope="delete:clients",
        status=204,
    ),
]
