"""Unit tests: time is virtual, and nothing blocks the loop."""

from __future__ import annotations

from collections.abc import Iterator

import async_solipsism
import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """A loop whose clock jumps to the next timer: twenty seconds pass in none."""
    return "asyncio", {"loop_factory": async_solipsism.EventLoop}


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """A blocking call inside the loop fails the test."""
    with blockbuster_ctx(["services", "shared"]):
        yield
