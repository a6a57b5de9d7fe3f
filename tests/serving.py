"""An ASGI application on a free port of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.http_server import listening, serve_http


@asynccontextmanager
async def served(app: Any, *, drain: float = 5.0) -> AsyncIterator[int]:
    """The port."""
    with listening("127.0.0.1", 0, "nothing") as at:
        async with serve_http(app, at, drain=drain) as port:
            yield port
