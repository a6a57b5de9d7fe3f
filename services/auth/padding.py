"""Waiting until the floor: what makes denials take equally long."""

from __future__ import annotations

import asyncio
from typing import Final

from services.auth import metrics
from services.auth.connections import Connection
from services.auth.floors import Floor

MAX_FLOORS: Final = 10_000
_OF_SOFT_DEADLINE: Final = 0.8


class Padding:
    """The floors of one replica."""

    def __init__(self) -> None:
        """With nothing known yet."""
        self.enabled = True
        """Without it, who is known can be told by the time: for tests and benchmarks alone."""
        self._floors: dict[tuple[str, str], Floor] = {}

    async def wait(self, connection: Connection, kind: str, began: float, *, told: bool) -> None:
        """Wait until a denial may be answered that began at `began` (the loop's clock).

        `told`: whether it says how long denials take; one that was refused unseen does not.
        """
        now = asyncio.get_running_loop().time()
        floor = self._floor(connection, kind, now)
        if told:
            floor.noted(now - began, now)
        seconds = floor.seconds(now)
        if connection.soft_deadline is not None:  # or the denial would become a 503
            seconds = min(seconds, connection.soft_deadline.total_seconds() * _OF_SOFT_DEADLINE)
        label = metrics.connection_label(connection.name)
        metrics.DENIAL_FLOOR.labels(label, kind).set(seconds)
        if self.enabled and began + seconds > now:
            await asyncio.sleep(began + seconds - now)

    def _floor(self, connection: Connection, kind: str, now: float) -> Floor:
        key = (connection.connection_id, kind)
        found = self._floors.get(key)
        if found is None:
            if len(self._floors) >= MAX_FLOORS:
                self._floors.clear()
            found = self._floors[key] = Floor(now)
        return found
