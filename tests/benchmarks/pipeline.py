"""`./dev bench pipeline`: the whole round trip over RabbitMQ, against a ceiling and rivals.

Ours is complete: sealed arguments, a claim and an outcome in Postgres with synchronous commits, a
script in a warm Node process, confirms both ways, the effect marked. The others only echo.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from shared.ledger import Ledger
from shared.telemetry import configure_logging
from tests.benchmarks import stack
from tests.benchmarks.measure import Call, Round, measure, median, spread
from tests.benchmarks.plot import Bar
from tests.benchmarks.report import Report, arguments, duration
from tests.benchmarks.rivals.no_ledger import NoLedger

FAST: Final = "trickle"
CLIENT: Final = "trickle, all by the client"
BARE: Final = "trickle, no ledger"
RAW: Final = "aio-pika echo"
CELERY: Final = "celery echo"
BY_HAND: Final = "celery + node"
FASTSTREAM: Final = "faststream echo"
COMMITS: Final = "two commits"
_ABOUT: Final = {
    RAW: "aio-pika echo, confirmed both ways, same wire options (ceiling)",
    FAST: "**Trickle: sealed, claimed, run in Node, recorded, confirmed**",
    CLIENT: "Trickle with `TRICKLE_BROKER_FAST_PATH=false`: the client does everything",
    BARE: "Trickle without its ledger (nothing is promised then)",
    CELERY: "Celery prefork 2, acks late, rpc backend: bare echo (rival)",
    FASTSTREAM: "FastStream `request`: bare echo, nothing confirmed (rival)",
    BY_HAND: "Celery, the task starts `node script.js` (what one writes by hand)",
    COMMITS: "two synchronous commits in a row, nothing else: a claim and an outcome (floor)",
}
_PROCESS: Final = {
    RAW: "raw", FAST: FAST, CLIENT: CLIENT, BARE: BARE,
    CELERY: "celery", FASTSTREAM: "faststream", BY_HAND: "celery",
}  # fmt: skip


@dataclass(slots=True)
class Found:
    """The rounds of every contestant, at many and at one; a floor has none at many."""

    many: dict[str, list[Round]]
    single: dict[str, list[Round]]


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Everything over one private RabbitMQ and one Postgres, interleaved."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(chosen.concurrency + 8))
    async with AsyncExitStack() as owned:
        scratch = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        report.progress("starting Postgres and RabbitMQ")
        its = await owned.enter_async_context(stack.servers())
        contestants: dict[str, Call] = {RAW: await owned.enter_async_context(stack.raw(its))}
        ledgers: dict[str, stack.Pipeline] = {}
        alone: dict[str, Call] = {}
        for name, fast in ((FAST, True), (CLIENT, False), (BARE, True)):
            if chosen.only and name != FAST:
                continue
            ledger = NoLedger if name == BARE else Ledger
            ours = await owned.enter_async_context(stack.pipeline(its, fast=fast, ledger=ledger))
            connection = await ours.connect()
            module = "tests.benchmarks.rivals.no_ledger" if name == BARE else stack.WORKER
            its.pids[name] = ours.start_worker(module).pid
            contestants[name] = partial(ours.call, connection)
            alone[name] = partial(ours.answer, connection)
            ledgers[name] = ours
        if not chosen.only:
            echo, by_hand = await owned.enter_async_context(stack.celery(its, scratch))
            contestants |= {CELERY: echo, BY_HAND: by_hand}
            contestants[FASTSTREAM] = await owned.enter_async_context(
                stack.faststream(its, scratch)
            )
        alone[COMMITS] = await owned.enter_async_context(stack.commits(its, 2))
        found = await _rounds(report, chosen, contestants, alone, its.pids)
        totals = await ledgers[FAST].counts()
    _report(report, chosen, found)
    report.line(
        f"The ledger afterwards: {totals.requests} requests, {totals.outcomes} outcomes,"
        f" {totals.undecided} undecided, {totals.unpublished} unpublished,"
        f" {totals.repeated} repeated."
    )


async def _rounds(
    report: Report,
    chosen: argparse.Namespace,
    contestants: dict[str, Call],
    alone: dict[str, Call],
    pids: dict[str, int],
) -> Found:
    singles = {name: call for name, call in contestants.items() if name != BY_HAND} | alone
    found = Found({name: [] for name in contestants}, {name: [] for name in singles})
    for call in contestants.values():
        await measure(call, concurrency=8, seconds=0.5)
    for number in range(chosen.rounds):
        for name, call in contestants.items():
            report.progress(f"round {number + 1} of {chosen.rounds}: {name}")
            many = await measure(
                call, concurrency=chosen.concurrency, seconds=chosen.seconds, pids=pids
            )
            found.many[name].append(many)
        for name, call in singles.items():
            one = await measure(call, concurrency=1, seconds=chosen.seconds / 2)
            found.single[name].append(one)
    return found


def _report(report: Report, chosen: argparse.Namespace, found: Found) -> None:
    report.line(f"## {chosen.concurrency} at a time")
    report.line()
    rows = []
    for name, rounds in found.many.items():
        ratios = _over(found, name, RAW)
        cpu = " / ".join(f"{_cpu(rounds, who):.0f}" for who in _who(name))
        rows.append(
            (
                _ABOUT[name],
                f"{median([one.rate for one in rounds]):.0f}",
                f"{median(ratios):.2f} ({spread(ratios)})",
                duration(median([one.percentile(50) for one in rounds])),
                duration(median([one.percentile(99) for one in rounds])),
                cpu,
                f"{sum(_cpu(rounds, who) for who in _who(name)):.0f}",
            )
        )
    cpu_head = "CPU us a call: client / server / broker / Postgres"
    report.table(("", "calls/s", "x ceiling (spread)", "p50", "p99", cpu_head, "sum"), rows)
    report.bars(
        "rates",
        f"Round trips a second, {chosen.concurrency} at a time",
        [
            Bar(
                name,
                median([one.rate for one in rounds]),
                min(one.rate for one in rounds),
                max(one.rate for one in rounds),
                ours=name.startswith("trickle"),
            )
            for name, rounds in found.many.items()
        ],
        "/s",
    )
    _singles(report, found)
    _targets(report, found)


def _singles(report: Report, found: Found) -> None:
    report.line("## One at a time")
    report.line()
    report.line("Until the answer: our effect is marked while the caller goes on.")
    report.line()
    floor = median([one.percentile(50) for one in found.single[RAW]])
    rows = []
    for name, rounds in found.single.items():
        p50s = [one.percentile(50) for one in rounds]
        p99 = median([one.percentile(99) for one in rounds])
        over = (median(p50s) - floor) * 1e3
        rows.append(
            (
                _ABOUT[name],
                duration(median(p50s)),
                duration(p99),
                spread(p50s),
                f"{over:+.1f} ms",
            )
        )
    report.table(("", "p50", "p99", "spread of p50", "over the ceiling's p50"), rows)


def _targets(report: Report, found: Found) -> None:
    rows: list[tuple[str, str, str]] = []

    def ratio(what: str, ours: str, other: str, wanted: float) -> None:
        if ours in found.many and other in found.many:
            rows.append((what, f"{median(_over(found, ours, other)):.2f}x", f"≥ {wanted}x"))

    ratio("rate over the raw aio-pika echo", FAST, RAW, 1.4)
    ratio("the same, through the client's public API alone", CLIENT, RAW, 1.1)
    ratio("rate over Celery's bare echo", FAST, CELERY, 2.5)
    ratio("rate over FastStream's request", FAST, FASTSTREAM, 4)
    ratio("rate over Celery starting Node", FAST, BY_HAND, 10)
    if CELERY in found.many:
        share = _total(found, FAST) / _total(found, CELERY)
        rows.append(("CPU of a call over Celery's", f"{share:.2f}x", "≤ 0.35x"))
    single = median(
        [
            ours.percentile(50) - raw.percentile(50)
            for ours, raw in zip(found.single[FAST], found.single[RAW], strict=True)
        ]
    )
    rows.append(("one at a time, p50 over the raw echo's", f"{single * 1e3:+.1f} ms", "≤ +1.5 ms"))
    report.line("## Against the targets")
    report.line()
    report.table(("", "measured", "target"), rows)


def _over(found: Found, ours: str, other: str) -> list[float]:
    pairs = zip(found.many[ours], found.many[other], strict=True)
    return [one.rate / base.rate for one, base in pairs]


def _who(name: str) -> tuple[str, ...]:
    return ("client", _PROCESS[name], "broker", "postgres")


def _cpu(rounds: list[Round], who: str) -> float:
    return median([one.cpu_per_call(who) for one in rounds])


def _total(found: Found, name: str) -> float:
    return sum(_cpu(found.many[name], who) for who in _who(name))


def main() -> int:
    """Run, print, write."""
    parser = arguments("pipeline", __doc__)
    parser.add_argument(
        "--concurrency", type=int, default=64, help="round trips at once (default 64)"
    )
    parser.add_argument(
        "--only", action="store_true", help="only the ceiling and ours, to compare two versions"
    )
    chosen = parser.parse_args()
    configure_logging("error", "console")
    report = Report("pipeline", "The pipeline: a script run over RabbitMQ", chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
