"""The frames of the hot path, written and read by hand: publish, deliver, settle, confirm.

A message's frames are a dozen fields at known places. Building and reading them directly costs a
tenth of doing it through objects per frame; everything rarer is left to the client. The library
that the client uses (pamqp) is the oracle of this module's tests, and reads what is nested.

Layout: AMQP 0-9-1, sections 2.3.5 (frames), 1.8 (the class basic). Rule: what a stranger put into
a message's properties never breaks the connection that brings it. An unreadable property is
absent, text that is no UTF-8 is mended.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pamqp import decode, encode

from shared.transport import Message

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
END: Final = 0xCE
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
FRAME: Final = struct.Struct(">BHI")
"""Type, channel, size of the payload; the payload and `END` follow."""
OVERHEAD: Final = FRAME.size + 1

_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"  # basic.publish and its reserved short
_ACK: Final = b"\x00\x3c\x00\x50"
_REJECT: Final = b"\x00\x3c\x00\x5a"
_NACK: Final = b"\x00\x3c\x00\x78"
RETURN: Final = b"\x00\x3c\x00\x32"
DELIVER: Final = b"\x00\x3c\x00\x3c"
ACK: Final = _ACK
NACK: Final = _NACK

_MANDATORY: Final = b"\x01"
_CONTENT: Final = struct.Struct(">HHQH")
_TAG: Final = struct.Struct(">Q")
_LONG: Final = struct.Struct(">I")
_BASIC: Final = 60
_PERSISTENT: Final = b"\x02"
_TEXT: Final = "text"
_TABLE: Final = "table"
_PROPERTIES: Final = (
    (0x8000, "content_type", _TEXT),
    (0x4000, "content_encoding", _TEXT),
    (0x2000, "headers", _TABLE),
    (0x1000, "delivery_mode", 1),
    (0x0800, "priority", 1),
    (0x0400, "correlation_id", _TEXT),
    (0x0200, "reply_to", _TEXT),
    (0x0100, "expiration", _TEXT),
    (0x0080, "message_id", _TEXT),
    (0x0040, "timestamp", 8),
    (0x0020, "type", _TEXT),
    (0x0010, "user_id", _TEXT),
    (0x0008, "app_id", _TEXT),
    (0x0004, "cluster_id", _TEXT),
)
"""In the order in which they follow the flags; a number is a width that we step over."""


class Deliver(NamedTuple):
    """The method that begins a delivery."""

    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    routing_key: str


class Headers(Mapping[str, Any]):
    """A message's header table, decoded when somebody asks: nearly nobody does."""

    __slots__ = ("_decoded", "_raw")

    def __init__(self, raw: bytes) -> None:
        """`raw` is the table as it came, with its length."""
        self._raw = raw
        self._decoded: dict[str, Any] | None = None

    def _all(self) -> dict[str, Any]:
        if self._decoded is None:
            try:
                _, table = decode.field_table(self._raw)
            except (ValueError, LookupError, struct.error, RecursionError, OverflowError):
                table = {}
            self._decoded = dict(table)
        return self._decoded

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


_NO_HEADERS: Final = Headers(b"\x00\x00\x00\x00")


def publish(channel: int, exchange: str, routing_key: str, message: Message, largest: int) -> bytes:
    """A mandatory, persistent publish. `largest`: bytes of a body frame's payload.

    Raises ValueError for text that does not fit into its field (255 bytes).
    """
    body = message.body
    method = b"".join((_PUBLISH, _short(exchange), _short(routing_key), _MANDATORY))
    header = _header(message)
    parts = [
        FRAME.pack(METHOD, channel, len(method)), method, b"\xce",
        FRAME.pack(HEADER, channel, len(header)), header, b"\xce",
    ]  # fmt: skip
    for at in range(0, len(body), largest):
        piece = body[at : at + largest]
        parts += (FRAME.pack(BODY, channel, len(piece)), piece, b"\xce")
    return b"".join(parts)


def _header(message: Message) -> bytes:
    flags = 0x8000 | 0x2000 | 0x1000 | 0x0400 | 0x0080 | 0x0020
    headers = encode.field_table(dict(message.headers)) if message.headers else b"\0\0\0\0"
    fields = [_short(message.content_type), headers, _PERSISTENT, _short(message.correlation_id)]
    if message.reply_to is not None:
        flags |= 0x0200
        fields.append(_short(message.reply_to))
    if message.expiration is not None:
        flags |= 0x0100
        fields.append(_short(milliseconds(message)))
    fields += (_short(message.message_id), _short(message.type))
    return _CONTENT.pack(_BASIC, 0, len(message.body), flags) + b"".join(fields)


def milliseconds(message: Message) -> str:
    """The TTL as RabbitMQ reads it. Negative is not legal; zero expires unless somebody waits."""
    assert message.expiration is not None  # noqa: S101 - asked for those that have one
    return str(max(int(message.expiration.total_seconds() * 1000), 0))


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data  # ValueError above 255, which is the field's own limit


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Settle as done; `multiple`: everything up to the tag."""
    return _method(channel, _ACK + _TAG.pack(tag) + (b"\x01" if multiple else b"\x00"))


def requeue(channel: int, tag: int) -> bytes:
    """Give back."""
    return _method(channel, _NACK + _TAG.pack(tag) + b"\x02")


def reject(channel: int, tag: int) -> bytes:
    """Dead-letter."""
    return _method(channel, _REJECT + _TAG.pack(tag) + b"\x00")


def _method(channel: int, payload: bytes) -> bytes:
    return FRAME.pack(METHOD, channel, len(payload)) + payload + b"\xce"


def read_deliver(payload: bytes) -> Deliver:
    """A basic.deliver; which exchange it went through is of no interest."""
    end = 5 + payload[4]
    (tag,) = _TAG.unpack_from(payload, end)
    key = end + 10 + payload[end + 9]
    routing_key = payload[key + 1 : key + 1 + payload[key]].decode("utf-8", "replace")
    consumer_tag = payload[5:end].decode("utf-8", "replace")
    return Deliver(consumer_tag, tag, bool(payload[end + 8] & 1), routing_key)


def read_confirm(payload: bytes) -> tuple[int, bool]:
    """The tag of an ack or a nack, and whether it stands for all before it."""
    (tag,) = _TAG.unpack_from(payload, 4)
    return tag, bool(payload[12] & 1)


def read_header(payload: bytes) -> tuple[int, dict[str, Any]]:
    """The size of the body to come, and the properties."""
    _, _, size, flags = _CONTENT.unpack_from(payload)
    found: dict[str, Any] = {}
    at = _CONTENT.size
    try:
        for flag, name, kind in _PROPERTIES:
            if not flags & flag:
                continue
            if kind is _TEXT:
                end = at + 1 + payload[at]
                found[name] = payload[at + 1 : end].decode("utf-8", "replace")
                at = end
            elif kind is _TABLE:
                end = at + 4 + _LONG.unpack_from(payload, at)[0]
                found[name] = Headers(payload[at:end])
                at = end
            else:
                at += int(kind)
    except (IndexError, struct.error):
        return size, {}
    return size, found


def message_of(properties: Mapping[str, Any], body: bytes) -> Message:
    """The message that header and body make."""
    get = properties.get
    return Message(
        body=body,
        type=get("type", ""),
        correlation_id=get("correlation_id", ""),
        message_id=get("message_id", ""),
        reply_to=get("reply_to"),
        headers=get("headers", _NO_HEADERS),
        content_type=get("content_type", ""),
    )
