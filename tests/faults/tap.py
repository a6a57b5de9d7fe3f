"""The tap: a second queue on the request exchange, so that what was published is known for certain.

A publish is confirmed when both queues have it, so that nothing confirmed escapes. What it knows
also serves to publish things twice.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final
from uuid import UUID

from services.script_worker.execution import decode
from shared.amqp import open_transport
from shared.errors import Unavailable
from shared.sealing import Direction, KeyRing
from shared.topology import Names
from shared.transport import Delivery, Exchange, Message, Queue, QueueBinding, Topology, Transport
from tests.faults.accounting import Published
from tests.faults.store import key_of

_REMEMBERED: Final = 400
"""Messages kept whole, to be published again."""
_WITHIN: Final = timedelta(seconds=2)


class Tap:
    """Reads the copies; made by `open_tap`."""

    def __init__(self, transport: Transport, names: Names, ring: KeyRing) -> None:
        self._transport = transport
        self._names = names
        self._ring = ring
        self._recent: deque[tuple[str, Message]] = deque(maxlen=_REMEMBERED)
        self._late: set[asyncio.Task[None]] = set()
        self.published: dict[UUID, Published] = {}
        self.copies = 0

    @property
    def queue(self) -> str:
        """The queue's name."""
        return f"{self._names.prefix}.tap"

    async def start(self) -> None:
        """Bind, and consume from now on."""
        await self._transport.declare(self._names.base())
        expired = f"{self.queue}.expired"
        topology = Topology(
            exchanges=(Exchange(expired, "fanout"),),
            queues=(Queue(self.queue, dead_letter_exchange=expired), Queue(expired)),
            bindings=(
                QueueBinding(self._names.requests, self.queue),
                QueueBinding(expired, expired),
            ),
        )
        await self._transport.declare(topology)
        # Requests expire, here too while the broker restarts; dead letters do not.
        for queue in (self.queue, expired):
            await self._transport.consume(queue, prefetch=500, handler=self._take)

    def _take(self, delivery: Delivery) -> None:
        delivery.ack()
        message = delivery.message
        if not message.body:
            return  # a replica's probe of a broker that blocked it
        request = decode(message.body)
        if request.execution_id in self.published:
            return
        opened = self._ring.open(Direction.ARGUMENTS, request, request.sealed_arguments)
        key = key_of(request.action, json.loads(opened))
        self.published[request.execution_id] = Published(request.action, key, request.deadline)
        self._recent.append((request.connection_id, message))

    async def again(self, number: int, dice: random.Random, delay: tuple[float, float]) -> int:
        """Publish some of the latest messages once more, each after a delay; how many there are."""
        chosen = [dice.choice(self._recent) for _ in range(number if self._recent else 0)]
        waits = [dice.uniform(*delay) for _ in chosen]
        async with asyncio.TaskGroup() as tasks:
            for (connection_id, message), wait in zip(chosen, waits, strict=True):
                tasks.create_task(self._publish(connection_id, message, wait))
        return len(chosen)

    async def _publish(self, connection_id: str, message: Message, wait: float) -> None:
        await asyncio.sleep(wait)
        copy = Message(
            body=message.body,
            type=message.type,
            correlation_id=message.correlation_id,
            reply_to=message.reply_to,
            expiration=timedelta(seconds=5),
        )
        with suppress(Unavailable):  # a full queue, or a broker that is away: one copy less
            await self._transport.publish(self._names.requests, connection_id, copy, within=_WITHIN)
            self.copies += 1


@asynccontextmanager
async def open_tap(amqp_url: str, names: Names, ring: KeyRing) -> AsyncIterator[Tap]:
    """A tap until the block ends. It is connected past all proxies."""
    async with open_transport(amqp_url, client_name="tap") as transport:
        tap = Tap(transport, names, ring)
        await tap.start()
        yield tap
