"""Our own stream below the client: it sees every frame first, and keeps those of the hot path.

The client (aiormq) lets its caller provide the transport; ours reads the frames as they come in,
hands those of a tapped channel that belong to the hot path (deliveries, returns, confirms) to its
`Lane`, and the rest to the client, byte by byte as they came. What a lane writes is gathered for
a turn of the event loop and leaves in one write.

Everything rare stays the client's: connecting, TLS, tuning, heartbeats, declarations, consumers'
coming and going, and closing. If the client does not take our transport there is no stream, and
`shared.amqp` publishes and consumes through the client as well.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import aio_pika
import aiormq
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from shared.amqp import wire

_LARGEST_FRAME: Final = 1024 * 1024
"""Far above what a broker negotiates (RabbitMQ: 128 KiB). Above it the stream is not AMQP."""
_ALIVE_EVERY: Final = 1.0
"""Seconds. The client takes a link for dead that brings it no frames; it gets a heartbeat for
those that we kept."""
MOST_UNWRITTEN: Final = 8 * 1024 * 1024
"""Bytes that may wait for a broker that does not read: then publishing fails at once (I11)."""


class Tapped(Protocol):
    """What takes a channel's frames, and has settlements to write."""

    def take(self, kind: int, payload: bytes) -> bool:
        """True if it was for the lane; False leaves it to the client. Never raises."""

    def settlements(self) -> bytes:
        """The settlements that are due, as frames."""


class Stream(asyncio.StreamReader):
    """The read side that the client reads from, with the taps, and the joined writes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connected by `Tap.create`."""
        super().__init__(loop=loop)
        self._clock = loop
        self._out: asyncio.WriteTransport | None = None
        self._lanes: dict[int, Tapped] = {}
        self._rest = b""
        self._aligned = True
        self._kept = False
        self._passed_at = loop.time()
        self._due: list[bytes] = []
        self._unwritten = 0
        self._settling: set[Tapped] = set()
        self._flushing = False

    def opened(self, out: asyncio.WriteTransport) -> None:
        """Writing goes here."""
        self._out = out

    def tap(self, channel: int, lane: Tapped) -> None:
        """From now on the channel's frames are offered to the lane first."""
        self._lanes[channel] = lane

    # -- reading ------------------------------------------------------------------------------

    def feed_data(self, data: bytes) -> None:  # type: ignore[override] # sockets bring bytes
        """What the socket brought, in pieces of any size."""
        if not self._aligned:
            super().feed_data(data)
            return
        if self._rest:
            data = self._rest + data
        at = self._sort(data)
        self._rest = data[at:] if self._aligned else b""
        self._keep_alive()

    def _sort(self, data: bytes) -> int:
        """Keep the lanes' frames and pass on the others; where the first incomplete one begins."""
        at = passed = 0
        end = len(data)
        while end - at >= wire.OVERHEAD:
            kind, channel, size = wire.FRAME.unpack_from(data, at)
            stop = at + wire.OVERHEAD + size
            if size > _LARGEST_FRAME or (stop <= end and data[stop - 1] != wire.END):
                # Not AMQP, or no longer: the client says so in its own words.
                self._aligned = False
                self._pass(data[passed:])
                return end
            if stop > end:
                break
            lane = self._lanes.get(channel)
            if lane is not None and lane.take(kind, data[at + 7 : stop - 1]):
                self._kept = True
                if passed < at:
                    self._pass(data[passed:at])
                passed = stop
            at = stop
        if passed < at:
            self._pass(data[passed:at])
        return at

    def _pass(self, data: bytes) -> None:
        self._passed_at = self._clock.time()
        super().feed_data(data)

    def _keep_alive(self) -> None:
        if self._kept and self._aligned and self._clock.time() - self._passed_at > _ALIVE_EVERY:
            self._kept = False
            self._pass(wire.HEARTBEAT)

    def feed_eof(self) -> None:
        """The end, told once or twice; half a frame is the client's to complain of."""
        rest, self._rest = self._rest, b""
        if rest:
            super().feed_data(rest)
        super().feed_eof()

    # -- writing ------------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether too much waits for the broker to read it."""
        out = self._out
        return out is not None and out.get_write_buffer_size() + self._unwritten > MOST_UNWRITTEN

    def write(self, frames: bytes) -> None:
        """Write whole frames, together with whatever else is written in this turn."""
        self._due.append(frames)
        self._unwritten += len(frames)
        self._flush_soon()

    def settle_soon(self, lane: Tapped) -> None:
        """Write the lane's settlements at the end of this turn."""
        self._settling.add(lane)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._clock.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        due, self._due, self._unwritten = self._due, [], 0
        for lane in self._settling:
            due.append(lane.settlements())
        self._settling.clear()
        if self._out is not None and not self._out.is_closing():
            self._out.write(b"".join(due))


class Tap(aiormq.TransportFactory):
    """Makes the client's transport, and keeps the stream for us."""

    def __init__(self) -> None:
        """One a connection."""
        self.stream: Stream | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. Raises the client's AMQPConnectionError."""
        provider = kwargs.pop("ssl_context_provider")
        context = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        stream = Stream(loop)
        protocol = asyncio.StreamReaderProtocol(stream, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, str(url.host), url.port or 0, ssl=context, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        stream.opened(transport)
        self.stream = stream
        return stream, asyncio.StreamWriter(transport, protocol, stream, loop)


class TappedConnection(aio_pika.Connection):
    """A connection whose transport is ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As the client makes it."""
        super().__init__(*args, **kwargs)
        self.tap = Tap()
        self.kwargs["transport_factory"] = self.tap
