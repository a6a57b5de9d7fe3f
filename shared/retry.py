"""Retrying, in one way only: what is Unavailable, within a bound that the caller hands in (I11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from typing import TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_exponential_jitter,
)

from shared.errors import Unavailable
from shared.lifecycle import Stop, StoppedEarly

log = structlog.get_logger(__name__)

T = TypeVar("T")


def retrying(within: timedelta) -> AsyncRetrying:
    """`async for attempt in retrying(...): with attempt: ...`. Never around a script's run."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within.total_seconds()

    def too_late(state: RetryCallState) -> bool:
        return loop.time() + state.upcoming_sleep > until  # the loop's clock, as every other bound

    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_exponential_jitter(multiplier=0.05, max=1, jitter=0.05),
        stop=too_late,
        reraise=True,
    )


async def opened(
    owned: AsyncExitStack,
    door: Callable[[], AbstractAsyncContextManager[T]],
    what: str,
    *,
    within: timedelta,
    stop: Stop,
) -> T:
    """Open a door that `owned` closes, again while what is behind it is away: start order is free.

    Every failed try is logged. Raises Unavailable when it stays away, StoppedEarly when the service
    is asked to stop meanwhile.
    """

    def told(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        next_ = f"tried again in {state.upcoming_sleep:.1f} s"
        log.warning(
            "start.waiting", what=what, tries=state.attempt_number, reason=str(error), next=next_
        )

    async def nap(seconds: float) -> None:
        await asyncio.wait({asked}, timeout=seconds)
        if stop.asked.is_set():
            raise StoppedEarly

    asked = asyncio.get_running_loop().create_task(stop.asked.wait(), name="stop")
    try:
        async for attempt in retrying(within).copy(before_sleep=told, sleep=nap):
            with attempt:
                return await owned.enter_async_context(door())
    finally:
        asked.cancel()
    raise AssertionError  # tenacity returns, or raises
