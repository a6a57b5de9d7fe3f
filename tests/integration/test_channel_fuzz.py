"""The control channel from a hostile program's side: the worker lives, leaks nothing, mixes nothing.

In the harness's place stands `tests/hostile/puppet.mjs`, started by the real launcher, heard by the
real pool. What it does is generated from a seed; a failure names it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared.contracts import Action
from tests.hostile.arena import eventually, resident
from tests.hostile.steps import Plans, Step

PUPPET = Path(__file__).parents[1] / "hostile" / "puppet.mjs"
AT_ONCE = 4
NO_BACKOFF = PoolLimits(blanks=2, crashes_before_backoff=1_000_000)
MAX_GROWTH = 64 * 1024 * 1024


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Not in debug mode, which would time out what the fuzzer makes slow."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Campaign:
    """Many calls of hostile connections, and an honest one beside each."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool = pool
        self.plans = Plans(seed)
        self.heard: dict[str, int] = {}
        self.problems: list[str] = []
        self._tokens: set[str] = set()

    async def strike(self, lane: int) -> None:
        """One call of a hostile connection."""
        token = self._token()
        run = await self._run(f"hostile{lane:09d}", self.plans.hostile(token), within=2.0)
        kind = type(run.outcome).__name__ + f" {getattr(run.outcome, 'detail', '')}"
        self.heard[kind] = self.heard.get(kind, 0) + 1
        if others := [other for other in self._tokens - {token} if other in said(run)]:
            self.problems.append(f"{token} was answered by {others}")

    async def speak_honestly(self) -> None:
        """One call of an honest connection, which has to succeed."""
        token = self._token()
        run = await self._run("honest0000000000", self.plans.answer(token), within=30.0)
        if not isinstance(run.outcome, Value) or run.outcome.value != {"user_id": token}:
            self.problems.append(f"the honest one came to {run}")

    def _token(self) -> str:
        token = self.plans.token()
        self._tokens.add(token)
        return token

    async def _run(self, connection: str, steps: list[Step], *, within: float) -> Run:
        bundle = Bundle(f"con_{connection}", "0" * 32, {Action.LOGIN: "-"}, {})
        deadline = asyncio.get_running_loop().time() + within
        return await self.pool.run(bundle, Action.LOGIN, [steps], context={}, deadline=deadline)


def said(run: Run) -> str:
    """Every text and value of a run."""
    value: Any = run.outcome.value if isinstance(run.outcome, Value) else run.outcome
    return repr((value, run.console, run.violations, run.mapped))


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def held() -> tuple[list[str], int]:
    """What this process has open, and in hand."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names suffice
        with suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
    return sorted(links), len(asyncio.all_tasks())


async def campaign(seed: int, calls: int) -> Campaign:
    command = replace(NodeCommand.installed(), harness=PUPPET)
    async with Pool(command, limits=NO_BACKOFF):
        pass  # a loop opens things of its own with its first stream
    before = held()
    async with Pool(command, limits=NO_BACKOFF) as pool:
        running = Campaign(pool, seed)
        await running.speak_honestly()
        grown = resident()
        launcher = pool.launcher_pid
        for _ in range(calls // AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for lane in range(AT_ONCE):
                    group.create_task(running.strike(lane % 3))
                group.create_task(running.speak_honestly())
        assert launcher == pool.launcher_pid
        pids = pool.pids()
    assert not any(map(exists, pids))
    assert await eventually(lambda: held() == before), set(held()[0]) ^ set(before[0])
    assert resident() - grown < MAX_GROWTH
    return running


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_program_on_the_channel_hurts_the_worker_or_is_heard_in_anothers_name(
    seed: int,
) -> None:
    ran = await campaign(seed, calls=80)

    assert [] == ran.problems, seed
    # Otherwise the generator would not be one: some calls answer, some break the protocol.
    assert {"Value ", "Failed protocol_error"} <= ran.heard.keys(), ran.heard


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [10, 11])
async def test_nor_does_one_at_length(seed: int) -> None:
    ran = await campaign(seed, calls=400)

    assert [] == ran.problems, seed
