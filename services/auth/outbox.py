"""The events' outbox: published at least once, by whichever replica comes first.

Rows are locked, published with confirms and deleted in one transaction; what was published and
then not deleted is published again under the same `event_id`. An event that no queue is bound for
is of no interest to anybody. While the broker is away events wait, for a day at most.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import structlog

from services.auth import metrics
from shared.database import Database
from shared.errors import Unavailable, Unroutable
from shared.events import EVENT, routing_key
from shared.topology import Names
from shared.transport import EVENT_TYPE, Message, Transport

log = structlog.get_logger(__name__)

BATCH: Final = 200
KEPT: Final = timedelta(days=1)
PUBLISH_WITHIN: Final = timedelta(seconds=3)
_DUE: Final = """
SELECT number, event_id, type, connection_id, data, occurred_at FROM events
ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_TOLD: Final = "DELETE FROM events WHERE number = ANY($1::bigint[])"
_OLD: Final = """
WITH old AS (DELETE FROM events WHERE occurred_at < now() - $1::interval RETURNING 1)
SELECT count(*) FROM old
"""


class Outbox:
    """One replica's part in telling."""

    def __init__(self, database: Database, transport: Transport, names: Names) -> None:
        """Shared with the rest of the replica."""
        self._database = database
        self._transport = transport
        self._names = names

    async def publish_due(self) -> None:
        """Everything that is waiting. Raises Unavailable when the ledger's database is away."""
        while await self._publish_some() == BATCH:
            pass

    async def forget_old(self) -> None:
        """What nobody could be told for a day."""
        lost = await self._database.fetchval(_OLD, KEPT)
        if lost:
            metrics.EVENTS.labels("dropped").inc(lost)
            log.warning("events.dropped", number=lost, next="nobody is told of them")

    async def _publish_some(self) -> int:
        """How many were told."""
        async with self._database.transaction() as session:
            rows = await session.fetch(_DUE, BATCH)
            if not rows:
                return 0
            told = await asyncio.gather(*(self._publish(dict(row)) for row in rows))
            done = [row["number"] for row, confirmed in zip(rows, told, strict=True) if confirmed]
            await session.execute(_TOLD, done)
        metrics.EVENTS.labels("told").inc(len(done))
        metrics.EVENTS.labels("failed").inc(len(rows) - len(done))
        return len(done)

    async def _publish(self, row: Mapping[str, Any]) -> bool:
        event_id = str(row["event_id"])
        message = Message(body=_encoded(row), type=EVENT_TYPE, correlation_id=event_id)
        try:
            await self._transport.publish(
                self._names.events,
                routing_key(row["type"], row["connection_id"]),
                message,
                within=PUBLISH_WITHIN,
            )
        except Unroutable:
            return True
        except Unavailable:
            return False
        return True


def _encoded(row: Mapping[str, Any]) -> bytes:
    fields = {name: row[name] for name in ("event_id", "type", "connection_id", "occurred_at")}
    event = EVENT.validate_python(fields | {"data": json.loads(row["data"])}, strict=False)
    return bytes(EVENT.dump_json(event))
