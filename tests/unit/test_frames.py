"""What a runner says is a frame of ours or a protocol error, whatever it says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.script_worker import frames
from services.script_worker.frames import (
    MAX_FRAME_BYTES,
    BindError,
    Bound,
    Decoder,
    Exit,
    Fault,
    Frame,
    FrameTooLarge,
    Late,
    Log,
    ProtocolError,
    Ready,
    Result,
    encode,
)
from shared.contracts import MAX_TEXT, Action, Detail, ViolationKind

LOG = {"t": "log", "id": "n", "level": "warn", "text": "hi", "truncated": False}
RESULT = {
    "t": "result",
    "id": "n",
    "ok": True,
    "value": {"user_id": 7},
    "us": 12,
    "violations": [{"kind": "callback_twice", "message": "m"}],
    "heap": 5,
    "handles": 2,
}
FAILED = {"t": "result", "id": "n", "ok": False, "detail": "threw", "error": {"name": "E"}}
EVERY: list[tuple[dict[str, object], type]] = [
    ({"t": "ready", "proto": 1, "node": "v24.1.0", "pid": 1}, Ready),
    ({"t": "bound", "actions": ["login"], "us": 3}, Bound),
    ({"t": "bind_error", "action": "login", "line": 3, "error": {"message": "m"}}, BindError),
    (LOG, Log),
    (RESULT, Result),
    (FAILED, Result),
    ({"t": "violation", "id": "n", "kind": "late_callback", "message": "m"}, Late),
    ({"t": "fault", "id": None, "kind": "uncaught_exception", "error": {}}, Fault),
    ({"t": "exit", "id": None, "code": 3}, Exit),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def decode(payload: bytes) -> Frame:
    (frame,) = Decoder().feed(len(payload).to_bytes(4, "big") + payload)
    return frame


@pytest.mark.parametrize(("fields", "kind"), EVERY, ids=lambda value: str(value)[:30])
def test_every_frame_is_read_as_its_type(fields: dict[str, object], kind: type) -> None:
    assert isinstance(decode(json.dumps(fields).encode()), kind)


@given(st.lists(st.sampled_from([fields for fields, _ in EVERY]), max_size=8), st.data())
def test_a_stream_decodes_the_same_however_it_is_cut(
    sent: list[dict[str, object]], data: st.DataObject
) -> None:
    stream = b"".join(encode(fields) for fields in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder, heard = Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        heard += decoder.feed(stream[start:end])

    assert [decode(encode(fields)[4:]) for fields in sent] == heard


@given(st.binary(max_size=300))
def test_garbage_is_a_protocol_error_or_waits_for_more(garbage: bytes) -> None:
    try:
        frames_heard = Decoder().feed(garbage)
    except ProtocolError:
        return

    assert frames_heard == []


@given(
    st.sampled_from([fields for fields, _ in EVERY]).flatmap(
        lambda fields: st.tuples(st.just(fields), st.sampled_from(sorted(fields)), json_values)
    )
)
def test_a_frame_with_any_field_replaced_is_read_or_refused(
    case: tuple[dict[str, object], str, object],
) -> None:
    fields, name, value = case
    payload = json.dumps({**fields, name: value}).encode()
    try:
        frame = decode(payload)
    except ProtocolError:
        return

    assert isinstance(frame, Frame)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"t":"result","id":"n","ok":true,"value":' + b"[" * 300 + b"]" * 300 + b"}",
        b"null",
        b'{"t":"other"}',
        b'{"t":["result"]}',
        b'{"t":"result","id":7,"ok":true}',
        b'{"t":"result","id":"n","ok":1}',
        b'{"t":"result","id":"n","ok":false,"detail":"fine","error":{}}',
        b'{"t":"result","id":"n","ok":true,"heap":-1}',
        b'{"t":"result","id":"n","ok":true,"heap":1e999}',
        b'{"t":"log","id":null,"level":"shout","text":"","truncated":false}',
        b'{"t":"exit","id":null,"code":true}',
        b'{"t":"ready","proto":2,"node":"v","pid":1}',
        b"\xff\xfe",
    ],
    ids=lambda payload: payload[:40].decode(errors="replace"),
)
def test_what_no_honest_harness_says_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload)


def test_an_announced_length_above_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_only_a_result_may_be_large() -> None:
    """What is not read can't hold the event loop up: lists of nothing are slow to parse."""
    text = "x" * 300 * 1024

    assert isinstance(
        decode(json.dumps(RESULT | {"value": text}, separators=(",", ":")).encode()), Result
    )
    with pytest.raises(ProtocolError):
        decode(json.dumps(LOG | {"text": text}, separators=(",", ":")).encode())


def test_a_protocol_error_does_not_quote_the_frame() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(b'{"t":"result","value":"hunter2"')

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_half_a_character_becomes_a_replacement_character() -> None:
    """JavaScript strings may end in half a surrogate pair; that must not fail a login."""
    payload = b'{"t":"result","id":"n","ok":true,"value":{"a":"x\\ud83d","b":"\\\\ud83d"}}'

    frame = decode(payload)

    assert isinstance(frame, Result)
    assert frame.value == {"a": "x\ufffd", "b": "\\ud83d"}


def test_texts_are_cut_to_what_may_travel() -> None:
    frame = decode(json.dumps({**LOG, "text": "x" * 10_000}).encode())

    assert isinstance(frame, Log)
    assert len(frame.text) == MAX_TEXT
    assert frame.truncated


def test_error_fields_of_any_type_become_text() -> None:
    error = {"name": "E", "code": 1045, "message": {"a": [1]}, "user_id": True, "secret": "x"}
    frame = decode(json.dumps({**FAILED, "error": error}).encode())

    assert isinstance(frame, Result)
    assert frame.error is not None
    assert (
        frame.error.code,
        frame.error.message,
        frame.error.user_id,
    ) == ("1045", '{"a":[1]}', "true")
    assert frame.detail == Detail.THREW


def test_violations_keep_their_kind() -> None:
    frame = decode(json.dumps(RESULT).encode())

    assert isinstance(frame, Result)
    assert [broken.kind for broken in frame.violations] == [ViolationKind.CALLBACK_TWICE]


def test_what_we_say_too_long_is_not_said() -> None:
    with pytest.raises(FrameTooLarge):
        frames.invoke("n", Action.LOGIN, ["x" * MAX_FRAME_BYTES], {}, 1000)


def test_a_lone_surrogate_in_an_argument_is_escaped() -> None:
    payload = frames.invoke("n", Action.LOGIN, ["\ud800"], {}, 1000)[4:]

    assert json.loads(payload)["args"] == ["\ud800"]
