"""`./dev bench coldstart`: the first call of a connection, by what is ready for it.

Bare: `node` with an empty program. Cold: no blank is there. Blank: one is, with nothing loaded.
Pre-loaded: one that has loaded what the connections' scripts lately asked for. Also what the
worker's event loop pays for a start, and how soon the corner cases are told.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Final

import uvloop

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from shared.contracts import Action
from shared.telemetry import configure_logging
from tests.benchmarks.measure import median, percentile, spread
from tests.benchmarks.plot import Bar
from tests.benchmarks.report import Report, arguments, duration
from tests.benchmarks.stack import ARGUMENTS, LOGIN

WITH_DRIVER: Final = (
    "function login(email, password, callback) {"
    " require('pg'); require('bcrypt'); callback(null, { user_id: 1, email: email }); }"
)
SPIN: Final = "function login(a, b, callback) { if (b === 'x') return callback(); for (;;) {} }"
STALL: Final = "function login(a, b, callback) { if (b === 'x') callback(); }"
_numbers = itertools.count()
BARE, COLD, COLD_DRIVER = "bare `node -e ''`", "no blank", "no blank, `pg` and `bcrypt`"
BLANK, LOADED = "blank", "pre-loaded blank, `pg` and `bcrypt`"
LATE, STALLED, LOOP = "deadline", "stalled", "loop"


async def call(pool: Pool, script: str, budget: float = 20) -> float:
    """The first call of a connection of its own; seconds."""
    name = f"con_{next(_numbers):016d}"
    bundle = Bundle(name, "0" * 32, {Action.LOGIN: script}, {})
    loop = asyncio.get_running_loop()
    before = perf_counter()
    await pool.run(bundle, Action.LOGIN, ARGUMENTS, context={}, deadline=loop.time() + budget)
    return perf_counter() - before


async def ready(pool: Pool, blanks: int) -> None:
    """Wait until the blanks are there, and nothing else is starting."""
    async with asyncio.timeout(30):
        while pool.states()["blank"] < blanks:
            await asyncio.sleep(0.02)


async def bare() -> float:
    """A Node process with nothing to do."""
    before = perf_counter()
    process = await asyncio.create_subprocess_exec(str(NodeCommand.installed().node), "-e", "")
    await process.wait()
    return perf_counter() - before


async def stall_of(pool: Pool) -> float:
    """The longest that the event loop stood still while a runner was started for a call."""
    longest, running = 0.0, True

    async def tick() -> None:
        nonlocal longest
        last = perf_counter()
        while running:
            await asyncio.sleep(0)
            now = perf_counter()
            longest, last = max(longest, now - last), now

    ticking = asyncio.get_running_loop().create_task(tick())
    await call(pool, LOGIN)
    running = False
    await ticking
    return longest


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Every way, in turns."""
    command, found = NodeCommand.installed(), dict[str, list[float]]()

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)

    none = PoolLimits(blanks=0)
    async with (
        Pool(command, limits=none) as cold,
        Pool(command, limits=PoolLimits(blanks=1)) as plain,
        Pool(command, limits=PoolLimits(blanks=1)) as loaded,
    ):
        # What a blank loads ahead is learnt from the connections that were bound before.
        for _ in range(3):
            await ready(loaded, 1)
            await call(loaded, WITH_DRIVER)
        for number in range(chosen.repeats):
            report.progress(f"{number + 1} of {chosen.repeats}")
            note(BARE, await bare())
            note(COLD, await call(cold, LOGIN))
            note(COLD_DRIVER, await call(cold, WITH_DRIVER))
            await ready(plain, 1)
            note(BLANK, await call(plain, LOGIN))
            await ready(loaded, 1)
            note(LOADED, await call(loaded, WITH_DRIVER))
            await ready(loaded, 1)
            note(LATE, await call(loaded, SPIN, 0.3) - 0.3)
            await ready(loaded, 1)
            note(STALLED, await call(loaded, STALL))
            await ready(loaded, 1)
            note(LOOP, await stall_of(cold))
    _report(report, found)


def _report(report: Report, found: dict[str, list[float]]) -> None:
    floor = median(found[BARE])
    rows = [
        (
            name,
            duration(median(values)),
            duration(percentile(values, 95)),
            spread(values),
            f"{median(values) / floor:.2f}",
        )
        for name in (BARE, COLD, COLD_DRIVER, BLANK, LOADED)
        if (values := found[name])
    ]
    report.table(("first call of a connection", "p50", "p95", "spread", "x bare Node"), rows)
    report.bars(
        "first",
        "First call of a connection, p50",
        [
            Bar(name.replace("`", ""), median(found[name]) * 1e3, ours=name != BARE)
            for name in (BARE, COLD, COLD_DRIVER, BLANK, LOADED)
        ],
        "ms",
    )
    told: Callable[[str], tuple[str, str]] = lambda name: (  # noqa: E731 - a row's middle
        duration(median(found[name])),
        duration(max(found[name])),
    )
    report.table(
        ("", "p50", "max", "target for p50"),
        (
            ("first call, blank", *told(BLANK), "≤ 5 ms"),
            ("first call, pre-loaded with a driver", *told(LOADED), "≤ 5 ms"),
            ("answer after the deadline of a spinning script", *told(LATE), "≤ 3 ms"),
            ("`callback` never called, nothing pending; bind included", *told(STALLED), "≤ 10 ms"),
            ("event loop stands still for a start", *told(LOOP), "≤ 10 ms"),
        ),
    )


def main() -> int:
    """Run, print, write."""
    parser = arguments("coldstart", __doc__)
    parser.add_argument("--repeats", type=int, default=20, help="of each way (default 20)")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.repeats = min(chosen.repeats, 4)
    configure_logging("error", "console")
    report = Report("coldstart", "Cold start: the first call of a connection", chosen, rounds=False)
    report.line(f"{chosen.repeats} of each, in turns.")
    report.line()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
