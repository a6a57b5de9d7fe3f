"""Which settlements to send, and in what order: the fewest frames that say it. Pure.

Acks that form an unbroken row from the oldest open delivery on become one (`multiple`); the others
go singly. Rejections go first: a multiple ack must not cover what is being given back.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

Verb = Literal["ack", "requeue", "reject"]


class Settlement(NamedTuple):
    """One frame to send."""

    verb: Verb
    tag: int
    multiple: bool = False


class Settlements:
    """The open deliveries of one channel, in the order of their tags."""

    def __init__(self) -> None:
        """One a channel: tags count per channel."""
        self._open: deque[int] = deque()
        self._acked: set[int] = set()
        self._sent: set[int] = set()
        """Settled out of their turn, still in `_open`."""
        self._refused: list[Settlement] = []

    def delivered(self, tag: int) -> None:
        """Tags only grow."""
        self._open.append(tag)

    def settle(self, tag: int, verb: Verb) -> None:
        """Settle with the next frames; each tag once."""
        if verb == "ack":
            self._acked.add(tag)
        else:
            self._refused.append(Settlement(verb, tag))
            self._sent.add(tag)

    @property
    def due(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._acked or self._refused)

    def take(self) -> list[Settlement]:
        """What to send now, in this order."""
        frames, self._refused = self._refused, []
        last, covered = 0, 0
        while self._open and (self._open[0] in self._acked or self._open[0] in self._sent):
            tag = self._open.popleft()
            if tag in self._acked:
                self._acked.discard(tag)
                last, covered = tag, covered + 1
            else:
                self._sent.discard(tag)
        if covered:
            # `last` itself is still open at the broker, which refuses an unknown tag.
            frames.append(Settlement("ack", last, covered > 1))
        for tag in sorted(self._acked):
            frames.append(Settlement("ack", tag))
            self._sent.add(tag)
        self._acked.clear()
        return frames
