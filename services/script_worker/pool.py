"""The runners: which call gets which process, how many there are, and when one has to go.

Rule 1: a runner belongs to one connection revision for life, and to one call at a time.
Rule 2: a leased process comes back spotless or dead. Any doubt means dead.
Rule 3: `run` never raises for what a script does; cancelling it kills its runner.
Rule 4: nothing waits without a bound (I11): for a slot, for a start, for an answer.
Rule 5: whoever changes what is free calls `_serve`, so that nobody waits beside a free slot.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic, perf_counter  # uvloop's own clock ticks in milliseconds
from types import TracebackType
from typing import Any, Final, Literal, Self

import structlog

from services.script_worker.bundle import Bundle
from services.script_worker.egress import Egress
from services.script_worker.frames import (
    BindError,
    Broken,
    FrameTooLarge,
    Log,
    Mapped,
    Result,
)
from services.script_worker.node_process import (
    Answer,
    NodeCommand,
    NodeProcess,
    RetireReason,
    State,
)
from services.script_worker.preload import Preload
from services.script_worker.redaction import ConfigurationForms, Redactor, Secrets
from services.script_worker.sandbox.levels import Level
from services.script_worker.spawner import Connect, Isolation, NotSpawned, Spawner
from services.script_worker.verdicts import (
    Value,
    Verdict,
    bind_failure,
    for_want_of_egress,
    verdict,
)
from shared.contracts import (
    MAX_CONNECTS,
    MAX_TEXT,
    Action,
    ConsoleLine,
    Denied,
    Detail,
    EgressConnect,
    Failed,
    RunnerFacts,
    Violation,
    ViolationKind,
)
from shared.egress import EgressVerdict

__all__ = ["NodeCommand", "Pool", "PoolLimits", "RetireReason", "Run", "Value"]

log = structlog.get_logger(__name__)

TEND_EVERY: Final = 1.0
SAMPLED_PER_TICK: Final = 4
"""Reading a process's PSS takes the kernel about a millisecond, on our loop."""
LINGER: Final = 0.25
"""Seconds after its last call before a spotless runner is killed: scripts may still be saying
goodbye to their database (`finally { await client.end() }`), which is normal (C§4.1)."""
BUSY_WHILE_IDLE: Final = 0.2
"""Of a core, by a runner that nobody asks anything: a script left threads or timers at work that
no call is charged for. An honest one uses next to nothing between calls."""
GONE_WITHIN: Final = 5.0
RECENT_CALLS: Final = 32
"""Calls of one connection whose passwords are still masked after their end."""
TURN: Final = 0.25
"""Seconds that a runner of a full pool serves its own connection before it has to make room for
one that has waited as long: cold starts then take a bounded share of the time."""
_CRASHES: Final = {
    RetireReason.CRASH,
    RetireReason.OUT_OF_MEMORY,
    RetireReason.OUTPUT_FLOOD,
    RetireReason.PROTOCOL_ERROR,
}
_SPOTLESS: Final = {
    RetireReason.USES,
    RetireReason.AGE,
    RetireReason.IDLE,
    RetireReason.MEMORY_GROWTH,
    RetireReason.REVISION_CHANGED,
    RetireReason.EVICTED,
    RetireReason.DRAIN,
    RetireReason.VIOLATION,
    RetireReason.FAULT_AFTER_CALLBACK,
}
"""Reasons that leave a runner its `LINGER`; a violation is no reason to cut off what the same
call still has to finish."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Every limit of the pool."""

    max_processes: int = 32
    """In all, `blanks` included."""
    max_processes_per_connection: int = 2
    blanks: int = 2
    refill_concurrency: int = max(1, (os.cpu_count() or 1) // 2)
    max_uses: int = 1000
    uses_jitter: float = 0.1
    """So that runners that started together don't end together."""
    max_age: timedelta = timedelta(hours=1)
    max_idle: timedelta = timedelta(minutes=5)
    max_pss: int = 512 * 1024 * 1024
    """Bytes, one process. RSS would count shared text once for each and overstate it fourfold."""
    max_pss_total: int = 4 * 1024 * 1024 * 1024
    start_within: timedelta = timedelta(seconds=10)
    crashes_before_backoff: int = 3
    backoff: timedelta = timedelta(milliseconds=100)
    max_backoff: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to. Texts are redacted; `outcome`'s value is not, it gets sealed."""

    outcome: Verdict
    violations: tuple[Violation, ...] = ()
    console: tuple[ConsoleLine, ...] = ()
    bound: timedelta = timedelta(0)
    ran: timedelta = timedelta(0)
    runner: RunnerFacts | None = None
    egress: tuple[EgressConnect, ...] = ()
    mapped: tuple[Mapped, ...] = ()
    """Modules that the runner's scripts asked for and got otherwise, so far."""


Source = Literal["warm", "blank", "cold"]


@dataclass(frozen=True, slots=True)
class Started:
    """A process became ready."""

    took: timedelta


@dataclass(frozen=True, slots=True)
class Leased:
    """A call got a process: a bound one, a blank one, or one that had to be started."""

    source: Source


@dataclass(frozen=True, slots=True)
class Retired:
    """A process was ended."""

    reason: RetireReason
    connection_id: str | None


@dataclass(frozen=True, slots=True)
class LateViolation:
    """A rule was broken after the result had left; the runner is retired."""

    connection_id: str | None
    kind: ViolationKind


@dataclass(frozen=True, slots=True)
class Connected:
    """A script asked for a connect, so many times."""

    verdict: EgressVerdict
    times: int


PoolEvent = Started | Leased | Retired | LateViolation | Connected
Observe = Callable[[PoolEvent], None]


@dataclass(slots=True, eq=False)
class _Shelf:
    """What the pool knows of one connection revision."""

    key: tuple[str, str]
    configuration: ConfigurationForms
    idle: list[NodeProcess] = field(default_factory=list)
    """Last in, first out: the rest may grow old and go."""
    count: int = 0
    crashes: int = 0
    retry_at: float = 0.0
    recent: deque[Secrets] = field(default_factory=lambda: deque(maxlen=RECENT_CALLS), repr=False)
    """What a leftover of an earlier call may still say aloud; it is masked like our own."""


@dataclass(frozen=True, slots=True)
class _Call:
    bundle: Bundle
    action: Action
    arguments: Sequence[Any]
    context: Mapping[str, Any]
    deadline: float


@dataclass(frozen=True, slots=True)
class _Lease:
    process: NodeProcess
    shelf: _Shelf
    source: Source
    max_uses: int = 0


@dataclass(frozen=True, slots=True)
class _Attempt:
    answer: Answer
    bound: float = 0.0
    ran: float = 0.0
    runner: RunnerFacts | None = None
    mapped: tuple[Mapped, ...] = ()


@dataclass(slots=True, eq=False)
class _Waiter:
    bundle: Bundle
    lease: asyncio.Future[_Lease | None]
    since: float


def _unobserved(_: PoolEvent) -> None:
    """Nobody counts."""


class Pool:
    """An async context manager; owns the launcher, the blanks and the bound runners."""

    def __init__(
        self,
        command: NodeCommand,
        *,
        limits: PoolLimits | None = None,
        observe: Observe = _unobserved,
        worker: str = "",
        egress: Egress | None = None,
    ) -> None:
        self._command = command
        self._egress = egress or Egress()
        self._limits = limits or PoolLimits()
        self._observe = observe
        self._worker = worker
        self._spawner = Spawner(command.order())
        self._preload = Preload()
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._owned: dict[NodeProcess, tuple[_Shelf, int]] = {}
        """Bound or about to be, with the number of uses after which it goes."""
        self._idle: OrderedDict[NodeProcess, _Shelf] = OrderedDict()
        """Least recently used first."""
        self._blanks: list[NodeProcess] = []
        self._alive: set[NodeProcess] = set()
        self._waiting: dict[_Waiter, None] = {}
        self._current: dict[str, str] = {}
        self._pss: dict[NodeProcess, int] = {}
        self._cpu: dict[NodeProcess, tuple[float, float]] = {}
        """When a process was weighed last, and the CPU time that it had used by then."""
        self._refilling = 0
        self._calls_held_up = 0
        self._draining = False
        self._stopped = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    # -- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._spawner.order(await self._egress.order(self._command.order()))
        self._spawner.start()
        await self._tasks.__aenter__()
        self._tasks.create_task(self._tend(), name="pool.tend")
        self._refill()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.drain()
        finally:
            self._draining = True
            self._stopped.set()
            for process in self._alive:
                process.kill(RetireReason.DRAIN)
            try:
                await self._spawner.close()
            finally:
                # Nothing is left for its tasks to wait for; our caller keeps its own exception.
                await self._tasks.__aexit__(None, None, None)

    async def drain(self) -> None:
        """Take nothing new, finish what is in hand, end every runner. Deadlines bound it."""
        self._draining = True
        self._dismiss()
        for process in [*self._idle]:
            self._retire(process, RetireReason.DRAIN)
        while self._blanks:
            self._discard(self._blanks.pop())
        while self._owned:  # each release retires its process now
            await asyncio.wait([process.gone for process in self._owned])
        try:
            async with asyncio.timeout(GONE_WITHIN):
                while self._alive:
                    await asyncio.wait([process.gone for process in self._alive])
        except TimeoutError:
            log.warning("pool.runners_left", count=len(self._alive), next="killed by the launcher")

    def states(self) -> dict[str, int]:
        """How many processes there are of each kind."""
        return {
            "busy": len(self._owned) - len(self._idle),
            "idle": len(self._idle),
            "blank": sum(blank.state is State.BLANK for blank in self._blanks),
        }

    def pids(self) -> frozenset[int]:
        """The processes that may be alive."""
        return frozenset(process.pid for process in self._alive if process.pid)

    @property
    def launcher_pid(self) -> int | None:
        """The launcher's pid while it lives."""
        return self._spawner.launcher_pid

    async def isolation(self) -> Isolation:
        """What this machine gives. Raises NotSpawned."""
        return await self._spawner.isolation()

    async def look_up_own_services(self) -> None:
        """Our broker and database may have moved; runners are held off their new addresses."""
        self._spawner.order(await self._egress.order(self._command.order()))

    def revision_changed(self, connection_id: str, current: str) -> None:
        """From now on runners of this connection's other revisions go, when they are idle."""
        self._current[connection_id] = current
        for process, shelf in [*self._idle.items()]:
            if shelf.key[0] == connection_id and shelf.key[1] != current:
                self._retire(process, RetireReason.REVISION_CHANGED)

    # -- one run ------------------------------------------------------------------------------

    async def run(
        self,
        bundle: Bundle,
        action: Action,
        arguments: Sequence[Any],
        *,
        context: Mapping[str, Any],
        deadline: float,
    ) -> Run:
        """Run one action before `deadline`, an instant of the running loop's clock."""
        if action not in bundle.scripts:
            return Run(Failed.of(Detail.NO_SUCH_SCRIPT, f"{action} script does not exist"))
        if deadline <= self._loop.time():
            return Run(_passed())
        call = _Call(bundle, action, arguments, context, deadline)
        attempt = await self._attempt(call)
        if not attempt.answer.started and deadline > self._loop.time():
            # It died with the request unread, so this is not a repetition (I4).
            attempt = await self._attempt(call, fresh=True)
        return self._report(call, attempt)

    async def _attempt(self, call: _Call, *, fresh: bool = False) -> _Attempt:
        began = perf_counter()
        lease = await self._lease(call, fresh=fresh)
        if lease is None:
            return _Attempt(_unavailable("no runner became free before the deadline"))
        process = lease.process
        lease.shelf.recent.append((call.action, call.arguments))
        try:
            answer = await self._prepare(lease, call)
            # Not the loop's clock: uvloop's stands still while a paused worker's time goes on (I3).
            if answer is None and call.deadline <= monotonic():
                answer = Answer(failure=_passed())
            ready = perf_counter()
            if answer is None:
                answer = await process.invoke(
                    call.action, call.arguments, call.context, call.deadline
                )
            ran = perf_counter() - ready
            return _Attempt(answer, ready - began, ran, self._facts(lease), process.mapped)
        except FrameTooLarge as error:
            return _Attempt(Answer(failure=Failed.of(Detail.RESULT_TOO_LARGE, f"call: {error}")))
        except NotSpawned as error:
            process.kill(RetireReason.CANCELLED)
            return _Attempt(_unavailable(str(error), started=False))
        except BaseException:
            process.kill(RetireReason.CANCELLED)
            raise
        finally:
            self._release(lease)

    async def _prepare(self, lease: _Lease, call: _Call) -> Answer | None:
        """Make the process ready for the call; an answer says why that failed."""
        process = lease.process
        self._observe(Leased(lease.source))
        if lease.source == "warm":
            if not self._egress.is_open(call.bundle):
                grant = await self._egress.grant(call.bundle)  # its names may have moved
                await process.grant(grant, call.deadline)
            return None
        if not await self._started(lease, call.deadline):
            return _unavailable("no runner started in time", started=False)
        process.on_late = lambda broken: self._late(lease.shelf, broken)
        process.on_connect = lambda connect: self._note_connect(lease, connect)
        grant = await self._egress.grant(call.bundle)
        if not grant.open and (await self._spawner.isolation()).level is not Level.FULL:
            message = "this worker can't hold scripts to a list of destinations"
            return Answer(failure=Failed.of(Detail.CONNECT_DENIED, message), started=False)
        await process.grant(grant, call.deadline)  # before its scripts can ask for anything
        answer = await process.bind(call.bundle, call.deadline)
        if isinstance(answer.frame, BindError):
            answer.failure = bind_failure(answer.frame)
        return answer if answer.failure is not None else None

    async def _started(self, lease: _Lease, deadline: float) -> bool:
        process = lease.process
        until = min(deadline, self._loop.time() + self._limits.start_within.total_seconds())
        self._calls_held_up += 1
        try:
            async with asyncio.timeout_at(until):
                if lease.source == "cold":
                    self._start(process)
                await asyncio.wait([process.ready])
        except TimeoutError:
            process.kill(RetireReason.CRASH)
        finally:
            self._calls_held_up -= 1
            self._refill()
        # Not one that got ready in the very instant in which it was given up.
        return process.state is State.BLANK and process.ready.done() and process.ready.result()

    def _facts(self, lease: _Lease) -> RunnerFacts:
        process = lease.process
        return RunnerFacts(
            worker=self._worker,
            pid=process.pid,
            node=process.node,
            uses=process.uses,
            warm=lease.source == "warm",
        )

    def _report(self, call: _Call, attempt: _Attempt) -> Run:
        answer = attempt.answer
        if answer.failure is None and isinstance(answer.frame, Result):
            outcome = verdict(call.action, answer.frame)
        else:
            outcome = answer.failure or Failed.of(Detail.PROTOCOL_ERROR)
        refused = [each for each in answer.connects if each.verdict is not EgressVerdict.ALLOWED]
        if refused and isinstance(outcome, Failed):
            first = refused[0]
            outcome = for_want_of_egress(outcome, f"connect to {first.to}: {first.verdict}")
        egress = tuple(
            EgressConnect(address=each.address, port=each.port, verdict=each.verdict)
            for each in answer.connects
        )
        bound, ran = timedelta(seconds=attempt.bound), timedelta(seconds=attempt.ran)
        if isinstance(outcome, Value) and not answer.violations and not answer.console:
            # No text to redact.
            return Run(outcome, (), (), bound, ran, attempt.runner, egress, attempt.mapped)
        shelf = self._shelves.get(call.bundle.key)
        forms = shelf.configuration if shelf else ConfigurationForms(call.bundle.configuration)
        earlier = shelf.recent if shelf else ()
        profile = outcome.value if isinstance(outcome, Value) else None
        redact = Redactor(forms, call.action, call.arguments, earlier, profile)
        return Run(
            outcome=_redacted(outcome, redact),
            violations=tuple(_violation(broken, redact) for broken in answer.violations),
            console=tuple(_console_line(line, redact) for line in answer.console),
            bound=bound,
            ran=ran,
            runner=attempt.runner,
            egress=egress,
            mapped=attempt.mapped,
        )

    # -- who gets which process ---------------------------------------------------------------

    async def _lease(self, call: _Call, *, fresh: bool) -> _Lease | None:
        if self._draining:
            return None
        shelf = self._shelf(call.bundle)
        while fresh and shelf.idle:  # they may have died the same death
            self._retire(shelf.idle[-1], RetireReason.CRASH)
        if shelf.idle or not self._waiting:
            lease = self._take(call.bundle)
            if lease is not None:
                return lease
        if shelf.retry_at >= call.deadline:
            return None
        return await self._wait(
            _Waiter(call.bundle, self._loop.create_future(), self._loop.time()), call.deadline
        )

    def _take(self, bundle: Bundle) -> _Lease | None:
        """A process for this call, if one can be had right now."""
        shelf = self._shelf(bundle)
        if shelf.idle:
            process = shelf.idle.pop()
            del self._idle[process]
            return _Lease(process, shelf, "warm")
        if shelf.count >= self._limits.max_processes_per_connection:
            return None
        if self._loop.time() < shelf.retry_at or not self._room():
            return None
        return self._assign(shelf, bundle)

    def _assign(self, shelf: _Shelf, bundle: Bundle) -> _Lease:
        source: Source = "blank" if self._blanks else "cold"
        process = self._take_blank() if self._blanks else self._process(())
        shelf.count += 1
        jitter = self._limits.uses_jitter
        uses = self._limits.max_uses * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311
        self._owned[process] = (shelf, max(1, round(uses)))
        self._preload.note(bundle)
        self._refill()
        return _Lease(process, shelf, source)

    def _room(self) -> bool:
        """Whether one more process may be bound; the least recently used makes room for it."""
        limit = max(1, self._limits.max_processes - self._limits.blanks)
        if len(self._owned) >= limit and self._idle:
            self._retire(next(iter(self._idle)), RetireReason.EVICTED)
        return len(self._owned) < limit

    async def _wait(self, waiter: _Waiter, deadline: float) -> _Lease | None:
        self._waiting[waiter] = None
        self._calls_held_up += 1
        overdue = self._loop.call_at(deadline, _send_away, waiter)
        try:
            self._serve()
            return await waiter.lease
        except BaseException:
            self._give_back(waiter)
            raise
        finally:
            overdue.cancel()
            self._calls_held_up -= 1
            self._waiting.pop(waiter, None)

    def _give_back(self, waiter: _Waiter) -> None:
        """The wait ended, but a lease may have been granted in the same instant."""
        if waiter.lease.cancelled() or not waiter.lease.done():
            return
        lease = waiter.lease.result()
        if lease is not None:
            if lease.source != "warm":  # half-started: not worth the states it would add
                lease.process.kill(RetireReason.CANCELLED)
            self._release(lease)

    def _serve(self) -> None:
        """Give what is free to those who wait, in their order (rule 5).

        But a warm runner first serves those who wait for it, for a turn at least: evicting it
        for the next in line at once would make every call of a full pool a cold one.
        """
        waiters = [waiter for waiter in self._waiting if not waiter.lease.done()]
        wanted = {waiter.bundle.key for waiter in waiters}
        if len(wanted) > 1:  # else they have nobody to be fair to
            starving = any(map(self._starves, waiters))
            waiters.sort(key=lambda waiter: not self._on_turn(waiter, others_starve=starving))
        for waiter in waiters:
            if waiter.bundle.key not in wanted:
                continue
            lease = self._take(waiter.bundle)
            if lease is not None:
                del self._waiting[waiter]
                waiter.lease.set_result(lease)
                continue
            wanted.discard(waiter.bundle.key)  # nothing for those behind it either
            if not wanted:
                return

    def _on_turn(self, waiter: _Waiter, *, others_starve: bool) -> bool:
        idle = self._shelf(waiter.bundle).idle
        return bool(idle) and (not others_starve or self._loop.time() - idle[-1].bound_at < TURN)

    def _starves(self, waiter: _Waiter) -> bool:
        """Whether it waits for room, not for its own connection's runners, and for too long."""
        now, shelf = self._loop.time(), self._shelf(waiter.bundle)
        full = shelf.count >= self._limits.max_processes_per_connection or now < shelf.retry_at
        return not full and now - waiter.since > TURN

    def _dismiss(self) -> None:
        for waiter in self._waiting:
            _send_away(waiter)
        self._waiting.clear()

    # -- what becomes of a process ------------------------------------------------------------

    def _release(self, lease: _Lease) -> None:
        """Back on the shelf, or to its end (rule 2). Synchronous: nothing can interrupt it."""
        process, shelf = lease.process, lease.shelf
        process.used = self._loop.time()
        reason = process.doomed or self._worn(process)
        if reason is None and process.reusable:
            shelf.crashes = 0
            shelf.idle.append(process)
            self._idle[process] = shelf
        else:
            self._retire(process, reason or RetireReason.CRASH)
        if self._waiting:
            self._serve()

    def _worn(self, process: NodeProcess) -> RetireReason | None:
        shelf, max_uses = self._owned[process]
        connection_id, revision = shelf.key
        if process.uses >= max_uses:
            return RetireReason.USES
        if process.used - process.born >= self._limits.max_age.total_seconds():
            return RetireReason.AGE
        if process.growth.suspicious:
            return RetireReason.MEMORY_GROWTH
        if self._current.get(connection_id, revision) != revision:
            return RetireReason.REVISION_CHANGED
        return RetireReason.DRAIN if self._draining else None

    def _retire(self, process: NodeProcess, reason: RetireReason) -> None:
        """End a bound process for good; a blank takes its place when it is needed."""
        shelf, _ = self._owned.pop(process)
        if self._idle.pop(process, None) is not None:
            shelf.idle.remove(process)
        shelf.count -= 1
        if reason in _CRASHES:
            self._back_off(shelf)
        self._observe(Retired(reason, shelf.key[0]))
        log.debug("runner.retired", pid=process.pid, reason=reason, connection_id=shelf.key[0])
        grace = LINGER - (self._loop.time() - process.used) if reason in _SPOTLESS else 0.0
        process.end(reason, max(0.0, grace))

    def _back_off(self, shelf: _Shelf) -> None:
        """A connection whose runners keep dying must not eat everybody's start-ups."""
        shelf.crashes += 1
        excess = shelf.crashes - self._limits.crashes_before_backoff
        if excess < 0:
            return
        delay = min(self._limits.backoff * 2 ** min(excess, 16), self._limits.max_backoff)
        shelf.retry_at = self._loop.time() + delay.total_seconds()
        self._loop.call_at(shelf.retry_at, self._serve)

    def _changed(self, process: NodeProcess) -> None:
        """An idle or blank process died or was tainted. A leased one is its caller's."""
        if process in self._idle:
            self._retire(process, process.doomed or RetireReason.CRASH)
            self._serve()
        elif process in self._blanks:
            self._blanks.remove(process)
            self._discard(process)

    def _late(self, shelf: _Shelf, broken: Broken) -> None:
        connection_id = shelf.key[0]
        log.info(
            "runner.broke_rule_late",
            connection_id=connection_id,
            kind=broken.kind,
            next="the runner is retired",
        )
        self._observe(LateViolation(connection_id, broken.kind))

    def _note_connect(self, lease: _Lease, connect: Connect) -> None:
        if lease.process.connects <= MAX_CONNECTS:  # a script must not fill the log
            log.info(
                "egress.connect",
                connection_id=lease.shelf.key[0],
                address=connect.address,
                port=connect.port,
                verdict=str(connect.verdict),
            )
        self._observe(Connected(connect.verdict, connect.times))

    # -- blanks -------------------------------------------------------------------------------

    def _process(self, preload: Sequence[str]) -> NodeProcess:
        """A new one; one that is started for a call loads what its script asks for, no more."""
        process = NodeProcess(self._command, preload, self._changed)
        self._alive.add(process)
        process.gone.add_done_callback(lambda _: self._forget(process))
        return process

    def _forget(self, process: NodeProcess) -> None:
        self._alive.discard(process)
        self._pss.pop(process, None)
        self._cpu.pop(process, None)

    def _start(self, process: NodeProcess) -> None:
        """In a task of its own: a call that is cancelled kills the process, not its start."""
        began = perf_counter()
        self._tasks.create_task(process.start(self._spawner), name="pool.start")
        process.ready.add_done_callback(lambda ready: self._note_start(ready, began))

    def _note_start(self, ready: asyncio.Future[bool], began: float) -> None:
        if not ready.cancelled() and ready.result():
            self._observe(Started(timedelta(seconds=perf_counter() - began)))

    def _take_blank(self) -> NodeProcess:
        """The one that is furthest along."""
        blanks = self._blanks
        best = next((i for i, blank in enumerate(blanks) if blank.state is State.BLANK), 0)
        return blanks.pop(best)

    def _refill(self) -> None:
        """Start what blanks are missing, unless calls are held up: they need the CPU more."""
        while (
            len(self._blanks) < self._limits.blanks
            and self._refilling < self._limits.refill_concurrency
            and not self._calls_held_up
            and not self._draining
        ):
            self._refilling += 1
            process = self._process(self._preload.names())
            self._blanks.append(process)
            self._tasks.create_task(self._start_blank(process), name="pool.refill")

    async def _start_blank(self, process: NodeProcess) -> None:
        try:
            async with asyncio.timeout(self._limits.start_within.total_seconds()):
                self._start(process)
                await asyncio.wait([process.ready])
        except TimeoutError:
            process.kill(RetireReason.CRASH)
        finally:
            self._refilling -= 1
        if process.ready.done() and process.ready.result():
            self._refill()
        elif process in self._blanks:  # the next one is tried by `_tend`, not at once
            self._blanks.remove(process)
            self._discard(process)

    def _discard(self, blank: NodeProcess) -> None:
        reason = RetireReason.DRAIN if self._draining else RetireReason.CRASH
        blank.kill(reason)
        self._observe(Retired(blank.doomed or reason, None))
        if not self._draining:
            log.warning(
                "runner.blank_lost", reason=blank.doomed, output=blank.last_words(), next="replaced"
            )

    # -- upkeep -------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while not self._stopped.is_set():
            try:
                async with asyncio.timeout(TEND_EVERY):
                    await self._stopped.wait()
            except TimeoutError:
                self._expire()
                self._weigh()
                self._refill()
                self._serve()

    def _expire(self) -> None:
        now = self._loop.time()
        for process in [*self._idle]:
            if now - process.used >= self._limits.max_idle.total_seconds():
                self._retire(process, RetireReason.IDLE)
            elif now - process.born >= self._limits.max_age.total_seconds():
                self._retire(process, RetireReason.AGE)
        forgiven = now - self._limits.max_backoff.total_seconds()
        for key, shelf in [*self._shelves.items()]:
            if not shelf.count and shelf.retry_at < forgiven:
                del self._shelves[key]

    def _weigh(self) -> None:
        """Sample some processes' memory in turn, and end what is too heavy."""
        unweighed = [process for process in self._alive if process not in self._pss]
        if not unweighed:
            unweighed, self._pss = [*self._alive], {}
        for process in unweighed[:SAMPLED_PER_TICK]:
            self._pss[process] = process.pss()
            if self._burns(process):
                self._retire(process, RetireReason.BUSY_WHILE_IDLE)
        for process, pss in [*self._pss.items()]:
            if pss > self._limits.max_pss and process in self._idle:
                self._retire(process, RetireReason.MEMORY_GROWTH)
        self._lighten()

    def _burns(self, process: NodeProcess) -> bool:
        """Whether it was idle since it was weighed last, and busy all the same."""
        now, used = self._loop.time(), process.cpu_seconds()
        since, before = self._cpu.get(process, (now, used))
        self._cpu[process] = (now, used)
        idle = process in self._idle and process.used <= since
        return idle and used - before > BUSY_WHILE_IDLE * (now - since) > 0

    def _lighten(self) -> None:
        if not self._pss:
            return
        mean = sum(self._pss.values()) / len(self._pss)
        excess = mean * len(self._alive) - self._limits.max_pss_total
        while excess > 0 and self._idle:
            self._retire(next(iter(self._idle)), RetireReason.EVICTED)
            excess -= mean

    def _shelf(self, bundle: Bundle) -> _Shelf:
        shelf = self._shelves.get(bundle.key)
        if shelf is None:
            shelf = _Shelf(bundle.key, ConfigurationForms(bundle.configuration))
            self._shelves[bundle.key] = shelf
        return shelf


def _send_away(waiter: _Waiter) -> None:
    if not waiter.lease.done():
        waiter.lease.set_result(None)


def _passed() -> Failed:
    return Failed.of(Detail.DEADLINE_PASSED, "the deadline passed before the start")


def _unavailable(message: str, *, started: bool = True) -> Answer:
    return Answer(failure=Failed.of(Detail.RUNNER_UNAVAILABLE, message), started=started)


def _redacted(outcome: Verdict, redact: Redactor) -> Verdict:
    if isinstance(outcome, Value):
        return outcome
    texts = {"message": outcome.message, "code": outcome.code}
    if isinstance(outcome, Denied):
        texts["user_id"] = outcome.user_id
    return outcome.model_copy(
        update={name: _clean(text, redact) for name, text in texts.items() if text is not None}
    )


def _clean(text: str, redact: Redactor) -> str:
    return redact(text, truncated=len(text) >= MAX_TEXT)[:MAX_TEXT]


def _violation(broken: Broken, redact: Redactor) -> Violation:
    message = None if broken.message is None else _clean(broken.message, redact)
    return Violation(kind=broken.kind, message=message)


def _console_line(line: Log, redact: Redactor) -> ConsoleLine:
    text = redact.line(line.text, truncated=line.truncated)
    return ConsoleLine(
        level=line.level, text=text[:MAX_TEXT], truncated=line.truncated or len(text) > MAX_TEXT
    )
