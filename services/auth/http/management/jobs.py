"""`/jobs` (C§7.4)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.answers import api_error
from services.auth.http.bodies import NOT_STORABLE, BadBody, Body, body, validate
from services.auth.http.operations import API, Operation
from services.auth.http.state import caller, state
from services.auth.jobs import MAX_IMPORT_BYTES, read_users
from services.auth.storable import storable_value

Id = Annotated[str, Field(min_length=1, max_length=300)]


class VerificationMail(Body):
    """`/jobs/verification-email`."""

    user_id: Id
    client_id: Id | None = None


class UsersImport(Body):
    """`/jobs/users-imports`: the fields beside the file."""

    connection_id: Id
    upsert: bool = False
    external_id: Id | None = None
    send_completion_email: bool = True


async def verification_email(http_request: Request) -> Response:
    """`POST /jobs/verification-email`: send the mail again."""
    given = await body(http_request)
    asked = validate(VerificationMail, {k: v for k, v in given.items() if v is not None})
    app = state(http_request)
    user = await app.its.users.get(asked.user_id)
    connection = None if user is None else await app.its.connections.get(user.connection_id)
    if user is None or connection is None:
        return api_error(404, "The user does not exist.", "inexistent_user")
    who = caller(http_request).for_client(asked.client_id or http_request.state.client_id)
    await app.verifications.send(connection, user, who)
    return JSONResponse(await app.jobs.verification_email(), status_code=201)


async def users_import(http_request: Request) -> Response:
    """`POST /jobs/users-imports`: import users with the hashes they have, in the background."""
    values, raw = await _uploaded(http_request)
    asked = validate(UsersImport, values)
    app = state(http_request)
    connection = await app.its.connections.get(asked.connection_id)
    if connection is None:
        return api_error(404, "The connection does not exist", "inexistent_connection")
    if connection.legacy:
        text = (
            "The connection's user store is the legacy database: there is nothing to import into."
        )
        return api_error(400, text, "operation_not_supported")
    try:
        users = read_users(raw)
    except ValueError as error:
        raise BadBody(str(error)) from None
    if not storable_value(users):
        raise BadBody(NOT_STORABLE)
    job = await app.jobs.users_import(
        connection, users, upsert=asked.upsert, external_id=asked.external_id
    )
    return JSONResponse(job, status_code=202)


async def _uploaded(http_request: Request) -> tuple[dict[str, Any], bytes]:
    """The fields and the file of a multipart body, within limits. Raises BadBody."""
    declared = http_request.headers.get("content-length", "")
    if not declared.isdigit() or int(declared) > MAX_IMPORT_BYTES + 64 * 1024:
        raise BadBody(f"the file is above {MAX_IMPORT_BYTES} bytes", 413)
    try:
        async with http_request.form(max_files=1, max_fields=20) as form:
            file = form.get("users")
            if not isinstance(file, UploadFile):
                raise BadBody("Missing required property: users (a file)")
            values = {name: value for name, value in form.items() if isinstance(value, str)}
            return values, await file.read(MAX_IMPORT_BYTES + 1)
    except HTTPException:
        raise BadBody("the form can't be read") from None


async def get_job(http_request: Request) -> Response:
    """`GET /jobs/{id}`: how far it is."""
    job = await state(http_request).jobs.get(http_request.path_params["id"])
    return _unknown() if job is None else JSONResponse(job)


async def get_job_errors(http_request: Request) -> Response:
    """`GET /jobs/{id}/errors`: who could not be imported, and why."""
    errors = await state(http_request).jobs.errors(http_request.path_params["id"])
    if errors is None:
        return _unknown()
    return JSONResponse(errors) if errors else Response(status_code=204)


def _unknown() -> Response:
    return api_error(404, "The job does not exist", "inexistent_job")


_PATH: Final = f"{API}/jobs"
OPERATIONS: Final = [
    Operation(
        method="POST",
        path=f"{_PATH}/verification-email",
        endpoint=verification_email,
        tag="jobs",
        scope="update:users",
        body=VerificationMail,
        status=201,
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/users-imports",
        endpoint=users_import,
        tag="jobs",
        scope="create:users",
        body=UsersImport,
        status=202,
    ),
    Operation(
        method="GET", path=f"{_PATH}/{{id}}", endpoint=get_job, tag="jobs", scope="read:users"
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/{{id}}/errors",
        endpoint=get_job_errors,
        tag="jobs",
        scope="read:users",
    ),
]
