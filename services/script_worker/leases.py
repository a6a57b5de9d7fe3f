"""The claims this worker holds, kept alive together and given up together.

An execution lives and dies with its lease, not with a channel (I9): one statement renews all
leases every RENEW_EVERY. A claim that somebody else took, or that could not be renewed before the
lease ran out by our own clock, ends its execution here (self-fencing): from that instant another
worker or the reaper may decide it, so a script must not go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from shared.errors import Unavailable
from shared.ledger import LEASE, Ledger

log = structlog.get_logger(__name__)

RENEW_EVERY: Final = timedelta(milliseconds=1500)
"""Three tries fit into a lease of five seconds."""
_SAFETY: Final = timedelta(milliseconds=500)
"""We give up this much before the database would: clocks tick differently."""


class LeaseLost(Exception):
    """Somebody else may decide this execution now."""


class _Held:
    __slots__ = ("attempt", "good_until", "lost", "task")

    def __init__(self, attempt: int, good_until: float, task: asyncio.Task[object]) -> None:
        self.attempt = attempt
        self.good_until = good_until
        self.task = task
        self.lost = False


class Leases:
    """Every claim held by this worker."""

    def __init__(self, ledger: Ledger, worker: UUID) -> None:
        """`worker` is the owner written into the ledger's rows."""
        self._ledger = ledger
        self._worker = worker
        self._held: dict[UUID, _Held] = {}

    def __len__(self) -> int:
        """Claims held now."""
        return len(self._held)

    @asynccontextmanager
    async def hold(
        self, execution_id: UUID, attempt: int, asked: float
    ) -> AsyncIterator[Callable[[], None]]:
        """Keep a claim alive inside the block; raises LeaseLost when that fails.

        `asked`: loop time before the claim was asked for. The database's lease can only have begun
        later, however late we heard of it. Inside, what it yields raises LeaseLost if the lease is
        over: for the last moment before a start, since a pause may have been longer than a lease.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        held = _Held(attempt, _lasts(asked), task)

        def check() -> None:
            if held.good_until <= asyncio.get_running_loop().time():
                log.warning("lease.lost", execution_id=str(execution_id), next="it is not started")
                raise LeaseLost

        self._held[execution_id] = held
        try:
            yield check
        except asyncio.CancelledError:
            if held.lost and task.uncancel() == 0:
                raise LeaseLost from None
            raise
        finally:
            self._held.pop(execution_id, None)

    async def keep(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(RENEW_EVERY.total_seconds())
            await self._renew()
            self._give_up_overdue()

    async def _renew(self) -> None:
        asked = {execution_id: held.attempt for execution_id, held in self._held.items()}
        if not asked:
            return
        # Judged from before the statement: the database's lease can only be later than that.
        fresh = _lasts(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(RENEW_EVERY.total_seconds()):
                kept = await self._ledger.renew(self._worker, list(asked.items()))
        except (Unavailable, TimeoutError):
            log.warning("leases.not_renewed", held=len(asked), next="retried until they run out")
            return
        for execution_id, attempt in asked.items():
            held = self._held.get(execution_id)
            if held is None or held.attempt != attempt:
                continue
            if execution_id in kept:
                held.good_until = fresh
            else:
                self._lose(execution_id, held)

    def _give_up_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        # A renewal takes at most RENEW_EVERY and the next look comes that much later.
        horizon = now + RENEW_EVERY.total_seconds()
        for execution_id, held in list(self._held.items()):
            if held.good_until < horizon:
                self._lose(execution_id, held)

    def _lose(self, execution_id: UUID, held: _Held) -> None:
        if held.lost:
            return
        held.lost = True
        log.warning("lease.lost", execution_id=str(execution_id), next="its runner is killed")
        held.task.cancel()


def _lasts(since: float) -> float:
    return since + (LEASE - _SAFETY).total_seconds()
