"""The runners: which call gets which process, how many there are, and when one has to go.

Rule 1: a runner belongs to one connection revision for life, and to one call at a time.
Rule 2: a leased process comes back spotless or dead. Any doubt means dead.
Rule 3: `run` never raises for what a script does; cancelling it kills its runner.
Rule 4: nothing waits without a bound (I11): for a slot, for a start, for an answer.
Rule 5: whoever changes what is free calls `_waiting.serve`, so that nobody waits beside a free slot.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic, perf_counter  # uvloop's own clock ticks in milliseconds
from types import TracebackType
from typing import Any, Final, Self

import structlog

from services.script_worker.blanks import Blanks
from services.script_worker.bundle import Bundle
from services.script_worker.egress import Egress
from services.script_worker.frames import BindError, Broken, FrameTooLarge
from services.script_worker.node_command import NodeCommand
from services.script_worker.node_process import Answer, NodeProcess, State
from services.script_worker.pool_events import (
    Connected,
    LateViolation,
    Leased,
    Observe,
    Retired,
    Source,
    Started,
    unobserved,
)
from services.script_worker.redaction import ConfigurationForms, Redactor, Secrets
from services.script_worker.retiring import RetireReason
from services.script_worker.runs import Attempt, Run
from services.script_worker.sandbox.levels import Level
from services.script_worker.scales import Scales
from services.script_worker.spawner import Connect, Isolation, NotSpawned, Spawner
from services.script_worker.verdicts import bind_failure
from services.script_worker.waiting import Prospect, Waiting
from shared.contracts import MAX_CONNECTS, Action, Detail, Failed, RunnerFacts

log = structlog.get_logger(__name__)

TEND_EVERY: Final = 1.0
LINGER: Final = 0.25
"""Seconds after its last call before a spotless runner is killed: scripts may still be saying
goodbye to their database (`finally { await client.end() }`), which is normal (C§4.1)."""
GONE_WITHIN: Final = 5.0
RECENT_CALLS: Final = 32
"""Calls of one connection whose passwords are still masked after their end."""
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
    """Bytes, one process."""
    max_pss_total: int = 4 * 1024 * 1024 * 1024
    start_within: timedelta = timedelta(seconds=10)
    crashes_before_backoff: int = 3
    backoff: timedelta = timedelta(milliseconds=100)
    max_backoff: timedelta = timedelta(seconds=5)


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


class Pool:
    """An async context manager; owns the launcher, the blanks and the bound runners."""

    def __init__(
        self,
        command: NodeCommand,
        *,
        limits: PoolLimits | None = None,
        observe: Observe = unobserved,
        worker: str = "",
        egress: Egress | None = None,
    ) -> None:
        self._command = command
        self._egress = egress or Egress()
        self._limits = limits or PoolLimits()
        self._observe = observe
        self._worker = worker
        self._spawner = Spawner(command.order())
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._owned: dict[NodeProcess, tuple[_Shelf, int]] = {}
        """Bound or about to be, with the number of uses after which it goes."""
        self._idle: OrderedDict[NodeProcess, _Shelf] = OrderedDict()
        """Least recently used first."""
        self._alive: set[NodeProcess] = set()
        self._waiting = Waiting[_Lease](self._take, self._prospect)
        self._current: dict[str, str] = {}
        self._scales = Scales()
        self._calls_held_up = 0
        self._draining = False
        self._stopped = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._blanks = Blanks(
            self._limits.blanks,
            at_once=self._limits.refill_concurrency,
            start_within=self._limits.start_within,
            start=self._started_blank,
            wait=lambda: self._calls_held_up > 0,  # they need the processor more
            lost=lambda reason: self._observe(Retired(reason, None)),
            tasks=self._tasks,
        )

    # -- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._spawner.order(await self._egress.order(self._command.order()))
        self._spawner.start()
        await self._tasks.__aenter__()
        self._tasks.create_task(self._tend(), name="pool.tend")
        self._blanks.refill()
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
            self._blanks.close()
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
        self._waiting.send_away()
        for process in [*self._idle]:
            self._retire(process, RetireReason.DRAIN)
        self._blanks.close()
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
            "blank": self._blanks.ready,
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
        return attempt.told(action, lambda profile: self._redactor(call, profile))

    async def _attempt(self, call: _Call, *, fresh: bool = False) -> Attempt:
        began = perf_counter()
        lease = await self._lease(call, fresh=fresh)
        if lease is None:
            return Attempt(_unavailable("no runner became free before the deadline"))
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
            return Attempt(answer, ready - began, ran, self._facts(lease), process.mapped)
        except FrameTooLarge as error:
            return Attempt(Answer(failure=Failed.of(Detail.RESULT_TOO_LARGE, f"call: {error}")))
        except NotSpawned as error:
            process.kill(RetireReason.CANCELLED)
            return Attempt(_unavailable(str(error), started=False))
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
            self._blanks.refill()
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

    def _redactor(self, call: _Call, profile: Any) -> Redactor:
        shelf = self._shelves.get(call.bundle.key)
        forms = shelf.configuration if shelf else ConfigurationForms(call.bundle.configuration)
        earlier = shelf.recent if shelf else ()
        return Redactor(forms, call.action, call.arguments, earlier, profile)

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
        self._calls_held_up += 1
        try:
            return await self._waiting.wait(call.bundle, call.deadline, self._give_back)
        finally:
            self._calls_held_up -= 1

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
        blank = self._blanks.take()
        source: Source = "cold" if blank is None else "blank"
        # One that is started for a call loads what its script asks for, no more.
        process = blank or self._process(())
        shelf.count += 1
        jitter = self._limits.uses_jitter
        uses = self._limits.max_uses * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311
        self._owned[process] = (shelf, max(1, round(uses)))
        self._blanks.note(bundle)
        self._blanks.refill()
        return _Lease(process, shelf, source)

    def _room(self) -> bool:
        """Whether one more process may be bound; the least recently used makes room for it."""
        limit = max(1, self._limits.max_processes - self._limits.blanks)
        if len(self._owned) >= limit and self._idle:
            self._retire(next(iter(self._idle)), RetireReason.EVICTED)
        return len(self._owned) < limit

    def _prospect(self, bundle: Bundle) -> Prospect:
        shelf = self._shelf(bundle)
        full = shelf.count >= self._limits.max_processes_per_connection
        return Prospect(
            warm_since=shelf.idle[-1].bound_at if shelf.idle else None,
            held=full or self._loop.time() < shelf.retry_at,
        )

    def _give_back(self, lease: _Lease) -> None:
        """It was granted to somebody who no longer wants it."""
        if lease.source != "warm":  # half-started: not worth the states it would add
            lease.process.kill(RetireReason.CANCELLED)
        self._release(lease)

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
        self._waiting.serve()

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
        self._loop.call_at(shelf.retry_at, self._waiting.serve)

    def _changed(self, process: NodeProcess) -> None:
        """An idle or blank process died or was tainted. A leased one is its caller's."""
        if process in self._idle:
            self._retire(process, process.doomed or RetireReason.CRASH)
            self._waiting.serve()
        else:
            self._blanks.changed(process)

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

    # -- starting -------------------------------------------------------------------------------

    def _process(self, preload: Sequence[str]) -> NodeProcess:
        process = NodeProcess(self._command, preload, self._changed)
        self._alive.add(process)
        process.gone.add_done_callback(lambda _: self._forget(process))
        return process

    def _forget(self, process: NodeProcess) -> None:
        self._alive.discard(process)
        self._scales.forget(process)

    def _start(self, process: NodeProcess) -> None:
        """In a task of its own: a call that is cancelled kills the process, not its start."""
        began = perf_counter()
        self._tasks.create_task(process.start(self._spawner), name="pool.start")
        process.ready.add_done_callback(lambda ready: self._note_start(ready, began))

    def _note_start(self, ready: asyncio.Future[bool], began: float) -> None:
        if not ready.cancelled() and ready.result():
            self._observe(Started(timedelta(seconds=perf_counter() - began)))

    def _started_blank(self, preload: Sequence[str]) -> NodeProcess:
        process = self._process(preload)
        self._start(process)
        return process

    # -- upkeep -------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while not self._stopped.is_set():
            try:
                async with asyncio.timeout(TEND_EVERY):
                    await self._stopped.wait()
            except TimeoutError:
                self._expire()
                self._weigh()
                self._blanks.refill()
                self._waiting.serve()

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
        """End what is too heavy, or at work although nobody asked."""
        for process in self._scales.weigh(self._alive, self._idle):
            self._retire(process, RetireReason.BUSY_WHILE_IDLE)
        for process in self._scales.heavier_than(self._limits.max_pss):
            if process in self._idle:
                self._retire(process, RetireReason.MEMORY_GROWTH)
        mean = self._scales.mean
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


def _passed() -> Failed:
    return Failed.of(Detail.DEADLINE_PASSED, "the deadline passed before the start")


def _unavailable(message: str, *, started: bool = True) -> Answer:
    return Answer(failure=Failed.of(Detail.RUNNER_UNAVAILABLE, message), started=started)
