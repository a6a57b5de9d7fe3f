"""What an account may try on a broker, for tests of what is refused to it."""

from __future__ import annotations

from dataclasses import dataclass

import aio_pika
import aio_pika.abc


@dataclass(frozen=True, slots=True)
class Attempts:
    """Each on a channel of its own, because the broker closes the channel of who is refused."""

    connection: aio_pika.abc.AbstractConnection

    async def publish(self, exchange: str, routing_key: str) -> None:
        """Raises when it is refused; a message that finds no queue is no refusal."""
        channel = await self.connection.channel()
        to = await channel.get_exchange(exchange, ensure=False)
        await to.publish(aio_pika.Message(b"{}"), routing_key, mandatory=False)

    async def consume(self, queue: str) -> None:
        await (await self._queue(queue)).consume(_nothing)

    async def bind(self, queue: str, exchange: str) -> None:
        await (await self._queue(queue)).bind(exchange, "#")

    async def delete(self, queue: str) -> None:
        await (await self.connection.channel()).queue_delete(queue)

    async def purge(self, queue: str) -> None:
        await (await self._queue(queue)).purge()

    async def declare(self, queue: str) -> None:
        await (await self.connection.channel()).declare_queue(queue)

    async def _queue(self, name: str) -> aio_pika.abc.AbstractQueue:
        return await (await self.connection.channel()).get_queue(name, ensure=False)


async def _nothing(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    await message.ack()
