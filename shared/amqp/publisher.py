"""Publishing: mandatory, persistent, confirmed, many at a time.

Each publish waits for its own confirm; the channel is shared, so that confirms of many stay in
flight. Frames are queued, not drained one by one (`wait=False`): what is written together leaves
in one go. A time-out means that nobody knows: the broker may have it, and may deliver it later.
A generation's lane does this without the client; what stands here is the client's own way.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from shared.amqp.link import DRIVER_ERRORS, Link
from shared.amqp.wire import milliseconds
from shared.errors import Rejected, Unconfirmed, Unroutable
from shared.transport import Message

_PERSISTENT = 2
_LONGEST_KEY = 255


async def publish(
    link: Link, exchange: str, routing_key: str, message: Message, within: timedelta
) -> None:
    """Publish and wait for the confirm; see `shared.transport.Transport.publish`."""
    generation = link.generation
    if generation.lane is not None:
        await generation.lane.publish(exchange, routing_key, message, within)
        return
    if len(routing_key.encode()) > _LONGEST_KEY:
        raise Unroutable("the routing key is longer than AMQP allows")
    channel = generation.channel
    try:
        await channel.basic_publish(
            message.body,
            exchange=exchange,
            routing_key=routing_key,
            properties=properties(message),
            mandatory=True,
            timeout=within.total_seconds(),
            wait=False,
        )
    except PublishError as error:
        raise Unroutable(f"no queue is bound to {exchange} for {routing_key}") from error
    except DeliveryError as error:
        raise Rejected(f"a queue bound to {exchange} for {routing_key} is full") from error
    except DRIVER_ERRORS as error:
        raise Unconfirmed(f"not confirmed ({type(error).__name__})") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody cancelled us: the client cancels what waits on a link that it found stuck.
        raise Unconfirmed("not confirmed (the link got stuck)") from error


def properties(message: Message) -> Basic.Properties:
    """The AMQP basic properties of a message."""
    expiration = None if message.expiration is None else milliseconds(message)
    return Basic.Properties(
        content_type=message.content_type,
        delivery_mode=_PERSISTENT,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        expiration=expiration,
        message_id=message.message_id,
        message_type=message.type,
        headers=dict(message.headers),
    )
