"""Who waits for a runner, and who of them is served first.

In the order of their coming. But a warm runner first serves those who wait for it, for a turn at
least: evicting it for the next in line at once would make every call of a full pool a cold one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import count
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
    number: int
    """In the order of their coming."""

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
        self._lines: dict[tuple[str, str], dict[_Waiter[Lease], None]] = {}
        """One a bundle, the longest waiting first; none is empty."""
        self._numbers = count()

    def __len__(self) -> int:
        """How many."""
        return sum(map(len, self._lines.values()))

    async def wait(
        self, bundle: Bundle, deadline: float, give_back: Callable[[Lease], None]
    ) -> Lease | None:
        """Wait to be served; None at the deadline, or when everybody is sent away.

        `give_back` gets what was granted in the same instant in which the wait was cancelled.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(bundle, loop.create_future(), loop.time(), next(self._numbers))
        self._lines.setdefault(bundle.key, {})[waiter] = None
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
            self._leave(waiter)

    def serve(self) -> None:
        """Give what is free to those who wait.

        It looks at each bundle's first only: nothing for the first is nothing for those behind.
        """
        heads = [head for line in self._lines.values() if (head := _first(line)) is not None]
        if len(heads) == 1:  # it has nobody to be fair to
            order = [(False, heads[0].number, heads[0])]
        else:
            starving = any(map(self._starves, heads))
            order = [
                (not self._on_turn(head, others_starve=starving), head.number, head)
                for head in heads
            ]
            heapify(order)
        while order:
            behind, _, waiter = order[0]
            lease = self._take(waiter.bundle)
            if lease is None:
                heappop(order)
                continue
            line = self._lines[waiter.bundle.key]
            self._leave(waiter)
            waiter.lease.set_result(lease)
            head = _first(line)
            if head is None:
                heappop(order)
            else:
                heapreplace(order, (behind, head.number, head))

    def send_away(self) -> None:
        """Nobody is served any more."""
        for line in self._lines.values():
            for waiter in line:
                waiter.send_away()
        self._lines.clear()

    def _leave(self, waiter: _Waiter[Lease]) -> None:
        line = self._lines.get(waiter.bundle.key, {})
        line.pop(waiter, None)
        if not line:
            self._lines.pop(waiter.bundle.key, None)

    def _on_turn(self, waiter: _Waiter[Lease], *, others_starve: bool) -> bool:
        since = self._prospect(waiter.bundle).warm_since
        return since is not None and (not others_starve or _now() - since < TURN)

    def _starves(self, waiter: _Waiter[Lease]) -> bool:
        """Whether it waits for room, not for its own connection's runners, and for too long."""
        return not self._prospect(waiter.bundle).held and _now() - waiter.since > TURN


def _first(line: dict[_Waiter[Lease], None]) -> _Waiter[Lease] | None:
    """Who has left, but was not told yet, is passed over."""
    return next((waiter for waiter in line if not waiter.lease.done()), None)


def _now() -> float:
    return asyncio.get_running_loop().time()
