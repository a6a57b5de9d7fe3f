"""One runner: a Node process that answers one invocation at a time, until the first doubt.

    STARTING --ready--> BLANK --bound--> BOUND <--invoke/result--> BUSY        any --> DYING

Rule 1: what the process says is untrusted, what it does is bounded by a loop timer: SIGKILL at
        the deadline, the outcome in the same step, reaping whenever it happens.
Rule 2: the path of a call is lean: no /proc, no acknowledgement, one timer.
Rule 3: `doomed` is set by the first doubt and never cleared; its owner retires the process.
"""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, cast

import structlog

from services.script_worker import frames
from services.script_worker.accounting import data_used
from services.script_worker.bundle import Bundle
from services.script_worker.deadline import Deadline
from services.script_worker.death import Death
from services.script_worker.frames import (
    BindError,
    Bound,
    Broken,
    Exit,
    Fault,
    Frame,
    Late,
    Log,
    Mapped,
    ProtocolError,
    Ready,
    Result,
)
from services.script_worker.growth import Growth
from services.script_worker.node_command import MIB, NodeCommand
from services.script_worker.output_pipe import OUTPUT_FLOOD_BYTES, OutputPipe
from services.script_worker.retiring import DOOM, RetireReason
from services.script_worker.sandbox.egress import Grant, Verdict
from services.script_worker.spawner import Child, Connect, NotSpawned, Spawner
from shared.contracts import (
    MAX_CONNECTS,
    MAX_CONSOLE_LINES,
    Action,
    Detail,
    Failed,
    ViolationKind,
)

log = structlog.get_logger(__name__)

TIME_LIMIT_MESSAGE: Final = "Request to Webtask exceeded allowed execution time"  # C§3.3
INQUEST_WITHIN: Final = 0.05
"""Seconds that a death may take to tell its exit status and its last words."""
FRAMES_FLOOD_BYTES: Final = 16 * MIB
_MAX_LATE: Final = 16
"""Broken rules told of one call, and of one process between calls: each is a line in a log."""


class State(Enum):
    """Where a runner stands."""

    STARTING = auto()
    BLANK = auto()
    BOUND = auto()
    BUSY = auto()
    DYING = auto()


@dataclass(slots=True)
class Answer:
    """What one bind or invocation came to: a frame, or the failure to get one."""

    frame: Result | Bound | BindError | None = None
    failure: Failed | None = None
    started: bool = True
    """False: the process died with the request unread, so the script provably did not run (I4)."""
    violations: list[Broken] = field(default_factory=list)
    console: list[Log] = field(default_factory=list)
    connects: list[Connect] = field(default_factory=list)


LateListener = Callable[[Broken], None]


class NodeProcess(asyncio.Protocol):
    """The worker's side of one runner. `changed` is called when an idle one became unusable."""

    def __init__(
        self, command: NodeCommand, preload: Sequence[str], changed: Callable[[NodeProcess], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._command = command
        self._preload = tuple(preload)
        self._changed = changed
        self._decoder = frames.Decoder()
        self._output = OutputPipe(flooded=self._output_flooded, ended=self._output_ended)
        self._transport: asyncio.Transport | None = None
        self._child: Child | None = None
        self._spawner: Spawner | None = None
        self._answering: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._id: str | None = None
        self._deadline = Deadline(self._expired)
        self._grace: asyncio.TimerHandle | None = None
        self._heard = 0
        self._told_late = 0
        self._asked_to_exit: int | None = None
        self._exit_code: int | None = None
        self._disconnected = False
        self._unread = False
        self._inquest: asyncio.TimerHandle | None = None
        self.state = State.STARTING
        self.doomed: RetireReason | None = None
        self.ready: asyncio.Future[bool] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.on_late: LateListener = _ignore
        self.on_connect: Callable[[Connect], None] = _ignore
        self.connects = 0
        """Asked for since its last call began."""
        self.born = self.used = self.bound_at = self._loop.time()
        self.uses = 0
        self.node = ""
        self.mapped: tuple[Mapped, ...] = ()
        """What its scripts asked for and got otherwise, since it was bound."""
        self.growth = Growth()

    def __repr__(self) -> str:
        return f"<NodeProcess {self.pid} {self.state.name.lower()}>"

    @property
    def pid(self) -> int:
        """The process id, 0 before it is spawned."""
        return self._child.pid if self._child is not None else 0

    @property
    def reusable(self) -> bool:
        """Whether it may take another invocation."""
        return self.doomed is None and self.state is State.BOUND

    # -- what its owner does with it ----------------------------------------------------------

    async def start(self, spawner: Spawner) -> None:
        """Spawn it and greet it; `ready` resolves later, to False if it died first.

        To end it meanwhile, `kill` it and let this finish. Cancelling it instead is for the end of
        the loop: uvloop closes the descriptors of a cancelled connect a second time.
        """
        self._spawner = spawner
        try:
            await self._spawn(spawner)
        except (NotSpawned, OSError) as error:
            log.warning("runner.not_spawned", reason=str(error), next="the call is refused")
            self.retire(RetireReason.CRASH)
        except asyncio.CancelledError:
            self.kill(RetireReason.CANCELLED)
            raise
        finally:
            if self._child is None:
                self._exited(None)
        if self.doomed is not None:
            self.kill(self.doomed)

    async def _spawn(self, spawner: Spawner) -> None:
        with ExitStack() as closing:
            ours, theirs = socket.socketpair()
            closing.callback(theirs.close)
            reader, writer = os.pipe2(os.O_CLOEXEC)
            closing.callback(os.close, writer)
            pipe = os.fdopen(reader, "rb", 0)
            await self._loop.connect_read_pipe(lambda: self._output, pipe)
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            if self.doomed is None:
                self._child = await spawner.spawn(
                    self._command.argv(),
                    output=writer,
                    control=theirs.fileno(),
                    exited=self._exited,
                    connected=self._connected,
                )

    async def grant(self, grant: Grant, until: float) -> None:
        """What its scripts may connect to, from now on; before, nothing. Raises NotSpawned."""
        if self._spawner is not None and self._child is not None:
            await self._spawner.grant(self._child, grant, until)

    async def bind(self, bundle: Bundle, deadline: float) -> Answer:
        """Give it its scripts; afterwards it belongs to this bundle for life."""
        data = frames.bind(
            bundle.scripts,
            bundle.configuration,
            with_context=bundle.with_context,
            magic_globals=bundle.magic_globals,
        )
        answer = await self._ask(data, None, deadline)
        if isinstance(answer.frame, Bound):
            self._note_mapped(answer.frame.mapped)
            self.state = State.BOUND
            self.bound_at = self._loop.time()
        return answer

    async def invoke(
        self, action: Action, arguments: Sequence[Any], context: Mapping[str, Any], deadline: float
    ) -> Answer:
        """Run one action. Cancelling it kills the process."""
        id = secrets.token_hex(8)
        remaining = max(0, int((deadline - self._loop.time()) * 1000))
        data = frames.invoke(id, action, arguments, context, remaining)
        self.uses += 1
        answer = await self._ask(data, id, deadline)
        if isinstance(answer.frame, Result):
            self.growth.sample(answer.frame.heap, answer.frame.handles)
            if answer.frame.mapped:
                self._note_mapped(answer.frame.mapped)
        return answer

    def retire(self, reason: RetireReason) -> None:
        """Let it take nothing new; the first reason stands."""
        if self.doomed is None:
            self.doomed = reason

    def kill(self, reason: RetireReason) -> None:
        """End it now. Synchronous on purpose: nothing can interrupt it."""
        self.retire(reason)
        self.state = State.DYING
        if self._child is not None:
            self._child.kill()
        if self._transport is not None:
            self._transport.abort()
        self._output.close()
        self._clear_timers()
        if not self.ready.done():
            self.ready.set_result(False)

    def end(self, reason: RetireReason, grace: float) -> None:
        """Let it finish what its last call left undone, then kill it. It is heard no more."""
        self.retire(reason)
        if grace <= 0 or self.state is not State.BOUND:
            self.kill(reason)
            return
        self.state = State.DYING
        self._grace = self._loop.call_later(grace, self.kill, reason)

    def last_words(self) -> str:
        """The end of what it wrote to stdout and stderr; not yet redacted."""
        return self._output.last_words()

    # -- one request at a time ----------------------------------------------------------------

    async def _ask(self, data: bytes, id: str | None, deadline: float) -> Answer:
        self._answer = answer = Answer()
        self.connects = 0
        if self._transport is None or self.state is State.DYING or self._disconnected:
            answer.failure, answer.started = self._death(), False
            return answer
        self.state = State.BUSY
        self._id = id
        self._heard = 0
        self._output.begin()
        self._answering = self._loop.create_future()
        self._deadline.arm(deadline, self.pid)
        self._transport.write(data)
        try:
            return await self._answering
        except asyncio.CancelledError:
            self.kill(RetireReason.CANCELLED)
            raise
        finally:
            self._answering = self._id = None

    def _note_mapped(self, mapped: tuple[Mapped, ...]) -> None:
        self.mapped = (*self.mapped, *mapped)[: frames.MAX_MAPPED]

    def _settle(self, frame: Result | Bound | BindError | None, failure: Failed | None) -> None:
        """The first answer wins; whatever comes later is `_stray`."""
        if self._answering is None or self._answering.done():
            return
        self._clear_timers()
        self._answer.frame, self._answer.failure = frame, failure
        if frame is not None:
            self.state = State.BOUND
        self._answering.set_result(self._answer)

    def _expired(self, cause: Detail) -> None:
        self._fail(cause, TIME_LIMIT_MESSAGE)

    def _fail(self, detail: Detail, message: str) -> None:
        """Kill it, and say why at once: nobody waits for a process to be reaped."""
        self.kill(DOOM[detail])
        if self._answering is None or self._answering.done():
            self._changed(self)
        self._settle(None, Failed.of(detail, message))

    def _clear_timers(self) -> None:
        self._deadline.disarm()
        for timer in (self._grace, self._inquest):
            if timer is not None:
                timer.cancel()
        self._grace = self._inquest = None

    # -- what it says -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet it; it reads this once it is up."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not its subclasses
        self._transport.write(frames.hello(str(self._command.modules), self._preload))

    def data_received(self, data: bytes) -> None:
        """Take its frames, or kill it for what it says."""
        if self.state is State.DYING:
            return
        self._heard += len(data)
        if self._heard > FRAMES_FLOOD_BYTES:
            self._fail(Detail.OUTPUT_FLOOD, f"more than {FRAMES_FLOOD_BYTES} bytes of frames")
            return
        try:
            for frame in self._decoder.feed(data):
                self._hear(frame)
        except ProtocolError as error:
            self._fail(Detail.PROTOCOL_ERROR, str(error))

    def _hear(self, frame: Frame) -> None:
        match frame:
            case Result():
                self._hear_result(frame)
            case Log():
                self._hear_log(frame)
            case Late():
                self._doubt(RetireReason.VIOLATION, frame.broken, of=frame.id)
            case Fault():
                broken = Broken(ViolationKind.FAULT_AFTER_CALLBACK, _fault_message(frame))
                self._doubt(RetireReason.FAULT_AFTER_CALLBACK, broken, of=frame.id)
            case Bound() | BindError():
                self._hear_bound(frame)
            case Ready():
                self._hear_ready(frame)
            case Exit():
                self._asked_to_exit = frame.code

    def _hear_result(self, frame: Result) -> None:
        if self._id is None or frame.id != self._id:
            broken = Broken(ViolationKind.FORGED_FRAME, "a result for no invocation of ours")
            self._doubt(RetireReason.VIOLATION, broken, of=self._id)
            return
        if frame.violations:
            self.retire(RetireReason.VIOLATION)
            self._answer.violations.extend(frame.violations)
        self._settle(frame, None)
        self._id = None  # at once: a second result in the same packet is a forgery

    def _hear_log(self, frame: Log) -> None:
        lines = self._answer.console
        if self._answering is not None and frame.id == self._id and len(lines) < MAX_CONSOLE_LINES:
            lines.append(frame)

    def _hear_bound(self, frame: Bound | BindError) -> None:
        if self._answering is None or self._id is not None:
            raise ProtocolError("an answer to a bind that was not asked for")
        if isinstance(frame, BindError):
            self.retire(RetireReason.BIND_ERROR)
        self._settle(frame, None)

    def _hear_ready(self, frame: Ready) -> None:
        if self.state is not State.STARTING or self._child is None:
            raise ProtocolError("it said twice that it is ready")
        self.node = frame.node
        self.state = State.BLANK
        self._cap_memory()
        self.ready.set_result(True)

    def _doubt(self, reason: RetireReason, broken: Broken, *, of: str | None) -> None:
        """A rule was broken: on the call in hand it is reported, later it is only told."""
        self.retire(reason)
        if of is not None and of == self._id:
            if len(self._answer.violations) < _MAX_LATE:
                self._answer.violations.append(broken)
            return
        self._told_late += 1
        if self._told_late <= _MAX_LATE:
            self.on_late(broken)
        if self.state is not State.BUSY:
            self._changed(self)

    def _connected(self, connect: Connect) -> None:
        """The launcher tells of a connect before the script can act on what became of it."""
        self.connects += connect.times
        self.on_connect(connect)
        answer = self._answer if self._answering is not None else None
        if answer is not None and len(answer.connects) < MAX_CONNECTS:
            answer.connects.append(connect)
        if connect.verdict is Verdict.ALLOWED:
            return
        self.retire(RetireReason.VIOLATION)
        broken = Broken(ViolationKind.EGRESS_DENIED, f"connect to {connect.to}: {connect.verdict}")
        if answer is None:
            self._doubt(RetireReason.VIOLATION, broken, of=None)
        elif broken not in answer.violations and len(answer.violations) < _MAX_LATE:
            answer.violations.append(broken)

    def _cap_memory(self) -> None:
        """The heap limit does not see Buffers; RLIMIT_DATA does, counted from here."""
        base = data_used(self.pid)
        if not base:
            return
        limit = base + self._command.data_bytes
        try:
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (limit, limit))
        except OSError as error:  # it has just died; the inquest says so
            log.warning("runner.memory_not_capped", pid=self.pid, reason=error.strerror)

    # -- how it ends --------------------------------------------------------------------------

    def eof_received(self) -> None:
        """It closed its end; a request still in our buffer was not read."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._unread = True

    def connection_lost(self, exc: Exception | None) -> None:
        """A reset means that it died with our request unread: nothing costs less to know."""
        self._transport = None
        self._disconnected = True
        if isinstance(exc, ConnectionResetError | BrokenPipeError):
            self._unread = True
        self._look_into_it()

    def _output_flooded(self) -> None:
        """It writes without end; nobody reads that, and draining it is not free."""
        if self.state is not State.DYING:
            self._fail(Detail.OUTPUT_FLOOD, f"more than {OUTPUT_FLOOD_BYTES} bytes of output")

    def _output_ended(self) -> None:
        """Its last words are heard."""
        if self._disconnected:
            self._look_into_it()

    def _exited(self, code: int | None) -> None:
        """The launcher reaped it, or was lost itself, or never started it."""
        self._exit_code = code
        if not self.gone.done():
            self.gone.set_result(None)
        self._look_into_it()

    def _look_into_it(self) -> None:
        """EOF may overtake both the exit status and the last words: conclude when all are in."""
        if self.state is State.DYING:
            return
        self.retire(RetireReason.CRASH)
        if self._disconnected and self.gone.done() and self._output.closed:
            self._conclude()
        elif self._inquest is None:
            self._inquest = self._loop.call_later(INQUEST_WITHIN, self._conclude)

    def _conclude(self) -> None:
        failure = self._death()
        self.doomed = DOOM[failure.detail] if self.doomed is RetireReason.CRASH else self.doomed
        self.kill(RetireReason.CRASH)
        self._answer.started = not self._unread
        if self._answering is None:
            self._changed(self)
        self._settle(None, failure)

    def _death(self) -> Failed:
        death = Death(
            asked_to_exit=self._asked_to_exit,
            reaped=self.gone.done(),
            exit_code=self._exit_code,
            output=self._output.tail,
            last_words=self.last_words(),
        )
        return death.failure(self._command)


def _ignore(_: Broken | Connect) -> None:
    """Nobody listens."""


def _fault_message(frame: Fault) -> str:
    said = frame.error.message or frame.error.name
    return ": ".join(part for part in (frame.kind, said) if part)
