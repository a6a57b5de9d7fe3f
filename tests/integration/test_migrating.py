"""Migrations give way to who is served meanwhile, and come again."""

from __future__ import annotations

import asyncio
from itertools import chain

import pytest

from services.auth.migrate import LOCK_WITHIN, Migration, migrate, migrations
from shared.database import Database, open_database

OLD = [one for one in migrations() if one.version <= 4]
WIDER = Migration(9001, "wider", "ALTER TABLE connections ADD COLUMN fancy text;")
INDEX = Migration(
    9002,
    "index",
    "-- concurrently\n"
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS connections_fancy ON connections (fancy);\n"
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS connections_dull ON connections (display_name);\n",
)


@pytest.fixture
def old_url(empty_database_url: str) -> str:
    asyncio.run(migrate(empty_database_url, OLD))
    return empty_database_url


async def reads(database: Database, seconds: float) -> float:
    """Seconds of the slowest of the reads of a table during so long."""
    loop, slowest = asyncio.get_running_loop(), 0.0
    until = loop.time() + seconds
    while loop.time() < until:
        began = loop.time()
        await database.fetchval("SELECT count(*) FROM connections")
        slowest = max(slowest, loop.time() - began)
        await asyncio.sleep(0.02)
    return slowest


async def test_a_migration_that_has_to_wait_holds_nobody_up_for_long(old_url: str) -> None:
    """Behind a waiting ALTER TABLE every reader waits too, were it not to give up."""
    async with open_database(old_url, pool_size=4) as database:
        async with database.transaction() as long_reader:
            await long_reader.fetch("SELECT * FROM connections")
            applying = asyncio.create_task(migrate(old_url, [*OLD, WIDER]))
            slowest = await reads(database, 6)
            assert not applying.done()
            assert slowest < LOCK_WITHIN.total_seconds() + 1.5

        assert ["wider"] == await applying
        await database.fetch("SELECT fancy FROM connections")


async def test_an_index_is_made_while_others_write(old_url: str) -> None:
    """A writer's transaction would hold up CREATE INDEX, and that everybody else."""
    async with open_database(old_url, pool_size=4) as database:
        applied = await migrate(old_url, [*OLD, WIDER, INDEX])
        valid = await database.fetch(
            "SELECT indisvalid FROM pg_index"
            " WHERE indexrelid IN ('connections_fancy'::regclass, 'connections_dull'::regclass)"
        )

        assert ["wider", "index"] == applied
        assert [True, True] == [row["indisvalid"] for row in valid]


async def test_many_migrate_at_once_and_each_file_is_applied_once(empty_database_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)))

    assert sorted(one.name for one in migrations()) == sorted(chain(*applied))
