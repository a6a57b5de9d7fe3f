"""An event loop whose clock jumps, and processes on it that can be stopped and killed.

Everything runs on one thread in an order that only the seed decides. A process is a context
variable: what was started inside it belongs to it, as do the callbacks of what it waits for. A
stopped process (SIGSTOP) finds its callbacks waiting when it goes on; a killed one (SIGKILL) never
gets another, not even for its `finally` blocks.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import BaseEventLoop
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import deque

    Work = Coroutine[Any, Any, Any]
    PlainTask = asyncio.Task[Any]
else:
    PlainTask = asyncio.Task

_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Task(PlainTask):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, number: int, work: Work, loop: VirtualLoop, context: Context | None) -> None:
        """The number comes first: asyncio puts each task into a set while it makes it."""
        self.number = number
        super().__init__(work, loop=loop, context=context)

    def __hash__(self) -> int:
        """The n-th task of its loop."""
        return self.number


class Handle:
    """A callback that waits for its turn, or for its time; asyncio's own cost twice as much."""

    __slots__ = ("args", "callback", "context", "off")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        """In a copy of the caller's context, if none is given."""
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.off = False

    def cancel(self) -> None:
        """Never call it; a timer is dropped when its time comes."""
        self.off = True

    def cancelled(self) -> bool:
        """Whether it is never called."""
        return self.off


class Process:
    """Something that can be stopped and killed as a whole."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        """`name` stands in the trace."""
        self.name = name
        self.alive = True
        self.stopped = False
        self.stopped_for = 0.0
        self.backlog: list[Handle] = []
        self._loop = loop
        self._since = 0.0
        self._context = loop.outside.copy()
        self._context.run(_PROCESS.set, self)

    def spawn(self, work: Work, name: str) -> Task:
        """Run a coroutine inside this process."""
        task = self._loop.create_task(work, name=name, context=self._context.copy())
        assert isinstance(task, Task)
        return task

    def call(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Call inside this process, soon."""
        self._loop.call_later(delay, callback, *args, context=self._context.copy())

    def stop(self) -> None:
        """SIGSTOP."""
        if self.alive and not self.stopped:
            self.stopped = True
            self._since = self._loop.time()

    def go_on(self) -> None:
        """SIGCONT."""
        if self.alive and self.stopped:
            self.stopped = False
            self.stopped_for += self._loop.time() - self._since
            self._loop.requeue(self.backlog)
            self.backlog = []

    def kill(self) -> None:
        """SIGKILL."""
        self.alive = False


class VirtualLoop(BaseEventLoop):
    """A loop without IO: when nothing is ready, it is the time of the next timer."""

    if TYPE_CHECKING:
        _ready: deque[Handle]
        _stopping: bool

    def __init__(self) -> None:
        """At instant 0."""
        super().__init__()
        self._instant = 0.0
        self._timers: list[tuple[float, int, Handle]] = []
        self._made = 0
        self.tasks: list[Task] = []
        """All there ever were: a killed process's must not be collected in the middle of a run."""
        self.turns = 0
        self.outside = copy_context()
        """The context of what belongs to no process: broker, database, network."""
        self.set_task_factory(self._task)

    def time(self) -> float:
        """Virtual seconds."""
        return self._instant

    def later(self, delay: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Call outside all processes."""
        return self.call_later(delay, callback, *args, context=self.outside.copy())

    def now(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call at once, outside all processes."""
        return self.outside.copy().run(callback, *args)

    def requeue(self, handles: list[Handle]) -> None:
        """Callbacks of a process that goes on."""
        self._ready.extend(handles)

    def _task(self, loop: Any, work: Any, context: Context | None = None) -> Task:
        task = Task(len(self.tasks) + 1, work, loop, context)
        self.tasks.append(task)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """As every loop does, without its checks."""
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        """In virtual seconds."""
        return self._at(self._instant + delay, Handle(callback, args, context))

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        """At a virtual instant."""
        return self._at(when, Handle(callback, args, context))

    def _at(self, when: float, timer: Handle) -> Handle:
        """Of two at the same instant, the first made comes first."""
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, timer))
        return timer

    def _run_once(self) -> None:
        """Everything, until `stop`: turns are too short for a call of their own."""
        ready = self._ready
        while not self._stopping:
            self._advance()
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle.off:
                    continue
                process = handle.context.get(_PROCESS)
                if process is None or (process.alive and not process.stopped):
                    self.turns += 1
                    try:
                        handle.context.run(handle.callback, *handle.args)
                    except Exception as error:  # noqa: BLE001 - as every loop does
                        message = f"exception in {handle.callback!r}"
                        self.call_exception_handler({"message": message, "exception": error})
                elif process.alive:
                    process.backlog.append(handle)

    def _advance(self) -> None:
        """To the next timer if nothing is ready; whose time has come is."""
        ready, timers = self._ready, self._timers
        if not ready:
            while timers and timers[0][2].off:
                heapq.heappop(timers)
            if not timers:
                raise RuntimeError("nothing is ready, and nothing ever will be")
            self._instant = max(self._instant, timers[0][0])
        while timers and timers[0][0] <= self._instant:
            ready.append(heapq.heappop(timers)[2])

    def _process_events(self, event_list: Any) -> None:
        """There is no IO."""

    def _write_to_self(self) -> None:
        """There is nobody in another thread."""
