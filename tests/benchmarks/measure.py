"""Measuring: rounds of bounded length, latencies, and CPU of whole process trees."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

_TICKS = os.sysconf("SC_CLK_TCK")
Call = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Round:
    """What one round of one contestant came to."""

    calls: int
    seconds: float
    latencies: list[float] = field(repr=False)
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU seconds by process, children included."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def percentile(self, percent: float) -> float:
        """Latency in seconds."""
        return percentile(self.latencies, percent)

    def cpu_per_call(self, who: str) -> float:
        """Microseconds."""
        return self.cpu.get(who, 0.0) / self.calls * 1e6


async def measure(
    call: Call, *, concurrency: int, seconds: float, pids: dict[str, int] | None = None
) -> Round:
    """Call for `seconds` from `concurrency` loops, after a warm-up of a quarter of that."""
    await _drive(call, concurrency, seconds / 4)
    before = _cpu(pids or {})
    latencies, took = await _drive(call, concurrency, seconds)
    after = _cpu(pids or {})
    return Round(len(latencies), took, latencies, {who: after[who] - before[who] for who in after})


async def _drive(call: Call, concurrency: int, seconds: float) -> tuple[list[float], float]:
    latencies: list[float] = []
    began = perf_counter()

    async def loop() -> None:
        while perf_counter() - began < seconds:
            before = perf_counter()
            await call()
            latencies.append(perf_counter() - before)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(loop())
    return latencies, perf_counter() - began


def _cpu(pids: dict[str, int]) -> dict[str, float]:
    known = parents()
    spent = {who: sum(map(_spent, tree(pid, known))) for who, pid in pids.items()}
    own = os.times()
    return {"client": own.user + own.system, **spent}


def parents() -> dict[int, int]:
    """Every process's parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                found[int(entry.name)] = int(fields[1])
    return found


def tree(root: int, known: dict[int, int]) -> list[int]:
    """A process and all that descend from it, by `parents`."""
    members = {root}
    grown = True
    while grown:
        grown = False
        for pid, parent in known.items():
            if parent in members and pid not in members:
                members.add(pid)
                grown = True
    return sorted(members)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _spent(pid: int) -> float:
    fields = _stat(pid)
    # utime, stime, cutime, cstime: a reaped `node script.js` is its parent's
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def kilobytes(pid: int, name: str) -> int:
    """`Pss` or `Rss` of a process, in KiB; 0 when it is gone.

    Raises PermissionError for a service's unless we are root: it closes its memory to others.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Least to most, relative to the median."""
    middle = median(values) or 1.0
    return f"{min(values) / middle:.2f}-{max(values) / middle:.2f}"
