"""The accountant: from what everybody saw to the list of broken promises. Pure.

Four books are kept independently and compared here: the callers' (what they asked, what they were
told and when), the tap's (what was published), the store's (what was started, what it changed) and
the ledger's. A promise that no book contradicts was kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from shared.contracts import Action, FailureKind
from shared.execution_states import MAX_ATTEMPTS
from tests.faults.store import Key, Start

MARGIN: Final = 3.0
"""Seconds after its scripts' deadline by which every caller must have been told something."""
LATE_START: Final = timedelta(seconds=1)
"""What a loaded machine may put between a runner's first instruction and our noting it."""


_UNEXPLAINED: Final = {
    str(kind)
    for kind in (
        FailureKind.MISCONFIGURED,
        FailureKind.CONTRACT_VIOLATION,
        FailureKind.OUT_OF_MEMORY,
        FailureKind.EGRESS_DENIED,
        FailureKind.TOO_LARGE,
    )
}
"""What a script or a connection would be to blame for, and ours are not."""


class Breach(StrEnum):
    """A promise that was broken."""

    NO_OUTCOME = "a request has no outcome"
    UNEXPLAINED = "an outcome that no fault explains"
    OUTCOME_CHANGED = "an outcome was written twice"
    STARTED_TWICE = "a script that changes something was started twice"
    STARTED_UNCLAIMED = "a script was started whose outcome says that it never ran"
    STARTED_LATE = "a script was started after its deadline"
    TOO_OFTEN = "a script was started more often than it was claimed"
    EFFECT_TWICE = "an effect was applied twice"
    FALSE_SUCCESS = "a caller was told of a success that there was not"
    FALSE_DENIAL = "a caller with the right password was told that it is wrong"
    ANSWERED_LATE = "a caller was answered after the deadline and the margin"
    NOT_ANSWERED = "a caller was never answered"
    BROKEN = "a caller's connection broke, and auth was well"
    INTERNAL = "a caller was told of an internal error"
    CRASHED = "a service ended by itself"
    LEFT_BEHIND = "something was left behind"
    STUMBLED = "the campaign itself stumbled, and saw less than it should"


class Told(StrEnum):
    """What a caller was told."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"
    LIMITED = "429"
    LATER = "503"
    INTERNAL = "500"
    BROKEN = "connection broken"
    NOTHING = "nothing"


@dataclass(slots=True)
class Call:
    """One HTTP request. Times are of the loop's clock; `budget` is what its scripts have."""

    number: int
    flow: str
    replica: str
    began: float
    budget: float
    keys: tuple[Key, ...] = ()
    """Of the executions that it asks for."""
    local: bool = False
    """Whether it may succeed without them."""
    right_password: bool | None = None
    """Whether the password was right; None where none was sent, or where nobody can be sure."""
    ended: float = 0.0
    told: Told = Told.NOTHING
    status: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """A request as the tap saw it."""

    action: Action
    key: Key
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of the ledger."""

    action: Action
    state: str
    outcome: str | None
    attempt: int


@dataclass
class Evidence:
    """Everything that was seen."""

    calls: Sequence[Call] = ()
    published: Mapping[UUID, Published] = field(default_factory=dict)
    recorded: Mapping[UUID, Recorded] = field(default_factory=dict)
    starts: Mapping[Key, Sequence[Start]] = field(default_factory=dict)
    effects: Mapping[Key, Sequence[str]] = field(default_factory=dict)
    rewritten: Sequence[tuple[UUID, str]] = ()
    """Executions of which a decided row was changed, and how."""
    applied_twice: Sequence[str] = ()
    """Effects in auth's own tables that are there more than once."""
    troubles: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """When each replica of auth was killed, stopped or paused by us."""
    crashes: Sequence[str] = ()
    left_behind: Sequence[str] = ()
    margin: float = MARGIN
    """Seconds."""
    stumbles: Sequence[str] = ()
    """What went wrong with the campaign."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, with the executions concerned."""

    breach: Breach
    executions: tuple[UUID, ...]
    text: str

    def __str__(self) -> str:
        named = ", ".join(map(str, self.executions)) or "no execution"
        return f"{self.breach}: {self.text} ({named})"


def account(evidence: Evidence) -> list[Violation]:
    """Every broken promise."""
    its = _Books(evidence)
    return [
        *its.outcomes(),
        *its.starts(),
        *its.effects(),
        *its.callers(),
        *(Violation(Breach.CRASHED, (), text) for text in evidence.crashes),
        *(Violation(Breach.LEFT_BEHIND, (), text) for text in evidence.left_behind),
        *(Violation(Breach.STUMBLED, (), text) for text in evidence.stumbles),
    ]


class _Books:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._executions: defaultdict[Key, list[UUID]] = defaultdict(list)
        for execution_id, published in evidence.published.items():
            self._executions[published.key].append(execution_id)
        self._calls: defaultdict[Key, list[Call]] = defaultdict(list)
        for call in evidence.calls:
            for key in call.keys:
                self._calls[key].append(call)

    def _named(self, key: Key) -> tuple[UUID, ...]:
        return tuple(self._executions.get(key, ()))

    def outcomes(self) -> Iterator[Violation]:
        """Exactly one a request (I1)."""
        for execution_id, published in self._evidence.published.items():
            row = self._evidence.recorded.get(execution_id)
            if row is None and not self._never_accepted(published):
                text = (
                    f"{published.action} was published, due {published.deadline:%H:%M:%S}, and the"
                    f" ledger knows nothing of it; {self._who_asked(published.key)}"
                )
                yield Violation(Breach.NO_OUTCOME, (execution_id,), text)
        for execution_id, row in self._evidence.recorded.items():
            if row.outcome is None:
                text = f"{row.action} is still {row.state}, attempt {row.attempt}"
                yield Violation(Breach.NO_OUTCOME, (execution_id,), text)
            if row.outcome in _UNEXPLAINED:
                text = f"{row.action} came to {row.outcome}"
                yield Violation(Breach.UNEXPLAINED, (execution_id,), text)
        for execution_id, text in self._evidence.rewritten:
            yield Violation(Breach.OUTCOME_CHANGED, (execution_id,), text)

    def _never_accepted(self, published: Published) -> bool:
        """The tap has it, but its own queue refused it, or the broker died before both had it.

        Its caller was told to come again later, or auth died with it. What `get_user` belongs to
        can't be told, and nothing comes of one that was not run.
        """
        told = {call.told for call in self._calls.get(published.key, ())}
        return published.action is Action.GET_USER or bool(told & {Told.LATER, Told.BROKEN})

    def _who_asked(self, key: Key) -> str:
        """The callers that an execution belongs to, and what each was told."""
        told = [
            f"request {call.number} at {call.replica} was told {call.told} (status {call.status})"
            f" after {call.ended - call.began:.1f} s"
            for call in self._calls.get(key, ())
        ]
        return ", ".join(told) or f"nobody asked for {key[1]!r}"

    def starts(self) -> Iterator[Violation]:
        """Under a claim, before the deadline, and what changes something once (I3, I4)."""
        for key, starts in self._evidence.starts.items():
            named = self._named(key)
            rows = [self._evidence.recorded.get(execution_id) for execution_id in named]
            claimed = sum(row.attempt for row in rows if row is not None)
            at = ", ".join(f"{start.at:%H:%M:%S.%f} in process {start.pid}" for start in starts)
            if not key[0].idempotent and len(starts) > 1:
                yield Violation(Breach.STARTED_TWICE, named, f"{key[0]}, at {at}")
            elif named and not claimed:
                yield Violation(Breach.STARTED_UNCLAIMED, named, f"{key[0]}, at {at}")
            elif named and len(starts) > min(claimed, MAX_ATTEMPTS * len(named)):
                text = f"{key[0]}, claimed {claimed} times, started at {at}"
                yield Violation(Breach.TOO_OFTEN, named, text)
            yield from self._late(key, starts, named)

    def _late(
        self, key: Key, starts: Sequence[Start], named: tuple[UUID, ...]
    ) -> Iterator[Violation]:
        if not named:
            return
        deadline = max(self._evidence.published[one].deadline for one in named)
        late = max(start.at for start in starts) - deadline
        if late > LATE_START:
            text = f"{key[0]}, {late.total_seconds():.1f} s after it"
            yield Violation(Breach.STARTED_LATE, named, text)

    def effects(self) -> Iterator[Violation]:
        """At most once, there and here (I4, I8)."""
        for key, nonces in self._evidence.effects.items():
            if len(nonces) > 1:
                text = f"{key[0]} changed the legacy store {len(nonces)} times"
                yield Violation(Breach.EFFECT_TWICE, self._named(key), text)
        for text in self._evidence.applied_twice:
            yield Violation(Breach.EFFECT_TWICE, (), text)

    def callers(self) -> Iterator[Violation]:
        """Everybody was told the truth, in time (I11)."""
        for call in self._evidence.calls:
            named = tuple(one for key in call.keys for one in self._named(key))
            found = self._untrue(call) or self._untimely(call)
            if found is not None:
                breach, text = found
                where = f"request {call.number}, {call.flow} at {call.replica}"
                yield Violation(breach, named, f"{where}: {text}")

    def _untrue(self, call: Call) -> tuple[Breach, str] | None:
        if call.told is Told.INTERNAL:
            return Breach.INTERNAL, f"status {call.status}"
        if call.told is Told.DENIED and call.right_password:
            return Breach.FALSE_DENIAL, f"status {call.status}"
        if call.told is not Told.DONE:
            return None
        if call.right_password is False:
            return Breach.FALSE_SUCCESS, "the password was wrong"
        for key in call.keys:
            if not call.local and not self._happened(key):
                return Breach.FALSE_SUCCESS, f"{key[0]} did not happen"
        return None

    def _happened(self, key: Key) -> bool:
        started = self._evidence.starts if key[0].idempotent else self._evidence.effects
        rows = [self._evidence.recorded.get(one) for one in self._named(key)]
        succeeded = any(row is not None and row.outcome == "succeeded" for row in rows)
        return bool(started.get(key)) and succeeded

    def _untimely(self, call: Call) -> tuple[Breach, str] | None:
        took = call.ended - call.began
        frozen = sum(
            max(0.0, min(until, call.ended) - max(since, call.began))
            for since, until in self._evidence.troubles.get(call.replica, ())
        )
        if call.told is Told.NOTHING:
            return Breach.NOT_ANSWERED, f"after {took:.1f} s"
        if call.told is Told.BROKEN:
            return None if self._troubled(call) else (Breach.BROKEN, f"after {took:.1f} s")
        if took - frozen > call.budget + self._evidence.margin:
            return Breach.ANSWERED_LATE, f"after {took:.1f} s, with {call.budget:.0f} s for scripts"
        return None

    def _troubled(self, call: Call) -> bool:
        spans = self._evidence.troubles.get(call.replica, ())
        return any(since <= call.ended and call.began <= until for since, until in spans)


def tally(violations: Sequence[Violation]) -> Counter[Breach]:
    """How many of each kind."""
    return Counter(violation.breach for violation in violations)
