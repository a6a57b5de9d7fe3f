"""RabbitMQ as a `shared.transport.Transport`.

Publishing and consuming have a connection each: a broker that holds up publishers (flow control,
an alarm) must not hold up our consumers with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from aiormq.exceptions import ChannelNotFoundEntity

from shared.amqp import publisher
from shared.amqp.consumer import AmqpSubscription, Settler, check_exists
from shared.amqp.declare import declare
from shared.amqp.link import DRIVER_ERRORS, Generation, Link, RawChannel, away
from shared.beside import beside
from shared.errors import Misconfigured, ServiceError
from shared.transport import Handler, Message, QueueBinding, QueueFacts, Topology

log = structlog.get_logger(__name__)

DECLARE_WITHIN: Final = 15.0
LOOK_WITHIN: Final = 2.0


class RabbitMQTransport:
    """Implements `shared.transport.Transport`; made by `open_transport`."""

    def __init__(self, url: str, client_name: str, *, fast: bool = True) -> None:
        """Not connected yet."""
        self._publishing = Link(url, f"{client_name}:publish", _nothing, fast=fast)
        self._consuming = Link(url, f"{client_name}:consume", self._resubscribe, fast=fast)
        self._subscriptions: list[AmqpSubscription] = []
        self._settler: tuple[int, Settler] | None = None
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._setting_up = asyncio.Lock()
        self._looking: tuple[int, RawChannel] | None = None

    @property
    def connected(self) -> bool:
        """Whether publishing and consuming both work, as far as we know."""
        return self._publishing.connected and self._consuming.connected

    @property
    def durable(self) -> bool:
        """Quorum queues and persistent messages."""
        return True

    async def connect(self) -> None:
        """Connect both links. Raises Unavailable, or Misconfigured when we are refused."""
        await self._publishing.first()
        await self._consuming.first()

    async def run(self) -> None:
        """Keep both links up until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publishing.run(), name="amqp publishing")
            tasks.create_task(self._consuming.run(), name="amqp consuming")

    async def declare(self, topology: Topology) -> None:
        """Make the topology exist."""
        async with _translated(), asyncio.timeout(DECLARE_WITHIN):
            await declare(self._consuming.generation, topology)

    async def unbind(self, binding: QueueBinding) -> None:
        """Send nothing of it to the queue any more; fine if it is not bound, or there is no queue."""
        async with _translated(), asyncio.timeout(DECLARE_WITHIN):
            channel = await self._consuming.generation.fresh_channel()
            try:
                await channel.queue_unbind(binding.queue, binding.exchange, binding.routing_key)
            except ChannelNotFoundEntity:
                return
            finally:
                await channel.close()

    async def delete_queue(self, name: str) -> None:
        """Delete a queue; fine if it does not exist."""
        async with _translated(), asyncio.timeout(DECLARE_WITHIN):
            channel = await self._consuming.generation.fresh_channel()
            try:
                await channel.queue_delete(name)
            finally:
                await channel.close()

    async def look(self, queue: str) -> QueueFacts | None:
        """How many consume a queue, and how many messages wait."""
        async with _translated(), asyncio.timeout(LOOK_WITHIN):
            channel = await self._looking_channel()
            try:
                found = await channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:  # which closed the channel
                return None
        return QueueFacts(found.consumer_count or 0, found.message_count or 0)

    async def _looking_channel(self) -> RawChannel:
        """One of its own, kept: a look at a queue that is gone closes it."""
        generation = self._consuming.generation
        kept = self._looking
        if kept is not None and kept[0] == generation.number and not kept[1].is_closed:
            return kept[1]
        channel = await generation.fresh_channel()
        self._looking = (generation.number, channel)
        return channel

    async def publish(
        self, exchange: str, routing_key: str, message: Message, *, within: timedelta
    ) -> None:
        """Publish, mandatory, and wait for the confirm."""
        await publisher.publish(self._publishing, exchange, routing_key, message, within)

    async def consume(self, queue: str, *, prefetch: int, handler: Handler) -> AmqpSubscription:
        """Consume an existing queue. Raises Misconfigured when there is none."""
        async with _translated():
            if not await check_exists(self._consuming.generation, queue):
                raise Misconfigured(f"there is no queue {queue}")
        subscription = AmqpSubscription(self._consuming, queue, prefetch=prefetch, handler=handler)
        return await self._subscribe(subscription)

    async def consume_exclusive(
        self, prefix: str, bindings: Mapping[str, str], *, prefetch: int, handler: Handler
    ) -> AmqpSubscription:
        """Consume a queue of our own, fresh in each generation."""
        subscription = AmqpSubscription(
            self._consuming, prefix, prefetch=prefetch, handler=handler, bindings=bindings
        )
        return await self._subscribe(subscription)

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after each later reconnect, once consumers are live again."""
        self._reconnected.append(callback)

    async def close(self) -> None:
        """Nothing of its own: `open_transport` ends `run`, which closes both links."""

    async def _subscribe(self, subscription: AmqpSubscription) -> AmqpSubscription:
        async with _translated(), self._setting_up:
            generation = self._consuming.generation
            await subscription.start(generation, self._settler_of(generation))
            self._subscriptions.append(subscription)
        return subscription

    async def _resubscribe(self, generation: Generation) -> None:
        """Every consumer again, in a new generation; a queue that is gone is left out."""
        async with self._setting_up:
            self._subscriptions = [one for one in self._subscriptions if not one.cancelled]
            for subscription in self._subscriptions:
                if not await self._exists(generation, subscription):
                    log.warning("queue.gone", queue=subscription.queue, next="it is not consumed")
                    continue
                await subscription.start(generation, self._settler_of(generation))
        if generation.number > 1:
            for callback in self._reconnected:
                await callback()

    async def _exists(self, generation: Generation, subscription: AmqpSubscription) -> bool:
        return subscription.exclusive or await check_exists(generation, subscription.queue)

    def _settler_of(self, generation: Generation) -> Settler:
        if self._settler is None or self._settler[0] != generation.number:
            generation.channel.on_consumer_cancel_callbacks.add(self._cancelled)
            self._settler = (generation.number, Settler(generation.channel))
        return self._settler[1]

    def _cancelled(self, frame: object) -> None:
        """The broker cancelled a consumer (its queue moved or went): set everything up again."""
        log.warning("consumer.cancelled", next="all consumers are set up again")
        self._consuming.restart()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except ServiceError:
        raise
    except DRIVER_ERRORS as error:
        raise away(error) from error


async def _nothing(_: Generation) -> None:
    """A publisher has nothing to set up."""


@asynccontextmanager
async def open_transport(
    amqp_url: str, *, client_name: str, fast: bool = True
) -> AsyncIterator[RabbitMQTransport]:
    """Connect. Raises Unavailable, or Misconfigured when the broker refuses us.

    `fast`: our own hot path below the client (`shared.amqp.tap`); else the client does everything.
    """
    transport = RabbitMQTransport(amqp_url, client_name, fast=fast)
    await transport.connect()
    async with beside(transport.run(), "amqp"):
        yield transport
