"""`./dev bench connections`: a thousand connections, and traffic as tenants have it.

A few connections have most of the traffic (Zipf, exponent 1). One worker keeps some of them warm;
the others' calls take a blank. What counts: how many calls find a warm runner, what the others
wait, and what a thousand queues cost.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

import uvloop

from services.auth.connections import Connection
from shared.contracts import Action, Succeeded
from shared.errors import Unavailable
from shared.telemetry import configure_logging
from tests.benchmarks import stack
from tests.benchmarks.measure import kilobytes, median, parents, percentile, tree
from tests.benchmarks.plot import Curve
from tests.benchmarks.report import Report, arguments, duration

WARM: Final = 48
"""Processes that the worker may have, two of them blanks."""
BLANKS: Final = 2
IN_FLIGHT: Final = 4


@dataclass(slots=True)
class Calls:
    """What came of the calls."""

    warm: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    failed: int = 0
    ideal_hits: int = 0


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Make the connections, then call them."""
    async with AsyncExitStack() as owned:
        report.progress("starting Postgres and RabbitMQ")
        its = await owned.enter_async_context(stack.servers())
        ours = await owned.enter_async_context(stack.pipeline(its))
        before, began = _weight(its.pids["broker"]), perf_counter()
        made: list[Connection] = []
        for number in range(chosen.connections):
            made.append(await ours.connect(concurrency=2))
            if (number + 1) % 100 == 0:
                report.progress(f"{number + 1} connections")
        created = (perf_counter() - began) / chosen.connections
        after = _weight(its.pids["broker"])
        began = perf_counter()
        worker = ours.start_worker(
            TRICKLE_MAX_PROCESSES=str(WARM),
            TRICKLE_BLANKS=str(BLANKS),
            TRICKLE_PROCESSES_PER_CONNECTION="1",
        )
        its.pids["worker"] = worker.pid
        await _consumed(ours, made[-1])
        consuming = perf_counter() - began
        calls = await _traffic(report, ours, made, chosen.calls)
        weight = kilobytes(worker.pid, "Pss")
    _report(report, chosen, calls)
    report.table(
        ("what a connection costs", ""),
        (
            ("creating one, its queue declared", duration(created)),
            ("broker, each", f"{max(after - before, 0) / chosen.connections:.0f} KiB"),
            ("a worker that starts consumes all of them after", duration(consuming)),
            ("the worker's Python process at the end", f"{weight / 1024:.0f} MiB"),
        ),
    )


async def _consumed(ours: stack.Pipeline, last: Connection) -> None:
    """Wait until the worker has come to the last connection's queue."""
    async with asyncio.timeout(300):
        while True:
            try:
                return await ours.call(last)
            except (AssertionError, Unavailable):  # nobody consumes it yet, which is told soon
                await asyncio.sleep(0.2)


def _weight(pid: int) -> int:
    """KiB of a process and its children."""
    return sum(kilobytes(one, "Pss") for one in tree(pid, parents()))


async def _traffic(
    report: Report, ours: stack.Pipeline, made: Sequence[Connection], total: int
) -> Calls:
    """Calls by popularity; a least-recently-used list of the same size says what is ideal."""
    chance = random.Random(7)  # noqa: S311 - the same traffic each time
    weights = [1 / rank for rank in range(1, len(made) + 1)]
    wanted = chance.choices(range(len(made)), weights, k=total)
    calls, recent = Calls(), OrderedDict[int, None]()
    todo = iter(wanted)

    async def caller() -> None:
        for number, index in enumerate(todo):
            calls.ideal_hits += index in recent
            recent[index] = None
            recent.move_to_end(index)
            if len(recent) > WARM - BLANKS:
                recent.popitem(last=False)
            before = perf_counter()
            answer = await ours.executions.run(made[index], Action.LOGIN, stack.ARGUMENTS)
            took = perf_counter() - before
            if not isinstance(answer.result.outcome, Succeeded):
                calls.failed += 1
                continue
            runner = answer.result.runner
            (calls.warm if runner is not None and runner.warm else calls.cold).append(took)
            if number % 500 == 499:
                report.progress(f"{len(calls.warm) + len(calls.cold)} of {total} calls")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(caller())
    return calls


def _report(report: Report, chosen: argparse.Namespace, calls: Calls) -> None:
    done = len(calls.warm) + len(calls.cold)
    rows = [
        (name, len(values), f"{len(values) / done:.1%}", *_latency(values))
        for name, values in (("warm", calls.warm), ("blank or cold", calls.cold))
    ]
    report.line(
        f"{chosen.connections} connections, {done} calls, {IN_FLIGHT} at a time, one worker with at"
        f" most {WARM - BLANKS} bound runners and {BLANKS} blanks; {calls.failed} calls failed."
        f" A least-recently-used list of that size would have had {calls.ideal_hits / done:.1%}."
    )
    report.line()
    report.table(("a call's runner", "calls", "share", "p50", "p99"), rows)
    report.curves(
        "latency",
        "How long a call takes, by its runner",
        [
            Curve(name, [(percentile(values, at) * 1e3, at) for at in range(1, 99)])
            for name, values in (("warm", calls.warm), ("blank or cold", calls.cold))
            if values
        ],
        "milliseconds",
        "percent of calls that took no longer",
    )


def _latency(values: list[float]) -> tuple[str, str]:
    return (duration(median(values)), duration(percentile(values, 99))) if values else ("", "")


def main() -> int:
    """Run, print, write."""
    parser = arguments("connections", __doc__)
    parser.add_argument("--connections", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--calls", type=int, default=5000, help="how many (default 5000)")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.connections, chosen.calls = min(chosen.connections, 60), min(chosen.calls, 300)
    configure_logging("error", "console")
    report = Report("connections", "Many connections, Zipf traffic", chosen, rounds=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
