"""The broker's topology as data (docs/architecture.md, "On the wire").

    requests  topic   -> one quorum queue per connection, routing key = connection id
    dead      fanout  -> dead letters: expired, rejected, over the delivery limit (I6)
    replies   topic   -> per-replica exclusive queues, routing key = replica id;
                         alternate exchange `orphans` catches what found no replica (I7)
    control   fanout  -> each worker: connections changed

    One more queue carries nothing: every worker consumes it, so that auth can count them.

Rule: request and reply exchanges are topic exchanges, so that the broker can authorise
publishers by routing key (RabbitMQ topic permissions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.transport import Exchange, Queue, QueueBinding, Topology

DELIVERY_LIMIT: Final = 20
"""Deliveries of one request before it is dead-lettered: a safety net, not the mechanism (I6)."""
MAX_QUEUED_REQUESTS: Final = 200
"""Requests waiting for one connection; more than a deadline's worth only expire in the queue."""


@dataclass(frozen=True, slots=True)
class Names:
    """Every name on the broker. Tests share one broker by giving each its own prefix."""

    prefix: str = "trickle"

    @property
    def requests(self) -> str:
        """The exchange that takes execution requests."""
        return f"{self.prefix}.req"

    @property
    def dead(self) -> str:
        """The dead-letter exchange, and its queue."""
        return f"{self.prefix}.dead"

    @property
    def replies(self) -> str:
        """The exchange that takes execution results."""
        return f"{self.prefix}.reply"

    @property
    def orphans(self) -> str:
        """The exchange and queue of results whose replica is gone."""
        return f"{self.prefix}.orphan"

    @property
    def control(self) -> str:
        """The exchange that tells workers of changed connections."""
        return f"{self.prefix}.control"

    @property
    def workers(self) -> str:
        """The queue that every worker consumes and nobody publishes to: its consumers are counted."""
        return f"{self.prefix}.worker"

    def request_queue(self, connection_id: str) -> str:
        """The queue of one connection."""
        return f"{self.requests}.{connection_id}"

    def base(self) -> Topology:
        """What exists once per installation."""
        return Topology(
            exchanges=(
                Exchange(self.requests, "topic"),
                Exchange(self.dead, "fanout"),
                Exchange(self.orphans, "fanout"),
                Exchange(self.replies, "topic", alternate=self.orphans),
                Exchange(self.control, "fanout"),
            ),
            queues=(Queue(self.dead), Queue(self.orphans), Queue(self.workers)),
            bindings=(
                QueueBinding(self.dead, self.dead),
                QueueBinding(self.orphans, self.orphans),
            ),
        )

    def connection(self, connection_id: str) -> Topology:
        """What exists per connection; declared when the connection is created."""
        queue = self.request_queue(connection_id)
        return Topology(
            queues=(
                Queue(
                    queue,
                    dead_letter_exchange=self.dead,
                    delivery_limit=DELIVERY_LIMIT,
                    max_length=MAX_QUEUED_REQUESTS,
                ),
            ),
            bindings=(QueueBinding(self.requests, queue, connection_id),),
        )
