"""The in-process transport: RabbitMQ's semantics in memory, for the demo, tests and simulation.

Same promises as `shared.amqp`, one contract suite for both; it is not durable and says so. All
of it runs on one event loop, in the order of the loop, so that tests are deterministic.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import count
from typing import Literal

from shared.errors import Misconfigured, Rejected, Unavailable, Unroutable
from shared.transport import (
    Exchange,
    Handler,
    Message,
    Queue,
    QueueBinding,
    QueueFacts,
    Topology,
)

Reason = Literal["expired", "rejected", "delivery_limit", "maxlen"]


class _Entry:
    """A message in a queue."""

    __slots__ = ("deliveries", "expires", "message", "reason", "routing_key")

    def __init__(
        self, message: Message, routing_key: str, expires: float | None, reason: Reason | None
    ) -> None:
        self.message = message
        self.routing_key = routing_key
        self.expires = expires
        self.reason = reason
        self.deliveries = 0


class _Delivery:
    """A delivery of the in-process broker; settling it twice, or after a cut, does nothing."""

    __slots__ = (
        "_consumer",
        "_entry",
        "_queue",
        "_settled",
        "dead_letter_reason",
        "queue",
        "redelivered",
        "routing_key",
    )

    def __init__(self, queue: _Queue, entry: _Entry, consumer: _Consumer) -> None:
        self._queue = queue
        self._entry = entry
        self._consumer = consumer
        self._settled = False
        self.queue = queue.data.name
        self.redelivered = entry.deliveries > 1
        self.routing_key = entry.routing_key
        self.dead_letter_reason = entry.reason

    @property
    def message(self) -> Message:
        """The message."""
        return self._entry.message

    def ack(self) -> None:
        """Done."""
        self.settle(lambda: None)

    def requeue(self) -> None:
        """Back to the head of its queue."""
        self.settle(lambda: self._queue.put_back(self._entry))

    def reject(self) -> None:
        """Dead-letter it."""
        self.settle(lambda: self._queue.dead_letter(self._entry, "rejected"))

    def settle(self, then: Callable[[], None]) -> None:
        """Leave the consumer's hands, once."""
        if self._settled:
            return
        self._settled = True
        self._consumer.unsettled.pop(self, None)
        then()
        self._queue.pump()


class _Consumer:
    """One consumer of one queue, with its own prefetch (`basic.qos`, global=false)."""

    def __init__(self, queue: _Queue, prefetch: int, handler: Handler) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.handler = handler
        self.unsettled: dict[_Delivery, None] = {}  # in the order of their hand-out
        self.active = True

    async def cancel(self) -> None:
        """Take no new deliveries; those in hand may still be settled."""
        self.active = False
        if self in self.queue.consumers:
            self.queue.consumers.remove(self)

    def lose(self) -> None:
        """The link is gone: what is unsettled goes back."""
        self.active = False
        if self in self.queue.consumers:
            self.queue.consumers.remove(self)
        for delivery in reversed(list(self.unsettled)):  # the oldest ends at the head
            delivery.requeue()


class _Queue:
    def __init__(
        self, broker: InProcessBroker, data: Queue, owner: InProcessTransport | None
    ) -> None:
        self.broker = broker
        self.data = data
        self.owner = owner
        self.entries: deque[_Entry] = deque()
        self.consumers: list[_Consumer] = []
        self._timer: asyncio.TimerHandle | None = None

    def put(self, entry: _Entry) -> None:
        if self.full and self.data.drops_oldest:
            self.entries.popleft()
        self.entries.append(entry)
        self._watch_expiry()
        self.pump()

    def put_back(self, entry: _Entry) -> None:
        limit = self.data.delivery_limit
        if limit is not None and entry.deliveries > limit:
            self.dead_letter(entry, "delivery_limit")
        else:
            self.entries.appendleft(entry)
            self._watch_expiry()

    @property
    def full(self) -> bool:
        return self.data.max_length is not None and len(self.entries) >= self.data.max_length

    def dead_letter(self, entry: _Entry, reason: Reason) -> None:
        if self.data.dead_letter_exchange is not None:
            self.broker.route_dead(self.data.dead_letter_exchange, entry, reason)

    def pump(self) -> None:
        """Hand out what the consumers have room for, in turn, never inside the caller's frame."""
        self._expire()
        while self.entries:
            free = next(
                (one for one in self.consumers if one.active and len(one.unsettled) < one.prefetch),
                None,
            )
            if free is None:
                return
            self.consumers.remove(free)
            self.consumers.append(free)
            entry = self.entries.popleft()
            entry.deliveries += 1
            delivery = _Delivery(self, entry, free)
            free.unsettled[delivery] = None
            asyncio.get_running_loop().call_soon(free.handler, delivery)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for consumer in list(self.consumers):
            consumer.active = False

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        alive: deque[_Entry] = deque()
        expired = []
        for entry in self.entries:
            if entry.expires is not None and entry.expires <= now:
                expired.append(entry)
            else:
                alive.append(entry)
        self.entries = alive
        for entry in expired:
            self.dead_letter(entry, "expired")

    def _watch_expiry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [entry.expires for entry in self.entries if entry.expires is not None]
        if times:
            self._timer = asyncio.get_running_loop().call_at(min(times), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._expire()
        self._watch_expiry()


class InProcessBroker:
    """Exchanges and queues of one process."""

    def __init__(self) -> None:
        """Empty; topology is declared by its clients."""
        self._exchanges: dict[str, Exchange] = {}
        self._queues: dict[str, _Queue] = {}
        self._bindings: list[tuple[QueueBinding, re.Pattern[str]]] = []
        self._generations = count(1)

    def transport(self, client_name: str) -> InProcessTransport:
        """A connected client."""
        return InProcessTransport(self, client_name)

    def declare(self, topology: Topology, owner: InProcessTransport | None = None) -> None:
        """Make it exist. Raises Misconfigured where it exists otherwise."""
        for exchange in topology.exchanges:
            if self._exchanges.setdefault(exchange.name, exchange) != exchange:
                raise Misconfigured(f"exchange {exchange.name} exists with other arguments")
        for queue in topology.queues:
            known = self._queues.setdefault(queue.name, _Queue(self, queue, owner))
            if known.data != queue:
                raise Misconfigured(f"queue {queue.name} exists with other arguments")
        for binding in topology.bindings:
            if all(binding != known for known, _ in self._bindings):
                self._bindings.append((binding, _pattern(binding.routing_key)))

    def unbind(self, binding: QueueBinding) -> None:
        """Forget a binding, if there is one."""
        self._bindings = [pair for pair in self._bindings if pair[0] != binding]

    def delete(self, name: str) -> None:
        """Delete a queue with what is in it."""
        queue = self._queues.pop(name, None)
        if queue is not None:
            queue.close()
            self._bindings = [pair for pair in self._bindings if pair[0].queue != name]

    def queue(self, name: str) -> _Queue:
        """An existing queue. Raises Misconfigured."""
        try:
            return self._queues[name]
        except KeyError:
            raise Misconfigured(f"there is no queue {name}") from None

    def facts(self, name: str) -> QueueFacts | None:
        """What can be said of a queue; None if there is none."""
        queue = self._queues.get(name)
        return None if queue is None else QueueFacts(len(queue.consumers), len(queue.entries))

    def publish(self, exchange: str, routing_key: str, message: Message) -> None:
        """Route, mandatory. Raises Unroutable, Rejected."""
        targets = self._targets(exchange, routing_key)
        if not targets:
            raise Unroutable(f"no queue is bound to {exchange} for {routing_key}")
        if any(queue.full and not queue.data.drops_oldest for queue in targets):
            raise Rejected(f"a queue bound to {exchange} for {routing_key} is full")
        expires = None
        if message.expiration is not None:
            now = asyncio.get_running_loop().time()
            expires = now + max(message.expiration, timedelta(0)).total_seconds()
        for queue in targets:
            queue.put(_Entry(message, routing_key, expires, None))

    def route_dead(self, exchange: str, entry: _Entry, reason: Reason) -> None:
        """Dead-letter: routed like a publish, but nobody is told when nothing is bound."""
        for queue in self._targets(exchange, "#"):
            queue.put(_Entry(entry.message, entry.routing_key, None, reason))

    def forget(self, client: InProcessTransport) -> None:
        """A client's link is gone, and its exclusive queues with it."""
        for name in [name for name, queue in self._queues.items() if queue.owner is client]:
            self.delete(name)

    def fresh_name(self, prefix: str) -> str:
        """A name that no queue ever had."""
        return f"{prefix}.{next(self._generations)}"

    def _targets(self, name: str, routing_key: str) -> list[_Queue]:
        exchange = self._exchanges.get(name)
        if exchange is None:
            raise Unroutable(f"there is no exchange {name}")
        found = [
            self._queues[binding.queue]
            for binding, pattern in self._bindings
            if binding.exchange == name
            and binding.queue in self._queues
            and (exchange.kind == "fanout" or pattern.fullmatch(routing_key))
        ]
        if not found and exchange.alternate is not None:
            return self._targets(exchange.alternate, routing_key)
        return found


def _pattern(routing_key: str) -> re.Pattern[str]:
    """RabbitMQ's topic syntax: `*` is one word, `#` any number of them."""
    if routing_key == "#":
        return re.compile(".*", re.DOTALL)
    words = [
        ".*" if word == "#" else r"[^.]*" if word == "*" else re.escape(word)
        for word in routing_key.split(".")
    ]
    return re.compile(r"\.".join(words))


class InProcessTransport:
    """A client of the in-process broker; implements `shared.transport.Transport`."""

    def __init__(self, broker: InProcessBroker, client_name: str) -> None:
        """Made by `InProcessBroker.transport`."""
        self._broker = broker
        self._name = client_name
        self._consumers: list[tuple[_Consumer, Callable[[], None]]] = []
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._linked = True

    @property
    def connected(self) -> bool:
        """False between `cut` and `relink`, and after `close`."""
        return self._linked

    @property
    def durable(self) -> bool:
        """Never."""
        return False

    async def declare(self, topology: Topology) -> None:
        """Make the topology exist."""
        self._check_link()
        self._broker.declare(topology)

    async def unbind(self, binding: QueueBinding) -> None:
        """Send nothing of it to the queue any more."""
        self._check_link()
        self._broker.unbind(binding)

    async def delete_queue(self, name: str) -> None:
        """Delete a queue; fine if it does not exist."""
        self._check_link()
        self._broker.delete(name)

    async def look(self, queue: str) -> QueueFacts | None:
        """How many consume a queue, and how many messages wait."""
        self._check_link()
        return self._broker.facts(queue)

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        *,
        within: timedelta,
    ) -> None:
        """Publish, mandatory; confirmed on return."""
        self._check_link()
        self._broker.publish(exchange, routing_key, message)
        await asyncio.sleep(0)  # a confirm is never instant: callers must not rely on it

    async def consume(self, queue: str, *, prefetch: int, handler: Handler) -> _Subscription:
        """Consume an existing queue."""
        self._check_link()
        subscription = _Subscription()

        def start() -> None:
            if subscription.cancelled:
                return
            found = self._broker.queue(queue)
            consumer = _Consumer(found, prefetch, handler)
            found.consumers.append(consumer)
            subscription.consumer = consumer
            self._consumers.append((consumer, start))
            found.pump()

        start()
        return subscription

    async def consume_exclusive(
        self, prefix: str, bindings: Mapping[str, str], *, prefetch: int, handler: Handler
    ) -> _Subscription:
        """Consume a queue of our own, fresh after each reconnect."""
        self._check_link()
        subscription = _Subscription()

        def start() -> None:
            if subscription.cancelled:
                return
            name = self._broker.fresh_name(prefix)
            topology = Topology(
                queues=(Queue(name),),
                bindings=tuple(QueueBinding(where, name, key) for where, key in bindings.items()),
            )
            self._broker.declare(topology, owner=self)
            found = self._broker.queue(name)
            consumer = _Consumer(found, prefetch, handler)
            found.consumers.append(consumer)
            subscription.consumer = consumer
            self._consumers.append((consumer, start))

        start()
        return subscription

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after each `relink`."""
        self._reconnected.append(callback)

    async def close(self) -> None:
        """Leave; what is unsettled goes back."""
        self.cut()
        self._consumers.clear()

    def cut(self) -> None:
        """Lose the link, as a network does: for tests."""
        self._linked = False
        for consumer, _ in self._consumers:
            consumer.lose()
        self._broker.forget(self)

    async def relink(self) -> None:
        """The link is back: consumers return, then whoever asked is called back."""
        self._linked = True
        starts = [start for _, start in self._consumers]
        self._consumers.clear()
        for start in starts:
            start()
        for callback in self._reconnected:
            await callback()

    def _check_link(self) -> None:
        if not self._linked:
            raise Unavailable(f"{self._name} is not connected to the broker")


class _Subscription:
    """A consumer that comes back after a reconnect, until it is cancelled."""

    def __init__(self) -> None:
        self.consumer: _Consumer | None = None
        self.cancelled = False

    async def cancel(self) -> None:
        """Take no new deliveries."""
        self.cancelled = True
        if self.consumer is not None:
            await self.consumer.cancel()
