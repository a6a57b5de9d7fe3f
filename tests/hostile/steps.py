"""What a hostile program does on the control channel during one call: a seeded generator.

Steps are those of `puppet.mjs`. Each plan has a token of its own, which stands in every value and
text that it sends: wherever a token turns up tells whose words were heard.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any, Final

Step = list[Any]

_FRAMES: Final[tuple[dict[str, Any], ...]] = (
    {"t": "result", "id": "$id", "ok": True, "value": {"user_id": "$token"}},
    {"t": "result", "id": "$id", "ok": False, "detail": "threw", "error": {"message": "$token"}},
    {"t": "log", "id": "$id", "level": "log", "text": "$token", "truncated": False},
    {"t": "violation", "id": "$id", "kind": "callback_twice", "message": "$token"},
    {"t": "fault", "id": "$id", "kind": "uncaught_exception", "error": {"message": "$token"}},
    {"t": "exit", "id": "$id", "code": 1},
    {"t": "ready", "proto": 1, "node": "$token", "pid": 1},
    {"t": "bound", "actions": ["login"], "us": 1},
    {"t": "bind_error", "action": "login", "line": 1, "error": {"message": "$token"}},
    {"t": "$token"},
)
_ODDITIES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 2**53, 1e308, -0.5, "", "\0", "\ud800", "x" * 5000),
    *([], {}, [[]], {"__proto__": {}}, [None] * 100, {"id": "$id"}, "$id", "0" * 16),
)


class Plans:
    """Plans of one seed. `answer` is the honest one."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a test's, to be had again
        self._count = 0
        self._seed = seed
        self.ids: list[str] = ["0" * 16]
        """Ids of other calls, to be forged; whoever learns of some adds them."""

    def token(self) -> str:
        """One that nobody had before."""
        self._count += 1
        return f"token-{self._seed}-{self._count}-"

    def answer(self, token: str) -> list[Step]:
        """What an honest program does: a line of console, and a result."""
        return [["frame", self._text(fields, token)] for fields in (_FRAMES[2], _FRAMES[0])]

    def hostile(self, token: str) -> list[Step]:
        """Some steps, of which one may be an honest answer; at times a call to live on after."""
        chance = self._random.random()
        if chance < 0.3:
            return self.answer(token)
        if chance < 0.5:
            return [["replay"], *self.answer(token)]
        steps = [self._step(token) for _ in range(self._random.randint(1, 6))]
        if self._random.random() < 0.6:
            steps.insert(self._random.randint(0, len(steps)), self.answer(token)[-1])
        return steps

    def _step(self, token: str) -> Step:
        kinds: list[Callable[[str], Step]] = [
            *[self._frame] * 8,
            *(self._cut, self._announce, self._bytes, self._drip, self._flood, self._interleave),
            *(self._deep, self._flipped, self._end, self._output, lambda _: ["replay"]),
        ]
        return self._random.choice(kinds)(token)

    def _frame(self, token: str) -> Step:
        return ["frame", self._mutated(token)]

    def _cut(self, token: str) -> Step:
        text = self._mutated(token)
        return ["cut", text, self._random.randint(0, len(text) + 3)]

    def _announce(self, token: str) -> Step:
        lengths = (0, 1, 3, 2**16, 2**20, 2**22, 2**31, 2**32 - 1)
        return ["announce", self._mutated(token), self._random.choice(lengths)]

    def _bytes(self, _token: str) -> Step:
        return ["bytes", base64.b64encode(self._random.randbytes(40)).decode()]

    def _drip(self, token: str) -> Step:
        return ["drip", self._mutated(token)[:2000]]

    def _flood(self, token: str) -> Step:
        return ["flood", self._mutated(token), self._random.choice((10, 300, 3000))]

    def _interleave(self, token: str) -> Step:
        return ["interleave", self._mutated(token), self._mutated(token)]

    def _deep(self, token: str) -> Step:
        depth = self._random.choice((60, 199, 201, 100_000))
        value = self._random.choice(
            ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth)
        )
        text = self._text(_FRAMES[0], token)
        return ["frame", text.replace('{"user_id"', f'{{"deep":{value},"user_id"')]

    def _flipped(self, token: str) -> Step:
        raw = bytearray(self._mutated(token).encode("utf-8", "surrogatepass"))
        head = len(raw).to_bytes(4, "big")
        for _ in range(self._random.randint(1, 5)):
            raw[self._random.randrange(len(raw))] = self._random.randrange(256)
        return ["bytes", base64.b64encode(head + bytes(raw)).decode()]

    def _end(self, _token: str) -> Step:
        ends: tuple[Step, ...] = (["exit", 0], ["exit", 70], ["die", "SIGKILL"], ["die", "SIGABRT"])
        return self._random.choice(ends)

    def _output(self, token: str) -> Step:
        return ["output", token * 100, self._random.choice((1, 100))]

    def _mutated(self, token: str) -> str:
        """A frame of any type, with some of its fields replaced, gone or another's."""
        fields = dict(self._random.choice(_FRAMES))
        for name in list(fields):
            chance = self._random.random()
            if chance < 0.08:
                fields[name] = self._random.choice(_ODDITIES)
            elif chance < 0.12:
                del fields[name]
        if "id" in fields and self._random.random() < 0.3:
            fields["id"] = self._random.choice(self.ids)
        if self._random.random() < 0.2:
            fields[self._random.choice(("violations", "mapped", "heap", "handles", "x"))] = (
                self._random.choice(_ODDITIES)
            )
        return self._text(fields, token)

    def _text(self, fields: dict[str, Any], token: str) -> str:
        return json.dumps(fields, separators=(",", ":")).replace("$token", token)
