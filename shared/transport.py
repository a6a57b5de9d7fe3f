"""What both transports promise: RabbitMQ (`shared.amqp`) and in-process (`shared.inprocess`).

The semantics are RabbitMQ's: durable quorum queues, publisher confirms, manual settlement,
redelivery, per-message TTL, dead-lettering, alternate exchanges, exclusive reply queues. One
contract suite (`tests/integration/test_transport_contract.py`) runs against both.

Rule 1: a handler only takes over a delivery and returns; it never awaits, because the client
library cancels what runs inside its callback when the link drops (I9).
Rule 2: settling a delivery never fails: on a stale channel it does nothing, and the broker
delivers again. The ledger knows what has been done.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeAlias

CONTENT_TYPE: Final = "application/vnd.trickle.execution+json"
REQUEST_TYPE: Final = "trickle.execution.request"
RESULT_TYPE: Final = "trickle.execution.result"
EVENT_TYPE: Final = "trickle.event"

Headers: TypeAlias = Mapping[str, str | int]
_NO_HEADERS: Final[Headers] = MappingProxyType({})


_PROCESS: Final = secrets.token_hex(12)
_COUNT: Final = itertools.count(1)


def fresh_message_id() -> str:
    """A new id for each publish: returned messages are matched by it."""
    return f"{_PROCESS}.{next(_COUNT):x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A body and the AMQP basic properties that the protocol uses."""

    body: bytes
    type: str
    correlation_id: str
    message_id: str = field(default_factory=fresh_message_id)
    reply_to: str | None = None
    expiration: timedelta | None = None
    headers: Headers = field(default_factory=lambda: _NO_HEADERS)
    content_type: str = CONTENT_TYPE


class Delivery(Protocol):
    """A message as the broker handed it to us, to be settled exactly once."""

    @property
    def message(self) -> Message:
        """The message."""

    @property
    def queue(self) -> str:
        """The queue it came from."""

    @property
    def routing_key(self) -> str:
        """The key it was published under."""

    @property
    def redelivered(self) -> bool:
        """The broker's flag. Says nothing about whether a script started: ask the ledger."""

    @property
    def dead_letter_reason(
        self,
    ) -> Literal["expired", "rejected", "delivery_limit", "maxlen"] | None:
        """Why it was dead-lettered, from the first `x-death` entry; None if it was not."""

    def ack(self) -> None:
        """Done; the broker may forget it."""

    def requeue(self) -> None:
        """Not us, not now."""

    def reject(self) -> None:
        """Never deliverable: dead-letter it."""


Handler: TypeAlias = Callable[[Delivery], None]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange. `alternate` gets what no queue was bound for."""

    name: str
    kind: Literal["topic", "fanout"]
    alternate: str | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue. Every argument is explicit: brokers' defaults differ by version."""

    name: str
    dead_letter_exchange: str | None = None
    delivery_limit: int | None = None
    max_length: int | None = None
    drops_oldest: bool = False
    """A full one makes room by that, instead of refusing: for who may be away for long."""

    @property
    def arguments(self) -> dict[str, str | int]:
        """What a declaration passes; the broker refuses a different one."""
        given: dict[str, str | int | None] = {
            "x-queue-type": "quorum",
            "x-overflow": "drop-head" if self.drops_oldest else "reject-publish",
            "x-dead-letter-exchange": self.dead_letter_exchange,
            # At least once needs reject-publish: a dead letter waits until its queue confirmed it.
            "x-dead-letter-strategy": "at-least-once" if self.dead_letter_exchange else None,
            "x-delivery-limit": self.delivery_limit,
            "x-max-length": self.max_length,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class QueueBinding:
    """Routes what matches `routing_key` (RabbitMQ topic syntax) from an exchange to a queue."""

    exchange: str
    queue: str
    routing_key: str = "#"


@dataclass(frozen=True, slots=True)
class Topology:
    """What must exist on the broker before anyone publishes; declared idempotently, in order."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[QueueBinding, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the broker says of a queue, without touching it."""

    consumers: int
    """Consumers of all clients; one whose link is half-open counts until the broker notices."""
    waiting: int
    """Messages that no consumer has yet."""


class Subscription(Protocol):
    """A running consumer."""

    async def cancel(self) -> None:
        """Take no new deliveries; those in hand may still be settled."""


class Transport(Protocol):
    """A connected client of the broker. Raises the classes of `shared.errors`, nothing else."""

    @property
    def connected(self) -> bool:
        """Whether publishing and consuming both work right now."""

    @property
    def durable(self) -> bool:
        """Whether messages survive this process."""

    async def declare(self, topology: Topology) -> None:
        """Make the topology exist. Raises Unavailable, or Misconfigured where it conflicts."""

    async def unbind(self, binding: QueueBinding) -> None:
        """Send nothing of it to the queue any more; fine if it is not bound. Raises Unavailable."""

    async def delete_queue(self, name: str) -> None:
        """Delete a queue with what is in it; fine if it does not exist."""

    async def look(self, queue: str) -> QueueFacts | None:
        """How many consume a queue, and how many messages wait; None if there is no such queue.

        Raises Unavailable. Passive: it costs the broker a lookup.
        """

    async def publish(
        self, exchange: str, routing_key: str, message: Message, *, within: timedelta
    ) -> None:
        """Publish, mandatory, and wait for the confirm.

        Raises Unroutable (no queue), Rejected (queue full), Unconfirmed (link lost or no confirm
        `within`: the broker may have it), Unavailable (not connected: it surely has not).
        """

    async def consume(self, queue: str, *, prefetch: int, handler: Handler) -> Subscription:
        """Consume an existing queue; the consumer comes back by itself after a reconnect."""

    async def consume_exclusive(
        self, prefix: str, bindings: Mapping[str, str], *, prefetch: int, handler: Handler
    ) -> Subscription:
        """Consume a queue of our own, fresh under a new name per connection generation.

        `bindings` maps exchange to routing key. Replies sent while the link was down went
        elsewhere: register `on_reconnect` to reconcile.
        """

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after each later reconnect, once consumers are live again."""

    async def close(self) -> None:
        """Close, waiting for nothing that is not already under way."""
