"""What the legacy store denied moments ago is denied again without asking it. Pure: no clock.

Rule 1: the key is a keyed hash of connection, revision, identifier and password; the cache lives in
memory alone, so that no trace of a password is stored anywhere.
Rule 2: only denials of the credentials are kept, never a failure, and for a minute at most.
Rule 3: a sign-up or a new password of the identifier voids what was asked before it: every replica
learns of that from the statement that looks at the identifier's budgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")
MAX_SECONDS: Final = 60.0
MAX_ENTRIES: Final = 10_000
_SKEW: Final = 1.0
"""Seconds by which the clocks of a change and of a denial may differ."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    denial: T
    asked_at: float
    until: float


@dataclass(slots=True)
class NegativeCache(Generic[T]):
    """Denials by key. `now` is any monotonic clock, in seconds."""

    _entries: dict[bytes, _Entry[T]] = field(default_factory=dict)

    def put(self, key: bytes, denial: T, *, asked_at: float, seconds: float, now: float) -> None:
        """Keep a denial of what was asked at `asked_at`."""
        seconds = min(seconds, MAX_SECONDS)
        if seconds <= 0:
            return
        self._entries.pop(key, None)
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = _Entry(denial, asked_at, now + seconds)

    def get(self, key: bytes, *, changed_at: float | None, now: float) -> T | None:
        """The denial, unless it is too old, or from before the identifier's last change."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        void = changed_at is not None and entry.asked_at <= changed_at + _SKEW
        if void or now >= entry.until:
            del self._entries[key]
            return None
        return entry.denial
