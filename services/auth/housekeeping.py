"""What every auth replica does beside answering: nothing of it needs a leader.

reaper       dead leases that nobody may repeat become `indeterminate` (I6)
outbox       decided results that nobody published are published again (I7)
dead letters expired, rejected and poisonous requests get their outcome (I6)
orphans      results whose replica is gone are marked applied, as far as they can be (I7)
partitions   of the ledger: days ahead are created, days past are dropped

Locked rows are skipped, so that replicas share the work instead of waiting for each other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from pydantic import BaseModel, ValidationError

from services.auth import metrics
from services.auth.connection_options import MAX_SCRIPT_SECONDS
from services.auth.executions import LATE
from shared.contracts import (
    SCHEMA_VERSION,
    Binding,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
)
from shared.database import Database
from shared.errors import Unavailable, Undecodable
from shared.ledger import Ledger
from shared.topology import Names
from shared.transport import RESULT_TYPE, Delivery, Message, Transport

log = structlog.get_logger(__name__)

REAP_EVERY: Final = timedelta(seconds=1)
PUBLISH_AGAIN_AFTER: Final = timedelta(seconds=1)
"""A worker publishes within milliseconds of deciding; who has not by now is gone or cut off."""
PUBLISH_WITHIN: Final = timedelta(seconds=3)
PARTITIONS_EVERY: Final = timedelta(hours=1)
BACK_OFF: Final = timedelta(seconds=2)
BATCH: Final = 100

_WHY: Final = {
    "expired": (Detail.QUEUE_EXPIRED, "the deadline passed in the queue"),
    "delivery_limit": (Detail.POISON, "it was delivered too often without being decided"),
    "maxlen": (Detail.QUEUE_EXPIRED, "its queue was full"),
}


class _Version(BaseModel):
    """All that can be read of a message from a later release."""

    schema_version: int = 0


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that any replica does every so often; Unavailable only delays it."""

    name: str
    every: timedelta
    work: Callable[[], Awaitable[object]]


class Housekeeping:
    """The loops of one replica."""

    def __init__(
        self,
        *,
        transport: Transport,
        names: Names,
        ledger: Ledger,
        database: Database,
        chores: Sequence[Chore] = (),
    ) -> None:
        """Everything is shared with the rest of the replica; `chores` are others' loops."""
        self._chores = chores
        self._transport = transport
        self._names = names
        self._ledger = ledger
        self._database = database

    async def run(self) -> None:
        """Keep house until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(_every(REAP_EVERY, self._reap), name="reaper")
            tasks.create_task(_every(REAP_EVERY, self._publish_again), name="outbox")
            tasks.create_task(_every(PARTITIONS_EVERY, self._maintain), name="partitions")
            for chore in self._chores:
                tasks.create_task(_every(chore.every, chore.work), name=chore.name)
            await self._consume(self._names.dead, self._bury)
            await self._consume(self._names.orphans, self._adopt)

    async def _consume(self, queue: str, settle: Callable[[Delivery], Awaitable[None]]) -> None:
        """From now on, and after each reconnect; a broker that is away now ends nobody."""
        while True:
            try:
                await self._transport.consume(queue, prefetch=50, handler=self._in_task(settle))
            except Unavailable as error:
                log.warning(
                    "queue.not_consumed", queue=queue, reason=str(error), next="tried again"
                )
                await asyncio.sleep(BACK_OFF.total_seconds())
            else:
                return

    def _in_task(self, settle: Callable[[Delivery], Awaitable[None]]) -> Callable[[Delivery], None]:
        """A handler that only takes over (I9); the delivery stays ours while the ledger is away."""

        async def until_settled(delivery: Delivery) -> None:
            while True:
                try:
                    await settle(delivery)
                except Unavailable:
                    await asyncio.sleep(BACK_OFF.total_seconds())
                except Exception:  # it would end one replica after the other
                    log.exception("dead_letter.failed", next="dropped")
                    delivery.ack()
                    return
                else:
                    return

        def handler(delivery: Delivery) -> None:
            self._tasks.create_task(until_settled(delivery), name="dead letter")

        return handler

    async def _reap(self) -> None:
        reaped = await self._ledger.reap(BATCH)
        if reaped:
            metrics.REAPED.labels(str(Detail.WORKER_LOST)).inc(reaped)
            log.warning("executions.reaped", number=reaped, next="their results are published")

    async def _publish_again(self) -> None:
        async with self._database.transaction() as session:
            due = await self._ledger.unpublished(session, PUBLISH_AGAIN_AFTER, BATCH)
            if not due:
                return
            confirmed = await asyncio.gather(*(self._publish(*one) for one in due))
            done = [execution_id for execution_id in confirmed if execution_id is not None]
            await self._ledger.mark_all_published(session, done)
        metrics.REPUBLISHED.inc(len(done))
        log.info("results.republished", number=len(done), failed=len(due) - len(done))

    async def _publish(self, execution_id: UUID, reply_to: str, body: bytes) -> UUID | None:
        message = Message(body=body, type=RESULT_TYPE, correlation_id=str(execution_id))
        try:
            await self._transport.publish(
                self._names.replies, reply_to, message, within=PUBLISH_WITHIN
            )
        except Unavailable:
            return None
        return execution_id

    async def _maintain(self) -> None:
        changed = await self._ledger.maintain_partitions()
        expired = await self._database.execute("DELETE FROM access_tokens WHERE expires_at < now()")
        log.info("partitions.maintained", changed=changed, expired=expired)

    async def _bury(self, delivery: Delivery) -> None:
        """Decide a dead letter: from here on its request can't start any more."""
        body = delivery.message.body
        try:
            request = ExecutionRequest.model_validate_json(body)
        except ValidationError:
            await self._bury_unreadable(delivery)
            return
        detail, text = _WHY.get(delivery.dead_letter_reason or "", (Detail.UNDECODABLE, "rejected"))
        result = ExecutionResult(
            **{name: getattr(request, name) for name in Binding.model_fields},
            origin=request.origin,
            outcome=Failed.of(detail, text),
            attempt=0,
            traceparent=request.traceparent,
        )
        try:
            row = await self._ledger.decide(result, reply_to=request.reply_to)
        except Undecodable as error:
            metrics.REAPED.labels(str(Detail.UNDECODABLE)).inc()
            log.warning("dead_letter.dropped", reason=str(error), next="nobody can be waiting")
        else:
            ours = row.result == result
            metrics.REAPED.labels(str(detail)).inc(ours)
            log.info("dead_letter.buried", execution_id=str(row.execution_id), decided=ours)
        delivery.ack()

    async def _bury_unreadable(self, delivery: Delivery) -> None:
        """It has no readable request: as much of it is decided as can be read."""
        message = delivery.message
        digest = hashlib.sha256(message.body).hexdigest()[:16]
        log.warning(
            "dead_letter.unreadable",
            digest=digest,
            size=len(message.body),
            correlation_id=_execution_id(message.correlation_id),
            newer_schema=_schema(message.body) > SCHEMA_VERSION,
            next="dropped; whoever waits for it is answered at the deadline",
        )
        metrics.REAPED.labels(str(Detail.UNDECODABLE)).inc()
        delivery.ack()

    async def _adopt(self, delivery: Delivery) -> None:
        """A result that found no queue.

        Its replica may only have lost its link: then it asks the ledger and applies the effect
        itself, and must not find it marked. When nobody can be waiting any more, the replica is
        gone, nobody holds the password, and nothing can be imported: it is marked applied, and the
        next login runs the script again.
        """
        try:
            result = ExecutionResult.model_validate_json(delivery.message.body)
        except ValidationError:
            metrics.REPLIES.labels("unreadable").inc()
            log.warning("orphan.unreadable", size=len(delivery.message.body), next="dropped")
            delivery.ack()
            return
        # No deadline of ours is further away; anybody's own must not keep a place for ever (I11).
        most = timedelta(seconds=MAX_SCRIPT_SECONDS)
        waited_for = min(result.deadline - self._database.now(), most) + LATE
        with metrics.ORPHANS_HELD.track_inprogress():
            await asyncio.sleep(max(waited_for.total_seconds(), 0))
        try:
            first = await self._ledger.mark_applied(result.execution_id)
        except Undecodable:  # an id outside the ledger's window
            metrics.REPLIES.labels("unreadable").inc()
            delivery.ack()
            return
        metrics.REPLIES.labels("orphan" if first else "duplicate").inc()
        delivery.ack()


async def _every(interval: timedelta, work: Callable[[], Awaitable[object]]) -> None:
    away = False
    while True:
        try:
            await work()
            away = False
        except Unavailable as error:
            if not away:
                log.warning("housekeeping.paused", reason=str(error), next="tried again in seconds")
            away = True
            await asyncio.sleep(BACK_OFF.total_seconds())
        except Exception:  # one chore's bug must not end the whole replica
            log.exception("housekeeping.failed", next="tried again in seconds")
            await asyncio.sleep(BACK_OFF.total_seconds())
        await asyncio.sleep(interval.total_seconds())


def _schema(body: bytes) -> int:
    """The schema version that an unreadable message says it has; 0 if it says nothing."""
    try:
        return _Version.model_validate_json(body).schema_version
    except ValidationError:
        return 0


def _execution_id(text: str) -> str | None:
    """An id as we write it; what else a stranger puts there is no business of a log's."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
