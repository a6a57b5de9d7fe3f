"""Which execution gets one of the worker's slots, so that no connection takes them all.

Rule 1: a connection may hold at most twice as many slots as are left free for others (a dynamic
threshold, as switches share their buffers: Choudhury and Hahne 1998). One busy connection gets
about two thirds of the slots, two get two fifths each, and so on: nothing has to be configured.
Rule 2: the last free slot goes only to a connection that has none.
Rule 3: of those who wait, the connection with the fewest slots comes first.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from services.script_worker import metrics
from shared.telemetry import labelled

SHARE: Final = 2
"""Slots that a connection may hold for each one that is free."""


class Slots:
    """The slots of one worker."""

    def __init__(self, total: int) -> None:
        """`total`: executions in hand at once."""
        self.total = total
        self.shared = False
        """Whether several connections may come; one alone gets everything."""
        self.most: Mapping[str, int] = {}
        """Slots that a connection may hold at most; who is not named here, any number."""
        self._held: Counter[str] = Counter()
        self._free = total
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        metrics.SLOTS.labels("total").set(total)

    @asynccontextmanager
    async def taken(self, connection_id: str) -> AsyncIterator[None]:
        """Hold a slot inside the block; waits for one."""
        if self._waiting.get(connection_id) or not self._may_take(connection_id):
            await self._wait(connection_id)
        else:
            self._take(connection_id)
        try:
            yield
        finally:
            self._give_back(connection_id)

    def held(self, connection_id: str) -> int:
        """How many a connection holds now."""
        return self._held[connection_id]

    def _may_take(self, connection_id: str) -> bool:
        held = self._held[connection_id]
        if held >= self.most.get(connection_id, self.total):
            return False
        if not self.shared or not held:
            return self._free > 0
        return held < SHARE * (self._free - 1)

    def _take(self, connection_id: str) -> None:
        self._held[connection_id] += 1
        self._free -= 1
        labelled(metrics.SLOTS, "busy").inc()

    def _give_back(self, connection_id: str) -> None:
        self._held[connection_id] -= 1
        if not self._held[connection_id]:
            del self._held[connection_id]
        self._free += 1
        labelled(metrics.SLOTS, "busy").dec()
        self._serve()

    async def _wait(self, connection_id: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(connection_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # granted in the same instant
                self._give_back(connection_id)
            raise

    def _serve(self) -> None:
        while (connection_id := self._next()) is not None:
            turn = self._waiting[connection_id].popleft()
            # Who was served goes behind the others that hold as many.
            self._waiting.move_to_end(connection_id)
            if not turn.done():
                self._take(connection_id)
                turn.set_result(None)

    def _next(self) -> str | None:
        for connection_id in [name for name, turns in self._waiting.items() if not turns]:
            del self._waiting[connection_id]
        able = filter(self._may_take, self._waiting)
        return min(able, key=lambda connection_id: self._held[connection_id], default=None)
