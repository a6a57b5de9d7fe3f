"""One seed, one world: load, faults, their end, and then everything must come to rest."""

from __future__ import annotations

import asyncio
import logging
import os
import random as stdlib_random
import sys
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Final, NoReturn

import structlog

from shared.contracts import Action
from shared.sealing import KeyRing
from shared.topology import Names
from tests.simulation.broker import Network
from tests.simulation.database import Server
from tests.simulation.hosts import AuthHost, Host, Script, WorkerHost, World, tables_for
from tests.simulation.loop import VirtualLoop
from tests.simulation.witness import Witness
from tests.unit.connections import connection

RING: Final = KeyRing.parse("k1:" + "A" * 43 + "=")
NAMES: Final = Names("sim")
FAULTS_END: Final = 13.0
"""Virtual seconds; load ends before."""
REST_BY: Final = FAULTS_END + 60.0
"""A deadline, a lease, a reaper, a publish, and a late follower's patience after that."""
EVENTS: Final = (
    "kill worker", "kill auth", "stop worker", "stop auth", "cut worker", "cut auth",
    "cut worker's database", "cut auth's database", "broker restarts", "database restarts",
    "database hangs", "drain", "drain in a hurry",
)  # fmt: skip
RATES: Final = (
    "dropped", "copied", "unconfirmed", "delayed",
    "statements lost before", "statements lost after", "slow statements",
)  # fmt: skip
ANYTHING: Final = "anything"
LEASES: Final = "leases"
"""Scripts that outlast a lease, and workers that can't keep theirs."""
LATE: Final = "late"
"""Outcomes that come after the deadline."""
THEMES: Final = {
    LEASES: ("stop worker", "stop worker", "cut worker's database", "kill worker", "cut worker"),
    LATE: (
        "stop worker",
        "stop worker",
        "kill worker",
        "cut worker's database",
        "cut auth's database",
    ),
}


@dataclass(slots=True)
class Report:
    """What one seed came to."""

    seed: int
    violations: list[str]
    trace: list[str]
    requests: int
    seconds: float
    turns: int
    seen: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)


def simulate(seed: int, *, trace: bool = False) -> Report:
    """Run one seed. The same seed gives the same run, to the last callback."""
    with virtually(seed) as loop:
        simulation = Simulation(loop, seed, trace=trace)
        with only_errors(simulation.witness):
            loop.run_until_complete(simulation.run())
        return simulation.report()


@contextmanager
def virtually(seed: int) -> Iterator[VirtualLoop]:
    """A loop of its own, and all chance from the seed."""
    with _entropy(seed):
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        try:
            yield loop
        finally:
            _bury(loop)


@contextmanager
def _entropy(seed: int) -> Iterator[None]:
    """Ids, nonces and jitter come from the seed."""
    bytes_of, state, real = Random(seed ^ 0x5EED), stdlib_random.getstate(), os.urandom
    stdlib_random.seed(seed)
    os.urandom = bytes_of.randbytes  # what UUIDs and nonces are made of
    try:
        yield
    finally:
        os.urandom = real
        stdlib_random.setstate(state)


@contextmanager
def only_errors(witness: Witness) -> Iterator[None]:
    """What is logged as an error is a bug; the rest of the log is not written."""

    def broken(_logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        witness.broken(f"a bug: {event['event']}: {sys.exception()!r}")
        raise structlog.DropEvent

    known = structlog.get_config()
    only_errors = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=only_errors, processors=[broken])
    try:
        yield
    finally:
        structlog.configure(**known)


def _bury(loop: VirtualLoop) -> None:
    """End what still waits; processes that were killed have no `finally`, so nobody listens."""
    loop.set_exception_handler(lambda _loop, _context: None)
    for task in loop.tasks:
        asyncio._unregister_task(task)  # tasks of many runs have the same hashes
        if task.done():
            continue
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        for _ in range(10):  # a `finally` that awaits ignores the first
            with suppress(BaseException):
                task.get_coro().close()
                break
    asyncio.set_event_loop(None)
    loop.close()


class Simulation:
    """A world made from a seed."""

    def __init__(self, loop: VirtualLoop, seed: int, *, trace: bool) -> None:
        """Nothing runs yet."""
        self.seed = seed
        self.random = random = Random(seed)
        self.loop = loop
        self.witness = Witness(loop, NAMES, RING, tracing=trace)
        network = Network(loop, Random(random.random()), self.witness)
        server = Server(loop, Random(random.random()))
        self.witness.server = server
        server.tables.changed = self.witness.changed
        self.theme = random.choices([ANYTHING, LEASES, LATE], [70, 15, 15])[0]
        lane = random.choice([None, None, None, 0])
        connections = [
            connection(
                lane=lane,
                connection_id=f"con_{number:016d}",
                actions=frozenset(Action),
                script_budget=timedelta(seconds=self._budget()),
                worker_concurrency=random.randint(1, 6),
            )
            for number in range(random.randint(1, 2))
        ]
        server.other = tables_for(connections)
        self.world = World(loop, random, NAMES, RING, network, server, self.witness, connections)
        self.auths = [AuthHost(self.world, number) for number in range(random.randint(1, 2))]
        number_of_workers = random.randint(2 if self.theme == LEASES else 1, 3)
        self.workers = [WorkerHost(self.world, number) for number in range(number_of_workers)]
        loop.set_exception_handler(self._bug)

    @property
    def hosts(self) -> list[Host]:
        """All of them."""
        return [*self.auths, *self.workers]

    async def run(self) -> None:
        """From the start to rest."""
        world, random = self.world, self.random
        world.network.broker.declare(NAMES.base())
        for one in world.connections:
            world.network.broker.declare(NAMES.connection(one.connection_id, one.lane))
        for host in self.hosts:
            self.loop.later(random.uniform(0, 0.3), host.start)
        for number in range(random.randint(4, 12)):
            self._plan_call(number)
        self._plan_faults()
        await asyncio.sleep(FAULTS_END)
        self._mend()
        await self._rest()
        self.witness.final()

    def _budget(self) -> float:
        random = self.random
        match self.theme:
            case "leases":
                return random.uniform(12, 14)
            case "late":
                return random.uniform(2, 4)
            case _:
                return random.choice([2.0, random.uniform(2, 8), random.uniform(8, 14)])

    def _seconds(self) -> float:
        """How long a script takes."""
        random = self.random
        match self.theme:
            case "leases":
                return random.uniform(1, 13)
            case "late":
                return random.uniform(0.5, 2.5)
            case _:
                return random.choice([0.002, 0.05, random.uniform(0, 2), random.uniform(0, 14)])

    def _plan_call(self, number: int) -> None:
        random = self.random
        place = random.choice(self.world.connections)
        action = random.choice([Action.LOGIN, Action.CREATE, Action.GET_USER, Action.DELETE])
        seconds = self._seconds()
        verdict = random.choice(["value"] * 5 + ["denied", "throws", "dies"])
        self.world.scripts[number] = Script(seconds, verdict)
        self.loop.later(0.5 + random.uniform(0, 7), self._call, number, place, action)

    def _call(self, number: int, place: object, action: Action) -> None:
        ready = [auth for auth in self.auths if auth.ready and auth.process.alive]
        if not ready:
            self.loop.later(0.25, self._call, number, place, action)
            return
        self.random.choice(ready).call(number, place, action)  # type: ignore[arg-type]

    # -- faults -------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
        """Each seed has its own selection, so that each fault also has the stage to itself."""
        random = self.random
        if random.random() < 0.08:
            return
        self.witness.calm = False
        for rate in RATES:
            if random.random() < 0.25:
                self._set_rate(rate, random.choice([0.05, 0.2, 0.4]))
        events = [event for event in EVENTS if random.random() < 0.2]
        if self.theme != ANYTHING:
            events = random.choices(THEMES[self.theme], k=random.randint(1, 3))
        for event in events:
            for _ in range(random.randint(1, 3)):
                self.loop.later(0.4 + random.uniform(0, FAULTS_END - 1), self._fault, event)

    def _set_rate(self, rate: str, chance: float) -> None:
        network, database = self.world.network.faults, self.world.server.faults
        match rate:
            case "statements lost before":
                database.lost_before = chance / 3
            case "statements lost after":
                database.lost_after = chance / 3
            case "slow statements":
                database.slow = chance
            case _:
                setattr(network, rate, chance)

    def _fault(self, event: str) -> None:
        random = self.random
        worker, auth = random.choice(self.workers), random.choice(self.auths)
        host: Host = auth if "auth" in event else worker
        if not host.process.alive or self.world.mended:
            return
        self.witness.seen[event] += 1
        match event.split("'", maxsplit=1)[0].split(" ", maxsplit=1)[0], event:
            case "kill", _:
                host.kill(random.uniform(0.1, 3.0))
            case "stop", _:
                usual = {LEASES: 6.5, LATE: 3.5}.get(self.theme, 2.0)
                host.stop(random.choice([0.3, usual, random.uniform(0, 12)]))
            case "cut", ("cut worker" | "cut auth"):
                host.cut(random.uniform(0.02, 3.0))
            case "cut", _:
                usual = {LEASES: 7.0, LATE: 2.0}.get(self.theme, 1.0)
                host.cut_database(random.choice([usual, random.uniform(0.1, 8.0)]))
            case "drain", _:
                worker.drain(hurried="hurry" in event)
            case _:
                self._server_fault(event)

    def _server_fault(self, event: str) -> None:
        random, server, network = self.random, self.world.server, self.world.network
        self.witness.note(f"fault: {event}")
        seconds = random.choice([0.2, 1.0, random.uniform(1, 6)])
        match event:
            case "broker restarts":
                network.faults.away = True
                for host in self.hosts:
                    if host.process.alive:
                        host.cut(seconds + random.uniform(0.01, 1))
                self.loop.later(seconds, self._listen_again)
            case "database restarts":
                server.faults.away = True
                server.restart()
                self.loop.later(seconds, self._listen_again)
            case _:
                server.faults.hung = True
                self.loop.later(seconds, self._listen_again)

    def _listen_again(self) -> None:
        """Broker and database are there."""
        self.world.network.faults.away = False
        self.world.server.faults.away = self.world.server.faults.hung = False
        self.world.server.trouble()

    def _mend(self) -> None:
        """From here on everything works; who is stopped goes on."""
        self.witness.note("mended")
        self.world.mended = True
        for rate in RATES:
            self._set_rate(rate, 0.0)
        self._listen_again()

    # -- rest ---------------------------------------------------------------------------------

    async def _rest(self) -> None:
        """Wait until nothing is left to do; what is left for too long is a violation."""
        while left := self._left():
            if self.loop.time() > REST_BY:
                for what in left:
                    self.witness.broken(f"liveness: {what}")
                return
            await asyncio.sleep(0.5)

    def _left(self) -> list[str]:
        left = [what for host in self.hosts for what in host.left()]
        left += [f"{number} in {name}" for name, number in self.world.network.queued().items()]
        left += [f"caller {one.number}" for one in self.witness.calls.values() if self._waits(one)]
        rows = self.world.server.tables.rows.values()
        left += [f"{row.execution_id} is {row.state}" for row in rows if row.published_at is None]
        if len(self.witness.calls) < len(self.world.scripts):
            left.append("calls to come")
        return left + ["a lock"] * len(self.world.server.tables.open)

    @staticmethod
    def _waits(call: object) -> bool:
        return not call.said and call.process.alive  # type: ignore[attr-defined]

    def _bug(self, loop: object, context: dict[str, object]) -> None:
        error = context.get("exception")
        self.witness.broken(f"a bug: {context.get('message')}: {error!r}")

    def report(self) -> Report:
        """What it came to."""
        said = Counter(call.said or "gone" for call in self.witness.calls.values())
        return Report(
            seed=self.seed,
            violations=list(dict.fromkeys(self.witness.violations)),
            trace=self.witness.trace,
            requests=len(self.witness.known),
            seconds=self.loop.time(),
            turns=self.loop.turns,
            seen=self.witness.seen,
            said=said,
        )
