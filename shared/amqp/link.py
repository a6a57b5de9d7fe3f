"""One AMQP connection that comes back: a generation follows a generation until it is closed.

We reconnect ourselves instead of using the client's robust classes: those restore exclusive
queues under their old names, which a half-open old connection still holds (19 s measured), and
restore consumers while handlers of the old channel still run. A generation here is simply new:
new connection, new channels, and whoever set something up does it again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

import aio_pika
import aiormq
import structlog
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from shared.amqp.lane import Lane
from shared.amqp.tap import TappedConnection
from shared.errors import Misconfigured, Unavailable

log = structlog.get_logger(__name__)

RawChannel: TypeAlias = aiormq.Channel
CONNECT_WITHIN: Final = 5.0
SETUP_WITHIN: Final = 30.0
HEARTBEAT: Final = 5
"""Seconds. A link that swallows everything is noticed after three of them (17.5 s measured)."""
RECONNECT_EVERY: Final = 1.0
DRIVER_ERRORS: Final = (
    AMQPError,
    OSError,
    TimeoutError,
    RuntimeError,
    StopAsyncIteration,
    aio_pika.exceptions.AMQPError,
)
"""RuntimeError: the client's ChannelInvalidStateError is one. StopAsyncIteration is what it raises
when the link is closed in the middle of the handshake."""
_REFUSED: Final = (AuthenticationError, ProbableAuthenticationError)


def away(error: BaseException) -> Unavailable:
    """What the driver met, in an operator's words. All of it may pass: rights are granted, too."""
    if isinstance(error, ChannelAccessRefused):
        # The broker's sentence names the user and what it may not touch, nothing else.
        return Unavailable(f"the broker refuses us: {error}")
    if isinstance(error, InvalidFrameError):
        # It closed the connection where it should have opened the virtual host.
        return Unavailable(
            "the broker does not let us into the virtual host: it is not there, or down, or this user"
            " has no permission in it"
        )
    return Unavailable(f"the broker is away ({type(error).__name__})")


class Generation:
    """One connection's life, with the channel that belongs to it."""

    def __init__(
        self,
        connection: aio_pika.abc.AbstractConnection,
        channel: RawChannel,
        number: int,
        lane: Lane | None,
    ) -> None:
        """Made by `Link`. Without a lane the client itself publishes and consumes."""
        self.connection = connection
        self.channel = channel
        self.number = number
        self.lane = lane

    @property
    def alive(self) -> bool:
        """Whether the channel still works, as far as we know."""
        return not self.channel.is_closed

    async def fresh_channel(self) -> RawChannel:
        """Another channel of this connection; the caller closes it."""
        return await raw_channel(self.connection)

    async def lost(self) -> None:
        """Wait until the channel or its connection is gone."""
        await asyncio.wait({self.channel.closing})


class Link:
    """Keeps one connection up; `run` must run beside it."""

    def __init__(
        self,
        url: str,
        name: str,
        set_up: Callable[[Generation], Awaitable[None]],
        *,
        fast: bool,
    ) -> None:
        """`set_up` prepares each generation; when it fails the generation is given up."""
        self._fast = fast
        query = {"heartbeat": str(HEARTBEAT), "name": name}
        self._url = str(URL(url).update_query(query))
        self._name = name
        self._set_up = set_up
        self._current: Generation | None = None
        self._changed = asyncio.Event()
        self._restart: asyncio.Event = asyncio.Event()

    @property
    def generation(self) -> Generation:
        """The current one. Raises Unavailable between two."""
        if self._current is None or not self._current.alive:
            raise Unavailable(f"{self._name} is not connected to the broker")
        return self._current

    @property
    def connected(self) -> bool:
        """Whether there is a current generation."""
        return self._current is not None and self._current.alive

    async def first(self) -> None:
        """Connect for the first time. Raises Unavailable, or Misconfigured if we are refused."""
        self._current = await self._connect(1)

    async def run(self) -> None:
        """Follow a lost generation with a new one until cancelled."""
        number = 1
        try:
            while True:
                if self._current is not None:
                    await self._until_lost(self._current)
                    log.warning("broker.lost", link=self._name, next="reconnecting every second")
                    await self._drop()
                await asyncio.sleep(RECONNECT_EVERY * random.uniform(0.5, 1))  # noqa: S311 - jitter
                number += 1
                try:
                    self._current = await self._connect(number)
                except (Unavailable, Misconfigured) as error:
                    log.info("broker.unreachable", link=self._name, reason=str(error))
                else:
                    log.info("broker.connected", link=self._name, generation=number)
        finally:
            await self._drop()

    def restart(self) -> None:
        """Give the current generation up: something in it can't be mended."""
        self._restart.set()

    async def _until_lost(self, generation: Generation) -> None:
        lost = asyncio.get_running_loop().create_task(generation.lost())
        asked = asyncio.get_running_loop().create_task(self._restart.wait())
        try:
            await asyncio.wait({lost, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            asked.cancel()

    async def _connect(self, number: int) -> Generation:
        self._restart.clear()  # from now on it is about this one, while it is set up too
        try:
            kind = TappedConnection if self._fast else aio_pika.Connection
            connection = await aio_pika.connect(
                self._url, timeout=CONNECT_WITHIN, connection_class=kind
            )
        except _REFUSED as error:
            user = URL(self._url).user or "guest"  # as the client fills it in
            raise Misconfigured(
                f"the broker refuses user {user}: no such user, or not that password: see AMQP_URL"
            ) from error
        except DRIVER_ERRORS as error:
            raise away(error) from error
        try:
            async with asyncio.timeout(SETUP_WITHIN):
                channel = await raw_channel(connection)
                lane = _lane(connection, channel) if self._fast else None
                generation = Generation(connection, channel, number, lane)
                await self._set_up(generation)
        except BaseException as error:
            await _close(connection)
            if isinstance(error, DRIVER_ERRORS):
                raise away(error) from error
            raise
        return generation

    async def _drop(self) -> None:
        generation, self._current = self._current, None
        if generation is not None:
            await _close(generation.connection)


async def raw_channel(connection: aio_pika.abc.AbstractConnection) -> RawChannel:
    """The channel underneath aio-pika's, by its public door: half the CPU a message."""
    channel = connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.initialize(timeout=CONNECT_WITHIN)
    underlay = await channel.get_underlay_channel()
    assert isinstance(underlay, aiormq.Channel)  # noqa: S101 - the only implementation there is
    return underlay


def _lane(connection: aio_pika.abc.AbstractConnection, channel: RawChannel) -> Lane | None:
    """The channel's hot path; None if the client is not what we know, then it does everything."""
    try:
        stream = cast("TappedConnection", connection).tap.stream
        number, largest = int(channel.number), int(channel.max_content_size)
        closing = channel.closing
    except (AttributeError, TypeError, ValueError) as error:
        log.warning("broker.no_fast_path", reason=str(error), next="the client does everything")
        return None
    if stream is None:
        log.warning(
            "broker.no_fast_path", reason="own transport", next="the client does everything"
        )
        return None
    lane = Lane(stream, number, largest)
    closing.add_done_callback(lambda _: lane.close())
    return lane


async def _close(connection: aio_pika.abc.AbstractConnection) -> None:
    """Close, bounded: a half-open link answers nothing."""
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except (*DRIVER_ERRORS, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
