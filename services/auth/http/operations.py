"""One operation of the HTTP surface: the row that its route and its documentation come from."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]
API: Final = "/api/v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`method path`, who may call it, what goes in."""

    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    path: str
    endpoint: Endpoint
    tag: str
    scope: str | None = None
    """Of a Management API token; none: the surface authenticates in its own way."""
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    produces: str | None = "application/json"
    """The content type of its answer; none: there is no body."""

    @property
    def summary(self) -> str:
        """The endpoint's first line."""
        text = (self.endpoint.__doc__ or "").strip().splitlines()[0]
        return text.partition("`: ")[2] or text.strip("`.")

    @property
    def id(self) -> str:
        """Unique in the document: the method and the path in words."""
        words = re.sub(r"[^A-Za-z0-9]+", "_", self.path.removeprefix(API)).strip("_")
        return f"{self.method.lower()}_{words}"
