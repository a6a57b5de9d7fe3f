"""The ceiling: an aio-pika echo as its documentation shows it, with the same wire options as ours.

Quorum request queue, publisher confirms and mandatory both ways, persistent messages, manual
acks, an exclusive reply queue. No ledger, no script, no sealing.
"""

from __future__ import annotations

import asyncio
import sys

import aio_pika

QUEUE = "bench.raw"
PREFETCH = 256


async def serve(amqp_url: str) -> None:
    """Echo until killed."""
    connection = await aio_pika.connect_robust(amqp_url)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.set_qos(prefetch_count=PREFETCH)
    queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})

    async def answer(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        reply = aio_pika.Message(
            message.body,
            correlation_id=message.correlation_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await channel.default_exchange.publish(reply, routing_key=message.reply_to or "")
        await message.ack()

    await queue.consume(answer)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
