"""The hot path of one channel: publishes with their confirms, deliveries with their settlements.

A lane owns the channel's publishing: its sequence numbers are counted here, so nobody publishes
through the client on the same channel. It ends with the channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

import structlog

from shared.amqp import wire
from shared.amqp.settlements import Settlements, Verb
from shared.amqp.tap import Stream
from shared.errors import Rejected, Unavailable, Unconfirmed, Unroutable
from shared.transport import Message

log = structlog.get_logger(__name__)

_MOST_KEPT: Final = 8 * 1024 * 1024
"""Bytes of a body that are kept: no reader of ours takes as many, but it has to see that."""

Take: TypeAlias = Callable[[Message, wire.Deliver], None]
"""Takes over a message. Never raises."""


class Lane:
    """Implements `tap.Tapped` for one channel."""

    def __init__(self, stream: Stream, channel: int, largest: int) -> None:
        """`largest`: bytes of a body frame's payload."""
        self._stream = stream
        self._channel = channel
        self._largest = largest
        self._published = 0
        self._confirms: dict[int, tuple[asyncio.Future[None], str]] = {}
        """By sequence number, in order, with the message id that a returned message has."""
        self._consumers: dict[str, Take] = {}
        self._settlements = Settlements()
        self._delivering: wire.Deliver | None = None
        self._returning = False
        self._properties: Mapping[str, Any] = {}
        self._body: list[bytes] = []
        self._left = self._size = 0
        self._closed = False
        self._readers = {
            wire.DELIVER: self._deliver,
            wire.ACK: self._confirm,
            wire.NACK: self._refuse,
            wire.RETURN: self._return,
        }
        stream.tap(channel, self)

    def close(self) -> None:
        """The channel is gone: what was not confirmed may have arrived or not."""
        self._closed = True
        confirms, self._confirms = self._confirms, {}
        for future, _ in confirms.values():
            if not future.done():
                future.set_exception(Unconfirmed("not confirmed (the link was lost)"))

    # -- publishing ---------------------------------------------------------------------------

    async def publish(
        self, exchange: str, routing_key: str, message: Message, within: timedelta
    ) -> None:
        """Publish and wait for the confirm; see `shared.transport.Transport.publish`."""
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._stream.congested:
            raise Unavailable("the broker does not read what we send")
        try:
            frames = wire.publish(self._channel, exchange, routing_key, message, self._largest)
        except ValueError as error:
            raise Unroutable("a routing key or property is longer than AMQP allows") from error
        self._published += 1
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()
        self._confirms[self._published] = (confirmed, message.message_id)
        self._stream.write(frames)
        timer = loop.call_later(within.total_seconds(), _expire, confirmed)
        try:
            await confirmed
        finally:
            timer.cancel()

    def _confirm(self, payload: bytes) -> None:
        for future in self._answered(payload):
            if not future.done():  # returned before, timed out, or its caller is gone
                future.set_result(None)

    def _refuse(self, payload: bytes) -> None:
        for future in self._answered(payload):
            if not future.done():
                future.set_exception(Rejected("the broker refused it: a queue is full"))

    def _answered(self, payload: bytes) -> list[asyncio.Future[None]]:
        tag, multiple = wire.read_confirm(payload)
        if not multiple:
            found = self._confirms.pop(tag, None)
            return [] if found is None else [found[0]]
        tags = []
        for each in self._confirms:
            if each > tag:
                break
            tags.append(each)
        return [self._confirms.pop(each)[0] for each in tags]

    def _returned(self) -> None:
        """Unroutable. Its ack follows, and finds it answered."""
        message_id = self._properties.get("message_id")
        for future, published in self._confirms.values():
            if published == message_id and not future.done():
                future.set_exception(Unroutable("no queue is bound for it"))
                return

    # -- consuming ----------------------------------------------------------------------------

    def consume(self, consumer_tag: str, take: Take) -> None:
        """Hand the consumer's deliveries over; call it before the broker is asked to begin."""
        self._consumers[consumer_tag] = take

    def forget(self, consumer_tag: str) -> None:
        """The consumer is cancelled; what may still come for it goes back."""
        self._consumers.pop(consumer_tag, None)

    def settle(self, tag: int, verb: Verb) -> None:
        """Settle soon; never fails. On a closed channel the broker has taken it back already."""
        if not self._closed:
            self._settlements.settle(tag, verb)
            self._stream.settle_soon(self)

    def settlements(self) -> bytes:
        """The frames that are due."""
        return b"".join(map(self._frame, self._settlements.take()))

    def _frame(self, one: tuple[Verb, int, bool]) -> bytes:
        verb, tag, multiple = one
        if verb == "ack":
            return wire.ack(self._channel, tag, multiple=multiple)
        refuse = wire.requeue if verb == "requeue" else wire.reject
        return refuse(self._channel, tag)

    # -- frames as they come ------------------------------------------------------------------

    def take(self, kind: int, payload: bytes) -> bool:
        """True if it was ours. A method that interrupts a content is the client's to complain of."""
        if kind == wire.METHOD:
            reader = self._readers.get(payload[:4])
            if reader is None:
                return False
            reader(payload)
            return True
        if self._delivering is None and not self._returning:
            return False
        if kind == wire.HEADER:
            self._size, self._properties = wire.read_header(payload)
            self._left = self._size
            self._body.clear()
        elif kind == wire.BODY:
            if self._size - self._left <= _MOST_KEPT:
                self._body.append(payload)
            self._left -= len(payload)
        else:
            return False
        if self._left <= 0:
            self._complete()
        return True

    def _deliver(self, payload: bytes) -> None:
        self._delivering = wire.read_deliver(payload)
        self._settlements.delivered(self._delivering.delivery_tag)

    def _return(self, _: bytes) -> None:
        self._returning = True

    def _complete(self) -> None:
        delivered, self._delivering = self._delivering, None
        if delivered is None:
            self._returning = False
            self._returned()
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        take = self._consumers.get(delivered.consumer_tag)
        if take is None:
            self.settle(delivered.delivery_tag, "requeue")
            return
        message = wire.message_of(self._properties, body)
        try:
            take(message, delivered)
        except Exception as error:  # noqa: BLE001 - handlers never raise; the link outlives one
            # The name only: an error's text may quote the message.
            name = type(error).__name__
            log.error("delivery.not_taken", error=name, next="the broker redelivers it")  # noqa: TRY400
            self.settle(delivered.delivery_tag, "requeue")


def _expire(confirmed: asyncio.Future[None]) -> None:
    if not confirmed.done():
        confirmed.set_exception(Unconfirmed("not confirmed in time"))
