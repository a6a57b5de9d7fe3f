"""The frames between worker and runner, on fd 3: pure, no IO.

u32 big-endian length, then UTF-8 JSON. Golden vectors: `tests/harness/frames.json`, read by the
harness's tests too.

Rule 1: everything a runner says is untrusted. A frame is either one of the types below, every
        field checked and cut to size, or it is a `ProtocolError`; there is nothing in between.
Rule 2: nothing here decides what a frame means for an execution.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic_core import PydanticSerializationError, from_json, to_json

from shared.contracts import MAX_CONSOLE_LINES, MAX_TEXT, Action, Detail, ViolationKind

PROTOCOL: Final = 1
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
RESULT_BYTES: Final = 1024 * 1024
"""A profile above 10 KB already fails at Auth0 (C§2.2); a megabyte is somebody's mistake."""
LIMITS: Final = {
    "result_bytes": RESULT_BYTES,
    "console_bytes": 64 * 1024,
    "console_lines": MAX_CONSOLE_LINES,
    "line_chars": MAX_TEXT,
    "depth": 64,
}
_MAX_OTHER_FRAME: Final = 256 * 1024
"""Above every frame of an honest harness but a result: 4 MiB of empty lists take the parser a
quarter of a second, and our event loop with it."""
_MAX_RESULT_FRAME: Final = RESULT_BYTES + _MAX_OTHER_FRAME
_RESULT: Final = b'{"t":"result",'
_MAX_STACK: Final = 16 * 1024
_MAX_VIOLATIONS: Final = 16
MAX_MAPPED: Final = 32
Level = Literal["log", "info", "warn", "error", "debug", "trace"]
_LEVELS: Final = frozenset(get_args(Level))
_DETAILS: Final = {str(detail): detail for detail in Detail}
_VIOLATIONS: Final = {str(kind): kind for kind in ViolationKind}
_LONE_SURROGATE: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class ProtocolError(Exception):
    """A runner said something that no honest harness says. It must be killed."""


class FrameTooLarge(Exception):
    """What we have to say does not fit into a frame."""


@dataclass(frozen=True, slots=True)
class ScriptError:
    """The fields of an error that may leave the runner (C§3.1)."""

    name: str | None = None
    message: str | None = None
    code: str | None = None
    description: str | None = None
    user_id: str | None = None
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken callback rule, on a result."""

    kind: ViolationKind
    message: str | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A module that a script asked for, and what it was given instead."""

    asked: str
    got: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The runner is up and has loaded what it was asked to."""

    node: str


@dataclass(frozen=True, slots=True)
class Bound:
    """All scripts are compiled."""

    actions: tuple[str, ...]
    mapped: tuple[Mapped, ...] = ()


@dataclass(frozen=True, slots=True)
class BindError:
    """A script does not compile."""

    action: str
    line: int | None
    error: ScriptError


@dataclass(frozen=True, slots=True)
class Log:
    """One line of console output."""

    id: str | None
    level: Level
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What the script came to: a value, or an error with its detail."""

    id: str
    ok: bool
    value: Any
    detail: Detail | None
    error: ScriptError | None
    violations: tuple[Broken, ...]
    heap: int
    handles: int
    mapped: tuple[Mapped, ...] = ()


@dataclass(frozen=True, slots=True)
class Late:
    """A rule was broken after the result had left."""

    id: str | None
    broken: Broken


@dataclass(frozen=True, slots=True)
class Fault:
    """Something threw after the result had left: the runner is tainted."""

    id: str | None
    kind: str
    error: ScriptError


@dataclass(frozen=True, slots=True)
class Exit:
    """The script asked its process to end."""

    id: str | None
    code: int


Frame = Ready | Bound | BindError | Log | Result | Late | Fault | Exit


def encode(frame: Mapping[str, Any]) -> bytes:
    """A frame as it goes over the wire."""
    try:
        payload = to_json(frame, inf_nan_mode="null")
    except PydanticSerializationError:  # a lone surrogate, which JSON can only escape
        payload = json.dumps(frame, separators=(",", ":")).encode()
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"{len(payload)} bytes, {MAX_FRAME_BYTES} allowed")
    return len(payload).to_bytes(4, "big") + payload


def hello(modules: str, preload: Sequence[str]) -> bytes:
    """The first frame: limits, and what to load ahead of the first script."""
    return encode(
        {
            "t": "hello",
            "proto": PROTOCOL,
            "limits": LIMITS,
            "modules": modules,
            "preload": list(preload),
        }
    )


def bind(
    scripts: Mapping[Action, str],
    configuration: Mapping[str, str],
    *,
    with_context: bool,
    magic_globals: bool = False,
) -> bytes:
    """The scripts that this runner will run for the rest of its life."""
    return encode(
        {
            "t": "bind",
            "scripts": {str(action): text for action, text in scripts.items()},
            "configuration": dict(configuration),
            "with_context": with_context,
            "magic_globals": magic_globals,
        }
    )


def invoke(
    id: str, action: Action, arguments: Sequence[Any], context: Mapping[str, Any], remaining_ms: int
) -> bytes:
    """Run one action. `id` is fresh: an answer to anything else is a forgery."""
    return encode(
        {
            "t": "invoke",
            "id": id,
            "action": str(action),
            "args": arguments,
            "context": context,
            "remaining_ms": remaining_ms,
        }
    )


class Decoder:
    """Cuts a byte stream into frames; holds at most one incomplete frame."""

    __slots__ = ("_buffer", "_needed")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 4

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises ProtocolError; the stream is dead then."""
        if self._buffer:
            # Grown in place and cut only when a frame is whole: a runner that dribbles a huge
            # frame byte by byte costs its own time, not ours.
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames: list[Frame] = []
        start, end = 0, len(data)
        while end - start >= 4:
            stop = start + 4 + _length(data, start)
            if stop > end:
                self._needed = stop - start
                break
            frames.append(parse(data[start + 4 : stop]))
            start = stop
        else:
            self._needed = 4
        if start < end:
            self._buffer += data[start:]
        return frames


def _length(data: bytes, start: int) -> int:
    length = int.from_bytes(data[start : start + 4], "big")
    if length > _MAX_RESULT_FRAME:
        raise ProtocolError(f"a frame of {length} bytes was announced")
    return length


def parse(payload: bytes) -> Frame:
    """One frame, checked. The parser's own depth limit (200) stands before any recursion."""
    if len(payload) > _MAX_OTHER_FRAME and not payload.startswith(_RESULT):
        raise ProtocolError(f"a frame of {len(payload)} bytes is no result")
    try:
        fields = _load(payload)
        return _READERS[fields["t"]](fields)
    except ProtocolError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # The error's text may quote the frame, which may hold a password: its class is enough.
        raise ProtocolError(f"a frame can't be read: {type(error).__name__}") from None


def _load(payload: bytes) -> dict[str, Any]:
    try:
        fields = from_json(payload, allow_inf_nan=False)
    except ValueError:
        # JavaScript's strings may hold half a character, and JSON.stringify escapes it. A name
        # cut short by an old database must not fail a login: it becomes U+FFFD.
        mended = _LONE_SURROGATE.sub(rb"\1\\ufffd", payload)
        if mended == payload:
            raise
        fields = from_json(mended, allow_inf_nan=False)
    if not isinstance(fields, dict):
        raise ProtocolError("a frame is an object")
    return fields


def _text(value: object, limit: int = MAX_TEXT) -> str | None:
    """Any scalar as text, cut; scripts put numbers and booleans into messages and codes."""
    if value is None:
        return None
    if isinstance(value, str):
        return value[:limit]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:limit]
    return to_json(value, inf_nan_mode="null").decode()[:limit]


def _id(fields: dict[str, Any]) -> str | None:
    value = fields.get("id")
    if value is not None and not isinstance(value, str):
        raise ProtocolError("an id is text")
    return value


def _count(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
        return int(value)
    raise ProtocolError("a count is a number, not negative")


def _error(value: object) -> ScriptError:
    if not isinstance(value, dict):
        raise ProtocolError("an error is an object")
    return ScriptError(
        name=_text(value.get("name"), 256),
        message=_text(value.get("message")),
        code=_text(value.get("code"), 256),
        description=_text(value.get("description")),
        user_id=_text(value.get("user_id"), 256),
        stack=_text(value.get("stack"), _MAX_STACK),
    )


def _broken(value: dict[str, Any]) -> Broken:
    kind = _VIOLATIONS.get(value["kind"])
    if kind is None:
        raise ProtocolError("an unknown kind of violation")
    return Broken(kind, _text(value.get("message")))


def _mapped(fields: dict[str, Any]) -> tuple[Mapped, ...]:
    given = fields.get("mapped")
    if not given:
        return ()
    return tuple(
        Mapped(str(_text(each["asked"], 128)), str(_text(each["got"], 128)))
        for each in given[:MAX_MAPPED]
    )


def _read_ready(fields: dict[str, Any]) -> Ready:
    if fields["proto"] != PROTOCOL:
        raise ProtocolError("another protocol version")
    return Ready(str(_text(fields["node"], 32)))


def _read_bound(fields: dict[str, Any]) -> Bound:
    actions = tuple(str(_text(action, 64)) for action in fields["actions"][:64])
    return Bound(actions, _mapped(fields))


def _read_bind_error(fields: dict[str, Any]) -> BindError:
    line = fields.get("line")
    return BindError(
        str(_text(fields["action"], 64)),
        _count(line) if line is not None else None,
        _error(fields["error"]),
    )


def _read_log(fields: dict[str, Any]) -> Log:
    text = fields["text"]
    if fields["level"] not in _LEVELS or not isinstance(text, str):
        raise ProtocolError("a console line has a level and a text")
    cut = len(text) > MAX_TEXT
    return Log(_id(fields), fields["level"], text[:MAX_TEXT], cut or bool(fields["truncated"]))


def _read_result(fields: dict[str, Any]) -> Result:
    id, ok = fields["id"], fields["ok"]
    if not (isinstance(id, str) and isinstance(ok, bool)):
        raise ProtocolError("a result has an id and a verdict")
    broken = fields.get("violations") or ()
    return Result(
        id=id,
        ok=ok,
        value=fields.get("value"),
        detail=None if ok else _DETAILS[fields["detail"]],
        error=None if ok else _error(fields["error"]),
        violations=tuple(map(_broken, broken[:_MAX_VIOLATIONS])) if broken else (),
        heap=_count(fields.get("heap", 0)),
        handles=_count(fields.get("handles", 0)),
        mapped=_mapped(fields),
    )


def _read_late(fields: dict[str, Any]) -> Late:
    return Late(_id(fields), _broken(fields))


def _read_fault(fields: dict[str, Any]) -> Fault:
    return Fault(_id(fields), str(_text(fields["kind"], 64)), _error(fields["error"]))


def _read_exit(fields: dict[str, Any]) -> Exit:
    code = fields["code"]
    if not isinstance(code, int) or isinstance(code, bool):
        raise ProtocolError("an exit code is a whole number")
    return Exit(_id(fields), code)


_READERS: Final[dict[str, Callable[[dict[str, Any]], Frame]]] = {
    "ready": _read_ready,
    "bound": _read_bound,
    "bind_error": _read_bind_error,
    "log": _read_log,
    "result": _read_result,
    "violation": _read_late,
    "fault": _read_fault,
    "exit": _read_exit,
}
