"""`./dev bench outage`: the legacy store goes away; what others are told, and what migrated users notice."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import httpx
import uvloop

from services.auth.clients import REALM_GRANT
from services.auth.migrate import migrate
from services.standalone.embedded_postgres import EmbeddedPostgres, free_port
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.telemetry import configure_logging
from tests.benchmarks.measure import Round, measure, median, spread
from tests.benchmarks.report import Report, arguments, duration
from tests.processes import System, system

LOGIN = """function login(email, password, callback) {
  const net = require('net');
  const store = net.connect(PORT, '127.0.0.1');
  store.on('error', (error) => callback(error));
  store.on('connect', () => {
    store.end();
    if (password !== 'pw') return callback(new WrongUsernameOrPasswordError(email));
    callback(null, { user_id: email, email: email });
  });
}"""
MIGRATED = 20
REFUSED_WITHIN = 0.050
"""Seconds: the p99 of a refusal while the breaker is open."""
RECOVERS_WITHIN = 60.0


class Store:
    """The legacy store as a script sees it: something that listens, or doesn't."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", self.port)

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()


@dataclass
class Client:
    """Logs in over HTTP, and counts what it was told."""

    installation: System
    http: httpx.AsyncClient
    told: Counter[tuple[int, str]] = field(default_factory=Counter)
    strangers: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)
    refusals: list[float] = field(default_factory=list)

    async def login(self, username: str, password: str = "pw") -> tuple[int, str]:
        body = {
            "grant_type": REALM_GRANT,
            "client_id": self.installation.client_id,
            "username": username,
            "password": password,
            "realm": "shop",
        }
        answer = await self.http.post(f"{self.installation.url}/oauth/token", json=body)
        told = answer.status_code, answer.json().get("error", "")
        self.told[told] += 1
        return told

    async def migrated(self) -> None:
        await self.login(f"user{self.strangers() % MIGRATED}@example.com")

    async def stranger(self) -> None:
        """Somebody who is not migrated yet; a refusal's time counts, a probe's does not."""
        began = perf_counter()
        status, _ = await self.login(f"stranger{self.strangers()}@example.com", "a guess")
        if status == 503:
            self.refusals.append(perf_counter() - began)


@dataclass
class Figures:
    """Of all rounds."""

    up: list[Round] = field(default_factory=list)
    down: list[Round] = field(default_factory=list)
    beside: list[Round] = field(default_factory=list)
    refused: list[list[float]] = field(default_factory=list)
    refused_rate: list[float] = field(default_factory=list)
    recovered: list[float] = field(default_factory=list)
    migrated_told: Counter[tuple[int, str]] = field(default_factory=Counter)
    strangers_told: Counter[tuple[int, str]] = field(default_factory=Counter)


async def until(client: Client, wanted: int) -> float:
    """Seconds until a stranger is answered with this status."""
    began = perf_counter()
    while (await client.login(f"stranger{client.strangers()}@example.com", "x"))[0] != wanted:
        if perf_counter() - began > RECOVERS_WITHIN:
            raise TimeoutError(f"nobody was answered {wanted}")
        await asyncio.sleep(0.1)
    return perf_counter() - began


async def one_round(client: Client, store: Store, seconds: float, found: Figures, pid: int) -> None:
    """The store up, then down; migrated users in both, alone and beside refused strangers."""

    async def logins(call: Callable[[], Awaitable[None]], concurrency: int) -> Round:
        return await measure(call, concurrency=concurrency, seconds=seconds, pids={"auth": pid})

    client.told.clear()
    found.up.append(await logins(client.migrated, 2))
    found.migrated_told += client.told
    await store.down()
    await until(client, 503)

    client.told.clear()
    found.down.append(await logins(client.migrated, 2))
    found.migrated_told += client.told

    client.told.clear()
    client.refusals.clear()
    refusing = await logins(client.stranger, 2)
    found.refused.append(list(client.refusals))
    found.refused_rate.append(refusing.rate)
    found.strangers_told += client.told

    async def knocking() -> None:
        while True:
            await client.stranger()
            await asyncio.sleep(0.05)

    beside = asyncio.get_running_loop().create_task(knocking())
    found.beside.append(await logins(client.migrated, 2))
    beside.cancel()
    await store.up()
    found.recovered.append(await until(client, 403))


async def outage(report: Report, rounds: int, seconds: float) -> Figures:
    """Real processes over a real broker."""
    found, store = Figures(), Store()
    async with AsyncExitStack() as owned:
        scratch = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        postgres, broker = EmbeddedPostgres(), PrivateRabbitMQ()
        owned.callback(postgres.close)
        owned.callback(broker.close)
        report.progress("starting Postgres and RabbitMQ")
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(broker.start))
        await migrate(postgres.url)
        installation = await owned.enter_async_context(system(postgres.url, broker.url, scratch))
        auth = await installation.auth()
        await installation.worker()
        await store.up()
        owned.push_async_callback(store.down)
        await installation.connect("shop", LOGIN.replace("PORT", str(store.port)))
        http = await owned.enter_async_context(httpx.AsyncClient(timeout=30))
        client = Client(installation, http)
        for number in range(MIGRATED):
            told = await client.login(f"user{number}@example.com")
            assert told == (200, ""), told
        for number in range(rounds):
            report.progress(f"round {number + 1} of {rounds}")
            await one_round(client, store, seconds, found, auth.pid)
    return found


def told(counts: Counter[tuple[int, str]]) -> str:
    """Statuses with how often."""
    return ", ".join(
        f"{number} x {status} {error}".strip() for (status, error), number in counts.items()
    )


def page(report: Report, found: Figures) -> bool:
    """The figures; whether they hold."""
    refused = [percentile(one, 99) for one in found.refused]
    report.line("## Who is not migrated yet, while the breaker is open")
    report.line()
    report.table(
        ("", "p50", "p99", "spread of p99", "target"),
        [
            (
                "503 `temporarily_unavailable`, 2 at a time",
                duration(median([percentile(one, 50) for one in found.refused])),
                duration(median(refused)),
                spread(refused),
                f"p99 {REFUSED_WITHIN * 1e3:.0f} ms",
            )
        ],
    )
    report.line(f"Answers: {told(found.strangers_told)}. The few that are no 503 were probes.")
    waits = ", ".join(f"{seconds:.1f} s" for seconds in found.recovered)
    report.line(f"Once the store was back, the next was asked after {waits}.")
    report.line()
    report.line("## Who is migrated")
    report.line()
    report.line("Ratios to the round before the outage, of the same run.")
    report.line()
    rows, ratios = [], []
    for name, rounds in (
        ("the store is up", found.up),
        ("the store is down, the breaker open", found.down),
        ("the same, beside 20 refused strangers a second", found.beside),
    ):
        cpu = [one.cpu_per_call("auth") for one in rounds]
        p50 = [one.percentile(50) for one in rounds]
        times_cpu = [
            a.cpu_per_call("auth") / b.cpu_per_call("auth")
            for a, b in zip(rounds, found.up, strict=True)
        ]
        times = [a.percentile(50) / b.percentile(50) for a, b in zip(rounds, found.up, strict=True)]
        ratios.append((median(times_cpu), median(times)))
        p99 = median([one.percentile(99) for one in rounds])
        rows.append(
            (
                *(
                    name,
                    f"{median(cpu) / 1e3:.1f} ms",
                    f"{median(times_cpu):.2f}",
                    spread(times_cpu),
                ),
                *(duration(median(p50)), f"{median(times):.2f}", spread(times), duration(p99)),
            )
        )
    heads = ("", "CPU of auth a login", "ratio", "spread", "p50", "ratio", "spread", "p99")
    report.table(heads, rows)
    report.line(f"Answers: {told(found.migrated_told)}.")
    unharmed = set(found.migrated_told) == {(200, "")}
    return unharmed and median(refused) <= REFUSED_WITHIN


def percentile(values: list[float], percent: float) -> float:
    """Of one round's times, in seconds."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def main() -> int:
    """Run, print, write; 1 when migrated users noticed, or refusals took too long."""
    parser = arguments("outage", __doc__, rounds=3)
    chosen = parser.parse_args()
    configure_logging("error", "console")
    report = Report("outage", "An outage of the legacy store", chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        found = loop.run(outage(report, chosen.rounds, chosen.seconds))
    holds = page(report, found)
    report.write()
    return 0 if holds else 1
