"""What the broker's client does on a bad day, and what becomes of it at our door."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
import uvloop

from shared.amqp import open_transport
from shared.amqp.link import Generation, Link
from shared.beside import beside
from shared.errors import Unavailable

TRIES = 20


def test_a_link_that_closes_before_the_handshake_is_a_broker_that_is_away() -> None:
    """The client raises StopAsyncIteration then, if the loop was busy, which ended the service."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    threading.Thread(target=_hang_up, args=(listening,), daemon=True).start()

    with listening:
        uvloop.run(_connect(f"amqp://guest:guest@127.0.0.1:{port}/"))


async def _connect(url: str) -> None:
    busy = asyncio.get_running_loop().create_task(_keep_busy())
    for _ in range(TRIES):
        with pytest.raises(Unavailable):
            async with open_transport(url, client_name="test"):
                pass
    busy.cancel()


async def _keep_busy() -> None:
    while True:
        time.sleep(0.002)  # noqa: ASYNC251 - that is the point: the end arrives meanwhile
        await asyncio.sleep(0)


def _hang_up(listening: socket.socket) -> None:
    for _ in range(TRIES):
        listening.accept()[0].close()


async def test_a_consumer_that_the_broker_cancels_during_the_set_up_is_set_up_again(
    amqp_url: str,
) -> None:
    again = asyncio.Event()

    async def set_up(generation: Generation) -> None:
        if generation.number == 1:
            link.restart()
        else:
            again.set()

    link = Link(amqp_url, "test", set_up, fast=True)
    await link.first()
    async with beside(link.run(), "link"), asyncio.timeout(20):
        await again.wait()
