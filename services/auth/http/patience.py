"""How long a caller waits at most (I11): what comes before and after the scripts included.

Each read and each script has its own bound, but their sum would outlast the deadline: while a
database restarts, three reads of five seconds each do. So a request as a whole has one too. Until it is
known which connection it is about it is short, then it follows the connection's scripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

UNKNOWN: Final = timedelta(seconds=5)
"""For what needs no script, and for finding out what does."""
MANAGEMENT: Final = timedelta(seconds=30)
"""Searches, exports and whole folders take longer, and nobody stands before a login page."""
AFTERWARDS: Final = timedelta(seconds=1)
"""Tokens, after a login."""

_patience: ContextVar[tuple[float, asyncio.Timeout] | None] = ContextVar("patience", default=None)


@asynccontextmanager
async def bounded(path: str) -> AsyncIterator[None]:
    """Ends the block when its caller has waited long enough: raises TimeoutError.

    What must not end with its caller is not in the block: `State.complete` owns it.
    """
    loop = asyncio.get_running_loop()
    first = MANAGEMENT if path.startswith("/api/") else UNKNOWN
    async with asyncio.timeout(first.total_seconds()) as bound:
        token = _patience.set((loop.time(), bound))
        try:
            yield
        finally:
            _patience.reset(token)


def extended(within: timedelta) -> None:
    """It is known what the request waits for: `within`, counted from its beginning."""
    found = _patience.get()
    if found is not None and not found[1].expired():
        began, bound = found
        bound.reschedule(began + (within + AFTERWARDS).total_seconds())
