"""Whether a request would find somebody: known beforehand, so that nobody waits to learn it.

Rule 1: a queue that no worker consumes takes no requests. For a grace it does, because workers
restart, and services start in any order; after that who waits there is told at once.
Rule 2: two publishes in a row without a confirm mean that the broker is blocked (an alarm) or the
link is dead, which the client does not tell: nothing is published until a probe comes through.
The probe is a message of ours that no queue takes; nobody's login is risked for it.
Rule 3: what can't be known counts as well. Only what the broker says closes a door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

import structlog

from services.auth import metrics
from services.auth.bulkhead import shed
from shared.errors import Unavailable, Unconfirmed
from shared.topology import Names
from shared.transport import REQUEST_TYPE, Message, Transport

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between looks at the queues in use; a look costs the broker well below a millisecond."""
IN_USE: Final = 300.0
"""Seconds after its last request that a queue is still looked at."""
LOOKS_AT_ONCE: Final = 100
"""Queues in one round, the longest unseen first: above that many the rounds take turns."""
BLOCKED_AFTER: Final = 2
PROBE_EVERY: Final = 1.0
PROBE_WITHIN: Final = timedelta(seconds=1)
AGAIN: Final = timedelta(seconds=2)
"""When to come back after an outage whose end nobody knows: a link is back within a second."""
_NOBODY: Final = "con_"
"""A routing key that no connection has."""


@dataclass(slots=True)
class _Queue:
    used: float
    looked: float = 0.0
    consumers: int | None = None
    absent_since: float | None = None
    told: bool = False


class Availability:
    """What one replica knows of the broker and the workers; `watch` must run beside it."""

    def __init__(
        self,
        transport: Transport,
        names: Names,
        *,
        grace: timedelta,
        unattended: Callable[[str], None],
    ) -> None:
        """`grace`: how long a queue without workers takes requests. `unattended` is told when a

        queue's grace is over.
        """
        self._transport = transport
        self._names = names
        self._grace = grace.total_seconds()
        self._unattended = unattended
        self._queues: dict[str, _Queue] = {}
        self._everybody = _Queue(0.0)
        self._unconfirmed = 0
        self._asked = asyncio.Event()

    @property
    def blocked(self) -> bool:
        """Whether the broker takes nothing from us."""
        return self._unconfirmed >= BLOCKED_AFTER

    def check(self, queue: str, *, attended: bool = False) -> None:
        """Note the use of a queue. Raises Shed when a request in it would find nobody.

        `attended`: whoever is there or not, another queue's workers take the request.
        """
        now = _now()
        if self.blocked:
            raise shed("broker_blocked", "the broker confirms nothing", AGAIN)
        known = self._queues.get(queue)
        if known is None:
            known = self._queues[queue] = _Queue(now)
            self._asked.set()
        known.used = now
        if not attended and self._abandoned(known, now):
            raise shed("no_worker", f"no worker consumes {queue}", AGAIN)

    def workers(self, queue: str) -> int:
        """How many workers consume a queue; at least one, for who has to divide by it."""
        known = self._queues.get(queue)
        return max(1, (known and known.consumers) or 1)

    def confirmed(self) -> None:
        """The broker answered a publish, whatever it said."""
        if self.blocked:
            log.info("broker.unblocked", next="requests are published again")
        self._unconfirmed = 0

    def timed_out(self) -> None:
        """A publish was not answered in time."""
        self._unconfirmed += 1
        if self._unconfirmed == BLOCKED_AFTER:
            log.warning("broker.blocked", next="requests are answered 503 until a probe is")
            self._asked.set()

    async def watch(self) -> None:
        """Look at the queues in use until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_around(), name="workers")
            tasks.create_task(self._probe(), name="probe")

    async def _look_around(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._look(self._names.workers, self._everybody)
                metrics.WORKERS.set(self._everybody.consumers or 0)
                for name, queue in self._due():
                    await self._look(name, queue)
            except Unavailable:
                pass  # a publish learns of it by itself; what was known stays
            self._tell()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._asked.wait()
            except TimeoutError:
                continue

    def _due(self) -> Iterable[tuple[str, _Queue]]:
        now = _now()
        for name in [name for name, one in self._queues.items() if now - one.used > IN_USE]:
            del self._queues[name]
        return list(
            islice(sorted(self._queues.items(), key=lambda item: item[1].looked), LOOKS_AT_ONCE)
        )

    async def _look(self, name: str, queue: _Queue) -> None:
        facts = await self._transport.look(name)
        queue.looked = _now()
        queue.consumers = 0 if facts is None else facts.consumers
        if queue.consumers:
            queue.absent_since, queue.told = None, False
        elif queue.absent_since is None:
            queue.absent_since = queue.looked

    def _abandoned(self, queue: _Queue, now: float) -> bool:
        """Whether nobody has been there for longer than the grace.

        Of a queue that was just looked at for the first time nothing else is known than whether
        there are workers at all.
        """
        if queue.consumers != 0:
            return False
        since = [one.absent_since for one in (queue, self._everybody)]
        return any(start is not None and now - start >= self._grace for start in since)

    def _tell(self) -> None:
        now = _now()
        for name, queue in self._queues.items():
            if not queue.told and self._abandoned(queue, now):
                queue.told = True
                log.warning("queue.unattended", queue=name, next="its requests are answered 503")
                self._unattended(name)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY)
            if not self.blocked:
                continue
            message = Message(
                body=b"", type=REQUEST_TYPE, correlation_id="", expiration=PROBE_WITHIN
            )
            try:
                await self._transport.publish(
                    self._names.requests, _NOBODY, message, within=PROBE_WITHIN
                )
            except Unconfirmed:
                continue
            except Unavailable as error:
                if not self._transport.connected:
                    continue
                log.debug("broker.answered", reason=str(error))
            self.confirmed()


def _now() -> float:
    return asyncio.get_running_loop().time()
