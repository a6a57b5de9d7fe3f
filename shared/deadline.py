"""Instants and budgets. A deadline is minted once, at the edge, and travels with the request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """The instant after which nobody waits any more (I11). `at` is aware, UTC, database clock."""

    at: datetime

    @classmethod
    def after(cls, now: datetime, budget: timedelta) -> Deadline:
        """The deadline of something that starts now."""
        return cls(now + budget)

    def remaining(self, now: datetime) -> timedelta:
        """What is left of the budget, never negative."""
        return max(self.at - now, timedelta(0))

    def passed(self, now: datetime) -> bool:
        """Whether nothing may start any more (I3)."""
        return now >= self.at
