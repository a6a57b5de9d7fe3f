"""Consuming: deliveries handed over at once, settlements gathered and sent together.

The client runs a consumer's callback in a task that it cancels when the link drops; ours only
calls a synchronous handler, so that nothing of value lives in there (I9). A settlement of a
delivery whose channel is gone does nothing: the broker has taken it back already.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol, cast

import structlog
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from shared.amqp.lane import Lane
from shared.amqp.link import DRIVER_ERRORS, Generation, Link, RawChannel
from shared.amqp.settlements import Settlement, Settlements, Verb
from shared.amqp.wire import Deliver
from shared.transport import Handler, Message

log = structlog.get_logger(__name__)

Reason = Literal["expired", "rejected", "delivery_limit", "maxlen"]
_REASONS: Final = {"expired", "rejected", "delivery_limit", "maxlen"}


class Settling(Protocol):
    """Takes settlements: a lane, or a `Settler` where the client does everything."""

    def settle(self, tag: int, verb: Verb) -> None:
        """Settle soon; never fails."""


class Settler:
    """Gathers the settlements of one channel and sends them in one task, through the client."""

    def __init__(self, channel: RawChannel) -> None:
        """One a generation."""
        self._channel = channel
        self._settlements = Settlements()
        self._sending: asyncio.Task[None] | None = None

    def delivered(self, tag: int) -> None:
        """A delivery is open."""
        self._settlements.delivered(tag)

    def settle(self, tag: int, verb: Verb) -> None:
        """Settle soon; never fails."""
        self._settlements.settle(tag, verb)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="settle")

    async def _send(self) -> None:
        try:
            while self._settlements.due:
                for one in self._settlements.take():
                    await self._one(one)
        except DRIVER_ERRORS:
            pass  # a stale channel: the broker delivers again
        finally:
            self._sending = None

    async def _one(self, one: Settlement) -> None:
        match one.verb:
            case "ack":
                await self._channel.basic_ack(one.tag, multiple=one.multiple, wait=False)
            case "requeue":
                await self._channel.basic_nack(one.tag, requeue=True, wait=False)
            case "reject":
                await self._channel.basic_reject(one.tag, requeue=False, wait=False)


class AmqpDelivery:
    """A delivery of RabbitMQ; implements `shared.transport.Delivery`."""

    __slots__ = (
        "_deaths", "_settled", "_settling", "_tag", "message", "queue", "redelivered", "routing_key",
    )  # fmt: skip

    def __init__(
        self,
        message: Message,
        method: Deliver,
        *,
        queue: str,
        deaths: Mapping[str, Any],
        settling: Settling,
    ) -> None:
        """`deaths`: the headers, among them `x-death`."""
        self.message = message
        self.queue = queue
        self.routing_key = method.routing_key
        self.redelivered = method.redelivered
        self._tag = method.delivery_tag
        self._deaths = deaths
        self._settling = settling
        self._settled = False

    @property
    def dead_letter_reason(self) -> Reason | None:
        """Of the first `x-death` entry, which is the newest."""
        deaths = self._deaths.get("x-death")
        if not isinstance(deaths, list) or not deaths or not isinstance(deaths[0], dict):
            return None
        reason = deaths[0].get("reason")
        return cast("Reason", reason) if reason in _REASONS else None

    def ack(self) -> None:
        """Done."""
        self._settle("ack")

    def requeue(self) -> None:
        """Not us, not now."""
        self._settle("requeue")

    def reject(self) -> None:
        """Dead-letter it."""
        self._settle("reject")

    def _settle(self, verb: Verb) -> None:
        if not self._settled:
            self._settled = True
            self._settling.settle(self._tag, verb)


def _delivery(raw: DeliveredMessage, queue: str, settler: Settler) -> AmqpDelivery:
    """What the client read, as ours."""
    given, tag = raw.header.properties, raw.delivery_tag or 0
    table: Mapping[str, Any] = given.headers or {}
    message = Message(
        body=raw.body,
        type=given.message_type or "",
        correlation_id=given.correlation_id or "",
        message_id=given.message_id or "",
        reply_to=given.reply_to,
        headers={name: value for name, value in table.items() if isinstance(value, str | int)},
        content_type=given.content_type or "",
    )
    settler.delivered(tag)
    method = Deliver("", tag, bool(raw.redelivered), raw.routing_key or "")
    return AmqpDelivery(message, method, queue=queue, deaths=table, settling=settler)


class AmqpSubscription:
    """A consumer that is set up again in each generation until it is cancelled."""

    def __init__(
        self,
        link: Link,
        queue: str,
        *,
        prefetch: int,
        handler: Handler,
        bindings: Mapping[str, str] | None = None,
    ) -> None:
        """`bindings` makes the queue exclusive: `queue` is then the prefix of its name."""
        self._link = link
        self._queue = queue
        self._prefetch = prefetch
        self._handler = handler
        self._bindings = bindings
        self._tag: str | None = None
        self._channel: RawChannel | None = None
        self._lane: Lane | None = None
        self.cancelled = False

    @property
    def queue(self) -> str:
        """The queue, or the prefix of its names."""
        return self._queue

    @property
    def exclusive(self) -> bool:
        """Whether each generation has a queue of its own."""
        return self._bindings is not None

    async def start(self, generation: Generation, settler: Settler) -> None:
        """Consume in this generation. Raises the driver's errors.

        `settler` settles where the generation has no lane.
        """
        if self.cancelled:
            return
        channel, lane = generation.channel, generation.lane
        queue = self._queue if self._bindings is None else await self._fresh_queue(channel)

        def take(message: Message, method: Deliver) -> None:
            delivery = AmqpDelivery(
                message, method, queue=queue, deaths=message.headers, settling=lane or settler
            )
            self._handler(delivery)

        async def deliver(raw: DeliveredMessage) -> None:
            self._handler(_delivery(raw, queue, settler))

        # Counted per consumer: one channel serves queues of different prefetch (global=false).
        await channel.basic_qos(prefetch_count=self._prefetch)
        self._lane, self._channel, self._tag = lane, channel, f"ours.{uuid.uuid4().hex}"
        if lane is not None:
            lane.consume(self._tag, take)
        await channel.basic_consume(queue, deliver, consumer_tag=self._tag)
        if self.cancelled:  # meanwhile, when there was nothing to cancel yet
            await self.cancel()

    async def cancel(self) -> None:
        """Take no new deliveries; those in hand may still be settled."""
        self.cancelled = True
        if self._channel is None or self._tag is None or self._channel.is_closed:
            return
        try:
            async with asyncio.timeout(2):
                await self._channel.basic_cancel(self._tag)
        except DRIVER_ERRORS:
            return  # the channel is gone, and the consumer with it
        if self._lane is not None:
            self._lane.forget(self._tag)

    async def _fresh_queue(self, channel: RawChannel) -> str:
        """A name that no half-open connection of ours can still hold."""
        name = f"{self._queue}.{uuid.uuid4().hex[:12]}"
        arguments: dict[str, Any] = {"x-queue-type": "classic"}
        await channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=arguments)
        for exchange, routing_key in (self._bindings or {}).items():
            await channel.queue_bind(name, exchange, routing_key)
        return name


async def check_exists(generation: Generation, queue: str) -> bool:
    """Whether a queue exists: consuming a missing one would close the shared channel."""
    channel = await generation.fresh_channel()
    try:
        await channel.queue_declare(queue, passive=True)
    except ChannelNotFoundEntity:
        return False
    finally:
        await channel.close()
    return True
