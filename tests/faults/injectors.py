"""The faults: each is injected, lasts a while, and is mended before its function returns."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from shared.errors import Unavailable
from tests.faults.installation import Installation, Replica
from tests.faults.scheduler import Kind
from tests.faults.tap import Tap
from tests.proxy import Proxy

CLOCK_STEPS: Final = (timedelta(hours=1), timedelta(days=9), timedelta(seconds=30))
"""Nine days: outside the window of days in which the ledger takes an execution's id."""
QUEUE_FILLERS: Final = 700
RISE_WITHIN: Final = 60.0


class Server(Protocol):
    """A server that can be restarted, in order or not."""

    def start(self) -> None:
        """Start; the data is the same."""

    def stop(self) -> None:
        """Stop in order."""

    def kill(self) -> None:
        """As a crash would."""


def all_kinds(its: Installation, tap: Tap) -> list[Kind]:
    """Every fault that can be injected here."""
    return [
        *_processes(its),
        *_servers(its),
        *_links(its),
        *_messages(its, tap),
        *_clocks(its),
    ]


# -- processes ----------------------------------------------------------------------------------


def _processes(its: Installation) -> Iterator[Kind]:
    strikes: dict[str, Callable[[random.Random], Awaitable[str]]] = {
        "worker: SIGKILL": partial(_kill, its.workers),
        "worker: SIGSTOP for 1-3 s": partial(_pause, its.workers, (1.0, 3.0)),
        "worker: SIGSTOP beyond its lease": partial(_pause, its.workers, (6.0, 9.0)),
        "worker: SIGTERM, restart": partial(_restart, its.workers),
        "launcher: SIGKILL": partial(_kill_launcher, its),
        "runner: SIGKILL": partial(_kill_runner, its),
        "runner: SIGSTOP": partial(_pause_runner, its),
        "auth: SIGKILL": partial(_kill, its.auths),
        "auth: SIGSTOP for 1-3 s": partial(_pause, its.auths, (1.0, 3.0)),
        "auth: SIGTERM, restart": partial(_restart, its.auths),
    }
    for name, strike in strikes.items():
        yield Kind("processes", name, strike)


async def _kill(replicas: list[Replica], dice: random.Random) -> str:
    victim = dice.choice(replicas)
    async with victim.trouble():
        victim.up = False
        victim.signal(signal.SIGKILL)
        await asyncio.sleep(dice.uniform(0.1, 1.0))
        await victim.rise()
    return victim.name


async def _restart(replicas: list[Replica], dice: random.Random) -> str:
    victim = dice.choice(replicas)
    async with victim.trouble():
        victim.up = False
        if victim.process is not None:
            await asyncio.to_thread(victim.process.stop)
        await victim.rise()
    return victim.name


async def _pause(
    replicas: list[Replica], how_long: tuple[float, float], dice: random.Random
) -> str:
    victim = dice.choice(replicas)
    async with victim.trouble():
        victim.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(dice.uniform(*how_long))
        finally:
            victim.signal(signal.SIGCONT)
    return victim.name


async def _kill_launcher(its: Installation, dice: random.Random) -> str:
    worker = dice.choice(its.workers)
    family = await asyncio.to_thread(worker.offspring)
    its.remember(family)
    for pid in family[:1]:
        its.kill(pid, signal.SIGKILL)
    return worker.name


async def _kill_runner(its: Installation, dice: random.Random) -> str:
    pid = await _some_runner(its, dice)
    if pid is not None:
        its.kill(pid, signal.SIGKILL)
    return "one runner" if pid else "none was there"


async def _pause_runner(its: Installation, dice: random.Random) -> str:
    pid = await _some_runner(its, dice)
    if pid is None:
        return "none was there"
    its.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(dice.uniform(0.5, 4.0))
    finally:
        its.kill(pid, signal.SIGCONT)
    return "one runner"


async def _some_runner(its: Installation, dice: random.Random) -> int | None:
    runners = [
        pid for worker in its.workers for pid in (await asyncio.to_thread(worker.offspring))[1:]
    ]
    its.remember(runners)
    return dice.choice(runners) if runners else None


# -- servers ------------------------------------------------------------------------------------


def _servers(its: Installation) -> Iterator[Kind]:
    servers: tuple[tuple[str, Server], ...] = (
        ("broker", its.rabbitmq),
        ("database", its.postgres),
    )
    for name, server in servers:
        yield Kind("servers", f"{name}: restart", partial(_bounce, server, server.stop))
        yield Kind("servers", f"{name}: SIGKILL", partial(_bounce, server, server.kill))


async def _bounce(server: Server, end: Callable[[], None], dice: random.Random) -> str:
    await asyncio.to_thread(end)
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    async with asyncio.timeout(RISE_WITHIN):
        while True:
            try:
                await asyncio.to_thread(server.start)
            except Unavailable:  # what was killed may still be dying
                await asyncio.sleep(0.3)
            else:
                return "the only one"


# -- links --------------------------------------------------------------------------------------


def _links(its: Installation) -> Iterator[Kind]:
    links: dict[str, list[Proxy]] = {
        "auth to broker": [auth.broker for auth in its.auths],
        "auth to database": [auth.database for auth in its.auths],
        "worker to broker": [worker.broker for worker in its.workers],
        "worker to database": [worker.database for worker in its.workers],
        "runners to legacy store": [its.store_link],
    }
    for name, proxies in links.items():
        for fault, strike in _LINK_FAULTS.items():
            yield Kind("links", f"{name}: {fault}", partial(strike, proxies))


async def _cut(proxies: list[Proxy], dice: random.Random) -> str:
    place = dice.randrange(len(proxies))
    proxies[place].refuse()
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    proxies[place].accept()
    return f"number {place}"


async def _slow(proxies: list[Proxy], dice: random.Random) -> str:
    place = dice.randrange(len(proxies))
    proxies[place].slow(dice.uniform(0.05, 0.3))
    await asyncio.sleep(dice.uniform(1.0, 4.0))
    proxies[place].flow()
    return f"number {place}"


async def _silent(proxies: list[Proxy], dice: random.Random) -> str:
    place = dice.randrange(len(proxies))
    proxies[place].stall()
    await asyncio.sleep(dice.uniform(1.0, 4.0))
    proxies[place].flow()
    return f"number {place}"


async def _half_open(proxies: list[Proxy], dice: random.Random) -> str:
    place = dice.randrange(len(proxies))
    proxies[place].half_open()
    return f"number {place}"


_LINK_FAULTS: Final = {
    "cut": _cut,
    "slow": _slow,
    "silent": _silent,
    "half-open": _half_open,
}


# -- messages -----------------------------------------------------------------------------------


def _messages(its: Installation, tap: Tap) -> Iterator[Kind]:
    strikes: dict[str, Callable[[random.Random], Awaitable[str]]] = {
        "requests: delivered twice, at once": partial(_again, tap, (0.0, 0.1)),
        "requests: delivered again, late": partial(_again, tap, (1.0, 8.0)),
        "queues: full": partial(_fill, its, tap),
    }
    for name, strike in strikes.items():
        yield Kind("messages", name, strike)


async def _again(tap: Tap, delay: tuple[float, float], dice: random.Random) -> str:
    return f"{await tap.again(dice.randint(5, 30), dice, delay)} copies"


async def _fill(its: Installation, tap: Tap, dice: random.Random) -> str:
    """Nobody consumes, and copies of what was decided long ago take the places."""
    for worker in its.workers:
        worker.signal(signal.SIGSTOP)
    try:
        copies = await tap.again(QUEUE_FILLERS, dice, (0.0, 1.0))
        await asyncio.sleep(dice.uniform(0.5, 1.5))
    finally:
        for worker in its.workers:
            worker.signal(signal.SIGCONT)
    return f"{copies} copies"


# -- clocks -------------------------------------------------------------------------------------


def _clocks(its: Installation) -> Iterator[Kind]:
    for worker in its.workers:
        if worker.clock is not None:
            yield Kind("clocks", "worker: clock steps ahead", partial(_step, worker, "+"))
            yield Kind("clocks", "worker: clock steps back", partial(_step, worker, "-"))


async def _step(worker: Replica, sign: str, dice: random.Random) -> str:
    assert worker.clock is not None
    step = dice.choice(CLOCK_STEPS)
    await asyncio.to_thread(worker.clock.write_text, f"{sign}{step.total_seconds():.0f}")
    await asyncio.sleep(dice.uniform(3.0, 8.0))
    await asyncio.to_thread(worker.clock.write_text, "+0")
    return f"{worker.name}, {sign}{step}"
