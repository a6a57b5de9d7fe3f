"""What the pool tells while it works, for metrics and whoever else counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from services.script_worker.retiring import RetireReason
from shared.contracts import ViolationKind
from shared.egress import EgressVerdict

Source = Literal["warm", "blank", "cold"]


@dataclass(frozen=True, slots=True)
class Started:
    """A process became ready."""

    took: timedelta


@dataclass(frozen=True, slots=True)
class Leased:
    """A call got a process: a bound one, a blank one, or one that had to be started."""

    source: Source


@dataclass(frozen=True, slots=True)
class Retired:
    """A process was ended."""

    reason: RetireReason
    connection_id: str | None


@dataclass(frozen=True, slots=True)
class LateViolation:
    """A rule was broken after the result had left; the runner is retired."""

    connection_id: str | None
    kind: ViolationKind


@dataclass(frozen=True, slots=True)
class Connected:
    """A script asked for a connect, so many times."""

    verdict: EgressVerdict
    times: int


PoolEvent = Started | Leased | Retired | LateViolation | Connected
Observe = Callable[[PoolEvent], None]


def unobserved(_: PoolEvent) -> None:
    """Nobody counts."""
