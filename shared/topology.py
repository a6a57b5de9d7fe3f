"""The broker's topology as data (docs/architecture.md, "On the wire").

    requests  topic   -> one quorum queue per connection, routing key = connection id; above a
                         limit of connections, quorum queues that some share (lanes)
    dead      fanout  -> dead letters: expired, rejected, over the delivery limit (I6)
    replies   topic   -> per-replica exclusive queues, routing key = replica id;
                         alternate exchange `orphans` catches what found no replica (I7)
    control   fanout  -> each worker: connections changed
    events    topic   -> an integrator's events queue, routing key = type and connection id

Each integrator has two queues that we declare and it consumes: its replies, its events.

    One more queue carries nothing: every worker consumes it, so that auth can count them.

Rule: request and reply exchanges are topic exchanges, so that the broker can authorise
publishers by routing key (RabbitMQ topic permissions).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from shared.transport import Exchange, Queue, QueueBinding, Topology

DELIVERY_LIMIT: Final = 20
"""Deliveries of one request before it is dead-lettered: a safety net, not the mechanism (I6)."""
MAX_KEPT_FOR_INTEGRATOR: Final = 10_000
"""Results, and events, that an integrator has not fetched; the oldest make room."""
MAX_QUEUED_REQUESTS: Final = 200
"""Requests waiting for one connection; more than a deadline's worth only expire in the queue."""

LANES: Final = 64
MAX_QUEUED_IN_LANE: Final = 5 * MAX_QUEUED_REQUESTS
"""A lane's connections share it; the bulkhead keeps any one of them from filling it."""


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
    def events(self) -> str:
        """The exchange that tells integrators what happened."""
        return f"{self.prefix}.events"

    @property
    def workers(self) -> str:
        """The queue that every worker consumes and nobody publishes to: its consumers are counted."""
        return f"{self.prefix}.worker"

    def request_queue(self, connection_id: str, lane: int | None = None) -> str:
        """The queue of one connection: its own, or the lane that it shares."""
        return f"{self.requests}.{connection_id if lane is None else f'lane-{lane:02}'}"

    def base(self) -> Topology:
        """What exists once per installation."""
        return Topology(
            exchanges=(
                Exchange(self.requests, "topic"),
                Exchange(self.dead, "fanout"),
                Exchange(self.orphans, "fanout"),
                Exchange(self.replies, "topic", alternate=self.orphans),
                Exchange(self.control, "fanout"),
                Exchange(self.events, "topic"),
            ),
            queues=(Queue(self.dead), Queue(self.orphans), Queue(self.workers)),
            bindings=(
                QueueBinding(self.dead, self.dead),
                QueueBinding(self.orphans, self.orphans),
            ),
        )

    def integrator_queue(self, name: str, what: Literal["replies", "events"]) -> str:
        """What an integrator consumes."""
        return f"{self.prefix}.integrator.{name}.{what}"

    def integrator(self, name: str, connections: Iterable[str]) -> Topology:
        """What exists per integrator. It may declare and bind nothing itself: what it dead-letters,

        or binds to an exchange of its own, would get past the permissions by routing key.
        """
        replies = self.integrator_queue(name, "replies")
        events = self.integrator_queue(name, "events")
        return Topology(
            queues=tuple(
                Queue(each, max_length=MAX_KEPT_FOR_INTEGRATOR, drops_oldest=True)
                for each in (replies, events)
            ),
            bindings=(
                QueueBinding(self.replies, replies, f"{name}.#"),
                *(QueueBinding(self.events, events, f"*.*.{one}") for one in connections),
            ),
        )

    def connection(self, connection_id: str, lane: int | None = None) -> Topology:
        """What exists per connection; declared when the connection is created."""
        queues = self.queue(connection_id, lane).queues
        return Topology(queues=queues, bindings=(self.binding(connection_id, lane),))

    def queue(self, connection_id: str, lane: int | None = None) -> Topology:
        """A connection's request queue, which gets nothing yet."""
        queue = Queue(
            self.request_queue(connection_id, lane),
            dead_letter_exchange=self.dead,
            delivery_limit=DELIVERY_LIMIT,
            max_length=MAX_QUEUED_REQUESTS if lane is None else MAX_QUEUED_IN_LANE,
        )
        return Topology(queues=(queue,))

    def binding(self, connection_id: str, lane: int | None = None) -> QueueBinding:
        """What sends a connection's requests to its queue."""
        return QueueBinding(self.requests, self.request_queue(connection_id, lane), connection_id)


def lane_of(connection_id: str) -> int:
    """The lane of a connection that has no queue of its own: the same for everybody, for ever."""
    return zlib.crc32(connection_id.encode()) % LANES
