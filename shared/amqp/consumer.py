"""Consuming: deliveries handed over at once, settlements gathered and sent together.

The client runs a consumer's callback in a task that it cancels when the link drops; ours only
calls a synchronous handler, so that nothing of value lives in there (I9). A settlement of a
delivery whose channel is gone does nothing: the broker has taken it back already.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import structlog
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from shared.amqp.link import DRIVER_ERRORS, Generation, Link, RawChannel
from shared.transport import Handler, Message

log = structlog.get_logger(__name__)

Reason = Literal["expired", "rejected", "delivery_limit", "maxlen"]
_REASONS: Final = {"expired", "rejected", "delivery_limit", "maxlen"}
Verb = Literal["ack", "requeue", "reject"]


class Settler:
    """Gathers the settlements of one channel and sends them in one task."""

    def __init__(self, channel: RawChannel) -> None:
        """One a generation."""
        self._channel = channel
        self._due: list[tuple[int, Verb]] = []
        self._sending: asyncio.Task[None] | None = None

    def settle(self, tag: int, verb: Verb) -> None:
        """Settle soon; never fails."""
        self._due.append((tag, verb))
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="settle")

    async def _send(self) -> None:
        try:
            while self._due:
                due, self._due = self._due, []
                for tag, verb in due:
                    await self._one(tag, verb)
        except DRIVER_ERRORS:
            self._due.clear()  # a stale channel: the broker delivers again
        finally:
            self._sending = None

    async def _one(self, tag: int, verb: Verb) -> None:
        match verb:
            case "ack":
                await self._channel.basic_ack(tag, wait=False)
            case "requeue":
                await self._channel.basic_nack(tag, requeue=True, wait=False)
            case "reject":
                await self._channel.basic_reject(tag, requeue=False, wait=False)


class AmqpDelivery:
    """A delivery of RabbitMQ; implements `shared.transport.Delivery`."""

    __slots__ = ("_raw", "_settled", "_settler", "message", "queue")

    def __init__(self, raw: DeliveredMessage, queue: str, settler: Settler) -> None:
        """`raw` is what the client read."""
        self._raw = raw
        self._settler = settler
        self._settled = False
        self.queue = queue
        self.message = _message(raw)

    @property
    def routing_key(self) -> str:
        """The key it was published under."""
        return self._raw.routing_key or ""

    @property
    def redelivered(self) -> bool:
        """The broker's flag."""
        return bool(self._raw.redelivered)

    @property
    def dead_letter_reason(self) -> Reason | None:
        """Of the first `x-death` entry, which is the newest."""
        headers = self._raw.header.properties.headers or {}
        deaths = headers.get("x-death")
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
        tag = self._raw.delivery_tag
        if not self._settled and tag is not None:
            self._settled = True
            self._settler.settle(tag, verb)


def _message(raw: DeliveredMessage) -> Message:
    given = raw.header.properties
    headers = {
        name: value for name, value in (given.headers or {}).items() if isinstance(value, str | int)
    }
    return Message(
        body=raw.body,
        type=given.message_type or "",
        correlation_id=given.correlation_id or "",
        message_id=given.message_id or "",
        reply_to=given.reply_to,
        headers=headers,
        content_type=given.content_type or "",
    )


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
        """Consume in this generation. Raises the driver's errors."""
        channel = generation.channel
        queue = self._queue if self._bindings is None else await self._fresh_queue(channel)

        async def deliver(raw: DeliveredMessage) -> None:
            self._handler(AmqpDelivery(raw, queue, settler))

        # Counted per consumer: one channel serves queues of different prefetch (global=false).
        await channel.basic_qos(prefetch_count=self._prefetch)
        self._channel, self._tag = channel, f"ours.{uuid.uuid4().hex}"
        await channel.basic_consume(queue, deliver, consumer_tag=self._tag)

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
