"""How many executions of one connection may be in flight here, and when one more may be.

Rule 1: a connection gets what its workers can finish in time, as its scripts have lately been: a
fast store may queue, a slow one must not, because what waits there only expires.
Rule 2: how many run at once is known here as an upper bound only: there are other replicas, and
workers share their slots out. So an execution that waited too long lowers the limit, and each one
that did not raises it a little (additive increase, multiplicative decrease, as TCP does it); what
was admitted before the last decrease says nothing new.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, islice
from typing import Final

from services.auth import metrics
from services.auth.connections import Connection
from shared.errors import Unavailable
from shared.topology import MAX_QUEUED_REQUESTS

FIRST_GUESS: Final = 1.0
"""Seconds that a script takes, as long as none of its connection has run."""
IN_TIME: Final = 0.75
"""Of a script's budget: what waits and runs for that long leaves a margin."""
WAITED: Final = 0.25
"""Of a script's budget: who waited longer was one too many."""
_DECREASE, _INCREASE, _LEAST = 0.7, 0.05, 0.05
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
    admitted: dict[int, float] = field(default_factory=dict)
    """Those in flight by a number, the oldest first, and since when."""
    mean: float = FIRST_GUESS
    share: float = 1.0
    lowered: float = -1.0

    @property
    def in_flight(self) -> int:
        return len(self.admitted)

    def takes(self, slots: int) -> float:
        """Seconds that a script takes: as the last ones did, or longer if that many are older."""
        oldest = next(islice(self.admitted.values(), slots - 1, None), None)
        return self.mean if oldest is None else max(self.mean, _now() - oldest)


@dataclass(frozen=True, slots=True)
class Passage:
    """One execution in flight."""

    budget: timedelta
    admitted: float
    _traffic: _Traffic

    def ended(self, waited: timedelta, ran: timedelta) -> None:
        """Its script ran for so long, nought if it never did, after it had waited for so long."""
        traffic = self._traffic
        if ran:
            # Below a hundredth of a second the limit is the queue's, whatever the mean.
            traffic.mean += _WEIGHT * (max(ran.total_seconds(), 0.01) - traffic.mean)
        if waited < self.budget * WAITED:
            traffic.share = min(traffic.share + _INCREASE, 1.0)
        elif self.admitted >= traffic.lowered:
            traffic.share = max(traffic.share * _DECREASE, _LEAST)
            traffic.lowered = _now()


class Bulkhead:
    """One replica's."""

    def __init__(self, limit: int | None = None) -> None:
        """`limit` replaces the derived one, for every connection."""
        self._limit = limit
        self._numbers = count()
        self._traffic: OrderedDict[str, _Traffic] = OrderedDict()

    def limit(self, connection: Connection, workers: int) -> int:
        """Executions of a connection that may be in flight, with so many workers there."""
        if self._limit is not None:
            return self._limit
        traffic = self._of(connection)
        slots = connection.worker_concurrency * workers
        each = max(1.0, connection.script_budget.total_seconds() * IN_TIME / traffic.takes(slots))
        return min(max(workers, int(slots * each * traffic.share)), MAX_QUEUED_REQUESTS + slots)

    def drain_time(self, connection: Connection, workers: int) -> timedelta:
        """How long the workers need for what is in flight now."""
        traffic = self._of(connection)
        slots = connection.worker_concurrency * workers
        return timedelta(seconds=traffic.takes(slots) * traffic.in_flight / slots)

    @contextmanager
    def entered(self, connection: Connection, workers: int) -> Iterator[Passage]:
        """Be one of those in flight. Raises Shed when there are too many."""
        traffic = self._of(connection)
        if traffic.in_flight >= self.limit(connection, workers):
            raise shed(
                "bulkhead",
                f"{traffic.in_flight} executions of {connection.connection_id} are in flight",
                self.drain_time(connection, workers),
            )
        number, admitted = next(self._numbers), _now()
        traffic.admitted[number] = admitted
        try:
            yield Passage(connection.script_budget, admitted, traffic)
        finally:
            del traffic.admitted[number]

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


def _now() -> float:
    return asyncio.get_running_loop().time()
