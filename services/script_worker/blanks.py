"""Blanks: processes that are started ahead and belong to nobody yet.

Each is for the first call of some connection, which would else wait for Node to start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from services.script_worker.bundle import Bundle
from services.script_worker.node_process import NodeProcess, State
from services.script_worker.preload import Preload
from services.script_worker.retiring import RetireReason

log = structlog.get_logger(__name__)


class Blanks:
    """As many as there should be, whenever the machine has nothing better to do."""

    def __init__(
        self,
        number: int,
        *,
        at_once: int,
        start_within: timedelta,
        start: Callable[[Sequence[str]], NodeProcess],
        wait: Callable[[], bool],
        lost: Callable[[RetireReason], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`at_once` are started at a time. `start` begins one that loads these modules ahead;
        while `wait()` holds, none is started; `lost` is told of those that never served."""
        self._number = number
        self._at_once = at_once
        self._start_within = start_within
        self._begin = start
        self._wait = wait
        self._lost = lost
        self._tasks = tasks
        self._preload = Preload()
        self._blanks: list[NodeProcess] = []
        self._starting = 0
        self._closed = False

    def __len__(self) -> int:
        """How many there are, ready or on their way."""
        return len(self._blanks)

    @property
    def ready(self) -> int:
        """How many could serve at once."""
        return sum(blank.state is State.BLANK for blank in self._blanks)

    def note(self, bundle: Bundle) -> None:
        """What connections need is what the next blanks load."""
        self._preload.note(bundle)

    def take(self) -> NodeProcess | None:
        """The one that is furthest along."""
        if not self._blanks:
            return None
        ready = (i for i, blank in enumerate(self._blanks) if blank.state is State.BLANK)
        return self._blanks.pop(next(ready, 0))

    def refill(self) -> None:
        """Start what is missing."""
        while (
            len(self._blanks) < self._number
            and self._starting < self._at_once
            and not (self._closed or self._wait())
        ):
            self._starting += 1
            process = self._begin(self._preload.names())
            self._blanks.append(process)
            self._tasks.create_task(self._watch(process), name="pool.refill")

    def changed(self, process: NodeProcess) -> None:
        """It died, or was tainted. Another takes its place at the next `refill`."""
        if process in self._blanks:
            self._blanks.remove(process)
            self._discard(process)

    def close(self) -> None:
        """End those there are, and start no more."""
        self._closed = True
        while self._blanks:
            self._discard(self._blanks.pop())

    async def _watch(self, process: NodeProcess) -> None:
        try:
            async with asyncio.timeout(self._start_within.total_seconds()):
                await asyncio.wait([process.ready])
        except TimeoutError:
            process.kill(RetireReason.CRASH)
        finally:
            self._starting -= 1
        if process.ready.done() and process.ready.result():
            self.refill()
        else:
            self.changed(process)

    def _discard(self, blank: NodeProcess) -> None:
        reason = RetireReason.DRAIN if self._closed else RetireReason.CRASH
        blank.kill(reason)
        self._lost(blank.doomed or reason)
        if not self._closed:
            log.warning(
                "runner.blank_lost", reason=blank.doomed, output=blank.last_words(), next="replaced"
            )
