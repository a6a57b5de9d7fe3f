"""`./dev bench parity`: whether anybody can tell known, unknown and migrated users apart by denials."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import combinations, count
from time import perf_counter
from typing import Final

import bcrypt
import httpx
import uvloop

from services.auth.floors import WINDOW
from services.auth.migrate import migrate
from services.standalone.embedded_postgres import EmbeddedPostgres
from shared.telemetry import configure_logging
from tests.benchmarks.measure import median
from tests.benchmarks.report import Report, arguments, duration
from tests.site import Site, opened

# A store that hashes only for names it knows, as they do in the wild.
LOGIN = """function login(email, password, callback) {
  setTimeout(() => {
    if (!/^(known|migrated)/.test(email)) return callback(null);
    require('bcrypt').compare(password, HASH, (error, same) => {
      if (error) return callback(error);
      if (!same) return callback(new WrongUsernameOrPasswordError(email));
      callback(null, { user_id: email, email: email });
    });
  }, 5 + Math.random() * 10);
}"""
GET_USER = """function getUser(email, callback) {
  setTimeout(() => {
    if (!/^(known|migrated)/.test(email)) return callback(null);
    callback(null, { user_id: email, email: email });
  }, 5 + Math.random() * 10);
}"""
PASSWORD = "correct horse 42"
PEOPLE = 10
WARM_UP = 40
UNDER_WAY = 100
"""Behind their answers."""
APART = "told apart"
CONFIDENCE: Final = 2.576
"""Standard errors: 99 %, as three pairs are compared."""
INDIFFERENT: Final = 0.1
"""How far from a coin's 0.5 the chance to order two answers rightly may be, at most."""
VARIED: Final = {"date", "x-trickle-request-id", "x-auth0-requestid", "content-length"}
Ask = Callable[[Site, str], Awaitable[httpx.Response]]


@dataclass
class Seen:
    """What one group of users was answered."""

    times: list[float] = field(default_factory=list)
    answers: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Comparison:
    """The chance that the second of two groups takes longer, a tie counting half (AUC)."""

    pair: tuple[str, str]
    auc: float
    error: float

    @property
    def low(self) -> float:
        return self.auc - CONFIDENCE * self.error

    @property
    def high(self) -> float:
        return self.auc + CONFIDENCE * self.error

    @property
    def alike(self) -> bool:
        """Shown to be: too few samples show nothing."""
        return 0.5 - INDIFFERENT < self.low and self.high < 0.5 + INDIFFERENT

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.alike:
            return "alike"
        apart = self.high < 0.5 - INDIFFERENT or self.low > 0.5 + INDIFFERENT
        return APART if apart else "undecided"


def compare(pair: tuple[str, str], first: list[float], second: list[float]) -> Comparison:
    """Mann and Whitney's statistic; its standard error after Hanley and McNeil (1982)."""
    ordered = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    wins = seen = 0.0
    for _, times in _ties(ordered):
        firsts = times.count(0)
        seconds = len(times) - firsts
        wins += seconds * (seen + firsts / 2)
        seen += firsts
    n, m = len(first), len(second)
    auc = wins / (n * m)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (m - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)
    return Comparison(pair, auc, math.sqrt(max(variance, 0.0) / (n * m)))


def _ties(ordered: list[tuple[float, int]]) -> Iterator[tuple[float, list[int]]]:
    at = 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        yield ordered[at][0], [group for _, group in ordered[at:end]]
        at = end


_guesses = count()


async def deny(site: Site, who: str) -> httpx.Response:
    """A wrong password, never the same twice."""
    return await site.login(f"guess {next(_guesses)}", who)


async def forget(site: Site, who: str) -> httpx.Response:
    """A forgotten password."""
    body = {"client_id": site.client_id, "connection": "shop", "email": who}
    return await site.http.post("/dbconnections/change_password", json=body)


async def take(site: Site, who: str) -> httpx.Response:
    """A sign-up under a name that somebody has."""
    body = {
        "client_id": site.client_id,
        "connection": "shop",
        "email": who,
        "password": "Another horse 42",
    }
    return await site.http.post("/dbconnections/signup", json=body)


QUESTIONS: dict[str, tuple[Ask, tuple[str, ...]]] = {
    "a wrong password": (deny, ("migrated", "known", "unknown")),
    "a forgotten password": (forget, ("migrated", "known", "unknown")),
    "a sign-up under a taken name": (take, ("migrated", "known")),
}
"""What is asked, and who must look alike. A free name can be signed up: that one differs."""


async def sample(
    site: Site, ask: Ask, groups: tuple[str, ...], number: int, busy: int = 2
) -> dict[str, Seen]:
    """So many of each group, in random order, so that whatever else happens happens to all."""
    found = {group: Seen() for group in groups}
    order = [group for group in groups for _ in range(number)]
    random.shuffle(order)

    async def loop() -> None:
        while order:
            group = order.pop()
            who = f"{group}{random.randrange(PEOPLE)}@example.com"  # noqa: S311
            while len(site.auth.state.tasks) > UNDER_WAY:  # or some are told 503, whoever they are
                await asyncio.sleep(0.01)
            began = perf_counter()
            answer = await ask(site, who)
            found[group].times.append(perf_counter() - began)
            found[group].answers.add(shape(answer))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(busy):
            tasks.create_task(loop())
    return found


def shape(answer: httpx.Response) -> str:
    """Status, headers and body, without what differs from one request to the next anyway."""
    headers = sorted((k, v) for k, v in answer.headers.items() if k not in VARIED)
    varied = sorted(VARIED & set(answer.headers))
    return json.dumps([answer.status_code, headers, varied, answer.text])


async def prepare(url: str, owned: AsyncExitStack, name: str) -> Site:
    """A site with people in all groups."""
    site = await owned.enter_async_context(opened(url))
    salted = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(8)).decode()
    await site.connect(
        "shop",
        customScripts={"login": LOGIN.replace("HASH", json.dumps(salted)), "get_user": GET_USER},
        brute_force_protection=False,
        legacy_lockout_attempts=None,
    )
    for number in range(PEOPLE):
        answer = await site.login(PASSWORD, f"migrated{number}@example.com")
        assert answer.status_code == 200, (name, answer.text)
    return site


async def run(
    report: Report, chosen: argparse.Namespace, *, padded: bool, number: int
) -> list[Comparison]:
    """Ask everything of everybody; what could be told."""
    comparisons = []
    async with AsyncExitStack() as owned:
        postgres = EmbeddedPostgres()
        owned.callback(postgres.close)
        report.progress("starting Postgres")
        await asyncio.to_thread(postgres.start)
        await migrate(postgres.url)
        site = await prepare(postgres.url, owned, "shop")
        padding = site.auth.state.its.padding
        padding.enabled = padded
        for question, (ask, groups) in QUESTIONS.items():
            report.progress(f"{question}, {'with' if padded else 'without'} padding")
            await sample(site, ask, groups, WARM_UP)
            for floor in padding._floors.values():
                floor.since -= WINDOW  # as if the replica had been there for a while
            found = await sample(site, ask, groups, number)
            comparisons += judge(report, question, found)
    return comparisons


def judge(report: Report, question: str, found: dict[str, Seen]) -> list[Comparison]:
    """A table of one question; the comparisons in it."""
    report.line(f"### {question[0].upper()}{question[1:]}")
    report.line()
    rows = []
    for group, seen in found.items():
        ordered = sorted(seen.times)
        p50, p95 = median(ordered), ordered[int(len(ordered) * 0.95)]
        rows.append((group, len(ordered), duration(p50), duration(p95), len(seen.answers)))
    report.table(("user", "samples", "p50", "p95", "different answers"), rows)
    same = len(set().union(*(seen.answers for seen in found.values()))) == 1
    report.line(f"Status, headers and body: {'the same for all' if same else '**DIFFERENT**'}.")
    report.line()
    made = [
        compare(pair, found[pair[0]].times, found[pair[1]].times) for pair in combinations(found, 2)
    ]
    if not same:
        made.append(Comparison(("status, headers", "body"), 1.0, 0.0))
    report.table(
        ("pair", "chance to order them rightly (AUC)", "99 % interval", "verdict"),
        [
            (
                *(" / ".join(one.pair), f"{one.auc:.3f}"),
                *(f"{one.low:.3f}-{one.high:.3f}", one.verdict),
            )
            for one in made
        ],
    )
    return made


def main() -> int:
    """Run, print, write; 1 when somebody can be told apart, or the samples don't decide it."""
    parser = arguments("parity", __doc__)
    parser.add_argument(
        "--samples", type=int, default=400, help="of each group and question (default 400)"
    )
    parser.add_argument("--without-padding", action="store_true", help="only that: it has to fail")
    chosen = parser.parse_args()
    configure_logging("error", "console")
    report = Report("parity", "Known, unknown and migrated users", chosen)
    number = min(chosen.samples, 150) if chosen.short else chosen.samples
    report.line(
        "The chance that, of two answers about two users, the slower one is guessed rightly: 0.5 is"
        f" a coin. Alike: the whole interval is within {0.5 - INDIFFERENT:g}-{0.5 + INDIFFERENT:g}."
    )
    report.line()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        report.line("## As it is" if not chosen.without_padding else "## Without padding")
        report.line()
        padded = not chosen.without_padding
        found = loop.run(run(report, chosen, padded=padded, number=number))
        seen = True
        if padded:
            report.line("## The same without padding: what the benchmark sees")
            report.line()
            control = loop.run(run(report, chosen, padded=False, number=min(number, 100)))
            seen = any(one.verdict == APART for one in control)
    report.write()
    failed = [one for one in found if one.verdict == APART or (not chosen.short and not one.alike)]
    return 1 if failed or not seen else 0
