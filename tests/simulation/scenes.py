"""Worlds made by hand: a request or two, and a fault at the one instant that matters.

Each is what a seed or the fault campaign once found, or what seeds meet too rarely; it takes
milliseconds, where finding it took thousands of seeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Final

from shared.contracts import Action
from shared.execution_states import State
from shared.transport import Message
from tests.simulation.broker import Network
from tests.simulation.database import Execution, Server
from tests.simulation.hosts import AuthHost, Host, Script, WorkerHost, World, tables_for
from tests.simulation.loop import VirtualLoop
from tests.simulation.run import NAMES, RING, only_errors, virtually
from tests.simulation.witness import Call, Witness
from tests.unit.connections import connection

REST_BY: Final = 60.0
FIRST, SECOND = 0, 1
"""Numbers of requests."""


ARRIVED: Final = "arrived"
"""The broker has the request."""
LINKED_AGAIN: Final = 3.0
"""When the replica of the last scene has its link again."""
SOONER: Final = 0.00005
"""Seconds: the broker has handed it out, and its worker has not got it yet."""


class _Watching(Witness):
    """A witness that something waits for."""

    __slots__ = ("once",)

    once: dict[str, Callable[[], object]]
    """What strikes when the request first arrives, or its row first gets into a state."""

    def arrived(self, exchange: str, message: Message) -> None:
        """The broker has it."""
        Witness.arrived(self, exchange, message)
        if exchange == self.names.requests:
            self._strike(ARRIVED)

    def changed(self, before: Execution | None, after: Execution) -> None:
        """A committed change of a row."""
        Witness.changed(self, before, after)
        self._strike(after.state)

    def _strike(self, when: str) -> None:
        if strike := self.once.pop(when, None):
            strike()


class Scene:
    """A world without chance: what goes wrong in it, the functions below say."""

    def __init__(
        self,
        loop: VirtualLoop,
        *,
        action: Action,
        seconds: float,
        budget: float,
        auths: int = 1,
        workers: int = 1,
    ) -> None:
        """`seconds`: how long a script takes, of the `budget` that it has."""
        self.loop = loop
        self.witness = _Watching(loop, NAMES, RING, tracing=True)
        self.once = self.witness.once = {}
        random = Random(0)
        network, server = Network(loop, random, self.witness), Server(loop, random)
        self.witness.server, self.witness.calm = server, False
        server.tables.changed = self.witness.changed
        place = connection(
            connection_id="con_" + "0" * 16,
            actions=frozenset(Action),
            script_budget=timedelta(seconds=budget),
            worker_concurrency=4,
        )
        server.other = tables_for([place])
        self.world = World(loop, random, NAMES, RING, network, server, self.witness, [place])
        self.action, self.seconds = action, seconds
        self.asked_at = {FIRST: 1.0}
        """When each request is asked for."""
        self.auths = [AuthHost(self.world, number) for number in range(auths)]
        self.workers = [WorkerHost(self.world, number) for number in range(workers)]
        for worker in self.workers:
            worker.slots = (4, 4)
        self.hosts: list[Host] = [*self.auths, *self.workers]
        loop.set_exception_handler(lambda _loop, context: self.witness.broken(f"a bug: {context}"))

    @property
    def owner(self) -> WorkerHost:
        """The worker that has the only claim."""
        (row,) = self.world.server.tables.rows.values()
        return next(one for one in self.workers if one.leases._worker == row.worker)

    @property
    def call(self) -> Call:
        """Who asked first."""
        return self.witness.calls[FIRST]

    async def play(self) -> None:
        """From the start of all hosts to the end of everything, or to REST_BY."""
        broker, place = self.world.network.broker, self.world.connections[0]
        broker.declare(NAMES.base())
        broker.declare(NAMES.connection(place.connection_id, place.lane))
        for host in self.hosts:
            host.start()
        for number, at in self.asked_at.items():
            self.world.scripts[number] = Script(self.seconds, "value")
            self.loop.later(at, self.auths[0].call, number, place, self.action)
        await asyncio.sleep(2.0)
        while self.loop.time() < REST_BY and (self._left() or self._unpublished()):
            await asyncio.sleep(0.5)
        self.witness.final()

    def _left(self) -> list[str]:
        return [what for host in self.hosts for what in host.left()]

    def _unpublished(self) -> bool:
        rows = self.world.server.tables.rows.values()
        return not rows or any(row.published_at is None for row in rows)


def _paused_in_its_claim(loop: VirtualLoop, budget: float, pause: float) -> Scene:
    scene = Scene(loop, action=Action.CREATE, seconds=0.5, budget=budget)
    scene.once[State.CLAIMED] = lambda: scene.workers[0].stop(pause)
    return scene


def paused_past_the_deadline(loop: VirtualLoop) -> Scene:
    """A worker is stopped between its claim and the answer, and goes on after the deadline."""
    return _paused_in_its_claim(loop, budget=3.0, pause=3.5)


def paused_past_the_lease(loop: VirtualLoop) -> Scene:
    """The same, and it goes on before the deadline, but after the reaper's verdict."""
    return _paused_in_its_claim(loop, budget=14.0, pause=8.0)


def paused_in_its_script(loop: VirtualLoop) -> Scene:
    """A login ends while its worker is stopped past its lease, and another one has claimed it."""
    scene = Scene(loop, action=Action.LOGIN, seconds=0.8, budget=14.0, workers=2)

    def pause() -> None:
        owner = scene.owner
        loop.later(0.6, owner.stop, 5.2)  # its lease was renewed at 1.5
        loop.later(0.7, owner.transport.drop)  # else the broker gives the request to nobody else

    scene.once[State.CLAIMED] = pause
    return scene


def cut_off_from_the_ledger(loop: VirtualLoop) -> Scene:
    """A worker can't renew, and its link to the broker drops: another one claims what it runs."""
    scene = Scene(loop, action=Action.LOGIN, seconds=12.0, budget=14.0, workers=2)

    def cut() -> None:
        owner = scene.owner
        loop.later(0.5, owner.cut_database, 20.0)
        loop.later(0.6, owner.cut, 20.0)

    scene.once[State.CLAIMED] = cut
    return scene


def drained_when_it_arrives(loop: VirtualLoop) -> Scene:
    """A worker is told to stop while a request is on its way to it, and another one in hand."""
    scene = Scene(loop, action=Action.CREATE, seconds=1.0, budget=14.0)
    scene.asked_at[SECOND] = 1.5

    def drain() -> None:
        scene.workers[0].drain(hurried=False)

    def when_the_next_is_delivered() -> None:
        scene.once[ARRIVED] = lambda: loop.later(SOONER, drain)

    scene.once[State.CLAIMED] = when_the_next_is_delivered
    return scene


def told_while_its_replica_was_cut_off(loop: VirtualLoop) -> Scene:
    """A replica has no link when its result comes, which so becomes the other one's orphan."""
    scene = Scene(loop, action=Action.LOGIN, seconds=1.0, budget=6.0, auths=2)
    scene.once[State.DECIDED] = lambda: scene.auths[0].cut(LINKED_AGAIN - loop.time())
    return scene


def silent_at_its_deadline(loop: VirtualLoop) -> Scene:
    """A replica hears neither of its result nor from the ledger until the deadline has passed."""
    scene = Scene(loop, action=Action.LOGIN, seconds=1.0, budget=3.0)

    def cut() -> None:
        scene.auths[0].cut(6.0)
        scene.auths[0].cut_database(6.0)

    scene.once[State.DECIDED] = cut
    return scene


def silent_when_it_is_sent(loop: VirtualLoop) -> Scene:
    """A replica hears of no confirm, nor from the ledger, while its request is claimed."""
    scene = Scene(loop, action=Action.LOGIN, seconds=1.0, budget=14.0)

    def cut() -> None:
        scene.auths[0].cut(6.0)
        scene.auths[0].cut_database(6.0)

    scene.once[ARRIVED] = cut
    return scene


SCENES: Final[dict[Callable[[VirtualLoop], Scene], str]] = {
    paused_past_the_deadline: "timed_out",
    paused_past_the_lease: "indeterminate",
    paused_in_its_script: "succeeded",
    cut_off_from_the_ledger: "timed_out",
    drained_when_it_arrives: "succeeded",
    told_while_its_replica_was_cut_off: "succeeded",
    silent_at_its_deadline: "unavailable",
    silent_when_it_is_sent: "unavailable",
}
"""With what the first caller is told."""


def played(make: Callable[[VirtualLoop], Scene]) -> Scene:
    """Play it to its end; always the same way."""
    with virtually(0) as loop:
        scene = make(loop)
        with only_errors(scene.witness):
            loop.run_until_complete(scene.play())
        return scene
