"""What a runner writes to stdout and stderr: its last words, when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from services.script_worker.node_command import MIB

OUTPUT_TAIL_BYTES: Final = 64 * 1024
OUTPUT_FLOOD_BYTES: Final = 16 * MIB
_LAST_WORDS: Final = 2000


class OutputPipe(asyncio.Protocol):
    """stdout and stderr, one pipe: always drained, so that a script never blocks on them."""

    def __init__(self, *, flooded: Callable[[], None], ended: Callable[[], None]) -> None:
        """`flooded` is called while it writes without end, `ended` when all is heard."""
        self._flooded, self._ended = flooded, ended
        self._transport: asyncio.BaseTransport | None = None
        self.tail = bytearray()
        self.heard = 0
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep the end of it."""
        self.heard += len(data)
        self.tail += data
        if len(self.tail) > 2 * OUTPUT_TAIL_BYTES:
            del self.tail[:-OUTPUT_TAIL_BYTES]
        if self.heard > OUTPUT_FLOOD_BYTES:
            self._flooded()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody holds its other end any more."""
        self.closed = True
        self._ended()

    def begin(self) -> None:
        """A new call: last words must not quote the one before, whose password is not ours."""
        self.heard = 0
        self.tail.clear()

    def close(self) -> None:
        """Hear no more."""
        if self._transport is not None:
            self._transport.close()

    def last_words(self) -> str:
        """The end of what it wrote; not yet redacted."""
        return self.tail.decode(errors="replace")[-_LAST_WORDS:].strip()
