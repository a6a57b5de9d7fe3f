"""`./dev bench login`: a login over HTTP, end to end, in three populations, against its parts.

Migrated: the password's argon2 hash is ours. First login: the legacy script runs, and the user is
imported with a hash. Legacy mode: the script runs each time. The parts are measured in the same
rounds: an argon2 verification, an argon2 hash, and a bare HTTP request to the same service.

A verification costs less when nothing comes between it and the next one. So what a migrated user's
login costs beside its own verification is read in auth itself: hashing has threads of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from services.auth.passwords import _HASHER as HASHER
from shared.telemetry import configure_logging
from tests.benchmarks import stack
from tests.benchmarks.installation import Installation, installation
from tests.benchmarks.measure import Call, Round, measure, median, spread
from tests.benchmarks.plot import Bar
from tests.benchmarks.report import Report, arguments, duration

PASSWORD: Final = "correct horse battery staple"
LOGIN: Final = "function login(email, password, callback) { callback(null, { user_id: email, email: email }); }"
VERIFY, HASH, HTTP = "argon2 verification", "argon2 hash", "bare HTTP request"
MIGRATED, FIRST, LEGACY = "migrated user", "first login", "legacy mode"
USERS: Final = 20
_numbers = itertools.count()


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Populations and parts, interleaved, one at a time."""
    async with AsyncExitStack() as owned:
        folder = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        report.progress("starting Postgres, RabbitMQ and both services")
        servers = await owned.enter_async_context(stack.servers())
        site = await owned.enter_async_context(installation(servers, folder))
        await site.connect("import", LOGIN)
        await site.connect("legacy", LOGIN, import_mode=False)
        for number in range(USERS):
            assert await site.login(f"user{number}@example.com", "import", PASSWORD) == 200
        stored = HASHER.hash(PASSWORD)
        contestants: dict[str, Call] = {
            VERIFY: partial(asyncio.to_thread, HASHER.verify, stored, PASSWORD),
            HASH: partial(asyncio.to_thread, HASHER.hash, PASSWORD),
            HTTP: lambda: site.http.get("/.well-known/openid-configuration"),
            MIGRATED: partial(_login, site, "import", "user{}@example.com", USERS),
            FIRST: partial(_login, site, "import", "new{}@example.com", 10**9),
            # Names of its own: a user_id is one user's in a tenant, whatever the connection.
            LEGACY: partial(_login, site, "legacy", "old{}@example.com", USERS),
        }
        found: dict[str, list[Round]] = {name: [] for name in contestants}
        own: list[float] = []
        for number in range(chosen.rounds):
            for name, call in contestants.items():
                report.progress(f"round {number + 1} of {chosen.rounds}: {name}")
                hashing, everything = _spent(site.pids["auth"])
                one = await measure(call, concurrency=1, seconds=chosen.seconds, pids=site.pids)
                found[name].append(one)
                if name == MIGRATED:
                    hashed, in_all = _spent(site.pids["auth"])
                    own.append((in_all - everything) / (hashed - hashing))
    _report(report, found, own)


async def _login(site: Installation, realm: str, name: str, users: int) -> None:
    who = name.format(next(_numbers) % users)
    status = await site.login(who, realm, PASSWORD)
    assert status == 200, status


def _cpu(name: str, one: Round) -> float:
    """Seconds of CPU: of all servers, or our own where the part is computed here."""
    if name in (VERIFY, HASH):
        return one.cpu["client"] / one.calls
    return sum(spent for who, spent in one.cpu.items() if who != "client") / one.calls


def _spent(pid: int) -> tuple[int, int]:
    """Nanoseconds on a CPU so far: of the threads beside the main one, which hash, and of all."""
    by_thread = {
        task.name: int((task / "schedstat").read_text().split()[0])
        for task in Path(f"/proc/{pid}/task").iterdir()
    }
    everything = sum(by_thread.values())
    return everything - by_thread[str(pid)], everything


def _report(report: Report, found: dict[str, list[Round]], own: list[float]) -> None:
    cpu = {name: [_cpu(name, one) for one in rounds] for name, rounds in found.items()}
    rows = []
    for name, rounds in found.items():
        p50s = [one.percentile(50) for one in rounds]
        auth = "" if name in (VERIFY, HASH) else _of(rounds, "auth")
        rows.append(
            (
                name,
                duration(median(p50s)),
                duration(median([one.percentile(99) for one in rounds])),
                spread(p50s),
                f"{median(cpu[name]) * 1e3:.2f} ms",
                auth,
                "" if not auth else _of(rounds, "worker"),
            )
        )
    heads = (
        "one at a time",
        "p50",
        "p99",
        "spread of p50",
        "CPU, all servers",
        "of auth",
        "of the worker",
    )
    report.table(heads, rows)
    report.bars(
        "cpu",
        "CPU of a login, all servers",
        [
            Bar(
                name,
                median(values) * 1e3,
                min(values) * 1e3,
                max(values) * 1e3,
                ours=name in (MIGRATED, FIRST, LEGACY),
            )
            for name, values in cpu.items()
        ],
        "ms",
    )
    migrated = [
        a.cpu["auth"] / a.calls / _cpu(VERIFY, b)
        for a, b in zip(found[MIGRATED], found[VERIFY], strict=True)
    ]
    sums = {
        MIGRATED: (VERIFY, HTTP),
        FIRST: (LEGACY, HASH),
    }
    targets = [
        (
            "migrated: auth's CPU over its argon2 verification",
            f"{median(own):.2f}x ({spread(own)})",
            "≤ 1.15x",
        ),
        (
            "migrated: auth's CPU over a verification, one right after the other",
            f"{median(migrated):.2f}x ({spread(migrated)})",
            "",
        ),
    ]
    for name, parts in sums.items():
        ratios = [
            cpu[name][number] / sum(cpu[part][number] for part in parts)
            for number in range(len(cpu[name]))
        ]
        targets.append(
            (
                f"{name}: CPU over {' + '.join(parts)}",
                f"{median(ratios):.2f}x ({spread(ratios)})",
                "near 1",
            )
        )
    report.table(("", "measured (spread)", "target"), targets)


def _of(rounds: list[Round], who: str) -> str:
    return f"{median([one.cpu_per_call(who) for one in rounds]) / 1e3:.2f} ms"


def main() -> int:
    """Run, print, write."""
    chosen = arguments("login", __doc__, rounds=4, seconds=3).parse_args()
    configure_logging("error", "console")
    report = Report("login", "A login over HTTP", chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
