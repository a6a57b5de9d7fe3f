"""A poll with handlers: the launcher's whole event loop."""

from __future__ import annotations

import select
from collections.abc import Callable

Handler = Callable[[int], None]
"""Called with the events of `poll`."""


Ready = tuple[int, int, Handler]
"""A descriptor, its events, and whose they are."""


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

    def wait(self, milliseconds: int | None = None) -> list[Ready]:
        """What is ready, or nothing after that time."""
        return [
            (descriptor, events, self._handlers[descriptor])
            for descriptor, events in self._poll.poll(milliseconds)
        ]

    def handle(self, ready: list[Ready]) -> None:
        """Call the handlers; one may have removed another meanwhile, and the number of what it
        closed may be somebody else's by now: these events are not for him."""
        for descriptor, events, handler in ready:
            if self._handlers.get(descriptor) is handler:
                handler(events)
