"""How many executions of one connection may be in flight here, and when one more may be.

A connection gets what its workers can finish in half of its script budget, as its scripts have
lately been: a fast store may queue, a slow one must not, because what waits there only expires.
At least twice its workers' slots, so that none of them is idle while results travel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.auth import metrics
from services.auth.connections import Connection
from shared.errors import Unavailable
from shared.topology import MAX_QUEUED_REQUESTS

FIRST_GUESS: Final = 1.0
"""Seconds that a script takes, as long as none of its connection has run."""
_WEIGHT: Final = 0.3
"""Of the latest run in the mean: a store that turned slow is noticed within a few runs."""
_REMEMBERED: Final = 10_000
"""Connections whose mean is kept."""


class Shed(Unavailable):
    """Refused before anything was sent, so that nothing is left to decide."""


def shed(reason: str, text: str, retry_after: timedelta | None = None) -> Shed:
    """Count a refusal; `reason` is the metric's label, of a closed set."""
    metrics.SHED.labels(reason).inc()
    return Shed(text, retry_after=retry_after)


@dataclass(slots=True)
class _Traffic:
    in_flight: int = 0
    mean: float = FIRST_GUESS


class Bulkhead:
    """One replica's."""

    def __init__(self, limit: int | None = None) -> None:
        """`limit` replaces the derived one, for every connection."""
        self._limit = limit
        self._traffic: OrderedDict[str, _Traffic] = OrderedDict()

    def limit(self, connection: Connection, workers: int) -> int:
        """Executions of a connection that may be in flight, with so many workers there."""
        if self._limit is not None:
            return self._limit
        slots = connection.worker_concurrency * workers
        useful = slots * connection.script_budget.total_seconds() / 2 / self._of(connection).mean
        return min(max(2 * slots, int(useful)), MAX_QUEUED_REQUESTS + slots)

    def drain_time(self, connection: Connection, workers: int) -> timedelta:
        """How long the workers need for what is in flight now."""
        traffic = self._of(connection)
        slots = connection.worker_concurrency * workers
        return timedelta(seconds=traffic.mean * traffic.in_flight / slots)

    @contextmanager
    def entered(self, connection: Connection, workers: int) -> Iterator[None]:
        """Be one of those in flight. Raises Shed when there are too many."""
        traffic = self._of(connection)
        if traffic.in_flight >= self.limit(connection, workers):
            raise shed(
                "bulkhead",
                f"{traffic.in_flight} executions of {connection.connection_id} are in flight",
                self.drain_time(connection, workers),
            )
        traffic.in_flight += 1
        try:
            yield
        finally:
            traffic.in_flight -= 1

    def ran(self, connection: Connection, took: timedelta) -> None:
        """A script of this connection had a runner for so long."""
        traffic = self._of(connection)
        # Below a hundredth of a second the limit is the queue's, whatever the mean.
        traffic.mean += _WEIGHT * (max(took.total_seconds(), 0.01) - traffic.mean)

    def _of(self, connection: Connection) -> _Traffic:
        traffic = self._traffic.get(connection.connection_id)
        if traffic is None:
            traffic = self._traffic[connection.connection_id] = _Traffic()
            self._forget()
        self._traffic.move_to_end(connection.connection_id)
        return traffic

    def _forget(self) -> None:
        """The least recently used first, but nobody who is in flight."""
        excess = len(self._traffic) - _REMEMBERED
        idle = (name for name, traffic in self._traffic.items() if not traffic.in_flight)
        for name in [name for name, _ in zip(idle, range(excess), strict=False)]:
            if name != next(reversed(self._traffic)):
                del self._traffic[name]
