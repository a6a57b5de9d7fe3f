"""`./dev bench scaling`: one worker to N, with scripts that wait for 100 ms.

A legacy login mostly waits for its database. Ideal: as many at once as all workers together have
slots, each taking 100 ms. What is lost is our own work between a script's end and the next start.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import uvloop

from shared.telemetry import configure_logging
from tests.benchmarks import stack
from tests.benchmarks.measure import Round, measure, median, spread
from tests.benchmarks.plot import Curve
from tests.benchmarks.report import Report, arguments, duration

SCRIPT_SECONDS: Final = 0.1
LOGIN: Final = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: 1, email: email }), 100);
}"""
SLOTS: Final = 4
"""Runners of a worker. Each takes one call at a time, so this is what a worker does at once."""


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Start a worker, measure, start another one."""
    async with AsyncExitStack() as owned:
        report.progress("starting Postgres and RabbitMQ")
        its = await owned.enter_async_context(stack.servers())
        ours = await owned.enter_async_context(stack.pipeline(its))
        # Twice what runs: a worker's next request is there when a runner becomes free.
        connection = await ours.connect(LOGIN, concurrency=2 * SLOTS)
        call = partial(ours.call, connection)
        found: dict[int, list[Round]] = {}
        for workers in range(1, chosen.workers + 1):
            ours.start_worker(
                TRICKLE_PROCESSES_PER_CONNECTION=str(SLOTS), TRICKLE_CONCURRENCY=str(2 * SLOTS)
            )
            await measure(call, concurrency=3 * SLOTS * workers, seconds=2.0)
            for number in range(chosen.rounds):
                report.progress(f"{workers} workers, round {number + 1} of {chosen.rounds}")
                one = await measure(
                    call, concurrency=3 * SLOTS * workers, seconds=chosen.seconds, pids=its.pids
                )
                found.setdefault(workers, []).append(one)
    _report(report, found)


def _report(report: Report, found: dict[int, list[Round]]) -> None:
    rows = []
    for workers, rounds in found.items():
        ideal = workers * SLOTS / SCRIPT_SECONDS
        shares = [one.rate / ideal for one in rounds]
        rows.append(
            (
                workers,
                f"{ideal:.0f}",
                f"{median([one.rate for one in rounds]):.1f}",
                f"{median(shares):.1%}",
                spread(shares),
                duration(median([one.percentile(50) for one in rounds])),
            )
        )
    heads = (
        "workers",
        "ideal a second",
        "measured",
        "of ideal",
        "spread",
        "p50, queueing included",
    )
    report.table(heads, rows)
    last = max(found)
    report.curves(
        "rates",
        "Logins a second with 100 ms scripts",
        [
            Curve("ideal", [(0, 0), (last, last * SLOTS / SCRIPT_SECONDS)], dashed=True),
            Curve(
                "measured",
                [(0, 0)]
                + [
                    (count, median([one.rate for one in rounds])) for count, rounds in found.items()
                ],
            ),
        ],
        f"workers of {SLOTS} runners",
        "logins a second",
    )
    report.line("Target: ≥ 95 % of ideal, as far as the cores carry.")


def main() -> int:
    """Run, print, write."""
    parser = arguments("scaling", __doc__, rounds=3, seconds=4)
    parser.add_argument("--workers", type=int, default=4, help="at most (default 4)")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.workers = min(chosen.workers, 2)
    configure_logging("error", "console")
    report = Report("scaling", "Scaling: one worker to several", chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
