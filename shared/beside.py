"""Work beside a block: a task that an `async with` owns.

A TaskGroup would wrap every error of the block into a group; a door that is opened with `async
with` should raise what it says it raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` while the block runs, and end it with the block; if it fails, so does the block."""
    owner = asyncio.current_task()
    assert owner is not None  # noqa: S101 - a coroutine always runs in a task
    task = asyncio.get_running_loop().create_task(work, name=name)
    cut_short = False

    def ended(done: asyncio.Task[None]) -> None:
        nonlocal cut_short
        if not done.cancelled() and done.exception() is not None:
            cut_short = owner.cancel()

    task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if cut_short and owner.uncancel() == 0:
            task.result()  # raises what ended it
        raise
    finally:
        task.remove_done_callback(ended)
        task.cancel()
        await asyncio.wait({task})
