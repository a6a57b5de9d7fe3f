"""A web service in front of an old user table: HTTP, basic authentication, JSON."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.serving import served


@dataclass
class WebService:
    """Everybody whom it knows, and what it is told to be like."""

    port: int = 0
    broken: bool = False
    """Answers as a proxy does whose service is away: 502, and a page."""
    _people: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ids: count[int] = field(default_factory=lambda: count(1))

    @property
    def configuration(self) -> Mapping[str, str]:
        """What scripts are configured with."""
        return {"SERVICE_URL": f"http://127.0.0.1:{self.port}"}

    async def add(self, email: str, password: str) -> None:
        """Put somebody in."""
        person = {"email": email, "password": password, "nickname": "Ada"}
        self._people[email] = {"user_id": next(self._ids), **person}

    @property
    def app(self) -> Starlette:
        """What serves it."""
        routes = [
            Route("/profile", self._profile),
            Route("/users", self._find, methods=["GET"]),
            Route("/users", self._create, methods=["POST"]),
            Route("/users", self._change, methods=["PUT"]),
            Route("/users/{id:int}", self._delete, methods=["DELETE"]),
        ]
        return Starlette(routes=routes)

    async def _profile(self, request: Request) -> Response:
        if self.broken:
            return PlainTextResponse("<h1>Bad gateway</h1>", status_code=502)
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return Response(status_code=400)
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        person = self._people.get(name)
        if person is None or person["password"] != password:
            return Response(status_code=401)
        return _public(person)

    async def _find(self, request: Request) -> Response:
        person = self._people.get(request.query_params.get("email", ""))
        return Response(status_code=404) if person is None else _public(person)

    async def _create(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        if form["email"][0] in self._people:
            return Response(status_code=409)
        await self.add(form["email"][0], form["password"][0])
        return JSONResponse({}, status_code=201)

    async def _change(self, request: Request) -> Response:
        given = await request.json()
        self._people[given["email"]]["password"] = given["password"]
        return JSONResponse({})

    async def _delete(self, request: Request) -> Response:
        for email, person in list(self._people.items()):
            if person["user_id"] == request.path_params["id"]:
                del self._people[email]
        return Response(status_code=204)


def _public(person: dict[str, Any]) -> Response:
    return JSONResponse({name: value for name, value in person.items() if name != "password"})


@asynccontextmanager
async def web_service() -> AsyncIterator[WebService]:
    """One that listens, with nobody in it."""
    service = WebService()
    async with served(service.app, drain=1) as service.port:
        yield service
