"""`./dev bench fairness`: what one connection's slow legacy store costs another connection.

A neighbour logs in at a steady rate; in every second round a tenant whose store takes 15 seconds
offers many times what it can take.
Real processes: an auth service, workers, RabbitMQ, Postgres. A failed verdict is exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from services.auth.migrate import migrate
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.telemetry import configure_logging
from tests.benchmarks.measure import median
from tests.benchmarks.report import Report, arguments, duration
from tests.load import Load, Logins, loaded
from tests.processes import System, eventually, system

LIMIT = 1.2
"""What the neighbour's p99 may grow by."""
STORE = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: email, email: email }), MS);
}"""
QUICK_MS, SLOW_MS = 30, 15_000
WORKERS = 2
NEIGHBOURS_RATE, TENANTS_RATE = 15.0, 4.0
"""Logins a second, offered whatever comes of them. What the tenant may have at
once ends half a login a second.

Together they leave the processors more than half idle: everything, this load too, runs on one
machine, and what is asked here is who waits for whose slots, not who waits for the processor."""
SLOTS, CONCURRENCY = 6, 4
"""Of a worker, and what the tenant may have of it at once."""
FIRST_RATE, FIRST = 0.6, 16.0
"""The tenant's first logins, from which auth learns how slow its store is."""
SATURATED = 4.0
"""Seconds until the tenant holds all that it can get."""


async def one_round(town: Load, seconds: float, *, tenant: bool) -> tuple[Logins, Logins]:
    """The neighbour's logins, and the tenant's."""
    if not tenant:
        return await town.offer("shop", NEIGHBOURS_RATE, seconds=seconds), Logins()
    async with asyncio.TaskGroup() as both:
        slow = both.create_task(town.offer("slow", TENANTS_RATE, seconds=seconds + SATURATED))
        await asyncio.sleep(SATURATED)
        quick = both.create_task(town.offer("shop", NEIGHBOURS_RATE, seconds=seconds))
    return quick.result(), slow.result()


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


@asynccontextmanager
async def built(folder: Path) -> AsyncIterator[tuple[Load, System]]:
    with EmbeddedPostgres() as postgres, PrivateRabbitMQ() as broker:
        await migrate(postgres.url)
        async with system(postgres.url, broker.url, folder) as its:
            await its.auth()
            options = {"import_mode": False}
            await its.connect("shop", STORE.replace("MS", str(QUICK_MS)), **options)
            await its.connect(
                "slow",
                STORE.replace("MS", str(SLOW_MS)),
                worker_concurrency=CONCURRENCY,
                **options,
            )
            for _ in range(WORKERS):
                await its.worker(TRICKLE_CONCURRENCY=str(SLOTS))
            async with loaded(its.client_id, its.url) as town:
                yield town, its


async def run(report: Report, chosen: argparse.Namespace) -> bool:
    """All rounds; whether the verdict holds."""
    alone: list[Logins] = []
    beside: list[Logins] = []
    tenants: list[Logins] = []
    with tempfile.TemporaryDirectory() as folder:
        async with built(Path(folder)) as (town, its):
            report.progress("warming up")
            await one_round(town, 3, tenant=False)
            await town.offer("slow", FIRST_RATE, seconds=FIRST)
            await eventually(its.settled, within=60)
            for number in range(chosen.rounds):
                report.progress(f"round {number + 1} of {chosen.rounds}")
                quick, _ = await one_round(town, chosen.seconds, tenant=False)
                alone.append(quick)
                quick, slow = await one_round(town, chosen.seconds, tenant=True)
                beside.append(quick)
                tenants.append(slow)
                await eventually(its.settled, within=60)
    return tell(report, alone, beside, tenants)


def tell(report: Report, alone: list[Logins], beside: list[Logins], tenants: list[Logins]) -> bool:
    report.line(
        f"A neighbour's store answers after {QUICK_MS} ms and gets {NEIGHBOURS_RATE:g} logins a"
        f" second. The tenant's takes {SLOW_MS // 1000} s and is offered {TENANTS_RATE:g} a second;"
        f" its `worker_concurrency` is {CONCURRENCY}. {WORKERS} workers of {SLOTS} slots, one"
        " auth service, everything on this machine; rounds alternate."
    )
    report.line()
    rows = [_row("neighbour, alone", alone), _row("neighbour, beside the tenant", beside)]
    report.table(["", "logins", "not answered 200", "p50", "p95", "p99", "p99 by round"], rows)
    before, after = (percentile(_all(rounds), 99) for rounds in (alone, beside))
    unanswered = sum(_missed(rounds) for rounds in (alone, beside))
    statuses = sum((one.statuses for one in tenants), Counter[int]())
    refused = [seconds for one in tenants for seconds in one.refused]
    report.table(
        ["tenant", "logins"],
        [
            ["answered 200", statuses[200]],
            ["timed out (403)", statuses[403]],
            ["refused at once (503)", statuses[503]],
            [
                "p50 and p99 of a refusal",
                f"{duration(median(refused or [0]))}, {duration(percentile(refused, 99))}",
            ],
            ["no answer", statuses[0]],
        ],
    )
    holds = after <= before * LIMIT and not unanswered
    report.line(
        f"**{'Holds' if holds else 'Does not hold'}**: the neighbour's p99 is"
        f" {after / before:.2f} times what it is alone (at most {LIMIT}), and {unanswered} of its"
        " logins were not answered."
    )
    return holds


def _row(name: str, rounds: list[Logins]) -> list[object]:
    taken = _all(rounds)
    p50, p95, p99 = (duration(percentile(taken, percent)) for percent in (50, 95, 99))
    by_round = ", ".join(duration(percentile(one.taken, 99)) for one in rounds)
    number = sum(sum(one.statuses.values()) for one in rounds)
    return [name, number, _missed(rounds), p50, p95, p99, by_round]


def _all(rounds: list[Logins]) -> list[float]:
    return [seconds for one in rounds for seconds in one.taken]


def _missed(rounds: list[Logins]) -> int:
    return sum(sum(one.statuses.values()) - one.statuses[200] for one in rounds)


def main() -> int:
    """Run it."""
    chosen = arguments("fairness", __doc__, rounds=8, seconds=20).parse_args()
    configure_logging("warning", "console")
    report = Report("fairness", "Fairness: a slow legacy store next door", chosen)
    holds = uvloop.run(run(report, chosen))
    report.write()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
