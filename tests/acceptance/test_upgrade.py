"""A release replaces the one before it under load: migrations first, then auth, then workers."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from services.auth.migrate import migrate, migrations
from services.standalone.embedded_postgres import free_port
from tests.load import loaded
from tests.processes import system
from tests.servers import missing

ROOT = Path(__file__).resolve().parents[2]
LOGIN = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: email, email: email }), 100);
}"""
RATE = 6.0
GIT = shutil.which("git") or "/usr/bin/git"


class NoHistory(Exception):
    """No full clone: a shallow one, or none at all. `git fetch --unshallow` helps."""


def git(*arguments: str) -> str:
    done = subprocess.run(
        [GIT, "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture
def previous(tmp_path: Path) -> dict[str, str]:
    """The source of the release before the newest migration, as its processes' environment."""
    newest = migrations()[-1]
    path = f"services/auth/migrations/{newest.version:04}_{newest.name}.sql"
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", path)
    if not added or not git("rev-parse", "--verify", f"{added}^"):
        missing(
            "git's full history, not a shallow clone's,",
            NoHistory(f"git knows nothing older than {path}"),
        )
    tree, archive = tmp_path / "previous", tmp_path / "previous.tar"
    tree.mkdir()
    git("archive", "-o", str(archive), f"{added}^", "services", "shared")
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    modules = Path("services/script_worker/modules/node_modules")
    (tree / modules).symlink_to(ROOT / modules)
    assert not (tree / path).exists()
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


@pytest.mark.slow
async def test_migrations_and_a_new_release_under_load_turn_nobody_away(
    empty_database_url: str, amqp_url: str, tmp_path: Path, previous: dict[str, str]
) -> None:
    ports = [free_port(), free_port()]
    async with system(empty_database_url, amqp_url, tmp_path) as its:
        its.port = ports[0]
        settings = {
            "DATABASE_URL": empty_database_url,
            "TRICKLE_KEY_RING": its.ring,
            "TRICKLE_ISSUER": f"{its.url}/",
        }
        command = [sys.executable, "-m", "services.auth", "migrate"]
        await asyncio.to_thread(subprocess.run, command, env=settings | previous, check=True)
        known = await its.database.fetchval("SELECT count(*) FROM schema_migrations")
        assert known < len(migrations())

        old_auth = await its.auth(None, **previous)
        old_worker = await its.worker(**previous)
        for realm, import_mode in (("shop", False), ("bank", True)):
            await its.connect(realm, LOGIN, import_mode=import_mode)
        async with loaded(its.client_id, *(f"http://127.0.0.1:{port}" for port in ports)) as load:
            over = asyncio.Event()
            logins = [
                asyncio.create_task(load.offer(realm, RATE / 2, until=over))
                for realm in ("shop", "bank")
            ]
            await asyncio.sleep(2)
            applied = await migrate(empty_database_url)
            await asyncio.sleep(3)
            await its.auth(ports[1])
            await asyncio.sleep(1)
            # It may not know yet how to leave: the balancer forgets it first.
            load.forget(f"http://127.0.0.1:{ports[0]}")
            await asyncio.sleep(1)
            old_auth.signal(signal.SIGTERM)
            await its.worker()
            old_worker.signal(signal.SIGTERM)
            codes = [
                await asyncio.to_thread(old_auth.wait),
                await asyncio.to_thread(old_worker.wait),
            ]
            await asyncio.sleep(2)
            over.set()
            found = [await one for one in logins]

        assert migrations()[-1].name in applied
        assert [0, 0] == codes
        assert [[], []] == [one.lost for one in found]
        assert [{200}, {200}] == [set(one.statuses) for one in found]
