"""The topology, declared: every argument explicit, because brokers' defaults differ by version."""

from __future__ import annotations

from typing import Any

from aiormq.exceptions import ChannelPreconditionFailed

from shared.amqp.link import Generation, RawChannel
from shared.errors import Misconfigured
from shared.transport import Exchange, Queue, QueueBinding, Topology


async def declare(generation: Generation, topology: Topology) -> None:
    """Make it exist. Raises Misconfigured where it exists otherwise, and the driver's errors.

    On a channel of its own: a refused declaration closes its channel, which must not be one that
    carries publishes or deliveries.
    """
    channel = await generation.fresh_channel()
    try:
        for exchange in topology.exchanges:
            await _exchange(channel, exchange)
        for queue in topology.queues:
            await _queue(channel, queue)
        for binding in topology.bindings:
            await _binding(channel, binding)
    except ChannelPreconditionFailed as error:
        raise Misconfigured(
            f"the broker has it with other arguments: {error}; delete it, or use another prefix"
        ) from error
    finally:
        await channel.close()


async def _exchange(channel: RawChannel, exchange: Exchange) -> None:
    arguments: dict[str, Any] = {}
    if exchange.alternate is not None:
        arguments["alternate-exchange"] = exchange.alternate
    await channel.exchange_declare(
        exchange.name, exchange_type=exchange.kind, durable=True, arguments=arguments
    )


async def _queue(channel: RawChannel, queue: Queue) -> None:
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
    if queue.dead_letter_exchange is not None:
        arguments["x-dead-letter-exchange"] = queue.dead_letter_exchange
        # At least once needs reject-publish: a dead letter waits until its queue has confirmed it.
        arguments["x-dead-letter-strategy"] = "at-least-once"
    if queue.delivery_limit is not None:
        arguments["x-delivery-limit"] = queue.delivery_limit
    if queue.max_length is not None:
        arguments["x-max-length"] = queue.max_length
    await channel.queue_declare(queue.name, durable=True, arguments=arguments)


async def _binding(channel: RawChannel, binding: QueueBinding) -> None:
    await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)
