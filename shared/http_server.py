"""The one door to HTTP in: a socket that is bound, and an ASGI application that is served on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from shared.errors import Misconfigured


@contextmanager
def listening(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """Bind a port, 0 for a free one; who connects is refused until it is served.

    Raises Misconfigured, which names the `setting` that chooses another. Uvicorn's own would end the
    process by an errno.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Misconfigured(f"{host} is no address to listen at: {error.strerror}") from None
    with made:
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except OSError as error:
            raise Misconfigured(
                f"can't listen at {host}, port {port}: {error.strerror}. {setting} chooses another;"
                " 0 takes a free one"
            ) from None
        yield made


@asynccontextmanager
async def serve_http(app: Any, at: socket.socket, *, drain: float = 5.0) -> AsyncIterator[int]:
    """Serve an ASGI application inside the block; yields the port.

    On leaving, requests in hand get `drain` seconds. Raises Misconfigured when somebody else, who
    had bound the port too, was faster.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe is auth's own setting
        date_header=True,
        lifespan="off",
        timeout_graceful_shutdown=int(drain),
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    # `_serve` and not `serve`: that one takes over the process's signals.
    serving = asyncio.get_running_loop().create_task(server._serve([at]), name="http")  # noqa: SLF001
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        if serving.done():
            host, port = at.getsockname()[:2]
            raise Misconfigured(f"can't listen at {host}, port {port}: {serving.exception()}")
        yield int(at.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
