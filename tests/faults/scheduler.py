"""The scheduler: which fault strikes when, from a seed.

Faults are dealt in lanes that run beside each other, so that a cut link may meet a dead worker.
Each lane shuffles its kinds and deals them all before any comes again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

LANES: Final = ("processes", "servers", "links", "messages", "clocks")
GAPS: Final = {
    "processes": (2.0, 6.0),
    "servers": (25.0, 60.0),
    "links": (1.0, 4.0),
    "messages": (1.0, 5.0),
    "clocks": (5.0, 15.0),
}
"""Seconds between two faults of a lane, the least and the most."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `strike` injects it, mends it, and says what it hit."""

    lane: str
    name: str
    strike: Callable[[random.Random], Awaitable[str]]


@dataclass(slots=True)
class Struck:
    """A fault that was injected; times are of the loop's clock."""

    kind: str
    began: float
    ended: float = float("inf")
    target: str = ""


@dataclass
class Scheduler:
    """Deals faults until it is told to stop; what is injected is always mended."""

    kinds: Sequence[Kind]
    seed: int
    hurry: float = 1.0
    """What the gaps are multiplied with in the first round."""
    struck: list[Struck] = field(default_factory=list)
    stumbles: list[str] = field(default_factory=list)
    """Faults that could not be injected, or not be mended."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _rounds: set[str] = field(default_factory=set)

    @property
    def all_struck(self) -> bool:
        """Whether every kind was injected and mended at least once."""
        return {kind.name for kind in self.kinds} <= {
            one.kind for one in self.struck if one.ended < float("inf")
        }

    def stop(self) -> None:
        """Inject nothing more; `run` ends when everything is mended."""
        self._stopping.set()

    async def run(self) -> None:
        """All lanes, until `stop`."""
        async with asyncio.TaskGroup() as lanes:
            for lane in LANES:
                kinds = [kind for kind in self.kinds if kind.lane == lane]
                if kinds:
                    lanes.create_task(self._lane(lane, kinds), name=lane)

    async def _lane(self, lane: str, kinds: list[Kind]) -> None:
        dice = random.Random(f"{self.seed} {lane}")  # noqa: S311 - to be repeated, not secret
        hurry = self.hurry
        while True:
            dice.shuffle(kinds)
            for kind in kinds:
                if await self._stopped_within(dice.uniform(*GAPS[lane]) * hurry):
                    return
                await self._strike(kind, dice)
            hurry = 1.0

    async def _strike(self, kind: Kind, dice: random.Random) -> None:
        loop = asyncio.get_running_loop()
        one = Struck(kind.name, loop.time())
        self.struck.append(one)
        # Its own dice: how often one kind draws must not decide what comes after it.
        try:
            one.target = await kind.strike(random.Random(dice.random()))  # noqa: S311
        except Exception as error:  # noqa: BLE001 - told in the end: a long run must not be lost
            self.stumbles.append(f"{kind.name}: {type(error).__name__} {error}")
        one.ended = loop.time()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
