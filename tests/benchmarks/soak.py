"""`./dev bench soak`: both services under a steady load, and what grows per hour.

Logins over HTTP in two populations: a legacy database as the only authority (a script run each),
and first logins (a script run, an import with its hash). Memory is proportional (PSS), so that
what processes share is counted once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

import uvloop

from shared.telemetry import configure_logging
from tests.benchmarks import stack
from tests.benchmarks.installation import Installation, installation
from tests.benchmarks.measure import kilobytes, median, parents, percentile, tree
from tests.benchmarks.plot import Curve
from tests.benchmarks.report import Report, arguments, duration

MIB: Final = 1024 * 1024
SETTLING: Final = 0.25
"""The share of the time that counts as warming up: pools fill, caches fill."""
LOGIN: Final = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: email, email: email }), 2);
}"""


@dataclass(slots=True)
class Sample:
    """One look at everything."""

    at: float
    pss: dict[str, float]
    descriptors: dict[str, int]
    latencies: list[float]


@dataclass(slots=True)
class Load:
    """What was sent, and what came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    late: int = 0


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Load, and look every few seconds."""
    async with AsyncExitStack() as owned:
        folder = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        report.progress("starting Postgres, RabbitMQ and both services")
        servers = await owned.enter_async_context(stack.servers())
        site = await owned.enter_async_context(installation(servers, folder))
        await site.connect("legacy", LOGIN, import_mode=False)
        await site.connect("first", LOGIN)
        load, samples = Load(), list[Sample]()
        seconds = chosen.minutes * 60
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(report, site, load, samples, seconds))
            tasks.create_task(_send(site, "legacy", chosen.rate, load, seconds))
            tasks.create_task(_send(site, "first", chosen.rate / 10, load, seconds))
        _report(report, chosen, load, samples)


async def _send(site: Installation, realm: str, rate: float, load: Load, seconds: float) -> None:
    """Logins at a steady rate, whatever the answers take; bounded by what is in flight."""
    began, running = perf_counter(), set[asyncio.Task[None]]()
    for number in itertools.count():
        due = began + number / rate
        if due - began >= seconds:
            break
        await asyncio.sleep(max(due - perf_counter(), 0))
        if len(running) >= 200:
            load.late += 1
            continue
        name = f"{realm}-{number if realm == 'first' else number % 500}@example.com"
        task = asyncio.get_running_loop().create_task(_login(site, name, realm, load))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)


async def _login(site: Installation, name: str, realm: str, load: Load) -> None:
    before = perf_counter()
    status = await site.login(name, realm)
    load.statuses[status] += 1
    load.latencies.append(perf_counter() - before)


async def _watch(
    report: Report, site: Installation, load: Load, samples: list[Sample], seconds: float
) -> None:
    began = perf_counter()
    every = max(min(seconds / 60, 15.0), 1.0)
    while (at := perf_counter() - began) < seconds:
        latencies, load.latencies = load.latencies, []
        look = await asyncio.to_thread(_look, site.pids)
        samples.append(Sample(at, look[0], look[1], latencies))
        if len(samples) % 10 == 0:
            memory = ", ".join(f"{who} {size / MIB:.0f}" for who, size in look[0].items())
            report.progress(
                f"{at / 60:.1f} min, {sum(load.statuses.values())} logins, MiB: {memory}"
            )
        await asyncio.sleep(every)


def _look(pids: dict[str, int]) -> tuple[dict[str, float], dict[str, int]]:
    """PSS of each process and its children; descriptors of the two services themselves."""
    known = parents()
    memory, descriptors = {}, {}
    for who, pid in pids.items():
        members = tree(pid, known)
        if who == "worker":
            memory["worker (Python)"] = _pss(pid)
            memory["runners and launcher"] = sum(_pss(one) for one in members if one != pid)
        else:
            memory[who] = sum(map(_pss, members))
        if who in ("auth", "worker"):
            try:
                descriptors[who] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            except (FileNotFoundError, ProcessLookupError):
                descriptors[who] = 0
    return memory, descriptors


def _pss(pid: int) -> float:
    return kilobytes(pid, "Pss") * 1024.0


def slope(points: list[tuple[float, float]]) -> float:
    """Theil and Sen: the median of the slopes between all pairs, which no outlier moves."""
    pairs = itertools.combinations(points, 2)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0]]
    return median(slopes) if slopes else 0.0


def _report(report: Report, chosen: argparse.Namespace, load: Load, samples: list[Sample]) -> None:
    settled = [one for one in samples if one.at >= chosen.minutes * 60 * SETTLING]
    total = sum(load.statuses.values())
    report.line(
        f"{chosen.minutes:g} minutes at {chosen.rate:g} legacy-mode logins and {chosen.rate / 10:g}"
        f" first logins a second, over HTTP: {total} logins,"
        f" {load.statuses[200]} answered 200, {total - load.statuses[200]} otherwise"
        f" ({dict(load.statuses)}), {load.late} not sent because 200 were under way."
        f" Growth is counted after the first {SETTLING:.0%} of the time."
    )
    report.line()
    rows = []
    for who in samples[-1].pss:
        points = [(one.at / 3600, one.pss[who] / MIB) for one in settled]
        first, last = median([b for _, b in points[:5]]), median([b for _, b in points[-5:]])
        rows.append(
            (who, f"{first:.1f} MiB", f"{last:.1f} MiB", f"{slope(points):+.1f} MiB an hour")
        )
    for who in samples[-1].descriptors:
        points = [(one.at / 3600, float(one.descriptors[who])) for one in settled]
        rows.append(
            (
                f"{who}: descriptors",
                f"{points[0][1]:.0f}",
                f"{points[-1][1]:.0f}",
                f"{slope(points):+.1f} an hour",
            )
        )
    halves = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    for percent in (50, 99):
        first, last = (
            percentile([value for one in half for value in one.latencies] or [0.0], percent)
            for half in halves
        )
        rows.append(
            (f"p{percent} of a login, first and second half", duration(first), duration(last), "")
        )
    report.table(("", "after settling", "at the end", "growth"), rows)
    report.curves(
        "memory",
        "Memory (PSS) over the soak",
        [
            Curve(who, [(one.at / 60, one.pss[who] / MIB) for one in samples])
            for who in samples[-1].pss
        ],
        "minutes",
        "MiB",
    )


def main() -> int:
    """Run, print, write."""
    parser = arguments("soak", __doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default 30)")
    parser.add_argument(
        "--rate", type=float, default=10, help="legacy-mode logins a second (default 10)"
    )
    chosen = parser.parse_args()
    if chosen.short:
        chosen.minutes = min(chosen.minutes, 0.5)
    configure_logging("error", "console")
    report = Report("soak", "Soak: what grows", chosen, rounds=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
