"""Which execution gets a slot: no connection starves another."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.script_worker.slots import Slots


class Load:
    """Executions that hold their slot until they are told to end."""

    def __init__(self, total: int, *, shared: bool = True) -> None:
        self.slots = Slots(total)
        self.slots.shared = shared
        self.tasks: list[tuple[str, asyncio.Task[None], asyncio.Event]] = []

    async def offer(self, connection_id: str, number: int = 1) -> None:
        for _ in range(number):
            over = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._hold(connection_id, over))
            self.tasks.append((connection_id, task, over))
        await settled()

    async def end(self, connection_id: str, number: int = 1) -> None:
        """End some of a connection, the oldest first."""
        ended = [one for one in self.tasks if one[0] == connection_id][:number]
        for one in ended:
            one[2].set()
            self.tasks.remove(one)
        await settled()

    async def close(self) -> None:
        for _, task, _ in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def held(self) -> dict[str, int]:
        names = sorted({name for name, _, _ in self.tasks})
        return {name: held for name in names if (held := self.slots.held(name))}

    async def _hold(self, connection_id: str, over: asyncio.Event) -> None:
        async with self.slots.taken(connection_id):
            await over.wait()


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("total", "crowds", "expected"),
    [
        (16, 1, [10]),  # two thirds
        (16, 2, [6, 7]),  # two fifths each
        (16, 4, [3, 4]),
        (3, 1, [2]),
        (2, 1, [1]),
        (1, 1, [1]),
    ],
)
async def test_a_crowd_leaves_room_for_others(total: int, crowds: int, expected: list[int]) -> None:
    load = Load(total)

    for number in range(crowds):
        await load.offer(f"con_{number}", 50)
    for _ in range(20):  # the first crowd had everything that is a crowd's until some were over
        for number in range(crowds):
            await load.end(f"con_{number}")

    assert max(load.held().values()) in expected
    if total > 1:
        await load.offer("con_late")
        assert 1 == load.held()["con_late"]
    await load.close()


async def test_a_connection_alone_has_every_slot() -> None:
    load = Load(16, shared=False)

    await load.offer("con_only", 50)

    assert {"con_only": 16} == load.held()
    await load.close()


async def test_a_freed_slot_goes_to_who_has_the_fewest() -> None:
    load = Load(4)
    await load.offer("con_a", 9)
    await load.offer("con_b", 9)
    await load.offer("con_c", 9)
    await load.offer("con_d", 9)
    assert {"con_a": 2, "con_b": 1, "con_c": 1} == load.held()

    await load.end("con_a")

    assert {"con_a": 1, "con_b": 1, "con_c": 1, "con_d": 1} == load.held()
    await load.close()


async def test_executions_of_one_connection_come_in_their_order() -> None:
    slots, order = Slots(1), []

    async def one(number: int) -> None:
        async with slots.taken("con_a"):
            order.append(number)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(one(number))

    assert [0, 1, 2, 3, 4] == order


async def test_who_is_cancelled_in_the_instant_of_its_grant_gives_the_slot_back() -> None:
    load = Load(1)
    await load.offer("con_a")
    await load.offer("con_b")
    await load.offer("con_c")
    _, waiting, _ = load.tasks[1]

    load.tasks[0][2].set()
    await asyncio.sleep(0)  # granted, but not yet resumed
    waiting.cancel()
    await settled()

    assert {"con_c": 1} == load.held()
    await load.close()


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(1, 6)), max_size=60)


@given(total=st.integers(1, 12), steps=STEPS)
def test_whatever_comes_no_slot_is_lost_and_the_last_is_for_who_has_none(
    total: int, steps: list[tuple[str, bool, int]]
) -> None:
    async def play() -> None:
        load = Load(total)
        for name, offered, number in steps:
            await (load.offer(name, number) if offered else load.end(name, number))
            held = load.held()
            assert sum(held.values()) <= total
            wanted = Counter(name for name, _, _ in load.tasks)
            assert all(held.get(name, 0) <= number for name, number in wanted.items())
            if sum(held.values()) < total:
                assert all(name in held for name in wanted)
        for name in "abcd":
            await load.end(name, 1000)
        assert {} == load.held()
        assert total == load.slots._free

    asyncio.run(play())
