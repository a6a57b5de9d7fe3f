"""Who waits for a runner, and who of them is served first.

In the order of their coming. But a warm runner first serves those who wait for it, for a turn at
least: evicting it for the next in line at once would make every call of a full pool a cold one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from services.script_worker.bundle import Bundle

TURN: Final = 0.25
"""Seconds that a runner of a full pool serves its own connection before it has to make room for
one that has waited as long: cold starts then take a bounded share of the time."""

Lease = TypeVar("Lease")


@dataclass(frozen=True, slots=True)
class Prospect:
    """What somebody who waits may hope for, right now."""

    warm_since: float | None
    """When the runner that is free for its connection began to serve it; None if none is free."""
    held: bool
    """Its own connection's runners are all it can wait for: more room would not help."""


@dataclass(slots=True, eq=False)
class _Waiter(Generic[Lease]):
    bundle: Bundle
    lease: asyncio.Future[Lease | None]
    since: float

    def send_away(self) -> None:
        if not self.lease.done():
            self.lease.set_result(None)


class Waiting(Generic[Lease]):
    """Those who wait. Times are of the running loop's clock."""

    def __init__(
        self, take: Callable[[Bundle], Lease | None], prospect: Callable[[Bundle], Prospect]
    ) -> None:
        """`take` gives out what is free for a bundle, if anything is."""
        self._take = take
        self._prospect = prospect
        self._waiters: dict[_Waiter[Lease], None] = {}

    def __len__(self) -> int:
        """How many."""
        return len(self._waiters)

    async def wait(
        self, bundle: Bundle, deadline: float, give_back: Callable[[Lease], None]
    ) -> Lease | None:
        """Wait to be served; None at the deadline, or when everybody is sent away.

        `give_back` gets what was granted in the same instant in which the wait was cancelled.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(bundle, loop.create_future(), loop.time())
        self._waiters[waiter] = None
        overdue = loop.call_at(deadline, waiter.send_away)
        try:
            self.serve()
            return await waiter.lease
        except BaseException:
            if waiter.lease.done() and not waiter.lease.cancelled():
                lease = waiter.lease.result()
                if lease is not None:
                    give_back(lease)
            raise
        finally:
            overdue.cancel()
            self._waiters.pop(waiter, None)

    def serve(self) -> None:
        """Give what is free to those who wait."""
        if not self._waiters:
            return
        waiters = [waiter for waiter in self._waiters if not waiter.lease.done()]
        wanted = {waiter.bundle.key for waiter in waiters}
        if len(wanted) > 1:  # else they have nobody to be fair to
            starving = any(map(self._starves, waiters))
            waiters.sort(key=lambda waiter: not self._on_turn(waiter, others_starve=starving))
        for waiter in waiters:
            if waiter.bundle.key not in wanted:
                continue
            lease = self._take(waiter.bundle)
            if lease is not None:
                del self._waiters[waiter]
                waiter.lease.set_result(lease)
                continue
            wanted.discard(waiter.bundle.key)  # nothing for those behind it either
            if not wanted:
                return

    def send_away(self) -> None:
        """Nobody is served any more."""
        for waiter in self._waiters:
            waiter.send_away()
        self._waiters.clear()

    def _on_turn(self, waiter: _Waiter[Lease], *, others_starve: bool) -> bool:
        since = self._prospect(waiter.bundle).warm_since
        return since is not None and (not others_starve or _now() - since < TURN)

    def _starves(self, waiter: _Waiter[Lease]) -> bool:
        """Whether it waits for room, not for its own connection's runners, and for too long."""
        return not self._prospect(waiter.bundle).held and _now() - waiter.since > TURN


def _now() -> float:
    return asyncio.get_running_loop().time()
