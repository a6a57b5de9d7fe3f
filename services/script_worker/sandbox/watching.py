"""A poll with handlers: the launcher's whole event loop."""

from __future__ import annotations

import select
from collections.abc import Callable

Handler = Callable[[int], None]
"""Called with the events of `poll`."""


class Watch:
    """Descriptors and what to do when they are ready."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}

    def add(self, descriptor: int, handler: Handler, events: int = select.POLLIN) -> None:
        """From now on, until it is removed."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Before it is closed. One that is not there is no error."""
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def wait(self, milliseconds: int | None = None) -> list[tuple[int, int]]:
        """What is ready, or nothing after that time."""
        return self._poll.poll(milliseconds)

    def handle(self, ready: list[tuple[int, int]]) -> None:
        """Call the handlers; one may have removed another meanwhile."""
        for descriptor, events in ready:
            if (handler := self._handlers.get(descriptor)) is not None:
                handler(events)
