"""Messages that somebody else puts on our queues: near to valid, far from it, deep, huge, old."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from shared.contracts import MAX_MESSAGE_BYTES
from shared.transport import Message

NASTY: list[Any] = [
    *(None, True, -1, 0, 2**31, 2**63, 1e308, -0.0, "", "\0", "a\0b", "\ud800", "é" * 300, [], {}),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-01", "NaN", "nobody"),
    *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    *("0" * 32, "con_0000000000000000", "delete", "succeeded", "script_error", "x" * 5000),
    *({"kind": "denied", "reason": "not_found"}, {"kind": "failed"}, [[[[[]]]]]),
]
_TEXT = st.text(max_size=40)
_JSON = st.recursive(
    st.sampled_from(NASTY) | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
RAW = [
    b"",
    b"{",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"execution_id": NaN}',
    b"9" * 5000,
    b"\0" * 100,
    b"x" * (MAX_MESSAGE_BYTES + 1),
]


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _places(inner, (*place, name))
    return found


_REMOVED: Any = object()
_SHORT = st.text(st.characters(codec="utf-8"), max_size=60)
_CHANGES = st.tuples(st.integers(0, 10**6), st.just(_REMOVED) | _JSON | _JSON | _JSON)


@dataclass(frozen=True)
class Hostile:
    """What is done to a valid body, and the properties around it."""

    changes: list[tuple[int, Any]] = field(default_factory=list)
    raw: bytes | None = None
    properties: dict[str, Any] = field(default_factory=dict)

    def message(self, *valid: dict[str, Any]) -> Message:
        """Near to one of `valid`, or not at all."""
        return Message(
            body=self._body(valid), **{"type": "", "correlation_id": ""} | self.properties
        )

    def _body(self, valid: Sequence[dict[str, Any]]) -> bytes:
        if self.raw is not None:
            return self.raw
        made = copy.deepcopy(valid[sum(number for number, _ in self.changes) % len(valid)])
        for number, value in self.changes:
            if places := _places(made):
                _change(made, places[number % len(places)], value)
        # Halves of surrogate pairs stay escapes: that is how they come over a wire.
        return json.dumps(made).encode()


def _change(made: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
    *way, last = place
    inner = made
    for name in way:
        inner = inner[name]
    if value is _REMOVED:
        del inner[last]
    else:
        inner[last] = value


def every_single_change(valid: dict[str, Any]) -> Iterator[Hostile]:
    """Each value of a body replaced by each nasty one, each removed, and what is no body at all."""
    for number in range(len(_places(valid))):
        for value in (_REMOVED, *NASTY):
            yield Hostile([(number, value)])
    yield from (Hostile(raw=raw) for raw in RAW)


def hostile() -> st.SearchStrategy[Hostile]:
    """Anything; mostly near to valid."""
    properties = st.fixed_dictionaries(
        {
            "type": _SHORT,
            "correlation_id": _SHORT,
            "reply_to": st.none() | _SHORT,
            "headers": st.dictionaries(
                _SHORT, _SHORT | st.integers(-(2**63), 2**63 - 1), max_size=3
            ),
            "content_type": _SHORT,
        }
    )
    raw = st.none() | st.none() | st.none() | st.sampled_from(RAW) | st.binary(max_size=200)
    changes = st.lists(_CHANGES, min_size=1, max_size=3)
    return st.builds(Hostile, changes, raw, properties)
