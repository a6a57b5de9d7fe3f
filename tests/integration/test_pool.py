"""The pool through real processes: who gets which runner, and what may go wrong meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.pool_events import LateViolation, Leased, PoolEvent, Retired
from services.script_worker.retiring import RetireReason
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared.contracts import Action, Detail, Failed, ViolationKind

COMMAND = NodeCommand.installed()
SOON = 10.0
LOGIN = """
function login(email, password, callback) {
  global.calls = (global.calls || 0) + 1;
  const reply = () => callback(null, { user_id: process.pid, calls: global.calls });
  switch (password) {
    case 'spin': for (;;) {}
    case 'wait': return setTimeout(reply, 1e6);
    case 'stall': return;
    case 'slow': return setTimeout(reply, 100);
    case 'die': return process.kill(process.pid, 'SIGKILL');
    case 'eat': for (const eaten = []; ;) eaten.push(new Array(1e5).fill({ a: email }));
    case 'gulp': try { const gulped = []; for (;;) gulped.push(Buffer.alloc(3e7, 1)); }
      catch (error) { return callback(error); }
    case 'flood': for (;;) try { require('fs').writeSync(1, 'x'.repeat(65536)); } catch {}
    case 'exit': return process.exit(3);
    case 'mumble': console.log('kept'); process.stderr.write(`I knew ${configuration.TOKEN}\n`);
      return process.kill(process.pid, 'SIGTERM');
    case 'leak': global.leaked = setInterval(() => {}, 1e6); return reply();
    case 'fault': setTimeout(() => { throw new Error('too late'); }, 5); return reply();
    case 'fail': console.log('no', password, configuration.TOKEN, Buffer.from(password));
      return callback(new Error(`no such ${password} for ${configuration.TOKEN}`));
    default: return reply();
  }
}
"""
QUIET = PoolLimits(blanks=0)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


def bundle(number: int = 1, revision: str = "0", script: str = LOGIN) -> Bundle:
    configuration = {"TOKEN": "s3cr3t-t0ken"}
    return Bundle(f"con_{number:016}", revision * 32, {Action.LOGIN: script}, configuration)


@dataclass
class Caller:
    """A pool with what it told its observer, and short ways to call it."""

    pool: Pool
    events: list[PoolEvent] = field(default_factory=list)

    async def login(
        self, password: str = "x", *, of: Bundle | None = None, within: float = SOON
    ) -> Run:
        return await self.pool.run(
            of or bundle(),
            Action.LOGIN,
            ["alice@example.com", password],
            context={},
            deadline=asyncio.get_running_loop().time() + within,
        )

    async def pid(self, password: str = "x", *, of: Bundle | None = None) -> int:
        return pid_of(await self.login(password, of=of))

    @property
    def retired(self) -> list[RetireReason]:
        return [event.reason for event in self.events if isinstance(event, Retired)]

    @property
    def sources(self) -> list[str]:
        return [event.source for event in self.events if isinstance(event, Leased)]


@asynccontextmanager
async def opened(
    limits: PoolLimits = QUIET, command: NodeCommand = COMMAND
) -> AsyncIterator[Caller]:
    """Whatever the test does, every process that was ever seen is gone afterwards."""
    events: list[PoolEvent] = []
    pool = Pool(command, limits=limits, observe=events.append, worker="test")
    async with pool:
        caller, seen = Caller(pool, events), set[int]()
        seen.add(pool.launcher_pid or 0)
        yield caller
        seen |= pool.pids()
    assert [pid for pid in seen if pid and alive(pid)] == []


def pid_of(run: Run) -> int:
    assert isinstance(run.outcome, Value), run
    return int(run.outcome.value["user_id"])


def detail_of(run: Run) -> Detail:
    assert isinstance(run.outcome, Failed), run
    return run.outcome.detail


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def eventually(condition: Callable[[], bool]) -> bool:
    """Polled: what is awaited here happens in another process, or in the kernel."""
    try:
        async with asyncio.timeout(SOON):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True


async def test_a_runner_keeps_its_global_and_serves_its_connection_only() -> None:
    async with opened() as caller:
        first = await caller.login()
        second = await caller.login()
        other = await caller.login(of=bundle(2))
        newer = await caller.login(of=bundle(1, revision="1"))

    assert isinstance(second.outcome, Value)
    assert second.outcome.value["calls"] == 2
    assert pid_of(first) == pid_of(second)
    assert len({pid_of(first), pid_of(other), pid_of(newer)}) == 3
    assert caller.sources == ["cold", "warm", "cold", "cold"]
    assert second.runner is not None
    assert (second.runner.warm, second.runner.uses, second.runner.worker) == (True, 2, "test")


async def test_a_first_call_takes_a_blank_and_another_one_takes_its_place() -> None:
    async with opened(PoolLimits(blanks=1)) as caller:
        assert await eventually(lambda: caller.pool.states()["blank"] == 1)
        blank = caller.pool.pids()
        first = await caller.pid()

        assert {first} == blank
        assert caller.sources == ["blank"]
        assert await eventually(lambda: caller.pool.states()["blank"] == 1)


@pytest.mark.parametrize(
    ("password", "detail"), [("spin", Detail.CPU_BOUND), ("wait", Detail.WAITING)]
)
async def test_the_deadline_kills_says_why_and_is_not_late(password: str, detail: Detail) -> None:
    loop = asyncio.get_running_loop()
    async with opened() as caller:
        pid = await caller.pid()
        deadline = loop.time() + 0.4
        run = await caller.login(password, within=0.4)
        late = loop.time() - deadline

        assert detail == detail_of(run)
        assert -0.005 <= late < 0.1
        assert await eventually(lambda: not alive(pid))
        assert pid != await caller.pid()
    assert caller.retired == [RetireReason.TIMEOUT, RetireReason.DRAIN]


async def test_a_script_that_can_never_call_back_is_told_at_once() -> None:
    async with opened() as caller:
        pid = await caller.pid()
        run = await caller.login("stall", within=20)

        assert detail_of(run) == Detail.CALLBACK_NEVER_CALLED
        assert run.ran < timedelta(milliseconds=200)
        assert pid == await caller.pid()


async def test_cancelling_a_run_kills_its_runner_and_frees_its_slot() -> None:
    async with opened(replace(QUIET, max_processes_per_connection=1)) as caller:
        pid = await caller.pid()
        async with asyncio.TaskGroup() as group:
            doomed = group.create_task(caller.login("wait"))
            await asyncio.sleep(0.05)
            doomed.cancel()
        assert await eventually(lambda: not alive(pid))
        assert pid != await caller.pid()
    assert caller.retired[0] == RetireReason.CANCELLED


@pytest.mark.parametrize("after", [0.0, 0.001, 0.01, 0.04, 0.08])
async def test_cancelling_during_the_start_leaves_no_process_and_no_slot_behind(
    after: float,
) -> None:
    async with opened(replace(QUIET, max_processes_per_connection=1)) as caller:
        async with asyncio.TaskGroup() as group:
            doomed = group.create_task(caller.login("slow"))
            await asyncio.sleep(after)
            doomed.cancel()
        assert await eventually(lambda: not caller.pool.pids())
        assert caller.pool.states() == {"busy": 0, "idle": 0, "blank": 0}
        await caller.pid()


async def test_cancelling_one_that_waits_passes_its_turn_on() -> None:
    async with opened(replace(QUIET, max_processes_per_connection=1)) as caller:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(caller.login("slow"))
            await asyncio.sleep(0.02)
            second = group.create_task(caller.login())
            third = group.create_task(caller.login())
            await asyncio.sleep(0.02)
            second.cancel()
        assert pid_of(first.result()) == pid_of(third.result())
        assert caller.pool.states() == {"busy": 0, "idle": 1, "blank": 0}


async def test_one_connection_gets_no_more_processes_than_its_share() -> None:
    async with opened(replace(QUIET, max_processes_per_connection=2)) as caller:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(caller.login("slow")) for _ in range(6)]
            other = group.create_task(caller.login(of=bundle(2)))
        assert len({pid_of(call.result()) for call in calls}) == 2
        assert pid_of(other.result())


async def test_waiting_for_a_slot_ends_at_the_deadline() -> None:
    async with opened(replace(QUIET, max_processes_per_connection=1)) as caller:
        await caller.pid()
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.login("wait", within=0.5))
            await asyncio.sleep(0.02)
            run = await caller.login(within=0.2)
        assert detail_of(run) == Detail.RUNNER_UNAVAILABLE


async def test_the_least_recently_used_runner_makes_room() -> None:
    async with opened(replace(QUIET, max_processes=2)) as caller:
        first = await caller.pid(of=bundle(1))
        second = await caller.pid(of=bundle(2))
        assert first == await caller.pid(of=bundle(1))
        await caller.pid(of=bundle(3))

        assert caller.retired == [RetireReason.EVICTED]
        assert await eventually(lambda: not alive(second))
        assert first == await caller.pid(of=bundle(1))


async def test_a_runner_that_died_while_idle_costs_nobody_anything() -> None:
    async with opened() as caller:
        pid = await caller.pid()
        for _ in range(5):
            os.kill(pid, signal.SIGKILL)
            pid, before = await caller.pid(), pid
            assert pid != before


async def test_a_lost_launcher_is_replaced_and_the_next_calls_succeed() -> None:
    async with opened(PoolLimits(blanks=1)) as caller:
        before = await caller.pid()
        launcher = caller.pool.launcher_pid
        assert launcher is not None
        os.kill(launcher, signal.SIGKILL)
        assert await eventually(lambda: not alive(before))
        after = await caller.pid()

        assert before != after
        assert launcher != caller.pool.launcher_pid


async def test_a_death_in_the_middle_is_a_crash_and_not_repeated() -> None:
    async with opened() as caller:
        await caller.pid()
        run = await caller.login("die")

        assert isinstance(run.outcome, Failed)
        assert (
            run.outcome.detail,
            run.outcome.message,
        ) == (Detail.PROCESS_DIED, "the process died by SIGKILL")
        assert caller.retired == [RetireReason.CRASH]


@pytest.mark.parametrize(
    ("password", "detail", "reason"),
    [
        ("eat", Detail.HEAP_EXHAUSTED, RetireReason.OUT_OF_MEMORY),
        ("flood", Detail.OUTPUT_FLOOD, RetireReason.OUTPUT_FLOOD),
        ("exit", Detail.PROCESS_EXIT, RetireReason.CRASH),
    ],
)
async def test_each_way_to_die_has_its_own_name(
    password: str, detail: Detail, reason: RetireReason
) -> None:
    async with opened(command=replace(COMMAND, heap_mib=64)) as caller:
        await caller.pid()
        run = await caller.login(password)

        assert detail_of(run) == detail
        assert caller.retired == [reason]
        assert await caller.pid()


async def test_buffers_beyond_the_budget_are_an_error_that_the_script_can_catch() -> None:
    async with opened(command=replace(COMMAND, data_bytes=128 * 1024 * 1024)) as caller:
        pid = await caller.pid()
        run = await caller.login("gulp")

        assert detail_of(run) == Detail.CALLED_BACK_ERROR
        assert pid == await caller.pid()


async def test_last_words_and_console_of_a_dead_runner_are_kept_and_redacted() -> None:
    async with opened() as caller:
        run = await caller.login("mumble")

    assert isinstance(run.outcome, Failed)
    assert run.outcome.message == "the process died by SIGTERM: I knew [redacted]"
    assert [line.text for line in run.console] == ["kept"]


async def test_a_connection_whose_runners_keep_dying_has_to_wait() -> None:
    limits = replace(QUIET, crashes_before_backoff=2, backoff=timedelta(milliseconds=300))
    loop = asyncio.get_running_loop()
    async with opened(limits) as caller:
        for _ in range(2):
            assert detail_of(await caller.login("die")) == Detail.PROCESS_DIED
        crashed = loop.time()
        refused = await caller.login(within=0.1)
        assert detail_of(refused) == Detail.RUNNER_UNAVAILABLE
        await caller.pid(of=bundle(2))
        await caller.pid()

        assert loop.time() - crashed >= 0.29


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (replace(QUIET, max_uses=3, uses_jitter=0.0), RetireReason.USES),
        (replace(QUIET, max_age=timedelta(0)), RetireReason.AGE),
    ],
)
async def test_a_worn_runner_is_retired_after_its_call(
    limits: PoolLimits, reason: RetireReason
) -> None:
    async with opened(limits) as caller:
        pids = [await caller.pid() for _ in range(4)]

    assert len(set(pids)) > 1
    assert {reason, RetireReason.DRAIN} >= set(caller.retired)
    assert reason == caller.retired[0]


async def test_an_idle_runner_is_retired_in_time() -> None:
    async with opened(replace(QUIET, max_idle=timedelta(0))) as caller:
        pid = await caller.pid()

        assert await eventually(lambda: not alive(pid))
        assert caller.retired == [RetireReason.IDLE]


async def test_handles_that_only_grow_retire_their_runner() -> None:
    async with opened() as caller:
        pid = await caller.pid()
        for _ in range(12):
            await caller.login("leak")

        assert pid != await caller.pid()
        assert caller.retired == [RetireReason.MEMORY_GROWTH]


async def test_a_new_revision_retires_the_old_ones_when_they_are_idle() -> None:
    old, new = bundle(1, "0"), bundle(1, "1")
    async with opened() as caller:
        await caller.pid(of=old)
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(caller.login("slow", of=old))
            await asyncio.sleep(0.02)
            caller.pool.revision_changed(old.connection_id, new.revision)
        assert pid_of(slow.result())
        assert caller.retired == [RetireReason.REVISION_CHANGED]
        pid = await caller.pid(of=new)
        assert pid == await caller.pid(of=new)


async def test_a_fault_after_the_callback_leaves_the_result_and_retires_the_runner() -> None:
    async with opened() as caller:
        pid = pid_of(await caller.login("fault"))

        assert await eventually(lambda: caller.retired == [RetireReason.FAULT_AFTER_CALLBACK])
        late = [event.kind for event in caller.events if isinstance(event, LateViolation)]
        assert late == [ViolationKind.FAULT_AFTER_CALLBACK]
        assert await eventually(lambda: not alive(pid))
        assert pid != await caller.pid()


async def test_neither_the_password_nor_the_configuration_leaves_with_a_text() -> None:
    async with opened() as caller:
        run = await caller.login("fail")

    assert isinstance(run.outcome, Failed)
    assert run.outcome.message == "no such [redacted] for [redacted]"
    shown = " ".join(line.text for line in run.console)
    assert shown.startswith("no [redacted] [redacted]")
    assert "s3cr3t" not in repr(run)


async def test_draining_finishes_what_is_in_hand_and_refuses_the_rest() -> None:
    async with opened() as caller:
        await caller.pid()
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(caller.login("slow"))
            await asyncio.sleep(0.02)
            await caller.pool.drain()
        assert pid_of(slow.result())
        assert frozenset() == caller.pool.pids()
        assert detail_of(await caller.login()) == Detail.RUNNER_UNAVAILABLE


async def test_leaving_by_an_exception_kills_what_runs() -> None:
    pids: set[int] = set()

    async def broken() -> None:
        async with Pool(COMMAND, limits=PoolLimits(blanks=2)) as pool:
            assert await eventually(lambda: pool.states()["blank"] == 2)
            pids.update(pool.pids())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()

    assert len(pids) == 2
    assert not any(map(alive, pids))


async def test_a_node_that_is_not_there_is_a_lack_of_capacity() -> None:
    command = replace(COMMAND, node=Path("/nonexistent/node"))
    async with opened(PoolLimits(blanks=1), command) as caller:
        run = await caller.login()

        assert detail_of(run) == Detail.RUNNER_UNAVAILABLE


async def test_a_missing_script_and_a_passed_deadline_start_nothing() -> None:
    async with opened() as caller:
        missing = await caller.pool.run(
            bundle(), Action.CREATE, [{}], context={}, deadline=float("inf")
        )
        late = await caller.login(within=-1)

        assert detail_of(missing) == Detail.NO_SUCH_SCRIPT
        assert detail_of(late) == Detail.DEADLINE_PASSED
        assert frozenset() == caller.pool.pids()


async def test_a_worker_that_was_paused_past_the_deadline_starts_nothing() -> None:
    """I3: its runner is chosen, and then the worker stands still."""

    def pause(event: PoolEvent) -> None:
        if event == Leased("warm"):
            time.sleep(0.5)

    async with Pool(COMMAND, limits=QUIET, observe=pause) as pool:
        loop = asyncio.get_running_loop()
        first = await pool.run(
            bundle(), Action.LOGIN, ["a", ""], context={}, deadline=loop.time() + 10
        )
        late = await pool.run(
            bundle(), Action.LOGIN, ["a", ""], context={}, deadline=loop.time() + 0.3
        )
        last = await pool.run(
            bundle(), Action.LOGIN, ["a", ""], context={}, deadline=loop.time() + 10
        )

    assert isinstance(late.outcome, Failed)
    assert Detail.DEADLINE_PASSED == late.outcome.detail
    assert isinstance(first.outcome, Value)
    assert isinstance(last.outcome, Value)
    assert 2 == last.outcome.value["calls"]


async def test_arguments_too_large_for_a_frame_are_refused_and_harm_nothing() -> None:
    async with opened() as caller:
        pid = await caller.pid()
        run = await caller.login("x" * 5_000_000)

        assert detail_of(run) == Detail.RESULT_TOO_LARGE
        assert pid == await caller.pid()


async def test_a_script_that_spins_while_it_is_bound_meets_its_deadline_too() -> None:
    script = "for (;;) {}\nfunction login(email, password, callback) { callback(null, null); }"
    async with opened() as caller:
        run = await caller.login(of=bundle(script=script), within=2.0)  # its start included

        assert detail_of(run) == Detail.CPU_BOUND


async def test_a_broken_script_names_itself_and_keeps_no_process() -> None:
    async with opened() as caller:
        run = await caller.login(of=bundle(script="function login( {"))

        assert isinstance(run.outcome, Failed)
        assert run.outcome.detail == Detail.BIND_ERROR
        assert "SyntaxError" in str(run.outcome.message)
        assert caller.retired == [RetireReason.BIND_ERROR]


async def test_many_calls_of_many_connections_all_get_their_own_answer() -> None:
    limits = PoolLimits(blanks=1, max_processes=5, max_processes_per_connection=2)
    script = LOGIN.replace("user_id: process.pid", "user_id: password, pid: process.pid")

    async with opened(limits) as caller:

        async def one(number: int) -> Any:
            run = await caller.login(
                f"pw-{number}", of=bundle(number % 7, script=script), within=30
            )
            assert isinstance(run.outcome, Value), run
            return run.outcome.value["user_id"]

        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(one(number)) for number in range(150)]
        assert [f"pw-{number}" for number in range(150)] == [call.result() for call in calls]
        assert caller.sources.count("warm") > 50
        assert sum(caller.pool.states().values()) <= 5


async def test_a_leftover_of_an_earlier_call_says_no_password_either() -> None:
    """A timer of one call logs during the next one, which is booked with the line."""
    script = """function login(email, password, callback) {
      if (password === 'quick') return setTimeout(() => callback(null, { user_id: 1 }), 300);
      setTimeout(() => console.log('late words:', password), 100);
      callback(null, { user_id: 1 });
    }"""
    bundle = Bundle("con_" + "l" * 16, "0" * 32, {Action.LOGIN: script}, {})
    async with Pool(COMMAND, limits=QUIET) as pool:
        loop = asyncio.get_running_loop()

        async def login(password: str) -> Run:
            deadline = loop.time() + SOON
            return await pool.run(
                bundle, Action.LOGIN, ["a@b.example", password], context={}, deadline=deadline
            )

        await login("marked secret 77")
        run = await login("quick")

    assert ["late words: [redacted]"] == [line.text for line in run.console]
