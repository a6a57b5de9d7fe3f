"""One campaign: everything up, load and faults beside each other, then the account."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.sealing import KeyRing
from tests.faults import evidence
from tests.faults.accounting import MARGIN, Evidence, Violation, account
from tests.faults.injectors import all_kinds
from tests.faults.installation import Installation, installation
from tests.faults.load import Load
from tests.faults.scheduler import Scheduler
from tests.faults.tap import Tap, open_tap

FIRST_ROUND: Final = 45.0
"""Seconds in which a short campaign spreads its requests, so that every kind of fault meets some."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do."""

    requests: int
    """At least; the load goes on until every kind of fault was there."""
    seed: int
    minutes: float = 60.0
    """The load ends then, whether all requests were made or not."""
    margin: float = MARGIN
    """Seconds after its scripts' deadline in which every caller has to be answered."""
    logs: Path | None = None
    """Where the services' logs are kept."""


@dataclass
class Campaign:
    """What was done, and what came of it."""

    order: Order
    load: Load
    scheduler: Scheduler
    evidence: Evidence
    seconds: float
    heaviest: dict[str, int]
    """Bytes, by replica."""
    copies: int
    """Requests that were published again."""
    clocks: bool
    violations: list[Violation] = field(default_factory=list)


async def run(order: Order, progress: Callable[[str], None]) -> Campaign:
    """Run one. Raises what starting servers may raise; a violation is a result."""
    async with installation(order.seed, order.logs) as its:
        await evidence.set_witness(its)
        ring = KeyRing.parse(its.system.ring)
        async with open_tap(its.rabbitmq.url, its.names, ring) as tap:
            return await _Run(order, its, tap, progress).run()


class _Run:
    def __init__(
        self, order: Order, its: Installation, tap: Tap, progress: Callable[[str], None]
    ) -> None:
        self._order = order
        self._its = its
        self._tap = tap
        self._progress = progress
        self._hurried = asyncio.Event()
        pace = FIRST_ROUND / order.requests if order.requests < 2000 else 0.0
        self._load = Load(its, order.seed, pace)
        hurry = 0.2 if order.requests < 2000 else 0.5
        self._scheduler = Scheduler(all_kinds(its, tap), order.seed, hurry)

    async def run(self) -> Campaign:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in (signal.SIGINT, signal.SIGTERM):  # what was seen until then is told
            loop.add_signal_handler(number, self._hurried.set)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._its.watch(), name="watch")
            telling = tasks.create_task(self._tell(began), name="progress")
            await self._torment()
            telling.cancel()
            self._progress("settling")
            left = await evidence.settled(self._its, self._tap)
            left += await evidence.bounds(self._its)
            watching.cancel()
        seconds = loop.time() - began
        found = await self._gather(left + await self._stop())
        heaviest = {replica.name: replica.heaviest for replica in self._its.replicas}
        clocks = any(worker.clock is not None for worker in self._its.workers)
        return Campaign(
            order=self._order,
            load=self._load,
            scheduler=self._scheduler,
            evidence=found,
            seconds=seconds,
            heaviest=heaviest,
            copies=self._tap.copies,
            clocks=clocks,
            violations=account(found),
        )

    async def _torment(self) -> None:
        """Until all requests are answered and every fault was there, or the time is over."""
        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(self._load.run(), name="load")
            striking = tasks.create_task(self._scheduler.run(), name="faults")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._order.minutes * 60):
                    while not (self._enough or self._hurried.is_set()):
                        await asyncio.sleep(0.2)
            self._load.stop()
            self._scheduler.stop()
            await asyncio.wait({loading, striking})

    @property
    def _enough(self) -> bool:
        return len(self._load.calls) >= self._order.requests and self._scheduler.all_struck

    async def _tell(self, began: float) -> None:
        while True:
            await asyncio.sleep(10)
            seconds = asyncio.get_running_loop().time() - began
            calls, faults = self._load.calls, self._scheduler.struck
            latest = faults[-1].kind if faults else "none yet"
            self._progress(
                f"{seconds:5.0f} s  {len(calls)} requests, {len(self._tap.published)} executions,"
                f" {len(faults)} faults, the latest: {latest}"
            )

    async def _stop(self) -> list[str]:
        """Stop all services in order; what they leave."""
        for worker in self._its.workers:
            self._its.remember(await asyncio.to_thread(worker.offspring))
        await self._its.stop()
        async with asyncio.timeout(20):
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    while self._its.survivors():
                        await asyncio.sleep(0.1)
            left = await evidence.waiting(self._its, self._tap)
        survivors = self._its.survivors()
        return left + ([f"processes {survivors} outlive their worker"] if survivors else [])

    async def _gather(self, left: list[str]) -> Evidence:
        its = self._its
        return Evidence(
            calls=self._load.calls,
            published=self._tap.published,
            recorded=await evidence.recorded(its),
            starts=its.store.starts,
            effects=its.store.effects,
            rewritten=await evidence.rewritten(its),
            applied_twice=await evidence.applied_twice(its),
            troubles={auth.name: auth.troubles for auth in its.auths},
            crashes=[text for replica in its.replicas for text in replica.deaths],
            left_behind=left,
            margin=self._order.margin,
            stumbles=self._scheduler.stumbles + self._load.stumbles,
        )
