"""From a signal to a clean end: stop consuming, drain, close; a second signal does not wait."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from shared.errors import Misconfigured, ServiceError
from shared.tracebacks import described

log = structlog.get_logger(__name__)

EX_CONFIG: Final = 78  # sysexits.h: a person has to change the configuration
PR_SET_DUMPABLE: Final = 4


class StoppedEarly(ServiceError):
    """Asked to stop before it had started."""


class Stop:
    """What a service waits for. `asked` is set by the first signal, `now` by the second."""

    def __init__(self) -> None:
        """Made inside a running loop."""
        self.asked = asyncio.Event()
        self.now = asyncio.Event()

    def signal(self) -> None:
        """Ask to stop; asked again: stop without draining."""
        if self.asked.is_set():
            log.warning("stop.hurried", next="what is in hand goes back to the broker")
            self.now.set()
        self.asked.set()


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGTERM and SIGINT ask to stop, inside the block."""
    loop, stop = asyncio.get_running_loop(), Stop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop.signal)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def run(main: Callable[[], Coroutine[Any, Any, int]], service: str) -> int:
    """Run a service to its exit code: 0, 1 for a failure, 78 for a configuration to change."""
    import uvloop  # noqa: PLC0415 - absent on Windows, where nothing else of this works either

    keep_memory_private()
    _collect_less()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(_unowned)
            return runner.run(main())
    except Exception as error:  # noqa: BLE001 - the process ends here, whatever it was
        leaves = list(_leaves(error))
        expected = [leaf for leaf in leaves if isinstance(leaf, ServiceError)]
        if len(expected) != len(leaves):
            # A bug: crash loudly, the broker keeps the deliveries.
            print(f"{service}: {described(error)}", file=sys.stderr)  # noqa: T201 - as below
            return 1
        for leaf in expected:
            print(f"{service}: {leaf}", file=sys.stderr)  # noqa: T201 - logging may not be up
        return EX_CONFIG if any(isinstance(leaf, Misconfigured) for leaf in expected) else 1


def keep_memory_private() -> None:
    """Passwords and keys are in it: no core file, and /proc shows it to no process of our user's.

    A kernel that lets scripts be contained by less than all means (`docs/security.md`) leaves them
    our user's rights, and this still stands. What we start is as it would be without (prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))


def _collect_less() -> None:
    """What is imported stays: the collector need not look at it again and again."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _unowned(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a task or a transport of a library left behind; asyncio's own words quote values."""
    error = context.get("exception")
    # Described here: before logging is set up, structlog would show the frames' variables.
    log.error("task.failed", trace=None if error is None else described(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
