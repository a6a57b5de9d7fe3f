"""Who of those who wait for a runner is served first. A pool of one runner, on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from services.script_worker.bundle import Bundle
from services.script_worker.waiting import TURN, Prospect, Waiting
from shared.contracts import Action

LONG = 1000.0


def bundle(name: str) -> Bundle:
    return Bundle(f"con_{name:0>16}", "0" * 32, {Action.LOGIN: ""}, {})


A, B, C = map(bundle, "abc")


@dataclass
class OneRunner:
    """It is free, or serves a call; free, it stays warm for who had it last."""

    free: bool = False
    warm_for: Bundle | None = A
    since: float = 0.0
    held: set[tuple[str, str]] = field(default_factory=set)
    served: list[str] = field(default_factory=list)
    cold: int = 0

    def take(self, wanted: Bundle) -> str | None:
        if not self.free or wanted.key in self.held:
            return None
        self.free = False
        if self.warm_for != wanted:
            self.cold += 1
            self.warm_for, self.since = wanted, now()
        return wanted.connection_id[-1]

    def prospect(self, wanted: Bundle) -> Prospect:
        warm = self.free and self.warm_for == wanted
        return Prospect(self.since if warm else None, wanted.key in self.held)


def now() -> float:
    return asyncio.get_running_loop().time()


class Scene:
    def __init__(self) -> None:
        self.runner = OneRunner(since=now())
        self.waiting = Waiting[str](self.runner.take, self.runner.prospect)
        self.calls: list[asyncio.Task[str | None]] = []
        self.given_back: list[str] = []

    async def comes(self, *bundles: Bundle, deadline: float = LONG) -> None:
        for one in bundles:
            asked = self.waiting.wait(one, now() + deadline, self.given_back.append)
            self.calls.append(asyncio.create_task(asked))
            await asyncio.sleep(0)

    async def served(self, each: float = 0.0) -> str:
        """Everybody, one after the other, each call taking so many seconds."""
        order = ""
        while self.waiting:
            self.runner.free = True
            before = {call for call in self.calls if call.done()}
            self.waiting.serve()
            await asyncio.sleep(each)
            (call,) = {call for call in self.calls if call.done()} - before
            order += call.result() or "-"
        return order


async def test_in_the_order_of_their_coming() -> None:
    scene = Scene()
    scene.runner.warm_for = None
    await scene.comes(A, A, A)

    assert ("aaa", 1) == (await scene.served(), scene.runner.cold)


async def test_a_warm_runner_serves_its_own_connection_first() -> None:
    scene = Scene()
    await scene.comes(B, A, B, A)

    assert ("aabb", 1) == (await scene.served(), scene.runner.cold)


async def test_for_a_turn_at_most_while_others_starve() -> None:
    """Each call takes half a turn: after two of its own the runner makes room."""
    scene = Scene()
    await scene.comes(B, A, A, A, A, B)
    await asyncio.sleep(TURN * 0.25)

    order = await scene.served(each=TURN / 2)

    assert order.index("b") == 2
    assert scene.runner.cold <= 3  # and not one for each change of who came first


async def test_who_waits_for_its_own_runners_alone_starves_nobody() -> None:
    """More room would not help it, so nobody loses a warm runner for it."""
    scene = Scene()
    scene.runner.held.add(B.key)
    await scene.comes(B)
    await asyncio.sleep(2 * TURN)
    await scene.comes(C, A)

    scene.runner.free = True
    scene.waiting.serve()
    await asyncio.sleep(0)

    assert [False, False, True] == [call.done() for call in scene.calls]
    scene.waiting.send_away()
    await asyncio.gather(*scene.calls)


async def test_who_cannot_be_served_holds_up_nobody_behind_it() -> None:
    scene = Scene()
    await scene.comes(B, A)
    scene.runner.held.add(B.key)
    scene.runner.free = True
    scene.waiting.serve()

    assert "a" == await scene.calls[1]
    scene.waiting.send_away()
    assert None is await scene.calls[0]


async def test_nobody_waits_beyond_the_deadline() -> None:
    scene = Scene()
    began = now()
    await scene.comes(A, deadline=3)

    assert (None, 3) == (await scene.calls[0], now() - began)
    assert not scene.waiting


async def test_what_was_granted_to_somebody_who_just_left_is_given_back() -> None:
    scene = Scene()
    await scene.comes(A)
    scene.runner.free = True
    scene.waiting.serve()  # granted
    scene.calls[0].cancel()  # before it could take it
    await asyncio.wait(scene.calls)

    assert scene.calls[0].cancelled()
    assert ["a"] == scene.given_back


async def test_who_leaves_before_that_takes_nothing() -> None:
    scene = Scene()
    await scene.comes(A, A)
    scene.calls[0].cancel()
    await asyncio.wait(scene.calls[:1])
    scene.runner.free = True
    scene.waiting.serve()

    assert ("a", []) == (await scene.calls[1], scene.given_back)
