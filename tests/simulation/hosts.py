"""Both services on a virtual machine each: the real classes, put together as their `app` does it.

What is simulated is what they stand on: the loop, the database, the broker's network, and the pool
of runners. A process that ends, however it ends, is started again, as any supervisor would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from services.auth import logs
from services.auth.bulkhead import Bulkhead
from services.auth.caller import NOBODY
from services.auth.connections import Connection
from services.auth.executions import Answer, Executions
from services.auth.housekeeping import Housekeeping
from services.auth.legacy import Legacy
from services.auth.logs import Logs
from services.auth.problems import FlowEnded
from services.script_worker import consumer, revisions
from services.script_worker.app import Worker
from services.script_worker.bundle import Bundle
from services.script_worker.consumer import Consumer
from services.script_worker.execution import Collaborators, execute
from services.script_worker.integrators import Integrators
from services.script_worker.leases import Leases
from services.script_worker.revisions import Revisions
from services.script_worker.runs import Run
from services.script_worker.sandbox.levels import Level
from services.script_worker.serve import work
from services.script_worker.verdicts import Value
from shared.contracts import Action, Denied, DeniedReason, Detail, Failed
from shared.errors import ServiceError, Unavailable
from shared.ledger import Ledger
from shared.lifecycle import Stop
from shared.sealing import KeyRing
from shared.topology import Names
from tests.simulation.broker import Network, SimulatedTransport
from tests.simulation.database import Database, Server, Session
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.witness import Call, Running, Witness

if TYPE_CHECKING:
    from tests.simulation.loop import Task

DRAIN_BUDGET: Final = 8.0
NOTHING: Final = "-- simulated: one more statement of the effect's transaction"


@dataclass(slots=True)
class World:
    """What all hosts share."""

    loop: VirtualLoop
    random: Random
    names: Names
    ring: KeyRing
    network: Network
    server: Server
    witness: Witness
    connections: list[Connection]
    scripts: dict[int, Script] = field(default_factory=dict)
    mended: bool = False
    """From here on, nothing goes wrong any more."""


@dataclass(frozen=True, slots=True)
class Script:
    """What the script of one request does each time it runs."""

    seconds: float
    verdict: str


class Runners:
    """The pool of one worker: scripts are time that passes, and a verdict at its end."""

    def __init__(self, world: World, process: Process, worker: UUID) -> None:
        """Empty."""
        self._world = world
        self._process = process
        self._worker = worker
        self.busy: dict[Running, None] = {}

    def states(self) -> Mapping[str, int]:
        """As the real pool's."""
        return {"busy": len(self.busy)}

    def revision_changed(self, connection_id: str, revision: str) -> None:
        """Revisions don't change here."""

    async def look_up_own_services(self) -> None:
        """There is no network to keep scripts from."""

    async def run(
        self,
        bundle: Bundle,
        action: Action,
        arguments: Sequence[Any],
        *,
        context: Mapping[str, Any],
        deadline: float,
    ) -> Run:
        """Run before `deadline`, an instant of the loop's clock; cancelled: killed."""
        del context
        loop, number = self._world.loop, int(arguments[0])
        assert action in bundle.scripts
        if deadline <= loop.time():
            return Run(Failed.of(Detail.DEADLINE_PASSED, "the deadline passed before the start"))
        script = self._world.scripts[number]
        running = self._world.witness.starts(number, self._process, self._worker)
        self.busy[running] = None
        run = None
        try:
            left = deadline - loop.time()
            await asyncio.sleep(min(script.seconds, left))
            run = _verdict(script, number, timed_out=script.seconds > left)
            return run
        finally:
            self.busy.pop(running, None)
            self._world.witness.ends(running, run)

    def die(self) -> None:
        """With their parent."""
        for running in list(self.busy):
            self._world.witness.ends(running, None)
        self.busy.clear()


def _verdict(script: Script, number: int, *, timed_out: bool) -> Run:
    if timed_out:
        return Run(Failed.of(Detail.WAITING, "the deadline passed"))
    match script.verdict:
        case "value":
            return Run(Value({"user_id": number}))
        case "denied":
            return Run(Denied(reason=DeniedReason.WRONG_PASSWORD))
        case "dies":
            return Run(Failed.of(Detail.PROCESS_DIED, "killed"))
        case _:
            return Run(Failed.of(Detail.THREW, "threw"))


class Host:
    """A machine on which one process of a service lives, dies, and lives again."""

    kind = ""

    def __init__(self, world: World, number: int) -> None:
        """Not started yet."""
        self.world = world
        self.name = f"{self.kind}{number}"
        self.lives = 0
        self.process: Process = Process(world.loop, "nobody")
        self.process.kill()
        self.ready = False

    def start(self) -> None:
        """A new life."""
        world = self.world
        self.lives += 1
        self.ready = False
        self.process = process = Process(world.loop, f"{self.name}.{self.lives}")
        self.transport: SimulatedTransport = world.network.transport(process)
        wrong = timedelta(seconds=world.random.uniform(-0.02, 0.02))
        self.database = Database(world.server, process, wrong)
        if world.network.faults.away:
            self.transport.drop()
        world.witness.note(f"starts {process.name}")
        main = process.spawn(self._main(), "main")
        main.add_done_callback(partial(self._ended, process), context=world.loop.outside.copy())

    async def _main(self) -> None:
        raise NotImplementedError

    def _ended(self, process: Process, main: Task) -> None:
        """The process ended by itself: an error that a supervisor may repeat, or a bug."""
        if not process.alive:
            return
        error = None if main.cancelled() else main.exception()
        for leaf in _leaves(error):
            if not isinstance(leaf, ServiceError):
                self.world.witness.broken(f"a bug: {leaf!r}")
        self.world.witness.note(f"exits {process.name} {error!r}")
        self.kill(self.world.random.uniform(0.05, 1.0))

    def kill(self, pause: float) -> None:
        """SIGKILL; the next life begins after `pause` seconds."""
        if not self.process.alive:
            return
        self.world.witness.note(f"dies {self.process.name}")
        self.process.kill()
        self.ready = False
        self.buried()
        self.database.disconnect()
        self.transport.drop()
        self.world.loop.later(pause, self.start)

    def buried(self) -> None:
        """What dies with the process."""

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while; a broker gives up on who is silent too long."""
        process, transport = self.process, self.transport
        if not process.alive or process.stopped:
            return
        self.world.witness.note(f"stops {process.name} for {seconds:.1f}")
        process.stop()
        silent = self.world.random.uniform(5.0, 10.0)
        if seconds > silent:
            self.world.loop.later(silent, transport.drop)
            self.world.loop.later(seconds + 0.1, self._reconnect, process)
        self.world.loop.later(seconds, process.go_on)

    def cut(self, seconds: float) -> None:
        """Lose the link to the broker, and have it back after a while."""
        self.world.witness.note(f"cuts {self.process.name}")
        self.transport.drop()
        self.world.loop.later(seconds, self._reconnect, self.process)

    def _reconnect(self, process: Process) -> None:
        if process is not self.process or not process.alive or self.transport.connected:
            return
        if self.world.network.faults.away:
            self.world.loop.later(0.2, self._reconnect, process)
            return
        self.world.witness.note(f"reconnects {process.name}")
        process.spawn(self.transport.relink(), "reconnect")

    def cut_database(self, seconds: float) -> None:
        """Lose the link to the database, and have it back after a while."""
        database = self.database
        self.world.witness.note(f"cuts {self.process.name} from the database")
        self.world.server.trouble()
        database.disconnect()

        def mend() -> None:
            database.cut = not self.process.alive or database is not self.database
            self.world.server.trouble()

        self.world.loop.later(seconds, mend)

    def left(self) -> list[str]:
        """What lies about when everything should be done."""
        return []


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [] if error is None else [error]


class WorkerHost(Host):
    """A script worker."""

    kind = "worker"
    slots = (1, 4)
    """Executions at once, the least and the most."""

    async def _main(self) -> None:
        world, worker = self.world, uuid4()
        self.runners = Runners(world, self.process, worker)
        async with AsyncExitStack() as owned:
            database: Any = self.database
            pool: Any = self.runners
            ledger = await owned.enter_async_context(Ledger(database))
            self.leases = Leases(ledger, worker)
            its = Collaborators(
                worker=worker,
                names=world.names,
                transport=self.transport,
                ledger=ledger,
                leases=self.leases,
                revisions=Revisions(database, world.ring),
                pool=pool,
                ring=world.ring,
                integrators=Integrators(database, world.ring),
                database=database,
            )
            await self.transport.declare(world.names.base())
            self.consumer = Consumer(
                transport=self.transport,
                database=database,
                names=world.names,
                concurrency=world.random.randint(*self.slots),
                execute=partial(execute, its=its),
                changed=pool.revision_changed,
            )
            self.asked = Stop()
            self.ready = True
            service = Worker(self.consumer, self.leases, pool, self.transport, Level.RLIMITS)
            await work(service, self.asked, DRAIN_BUDGET)

    def drain(self, *, hurried: bool) -> None:
        """SIGTERM, and another one if in a hurry."""
        if self.ready and self.process.alive:
            self.world.witness.note(f"drains {self.process.name} {'hurried' if hurried else ''}")
            self.process.call(0, self.asked.signal)
            if hurried:
                self.process.call(0.3, self.asked.signal)

    def buried(self) -> None:
        """Runners die with their worker."""
        if hasattr(self, "runners"):
            self.runners.die()

    def left(self) -> list[str]:
        """Leases, runners, tasks."""
        if not self.ready:
            return [f"{self.name} is not up"]
        counts = {
            "leases": len(self.leases),
            "runners": len(self.runners.busy),
            "deliveries": len(self.consumer._tasks),
        }
        return [f"{self.name} has {number} {what}" for what, number in counts.items() if number]


class _Answers(Executions):
    """Tells the witness the answer that its caller gets."""

    calls: dict[int, Call]

    async def run(
        self, connection: Connection, action: Action, arguments: list[Any], **options: Any
    ) -> Answer:
        call = self.calls[arguments[0]]
        call.answer = await super().run(connection, action, arguments, **options)
        return call.answer


class AuthHost(Host):
    """A replica of auth, without HTTP: calls come from the schedule."""

    kind = "auth"

    async def _main(self) -> None:
        world = self.world
        database: Any = self.database
        async with Ledger(database) as ledger:
            await self.transport.declare(world.names.base())
            self.executions = _Answers(
                transport=self.transport,
                ledger=ledger,
                database=database,
                ring=world.ring,
                names=world.names,
                replica=self.process.name.replace(".", "-"),
                bulkhead=Bulkhead(),
                worker_grace=timedelta(seconds=world.random.choice([2, 10])),
            )
            self.executions.calls = world.witness.calls
            unshielded: Any = self.executions  # limits and breaker are another story
            self.legacy = Legacy(unshielded, ledger, database, Logs(database))
            housekeeping = Housekeeping(
                transport=self.transport, names=world.names, ledger=ledger, database=database
            )
            started = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.executions.serve(started), name="replies")
                tasks.create_task(housekeeping.run(), name="housekeeping")
                await started.wait()
                self.ready = True

    def call(self, number: int, place: Connection, action: Action) -> None:
        """Somebody asks for an action."""
        call = Call(number, self.process, self.database.now() + place.script_budget)
        self.world.witness.calls[number] = call
        self.world.witness.note(
            f"calls {number} {action} of {place.connection_id[-1]} at {self.name}"
        )
        self.process.spawn(self._call(call, place, action), "call")

    async def _call(self, call: Call, place: Connection, action: Action) -> None:
        async def effect(session: Any, value: Any) -> None:
            assert isinstance(session, Session)
            assert value == {"user_id": call.number}
            session.transaction.effects.append(call.number)
            await session.execute(NOTHING)

        turn = self.legacy.turn(place, NOBODY)
        try:
            await self.legacy.run(turn, action, [call.number, "secret"], effect)
            said = "succeeded"
        except FlowEnded:
            said = str(call.answer.result.outcome.kind) if call.answer else "ended"
        except Unavailable:
            said = "unavailable"
        self.world.witness.answered(call, said)

    def left(self) -> list[str]:
        """Callers, followers, places in the bulkhead."""
        if not self.ready:
            return [f"{self.name} is not up"]
        its = self.executions
        followers = its._followers
        counts = {
            "callers": len(its._pending),
            "places taken": sum(one.in_flight for one in its._bulkhead._traffic.values()),
            "followers": 0 if followers is None else len(followers._tasks),
        }
        return [f"{self.name} has {number} {what}" for what, number in counts.items() if number]


def tables_for(connections: Sequence[Connection]) -> dict[str, Any]:
    """Statements that are not the ledger's."""
    rows = [
        {
            "connection_id": one.connection_id,
            "worker_concurrency": one.worker_concurrency,
            "current_revision": one.revision,
            "lane": one.lane,
            "leaving": None,
        }
        for one in connections
    ]
    revision = {
        "scripts": json.dumps({str(action): "…" for action in Action}),
        "configuration": "{}",
        "with_context": False,
        "magic_globals": False,
        "egress": None,
    }
    return {
        consumer.CONNECTIONS: lambda: rows,
        revisions._SELECT: lambda _connection, _revision: [dict(revision)],
        logs._INSERT: lambda *_: [],
        NOTHING: list,
        "SELECT maintain_execution_partitions()": lambda: [{"changed": 0}],
        "DELETE FROM access_tokens WHERE expires_at < now()": list,
    }
