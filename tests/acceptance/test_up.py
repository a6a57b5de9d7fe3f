"""`trickle up`: it describes what it started, and leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import children, eventually

READY = 90.0


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A running `trickle up --json`, killed at the end if it still runs."""
    file = tmp_path / "up.json"
    command = [sys.executable, "-m", "services.standalone.cli", "up", "--json", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield process, file
    process.kill()
    process.wait()


async def described(process: subprocess.Popen[bytes], file: Path) -> dict[str, Any]:
    async def there() -> bool:
        assert process.poll() is None
        return file.exists()  # noqa: ASYNC240 - a local file

    await eventually(there, within=READY)
    found: dict[str, Any] = json.loads(file.read_text())  # noqa: ASYNC240 - a local file
    return found


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 60)


async def nothing_left(pids: list[int]) -> None:
    async def gone() -> bool:
        return not [pid for pid in pids if _alive(pid)]

    await eventually(gone, within=60)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
async def test_it_stays_up_and_stops_everything_when_asked(
    started: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, file = started
    found = await described(process, file)
    mode = stat.S_IMODE(file.stat().st_mode)
    pids = children(process.pid)

    process.send_signal(signal.SIGINT)
    code = await ended(process)

    expected = {"auth_url", "metrics", "management", "database_url", "amqp_url", "mails", "pids"}
    assert expected == set(found)
    assert not os.path.exists(found["mails"])  # noqa: PTH110, ASYNC240 - once, at the end
    assert {"auth", "script_worker"} == set(found["metrics"])
    assert 0o600 == mode
    assert 0 == code
    assert not file.exists()
    await nothing_left(pids)


@pytest.mark.slow
async def test_a_service_that_dies_takes_the_rest_with_it(
    started: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, file = started
    found = await described(process, file)
    pids = children(process.pid)

    os.kill(found["pids"]["auth"], signal.SIGKILL)
    code = await ended(process)

    assert 1 == code
    await nothing_left(pids)


@pytest.mark.slow
async def test_when_it_is_killed_itself_nothing_stays(
    started: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, file = started
    await described(process, file)
    pids = children(process.pid)

    process.kill()
    await ended(process)

    assert pids
    await nothing_left(pids)
