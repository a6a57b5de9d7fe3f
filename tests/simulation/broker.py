"""The in-process broker over a network that delays, reorders, copies, drops and cuts.

The broker itself is `shared.inprocess`, which keeps RabbitMQ's promises by the transport contract.
Here, what is published arrives late, twice, or not at all; a confirm gets lost; deliveries overtake
each other; settlements travel, and die with the link that they travel on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from shared.errors import Unavailable, Unconfirmed
from shared.inprocess import InProcessBroker, InProcessTransport
from shared.transport import Delivery, Handler, Message, Subscription
from tests.simulation.loop import Process, VirtualLoop


@dataclass(slots=True)
class Faults:
    """What the network does to messages, as chances in one."""

    dropped: float = 0.0
    copied: float = 0.0
    unconfirmed: float = 0.0
    delayed: float = 0.0
    away: bool = False


class Watcher:
    """What checks want to know of messages."""

    def publishes(self, exchange: str, message: Message) -> None:
        """A client hands a message to its link."""

    def arrived(self, exchange: str, message: Message) -> None:
        """The broker has it."""

    def confirmed(self, exchange: str, message: Message) -> None:
        """A client learned that the broker has it."""

    def acks(self, delivery: Delivery) -> None:
        """A client acks."""


class Network:
    """What lies between the clients and the broker."""

    def __init__(self, loop: VirtualLoop, random: Random, watcher: Watcher) -> None:
        """Without faults."""
        self.loop = loop
        self.random = random
        self.watcher = watcher
        self.broker = InProcessBroker()
        self.faults = Faults()

    def latency(self) -> float:
        """Of one way."""
        if self.faults.delayed and self.random.random() < self.faults.delayed:
            return self.random.uniform(0.05, 2.0)
        return self.random.uniform(0.0001, 0.002)

    def chance(self, probability: float) -> bool:
        """Whether it happens this time."""
        return probability > 0 and self.random.random() < probability

    def transport(self, process: Process) -> SimulatedTransport:
        """A connected client in a process."""
        return SimulatedTransport(self, process)

    def queued(self) -> dict[str, int]:
        """Messages in queues, handed out or not; empty queues are left out."""
        return {
            name: number
            for name, queue in self.broker._queues.items()
            if (number := len(queue.entries) + sum(len(one.unsettled) for one in queue.consumers))
        }


class _Settling:
    """A delivery whose settlement has to travel."""

    def __init__(self, transport: SimulatedTransport, inner: Delivery) -> None:
        self._transport = transport
        self._inner = inner
        self.message = inner.message
        self.queue = inner.queue
        self.routing_key = inner.routing_key
        self.redelivered = inner.redelivered
        self.dead_letter_reason = inner.dead_letter_reason

    def ack(self) -> None:
        """Done."""
        self._transport.network.watcher.acks(self)
        self._transport.settle(self._inner.ack)

    def requeue(self) -> None:
        """Not us."""
        self._transport.settle(self._inner.requeue)

    def reject(self) -> None:
        """Never."""
        self._transport.settle(self._inner.reject)


class SimulatedTransport(InProcessTransport):
    """A client whose link is not to be trusted."""

    def __init__(self, network: Network, process: Process) -> None:
        """Made by `Network.transport`."""
        super().__init__(network.broker, process.name)
        self.network = network
        self._process = process
        self._publishing: dict[asyncio.Future[None], None] = {}
        self._generation = 0

    async def publish(
        self, exchange: str, routing_key: str, message: Message, *, within: timedelta
    ) -> None:
        """Publish and wait for the confirm."""
        self._check_link()
        if message.body:  # else a probe
            self.network.watcher.publishes(exchange, message)
        loop = self.network.loop
        confirmed: asyncio.Future[None] = loop.create_future()
        self._publishing[confirmed] = None
        loop.now(self._send, exchange, routing_key, message, confirmed)
        late = Unconfirmed("no confirm in time (simulated)")
        overdue = loop.call_later(within.total_seconds(), _fail, confirmed, late)
        try:
            await confirmed
        finally:
            overdue.cancel()
            self._publishing.pop(confirmed, None)
        self.network.watcher.confirmed(exchange, message)

    def _send(
        self, exchange: str, routing_key: str, message: Message, confirmed: asyncio.Future[None]
    ) -> None:
        network = self.network
        sent = (exchange, routing_key, message, confirmed, self._generation)
        if not network.chance(network.faults.dropped):
            network.loop.later(network.latency(), self._arrive, *sent)
        if network.chance(network.faults.copied):
            network.loop.later(network.random.uniform(0.001, 3.0), self._arrive, *sent)

    def _arrive(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        confirmed: asyncio.Future[None],
        generation: int,
    ) -> None:
        network = self.network
        if generation != self._generation and network.random.random() < 0.5:
            return  # the link dropped with it
        try:
            self._broker.publish(exchange, routing_key, message)
        except Unavailable as error:
            network.loop.later(network.latency(), _fail, confirmed, error)
            return
        network.watcher.arrived(exchange, message)
        if not network.chance(network.faults.unconfirmed):
            network.loop.later(network.latency(), _confirm, confirmed)

    async def consume(self, queue: str, *, prefetch: int, handler: Handler) -> Any:
        """Consume; deliveries travel."""
        self._check_link()
        return self.network.loop.now(
            _finished, super().consume(queue, prefetch=prefetch, handler=self._carried(handler))
        )

    async def consume_exclusive(
        self, prefix: str, bindings: Mapping[str, str], *, prefetch: int, handler: Handler
    ) -> Any:
        """Consume a queue of our own; deliveries travel."""
        self._check_link()
        started = super().consume_exclusive(
            prefix, bindings, prefetch=prefetch, handler=self._carried(handler)
        )
        subscription: Subscription = self.network.loop.now(_finished, started)
        return subscription

    def _carried(self, handler: Handler) -> Handler:
        def carry(delivery: Delivery) -> None:
            network, generation = self.network, self._generation
            delay = network.latency()
            if network.chance(network.faults.delayed):
                network.loop.later(delay, arrive, delivery, generation)
            else:
                arrive(delivery, generation)

        def arrive(delivery: Delivery, generation: int) -> None:
            if generation == self._generation:
                self._process.call(self.network.latency(), hand_over, delivery, generation)

        def hand_over(delivery: Delivery, generation: int) -> None:
            if generation == self._generation:
                handler(_Settling(self, delivery))

        return carry

    def settle(self, then: Callable[[], None]) -> None:
        """Carry a settlement; after a cut it means nothing any more."""
        self.network.loop.later(self.network.latency(), then)

    def drop(self) -> None:
        """Lose the link, from outside: the broker notices at once, and so do we."""
        if not self._linked:
            return
        self._generation += 1
        self.network.loop.now(self.cut)
        for confirmed in list(self._publishing):
            _fail(confirmed, Unconfirmed("the link was lost (simulated)"))

    async def relink(self) -> None:
        """The link is back."""
        if self._linked:
            return
        self._linked = True
        starts = [start for _, start in self._consumers]
        self._consumers.clear()
        for start in starts:
            self.network.loop.now(start)
        for callback in self._reconnected:
            await callback()


def _finished(work: Any) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


def _confirm(confirmed: asyncio.Future[None]) -> None:
    if not confirmed.done():
        confirmed.set_result(None)


def _fail(confirmed: asyncio.Future[None], error: Exception) -> None:
    if not confirmed.done():
        confirmed.set_exception(error)
