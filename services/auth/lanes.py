"""Which connections have a request queue of their own, and which share a lane.

A queue costs the broker memory and time, so above a limit the newest connections share hashed
lanes; publishers notice nothing, because the exchange routes by connection. A connection moves
without losing a request: workers consume both queues while it does, requests go to the new one
before they stop going to the old one (a copy in both is harmless, I1), and the old one is deleted
when everything in it has long passed its deadline. Each step may be repeated, by any replica.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import structlog

from services.auth.locks import Lock
from shared.database import Database
from shared.topology import Names, lane_of
from shared.transport import Transport

log = structlog.get_logger(__name__)

LINGER: Final = timedelta(seconds=60)
"""How long the old queue is consumed: a deadline of 20 s, an outcome's grace, and a margin."""
NOTICED: Final = timedelta(seconds=10)
"""Workers look at the table of connections every five seconds."""
AT_ONCE: Final = 20
"""Connections that begin to move in one go."""
OWN: Final = -1
"""In `leaving`: a queue of its own."""
_BEGIN: Final = """
WITH ranked AS (
    SELECT connection_id, lane, leaving, left_at,
           row_number() OVER (ORDER BY created_at, connection_id) <= $1 AS own
    FROM connections
)
SELECT connection_id, lane FROM ranked
WHERE leaving IS NULL AND left_at IS NULL AND own <> (lane IS NULL) ORDER BY connection_id LIMIT $2
"""

_MOVING: Final = """
SELECT connection_id, lane, leaving, left_at IS NOT NULL AS switched,
       left_at < clock_timestamp() - $1::interval AS over
FROM connections WHERE leaving IS NOT NULL OR left_at IS NOT NULL
"""


class Lanes:
    """One replica's part in moving connections; one at a time of all of them does."""

    def __init__(
        self,
        database: Database,
        transport: Transport,
        names: Names,
        own_queues: int,
        linger: timedelta = LINGER,
    ) -> None:
        """`own_queues`: how many connections, the oldest first, get a queue of their own."""
        self._database = database
        self._transport = transport
        self._names = names
        self._own_queues = own_queues
        self._linger = linger

    async def for_new(self) -> bool:
        """Whether the next connection shares a lane."""
        number: int = await self._database.fetchval("SELECT count(*) FROM connections")
        return number >= self._own_queues

    async def tend(self) -> None:
        """One step of every move that is due. Raises Unavailable; the next call goes on."""
        async with self._database.transaction() as session:
            if not await session.fetchval("SELECT pg_try_advisory_xact_lock($1)", Lock.LANES):
                return
            for row in await session.fetch(_BEGIN, self._own_queues, AT_ONCE):
                await self._begin(session, row["connection_id"], row["lane"])
            for row in await session.fetch(_MOVING, self._linger):
                await self._go_on(session, dict(row))

    async def _go_on(self, session: Any, row: dict[str, Any]) -> None:
        if row["leaving"] is None:
            await self._end(session, row)
        elif not row["switched"]:
            await self._switch(session, row)
        elif row["over"]:  # from here on workers consume the new queue alone
            await session.execute(
                "UPDATE connections SET leaving = NULL WHERE connection_id = $1",
                row["connection_id"],
            )

    async def _begin(self, session: Any, connection_id: str, lane: int | None) -> None:
        """From here on workers consume the new queue too; nothing is sent to it yet."""
        new = lane_of(connection_id) if lane is None else None
        await self._transport.declare(self._names.queue(connection_id, new))
        await session.execute(
            "UPDATE connections SET lane = $2, leaving = $3 WHERE connection_id = $1",
            connection_id,
            new,
            OWN if lane is None else lane,
        )
        log.info("connection.moving", connection_id=connection_id, lane=new)

    async def _switch(self, session: Any, row: dict[str, Any]) -> None:
        """To the new queue first, then no longer to the old one, once the new one is consumed."""
        connection_id, lane = row["connection_id"], row["lane"]
        facts = await self._transport.look(self._names.request_queue(connection_id, lane))
        everybody = await self._transport.look(self._names.workers)
        if facts is None or (not facts.consumers and everybody and everybody.consumers):
            return
        await self._transport.declare(self._names.connection(connection_id, lane))
        old = None if row["leaving"] == OWN else row["leaving"]
        await self._transport.unbind(self._names.binding(connection_id, old))
        await session.execute(
            "UPDATE connections SET left_at = clock_timestamp() WHERE connection_id = $1",
            connection_id,
        )

    async def _end(self, session: Any, row: dict[str, Any]) -> None:
        """Its own queue goes when no worker is left there: a broker cancels who still consumes."""
        connection_id = row["connection_id"]
        if row["lane"] is not None:
            queue = self._names.request_queue(connection_id)
            facts = await self._transport.look(queue)
            if facts is not None and facts.consumers:
                return
            await self._transport.delete_queue(queue)
        await session.execute(
            "UPDATE connections SET left_at = NULL WHERE connection_id = $1", connection_id
        )
        log.info("connection.moved", connection_id=connection_id, lane=row["lane"])
