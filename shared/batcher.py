"""Natural batching: questions that come while a statement is under way share the next (I10)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from shared.errors import Unavailable, Undecodable

CLOSE_WITHIN: Final = 5.0
"""Seconds for the statement in flight: as long as any may take."""
GATHER_EACH: Final = 0.001
GATHER_MOST: Final = 0.008
"""Seconds that a batch waits at most for as many as came last time, for each of them but one, and
in all. Under load a statement and a commit shared by many cost less than the wait; alone nobody
waits; and when fewer come in that time, the batches shrink again."""
_MAX_WAITING: Final = 10_000
"""Statements waiting in one batcher: more is an outage, and waiting longer would not help."""

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Natural batching (I10): one statement is in flight, what arrived meanwhile goes into the next.

    Costs tens of microseconds a question under load instead of hundreds, and adds no delay when
    there is none. `ask` gets the questions in arrival order and answers them in that order; it
    sorts what it locks, so that two batches can't deadlock.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        *,
        most: int = 256,
        gather: float = 0.0,
    ) -> None:
        """`most`: questions in one statement; `gather`: seconds to wait for more, always."""
        self._ask = ask
        self._most = most
        self._gather = gather
        self._last = 0
        self._complete: asyncio.Future[None] | None = None
        """Set while a batch waits for company; done when as many have come as last time."""
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, question: Q) -> A:
        """Ask. Raises Unavailable for every question of a statement that failed that way."""
        if len(self._waiting) >= _MAX_WAITING:
            raise Unavailable("too many statements wait for the database")
        return await self._queue(question)

    def note(self, question: Q) -> None:
        """Ask without waiting, for what may get lost: nobody learns of the answer."""
        if len(self._waiting) >= _MAX_WAITING:
            return
        self._queue(question).add_done_callback(_seen)

    def _queue(self, question: Q) -> asyncio.Future[A]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, future))
        if self._running is None:
            # Owned by this object: it ends by itself when nothing waits.
            self._running = loop.create_task(self._drain(), name="batcher")
        elif self._complete is not None and len(self._waiting) >= self._last:
            _set(self._complete)
        return future

    async def close(self) -> None:
        """Let the statement in flight end, and everything that waits with it."""
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=CLOSE_WITHIN)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._company()
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self._last = len(batch)
                # A caller who was cancelled may still have its effect; it never learns of it.
                await self._answer(batch)
        finally:
            self._running = None
            for _, future in self._waiting:
                future.cancel()

    async def _company(self) -> None:
        """Wait a little for those who came with the last batch too."""
        if self._gather:
            await asyncio.sleep(self._gather)
        elif len(self._waiting) < self._last:
            loop = asyncio.get_running_loop()
            self._complete = loop.create_future()
            most = min(GATHER_EACH * (self._last - 1), GATHER_MOST)
            timer = loop.call_later(most, _set, self._complete)
            try:
                await self._complete
            finally:
                timer.cancel()
                self._complete = None

    async def _answer(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to everyone who asked, none is lost
            if isinstance(error, Undecodable) and len(batch) > 1:
                for one in batch:  # only who asked the impossible is told so
                    await self._answer([one])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _seen(future: asyncio.Future[Any]) -> None:
    """A note's failure is nobody's: what it notes is found out again (outbox, dedupe)."""
    if not future.cancelled():
        future.exception()
