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
    await channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))


async def _binding(channel: RawChannel, binding: QueueBinding) -> None:
    await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)
