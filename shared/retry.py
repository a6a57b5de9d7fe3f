"""Retrying, in one way only: what is Unavailable, within a bound that the caller hands in (I11)."""

from __future__ import annotations

from datetime import timedelta

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from shared.errors import Unavailable


def retrying(within: timedelta) -> AsyncRetrying:
    """`async for attempt in retrying(...): with attempt: ...`. Never around a script's run."""
    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_exponential_jitter(initial=0.05, max=1, jitter=0.05),
        stop=stop_after_delay(within.total_seconds()),
        reraise=True,
    )
