"""The deadline of a runner's call, and what the script did shortly before: compute, or wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from services.script_worker.accounting import busy_nanoseconds
from shared.contracts import Detail

MARK_BEFORE_DEADLINE: Final = 0.2
"""Seconds before the deadline at which the on-CPU time is noted: what the script does then is
what it will be doing at the deadline, and the noting is off every other call's path."""


class Deadline:
    """One timer, for one call after the other."""

    __slots__ = ("_expired", "_loop", "_timer")

    def __init__(self, expired: Callable[[Detail], None]) -> None:
        """`expired` is told `CPU_BOUND` or `WAITING`."""
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, deadline: float, pid: int) -> None:
        """A call begins that has until `deadline`, by the loop's clock."""
        left = max(0.0, deadline - self._loop.time())
        early = min(MARK_BEFORE_DEADLINE, left / 2)
        self._timer = self._loop.call_at(deadline - early, self._mark, deadline, pid)

    def disarm(self) -> None:
        """It ended in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _mark(self, deadline: float, pid: int) -> None:
        busy, now = busy_nanoseconds(pid), self._loop.time()
        self._timer = self._loop.call_at(deadline, self._expire, pid, busy, now)

    def _expire(self, pid: int, busy: int, since: float) -> None:
        self._timer = None
        elapsed = (self._loop.time() - since) * 1e9
        # On-CPU plus waiting-for-a-CPU: under contention on-CPU alone would look idle.
        computed = busy_nanoseconds(pid) - busy > elapsed / 2
        self._expired(Detail.CPU_BOUND if computed else Detail.WAITING)
