"""`./dev faults` in small: every kind of fault at least once, and no promise broken."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from shared.errors import Unavailable
from tests import servers


@pytest.mark.timeout(400)
async def test_a_few_hundred_requests_under_every_fault() -> None:
    await campaign(300)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_few_thousand_requests_under_every_fault() -> None:
    await campaign(4000)


async def campaign(requests: int) -> None:
    """It has servers of its own, because it kills them; 2: there are none to be had.

    The margin is no promise: a test must not depend on the machine being fast.
    """
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.faults",
            "--requests",
            str(requests),
            "--minutes",
            "4",
            "--margin",
            "30",
        ),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, progress = await process.communicate()
    if process.returncode == 2:
        servers.missing("a broker of its own", Unavailable(progress.decode()))

    assert 0 == process.returncode, f"{progress.decode()}\n{said.decode()}"
