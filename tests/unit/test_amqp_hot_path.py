"""The hot path to the broker: frames that the client's library reads too, settlements, the tap."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

from shared.amqp import wire
from shared.amqp.lane import Lane
from shared.amqp.settlements import Settlements, Verb
from shared.amqp.tap import Stream
from shared.errors import Rejected, Unavailable, Unconfirmed, Unroutable
from shared.transport import Message

WITHIN = timedelta(seconds=5)
LARGEST = 128 * 1024 - 8
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
HEADERS = st.dictionaries(
    st.text(st.characters(codec="ascii"), min_size=1, max_size=20),
    TEXTS | st.integers(-(2**31), 2**31 - 1),
    max_size=4,
)
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=300),
    type=TEXTS,
    correlation_id=TEXTS,
    message_id=TEXTS,
    reply_to=st.none() | TEXTS,
    expiration=st.none() | st.timedeltas(timedelta(seconds=-1), timedelta(hours=1)),
    headers=HEADERS,
    content_type=TEXTS,
)


def frames_of(data: bytes) -> list[Any]:
    found = []
    while data:
        used, channel, frame = pamqp.frame.unmarshal(data)
        assert 7 == channel
        found.append(frame)
        data = data[used:]
    return found


def deliver(message: Message, *, tag: int = 1, consumer: str = "c", channel: int = 7) -> bytes:
    """What a broker sends, made by the client's library."""
    method = commands.Basic.Deliver(
        consumer, tag, redelivered=False, exchange="exchange", routing_key="key"
    )
    properties = commands.Basic.Properties(
        content_type=message.content_type,
        headers=dict(message.headers),
        delivery_mode=2,
        priority=3,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        message_type=message.type,
        app_id="another",
    )
    content = [ContentHeader(0, len(message.body), properties)]
    body = [ContentBody(message.body)] if message.body else []
    frames: list[FrameTypes] = [method, *content, *body]
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)


@given(MESSAGES)
def test_what_we_publish_is_what_the_library_reads(message: Message) -> None:
    method, header, *bodies = frames_of(wire.publish(7, "exchange", "key", message, 100))

    assert ("exchange", "key", True) == (method.exchange, method.routing_key, method.mandatory)
    assert message.body == b"".join(one.value for one in bodies)
    assert len(message.body) == header.body_size
    got = header.properties
    assert (message.type, message.correlation_id) == (got.message_type, got.correlation_id)
    assert (message.message_id, message.reply_to) == (got.message_id, got.reply_to)
    assert (message.content_type, 2) == (got.content_type, got.delivery_mode)
    assert dict(message.headers) == (got.headers or {})
    assert (message.expiration is None) == (got.expiration is None)


@given(MESSAGES, st.integers(1, 40))
def test_what_the_library_sends_arrives_in_pieces_of_any_size(message: Message, size: int) -> None:
    async def run() -> list[tuple[Message, wire.Deliver]]:
        stream, lane = opened()
        took: list[tuple[Message, wire.Deliver]] = []
        lane.consume("c", lambda *one: took.append(one))
        data = deliver(message)
        for at in range(0, len(data), size):
            stream.feed_data(data[at : at + size])
        return took

    ((got, method),) = asyncio.run(run())

    assert ("c", 1, False, "key") == method
    for name in ("body", "type", "correlation_id", "message_id", "content_type"):
        assert getattr(message, name) == getattr(got, name)
    assert (message.reply_to or "") == (got.reply_to or "")
    assert dict(message.headers) == dict(got.headers)


@given(st.binary(max_size=60))
def test_properties_of_a_stranger_never_break_the_link(properties: bytes) -> None:
    payload = b"\x00\x3c\x00\x00" + (5).to_bytes(8, "big") + properties

    if len(payload) >= 14:
        size, found = wire.read_header(payload)
        assert 5 == size
        assert isinstance(dict(found.get("headers", {})), dict)


def test_text_that_does_not_fit_its_field_is_unroutable() -> None:
    async def run() -> None:
        _, lane = opened()
        await lane.publish("exchange", "ü" * 200, message(), WITHIN)

    with pytest.raises(Unroutable):
        asyncio.run(run())


# -- settlements --------------------------------------------------------------------------------


@given(st.data())
def test_every_settlement_is_said_once_and_covers_nothing_else(data: st.DataObject) -> None:
    """The broker's side, modelled: a multiple ack settles all that is open up to its tag."""
    count = data.draw(st.integers(1, 12))
    order = data.draw(st.permutations(range(1, count + 1)))
    verbs: dict[int, Verb] = {
        tag: data.draw(st.sampled_from(("ack", "requeue", "reject"))) for tag in order
    }
    ours, open_, settled = Settlements(), set(range(1, count + 1)), {}
    for tag in sorted(open_):
        ours.delivered(tag)
    for number, tag in enumerate(order, 1):
        ours.settle(tag, verbs[tag])
        if number == count or data.draw(st.booleans()):
            for verb, upto, multiple in ours.take():
                assert upto in open_, "the broker closes the channel over an unknown tag"
                for each in {one for one in open_ if one <= upto} if multiple else {upto}:
                    settled[each] = verb
                    open_.discard(each)

    assert verbs == settled
    assert not ours.due


def test_acks_in_a_row_are_one_frame() -> None:
    ours = Settlements()
    for tag in range(1, 6):
        ours.delivered(tag)
    for tag in (3, 1, 2, 5):
        ours.settle(tag, "ack")

    assert [("ack", 3, True), ("ack", 5, False)] == ours.take()


# -- the lane and the tap -----------------------------------------------------------------------


class Wire(asyncio.WriteTransport):
    """A socket that keeps what is written, and may not take it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.stuck = 0

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def is_closing(self) -> bool:
        return False


def opened() -> tuple[Stream, Lane]:
    stream = Stream(asyncio.get_running_loop())
    stream.opened(Wire())
    return stream, Lane(stream, 7, LARGEST)


def out(stream: Stream) -> Wire:
    assert isinstance(stream._out, Wire)
    return stream._out


def message(text: str = "hello") -> Message:
    return Message(body=text.encode(), type="test", correlation_id="c1")


def confirm(frame: Any) -> bytes:
    return pamqp.frame.marshal(frame, 7)


async def publishing(lane: Lane, count: int) -> list[asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(lane.publish("exchange", "key", message(str(number)), WITHIN))
        for number in range(count)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def outcomes(tasks: list[asyncio.Task[None]]) -> list[type[BaseException] | None]:
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [None if one is None else type(one) for one in found]


async def test_what_is_published_in_one_turn_leaves_in_one_write() -> None:
    stream, lane = opened()

    tasks = await publishing(lane, 5)
    lane.close()

    assert 1 == len(out(stream).written)
    assert [Unconfirmed] * 5 == await outcomes(tasks)


async def test_each_publish_gets_its_own_answer() -> None:
    stream, lane = opened()
    tasks = await publishing(lane, 6)
    returned = frames_of(out(stream).written[0])[3 * 3 + 1].properties.message_id

    stream.feed_data(confirm(commands.Basic.Ack(2, multiple=True)))
    stream.feed_data(confirm(commands.Basic.Nack(3, multiple=False)))
    method = commands.Basic.Return(312, "NO_ROUTE", "exchange", "key")
    properties = commands.Basic.Properties(message_id=returned)
    content = (method, ContentHeader(0, 2, properties), ContentBody(b"no"))
    stream.feed_data(b"".join(map(confirm, content)))
    stream.feed_data(confirm(commands.Basic.Ack(4, multiple=False)))
    stream.feed_data(confirm(commands.Basic.Ack(5, multiple=False)))
    lane.close()

    assert [None, None, Rejected, Unroutable, None, Unconfirmed] == await outcomes(tasks)


async def test_a_confirm_that_does_not_come_is_unknown_in_time() -> None:
    _, lane = opened()

    with pytest.raises(Unconfirmed):
        await lane.publish("exchange", "key", message(), timedelta(milliseconds=1))


async def test_a_broker_that_does_not_read_is_unavailable_at_once() -> None:
    stream, lane = opened()
    out(stream).stuck = 9 * 1024 * 1024

    with pytest.raises(Unavailable):
        await lane.publish("exchange", "key", message(), WITHIN)


async def test_a_delivery_for_a_consumer_that_has_gone_goes_back() -> None:
    stream, lane = opened()
    lane.consume("c", lambda *_: None)
    lane.forget("c")

    stream.feed_data(deliver(message(), tag=9))
    await asyncio.sleep(0)

    (frame,) = frames_of(out(stream).written[0])
    assert ("Basic.Nack", 9, True) == (frame.name, frame.delivery_tag, frame.requeue)


async def test_a_handler_that_raises_keeps_the_link() -> None:
    stream, lane = opened()
    took = []

    def handler(got: Message, method: wire.Deliver) -> None:
        if method.delivery_tag == 1:
            raise RuntimeError
        took.append(got.body)

    lane.consume("c", handler)
    stream.feed_data(deliver(message("first"), tag=1) + deliver(message("second"), tag=2))

    assert [b"second"] == took


async def test_other_frames_reach_the_client_unchanged_and_in_order() -> None:
    stream, lane = opened()
    lane.consume("c", lambda *_: None)
    ours, theirs = deliver(message()), deliver(message("theirs"), channel=8)
    rpc = confirm(commands.Basic.QosOk())

    stream.feed_data(rpc + ours + theirs + ours + rpc)
    stream.feed_eof()

    assert rpc + theirs + rpc == await stream.read()


async def test_the_client_hears_a_heartbeat_for_frames_that_we_kept() -> None:
    """It takes a link for dead that brings it nothing for three heartbeats."""
    stream, lane = opened()
    lane.consume("c", lambda *_: None)
    stream._passed_at -= 2

    stream.feed_data(deliver(message()))
    stream.feed_eof()

    assert wire.HEARTBEAT == await stream.read()


async def test_what_is_not_amqp_is_left_to_the_client() -> None:
    stream, _ = opened()

    stream.feed_data(b"HTTP/1.1 400 Bad Request\r\n")
    stream.feed_data(b"\r\n")
    stream.feed_eof()

    assert b"HTTP/1.1 400 Bad Request\r\n\r\n" == await stream.read()
