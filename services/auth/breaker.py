"""The circuit breaker of one connection: when to leave a broken legacy store alone. Pure: no clock.

```
closed ──(enough of the last results were failures)──▶ open ──(its time is over)──▶ half-open
   ▲                                                    ▲                              │
   └────────────────(the probe was answered)────────────┼──────────────────────────────┤
                                                        └──(the probe failed: longer)──┘
```

Rule 1: failures trip it, denials never do: a store that says no is a store that works.
Rule 2: several failures of one subject count once, so that one user whose data a script can't
handle does not shut everybody else out.
Rule 3: half-open lets one probe through at a time; a probe that nobody reports on is replaced.
Rule 4: what began before a change of state says nothing about the state after it.

State is each replica's own: no login waits for a shared row, and a replica that alone is cut off
from the broker or the store decides for itself alone. The price is that each replica needs its own
few failures, and sends its own probe.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What the breaker does with a call."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Report(StrEnum):
    """What a call said about the legacy store."""

    ANSWERED = "answered"
    FAILED = "failed"
    NOTHING = "nothing"
    """It never ran, or failed for a reason of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When it trips, and for how long; seconds."""

    remembered: int = 20
    """Results."""
    remembered_for: float = 60.0
    failures: int = 5
    """At least so many subjects have failed …"""
    share: float = 0.5
    """… and they are at least this share of what is remembered."""
    open_for: float = 2.0
    """The first time; twice as long after each probe that failed …"""
    open_at_most: float = 30.0
    """… up to this."""
    ask_again: float = 1.0
    """What is said to who comes while a probe is under way."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A call may go on; hand it back with `report`, whatever came of the call."""

    generation: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A call may not."""

    seconds: float


DEFAULT: Final = Policy()


@dataclass(slots=True)
class Breaker:
    """The state of one connection. `now` is any monotonic clock, in seconds."""

    policy: Policy = DEFAULT
    state: State = State.CLOSED
    _generation: int = 0
    _results: deque[tuple[float, int | None]] = field(default_factory=deque)
    """When, and whose failure it was; None: the store answered."""
    _open_for: float = 0.0
    _until: float = 0.0
    """Open: when it ends. Half-open: when the probe is given up."""

    def ask(self, now: float, probe_within: float) -> Permit | Wait:
        """May a call go to the legacy store? As a probe it has `probe_within` seconds."""
        if self.state is State.CLOSED:
            return Permit(self._generation)
        left = self.left(now)
        if left:
            return Wait(left)
        self._become(State.HALF_OPEN, now + probe_within)
        return Permit(self._generation)

    def left(self, now: float) -> float:
        """Seconds until a call may be let through; 0: now."""
        if self.state is State.CLOSED or now >= self._until:
            return 0.0
        left = self._until - now
        return left if self.state is State.OPEN else min(left, self.policy.ask_again)

    def report(self, permit: Permit, report: Report, subject: int, now: float) -> None:
        """What came of a call that was let through; `subject` is whom it was about."""
        if permit.generation != self._generation:
            return
        match self.state, report:
            case State.HALF_OPEN, Report.ANSWERED:
                self._close()
            case State.HALF_OPEN, Report.FAILED:
                self._open(now)
            case State.HALF_OPEN, Report.NOTHING:
                self._until = now  # the next one is the probe
            case State.CLOSED, Report.ANSWERED | Report.FAILED:
                self._remember(now, None if report is Report.ANSWERED else subject)
            case _:
                pass

    def _remember(self, now: float, failed: int | None) -> None:
        results, policy = self._results, self.policy
        while results and now - results[0][0] > policy.remembered_for:
            results.popleft()
        if failed is not None and any(subject == failed for _, subject in results):
            return
        results.append((now, failed))
        if len(results) > policy.remembered:
            results.popleft()
        failures = sum(subject is not None for _, subject in results)
        if failures >= policy.failures and failures >= policy.share * len(results):
            self._open(now)

    def _open(self, now: float) -> None:
        again = self.state is State.HALF_OPEN
        longer = min(2 * self._open_for, self.policy.open_at_most)
        self._open_for = longer if again else self.policy.open_for
        self._become(State.OPEN, now + self._open_for)

    def _close(self) -> None:
        self._results.clear()
        self._become(State.CLOSED, 0.0)

    def _become(self, state: State, until: float) -> None:
        self.state, self._until = state, until
        self._generation += 1
