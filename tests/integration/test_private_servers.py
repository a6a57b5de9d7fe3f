"""Private servers leave nothing behind, however their owner ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.errors import Unavailable
from tests import servers

OWNER = """
import sys, time
from services.standalone.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres()
server.start()
print(server.pid, server._home, flush=True)
time.sleep(60)
"""


def until(true: Callable[[], bool], within: float = 15) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + within
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_and_its_data_go_with_an_owner_that_is_killed(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, home = owner.stdout.readline().split()
        os.kill(owner.pid, how)

    assert until(lambda: not Path(f"/proc/{pid}").exists())
    assert until(lambda: not Path(home).exists())


def test_a_broker_that_does_not_start_leaves_its_reason_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    with (
        pytest.raises(
            Unavailable, match=r"(?s)RabbitMQ did not start: .*failed_to_prepare_configuration"
        ),
        PrivateRabbitMQ(configuration="no.such.setting = 1"),
    ):
        pass

    assert [] == list(tmp_path.iterdir())


async def test_what_was_committed_survives_a_crash_of_the_server() -> None:
    with EmbeddedPostgres() as server:
        await run(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        server.kill()
        server.start()

        assert 7 == await run(server.url, "SELECT n FROM kept")


async def test_a_password_is_asked_for() -> None:
    with EmbeddedPostgres() as server, pytest.raises(asyncpg.InvalidPasswordError):
        await run(server.url.replace(server.url.split(":")[2].split("@")[0], "guess"), "SELECT 1")


async def test_the_oldest_supported_release_takes_the_migrations() -> None:
    with servers.oldest_postgres() as databases:
        url = await asyncio.to_thread(databases.fresh)

        assert str(await run(url, "SHOW server_version")).startswith("15.")
        assert 0 == await run(url, "SELECT count(*) FROM users")


async def run(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
