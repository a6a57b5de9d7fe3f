"""Whether a runner is worth keeping, by what its calls leave behind."""

from __future__ import annotations

from typing import Final

from services.script_worker.node_command import MIB


class Growth:
    """Whether a runner's heap or handles only ever grow.

    A heap is a saw-tooth, so its lows count: the lowest of each window of calls. Handles come and
    go around a callback, so it takes a row of calls that each left one more.
    """

    WINDOW: Final = 20
    WINDOWS: Final = 5
    HANDLES_IN_A_ROW: Final = 10
    HEAP_FLOOR: Final = 64 * MIB

    __slots__ = ("_calls", "_grown", "_handles", "_handles_grown", "_low", "_previous_low")

    def __init__(self) -> None:
        self._calls = self._grown = self._handles_grown = 0
        self._handles = 0
        self._low = self._previous_low = 0

    @property
    def suspicious(self) -> bool:
        """Whether this runner should make place for a fresh one."""
        heap = self._grown >= self.WINDOWS and self._previous_low > self.HEAP_FLOOR
        return heap or self._handles_grown >= self.HANDLES_IN_A_ROW

    def sample(self, heap: int, handles: int) -> None:
        """Note what a call left behind."""
        self._handles_grown = self._handles_grown + 1 if handles > self._handles else 0
        self._handles = handles
        self._low = min(self._low, heap) if self._low else heap
        self._calls += 1
        if self._calls % self.WINDOW == 0:
            self._grown = self._grown + 1 if self._low > self._previous_low else 0
            self._previous_low, self._low = self._low, 0
