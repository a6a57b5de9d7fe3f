"""From a signal to a clean end: stop consuming, drain, close; a second signal does not wait."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from shared.errors import Misconfigured, ServiceError

log = structlog.get_logger(__name__)

EX_CONFIG: Final = 78  # sysexits.h: a person has to change the configuration


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

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())
    except (ServiceError, BaseExceptionGroup) as error:
        expected = [leaf for leaf in _leaves(error) if isinstance(leaf, ServiceError)]
        if len(expected) != len(list(_leaves(error))):
            raise  # a bug: crash loudly, the broker keeps the deliveries
        for leaf in expected:
            print(f"{service}: {leaf}", file=sys.stderr)  # noqa: T201 - logging may not be up
        return EX_CONFIG if any(isinstance(leaf, Misconfigured) for leaf in expected) else 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
