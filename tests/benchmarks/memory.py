"""`./dev bench memory`: what a warm connection costs, by what its scripts have loaded.

Proportional memory (PSS) of a dozen alike: what they share is counted once. A worker that holds
many warm connections pays this for each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

import uvloop

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from shared.contracts import Action
from shared.telemetry import configure_logging
from tests.benchmarks.measure import kilobytes, median, spread
from tests.benchmarks.plot import Bar
from tests.benchmarks.report import Report, arguments
from tests.benchmarks.stack import ARGUMENTS

SCRIPTS: Final = {
    "nothing": (),
    "a database driver (`pg`)": ("pg",),
    "`pg` and `bcrypt`": ("pg", "bcrypt"),
    "four (`pg`, `bcrypt`, `mysql2`, `axios`)": ("pg", "bcrypt", "mysql2", "axios"),
}


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """One kind after the other, `count` alike at a time."""
    rows, bars = [], []
    for name, modules in SCRIPTS.items():
        report.progress(name)
        pss, rss = await _weigh(modules, chosen.count)
        mib = [value / 1024 for value in pss]
        rows.append(
            (
                name,
                f"{median(mib):.1f} MiB",
                spread(mib),
                f"{median([value / 1024 for value in rss]):.0f} MiB",
                f"{64 * median(mib) / 1024:.2f} GiB",
            )
        )
        bars.append(Bar(name.replace("`", ""), median(mib), min(mib), max(mib), ours=True))
    report.table(("loaded", "PSS each", "spread", "RSS each", "64 warm connections"), rows)
    report.bars("pss", f"PSS of a warm runner, {chosen.count} alike", bars, "MiB")
    report.table(
        ("", "measured", "target"),
        (("PSS of a warm runner with a database driver", rows[1][1], "≤ 16 MiB"),),
    )


async def _weigh(modules: tuple[str, ...], count: int) -> tuple[list[int], list[int]]:
    """Kilobytes of each of `count` runners after some calls."""
    loads = " ".join(f"require('{name}');" for name in modules)
    script = f"function login(a, b, callback) {{ {loads} callback(null, {{ user_id: a }}); }}"
    limits = PoolLimits(blanks=0, max_processes=count + 1)
    async with Pool(NodeCommand.installed(), limits=limits) as pool:
        loop = asyncio.get_running_loop()
        for number in range(count):
            bundle = Bundle(f"con_{number:016d}", "0" * 32, {Action.LOGIN: script}, {})
            for _ in range(20):
                await pool.run(
                    bundle, Action.LOGIN, ARGUMENTS, context={}, deadline=loop.time() + 20
                )
        await asyncio.sleep(1)
        pids = sorted(pool.pids())
        return [kilobytes(pid, "Pss") for pid in pids], [kilobytes(pid, "Rss") for pid in pids]


def main() -> int:
    """Run, print, write."""
    parser = arguments("memory", __doc__)
    parser.add_argument("--count", type=int, default=12, help="runners alike (default 12)")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.count = min(chosen.count, 4)
    configure_logging("error", "console")
    report = Report("memory", "Memory of a warm connection", chosen, rounds=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
