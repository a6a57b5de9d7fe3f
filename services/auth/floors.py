"""Denials that take equally long, whoever they are about: the floor of each connection. Pure.

A user who is kept here is denied by a hash of ours, anybody else by the legacy store, and that one
may answer faster for a name it does not know. So every denial of a connection waits until the
same time after its request: the floor, which is what the slowest denials of late have taken.

Rule 1: the floor is the third longest of the last minutes. A quantile could be pushed down by
flooding the connection with fast denials, and the longest alone would be one accident's.
Rule 2: what is remembered fades after `WINDOW`, minute by minute; a fresh replica begins with `FIRST`
until it has a window of its own.
Rule 3: the floor has a bound: a store that takes longer can be told from one that doesn't.
Rule 4: one margin on top, so that the denials that set the floor stay under it.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 600.0
"""Seconds."""
SLICE: Final = 60.0
FIRST: Final = 0.25
MOST: Final = 2.0
MARGIN: Final = 1.1
RANK: Final = 3


@dataclass(slots=True)
class Floor:
    """Of one connection and one kind of answer. `now` is any monotonic clock, in seconds."""

    since: float
    _slices: deque[tuple[float, list[float]]] = field(default_factory=deque)
    """Begin of a slice, and the longest denials in it, as a heap."""

    def noted(self, took: float, now: float) -> None:
        """A denial took so long, without any waiting."""
        self._fade(now)
        if not self._slices or now - self._slices[-1][0] >= SLICE:
            self._slices.append((now, []))
        longest = self._slices[-1][1]
        heapq.heappush(longest, took)
        if len(longest) > RANK:
            heapq.heappop(longest)

    def seconds(self, now: float) -> float:
        """How long a denial takes now, at least."""
        self._fade(now)
        longest = heapq.nlargest(RANK, (took for _, all_ in self._slices for took in all_))
        floor = longest[-1] * MARGIN if longest else 0.0
        if now - self.since < WINDOW:
            floor = max(floor, FIRST)
        return min(floor, MOST)

    def _fade(self, now: float) -> None:
        while self._slices and now - self._slices[0][0] >= WINDOW:
            self._slices.popleft()
