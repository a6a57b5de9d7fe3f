"""What shares a statement, on virtual time: alone nobody waits, in company a little."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.batcher import GATHER_MOST, Batcher
from shared.errors import Unavailable

STATEMENT = 0.002


class Server:
    def __init__(self) -> None:
        self.asked: list[tuple[float, list[int]]] = []
        self.away = False
        self.batcher = Batcher(self._ask)

    async def _ask(self, questions: Sequence[int]) -> list[int]:
        if self.away:
            raise Unavailable("away")
        self.asked.append((now(), list(questions)))
        await asyncio.sleep(STATEMENT)
        return [-question for question in questions]

    async def together(self, *questions: int) -> None:
        assert [-one for one in questions] == await asyncio.gather(*map(self.batcher, questions))

    @property
    def sizes(self) -> list[int]:
        return [len(questions) for _, questions in self.asked]


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_one_after_the_other_nobody_waits() -> None:
    server = Server()
    for question in range(5):
        await server.batcher(question)
    assert [pytest.approx(STATEMENT * number) for number in range(5)] == [
        at for at, _ in server.asked
    ]


async def test_what_comes_during_a_statement_shares_the_next() -> None:
    server = Server()
    first = asyncio.create_task(server.batcher(1))
    await asyncio.sleep(STATEMENT / 2)
    await server.together(2, 3, 4)
    await first

    assert [1, 3] == server.sizes


async def test_a_batch_waits_until_as_many_have_come_as_last_time() -> None:
    server = Server()
    await server.together(*range(21))
    began = now()
    first = asyncio.create_task(server.batcher(100))
    await asyncio.sleep(0.003)
    await server.together(*range(101, 121))
    await first

    assert [21, 21] == server.sizes
    assert began + 0.003 == pytest.approx(server.asked[-1][0])


async def test_it_waits_a_little_only_and_less_when_fewer_came() -> None:
    server = Server()
    await server.together(*range(21))
    began = now()
    await server.batcher(100)
    again = now()
    await server.batcher(101)

    assert began + GATHER_MOST == pytest.approx(server.asked[-2][0])
    assert again == pytest.approx(server.asked[-1][0])


async def test_a_failure_is_everybody_s_and_the_next_are_answered() -> None:
    server = Server()
    server.away = True
    found = await asyncio.gather(*map(server.batcher, range(3)), return_exceptions=True)
    server.away = False

    assert [Unavailable] * 3 == [type(one) for one in found]
    assert -1 == await server.batcher(1)


async def test_who_stops_waiting_leaves_the_others_their_answers() -> None:
    server = Server()
    await server.together(*range(5))
    gone = asyncio.create_task(server.batcher(10))
    stays = asyncio.create_task(server.batcher(11))
    await asyncio.sleep(0)
    gone.cancel()

    assert -11 == await stays
