"""A TCP proxy on loopback that can cut, stall, slow down and refuse: what networks do."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self, cast

_HOLD: Final = 1024 * 1024
"""Bytes held for one direction before its sender is no longer read from, as TCP would."""


class Proxy:
    """Forwards to one port until it is told otherwise."""

    def __init__(self, target_port: int) -> None:
        """`async with` starts it."""
        self._target = target_port
        self._ends: set[_End] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.flowing = True
        self.delay = 0.0
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, near=True), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Cut everything and stop."""
        self.refuse()
        self._server.close()
        for task in self._dialling:
            task.cancel()

    def cut(self) -> None:
        """Reset every connection; new ones are served."""
        for end in list(self._ends):
            end.transport.abort()

    def refuse(self) -> None:
        """Cut, and let nobody in until `accept`."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Let them in again."""
        self._refusing = False

    def stall(self) -> None:
        """Swallow everything without a word, as a dead router does."""
        self.flowing = False

    def flow(self) -> None:
        """Forward again, and at once; what was held comes first."""
        self.flowing, self.delay = True, 0.0
        for end in list(self._ends):
            end.release()

    def slow(self, delay: float) -> None:
        """Deliver everything `delay` seconds late, in order, until `flow`."""
        self.delay = delay

    def half_open(self) -> None:
        """Tear down the far side of every connection and never tell the near one.

        Whoever dialled keeps a connection that takes everything and answers nothing, as after a
        firewall forgot it; new connections are served.
        """
        for end in list(self._ends):
            if end.near and end.other is not None:
                end.deaf = True
                end.other.transport.abort()

    def opened(self, end: _End) -> None:
        """A transport is there; a near one gets its far side."""
        self._ends.add(end)
        if not end.near:
            return
        if self._refusing:
            end.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._dial(end), name="proxy.dial")
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def closed(self, end: _End) -> None:
        """A transport is gone."""
        self._ends.discard(end)

    async def _dial(self, near: _End) -> None:
        far = _End(self, near=False)
        far.other = near
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: far, "127.0.0.1", self._target
            )
        except OSError:
            near.transport.abort()
            return
        if near.transport.is_closing():
            far.transport.abort()
            return
        near.other = far
        near.release()


class _End(asyncio.Protocol):
    """One side of one connection; what it hears goes to the other side."""

    def __init__(self, proxy: Proxy, *, near: bool) -> None:
        self._proxy = proxy
        self._held: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self.near = near
        self.deaf = False
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._proxy.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        proxy, loop = self._proxy, asyncio.get_running_loop()
        if self.other and proxy.flowing and not proxy.delay and not self._held:
            self.other.transport.write(data)
            return
        self._held.append((loop.time() + proxy.delay, data))
        self._bytes += len(data)
        if self._bytes > _HOLD:
            self.transport.pause_reading()
        loop.call_later(proxy.delay, self.release)

    def release(self) -> None:
        """Hand on what is due."""
        if self.other is not None and self.other.transport.is_closing():
            self._held.clear()  # nobody takes it any more
            self._bytes = 0
        now = asyncio.get_running_loop().time()
        while self._held and self._proxy.flowing and self._held[0][0] <= now and self.other:
            data = self._held.popleft()[1]
            self._bytes -= len(data)
            self.other.transport.write(data)
        if self._bytes <= _HOLD and not self.transport.is_closing():
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy.closed(self)
        if self.other is not None and not self.other.deaf:
            # In order where it ended in order, so that the last words still arrive.
            self.other.transport.abort() if error else self.other.transport.close()
