"""A web service in front of an old user table: HTTP, basic authentication, JSON."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def web_service() -> Starlette:  # noqa: C901 - three small endpoints
    """A fresh one, with nobody in it."""
    people: dict[str, dict[str, Any]] = {}

    def public(person: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in person.items() if name != "password"}

    async def profile(request: Request) -> Response:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return Response(status_code=401)
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        person = people.get(name)
        if person is None or person["password"] != password:
            return Response(status_code=401)
        return JSONResponse(public(person))

    async def users(request: Request) -> Response:
        if request.method == "GET":
            person = people.get(request.query_params.get("email", ""))
            return Response(status_code=404) if person is None else JSONResponse(public(person))
        if request.method == "PUT":
            given = await request.json()
            people[given["email"]]["password"] = given["password"]
            return JSONResponse({})
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        if form["email"] in people:
            return Response(status_code=409)
        people[form["email"]] = {"user_id": len(people) + 1, "nickname": "Ada", **form}
        return JSONResponse({}, status_code=201)

    async def user(request: Request) -> Response:
        wanted = int(request.path_params["id"])
        for email, person in list(people.items()):
            if person["user_id"] == wanted:
                del people[email]
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/profile", profile),
            Route("/users", users, methods=["GET", "POST", "PUT"]),
            Route("/users/{id}", user, methods=["DELETE"]),
        ]
    )
