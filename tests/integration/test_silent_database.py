"""A database that swallows everything: a statement costs its bound once, and not again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared import database
from shared.database import Database, Session, open_database
from shared.errors import Unavailable
from tests.proxy import Proxy

BOUND = 2.0


@pytest.fixture(autouse=True)
def _short_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STATEMENT_WITHIN", BOUND)
    monkeypatch.setattr(database, "CONNECT_WITHIN", BOUND)


@asynccontextmanager
async def behind_a_proxy(url: str, *, pool_size: int) -> AsyncIterator[tuple[Proxy, Database]]:
    port = urlsplit(url).port or 5432
    async with (
        Proxy(port) as proxy,
        open_database(url.replace(f":{port}", f":{proxy.port}"), pool_size=pool_size) as opened,
    ):
        yield proxy, opened


async def test_a_silent_link_costs_its_bound_once(database_url: str) -> None:
    """Its way back to the pool asked it to cancel, and waited as long again for that."""
    loop = asyncio.get_running_loop()
    async with behind_a_proxy(database_url, pool_size=1) as (proxy, opened):
        proxy.half_open()
        began = loop.time()
        with pytest.raises(Unavailable):
            async with opened.transaction():
                pass
        took = loop.time() - began

        assert took < 2 * BOUND
        assert 1 == await opened.fetchval("SELECT 1")


async def test_the_other_links_are_not_tried_in_turn(database_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with behind_a_proxy(database_url, pool_size=5) as (proxy, opened):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(opened.fetchval("SELECT pg_sleep(0.1)"))
        proxy.half_open()
        with pytest.raises(Unavailable):
            await opened.fetchval("SELECT 1")
        began = loop.time()

        assert 1 == await opened.fetchval("SELECT 1")
        assert loop.time() - began < BOUND


async def test_who_stops_waiting_is_let_go_at_once(database_url: str) -> None:
    """A request has a bound of its own (I11), and it is shorter than a statement's may be."""
    loop = asyncio.get_running_loop()
    async with behind_a_proxy(database_url, pool_size=1) as (proxy, opened):
        proxy.stall()
        for block in (_read, _commit):
            began = loop.time()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await block(opened)

            assert loop.time() - began < BOUND / 2, block.__name__


async def _read(opened: Database) -> None:
    await opened.fetchval("SELECT 1")


async def _commit(opened: Database) -> None:
    async with opened.transaction() as session:
        await session.execute("SELECT 1")


@pytest.mark.parametrize("within", [Database.connection, Database.transaction])
async def test_who_is_cancelled_ends_as_cancelled(
    database_url: str, within: Callable[[Database], AbstractAsyncContextManager[Session]]
) -> None:
    """Else a chore that is ended with its replica takes it for an outage, and goes on for ever."""
    async with open_database(database_url) as opened:

        async def chore() -> None:
            async with within(opened) as session:
                await session.execute("CREATE TABLE half (done boolean)")
                await session.execute("SELECT pg_sleep(60)")

        work = asyncio.create_task(chore())
        async with asyncio.timeout(20):
            while not await opened.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'"
                " AND pid <> pg_backend_pid() AND state = 'active'"
            ):
                await asyncio.sleep(0.01)
        work.cancel()

        with pytest.raises(asyncio.CancelledError):
            await work


async def test_nor_is_a_cancellation_lost_with_the_session(database_url: str) -> None:
    """A replica is told to stop while the database restarts."""
    async with open_database(database_url) as opened:

        async def chore() -> None:
            async with opened.connection() as session:
                await opened.execute("SELECT pg_terminate_backend($1)", session.get_server_pid())
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await session.execute("SELECT pg_sleep(60)")
                await asyncio.sleep(60)

        work = asyncio.create_task(chore())
        await asyncio.sleep(0.5)
        work.cancel()

        with pytest.raises(asyncio.CancelledError):
            await work


async def test_a_block_that_fails_leaves_nothing(database_url: str) -> None:
    async with open_database(database_url, pool_size=1) as opened:

        async def half() -> None:
            async with opened.transaction() as session:
                await session.execute("CREATE TABLE half (done boolean)")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await half()
        assert await opened.fetchval("SELECT to_regclass('half') IS NULL")
