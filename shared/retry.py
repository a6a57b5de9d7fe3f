"""Retrying, in one way only: what is Unavailable, within a bound that the caller hands in (I11)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_exponential_jitter,
)

from shared.errors import Unavailable


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
