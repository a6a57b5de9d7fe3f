"""The one door to Postgres: pool, named queries, the database's clock.

Rule 1: the driver's exceptions are translated here, once: what may work later is Unavailable.
Rule 2: no statement waits without a bound (I11).
Rule 3: deadlines and leases are judged by the database's clock; `now()` is that clock as last
measured, carried on by one of ours that nobody sets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import structlog

from shared.beside import beside
from shared.errors import Misconfigured, SchemaMissing, Unavailable, Undecodable

if TYPE_CHECKING:
    Pooled: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Session: TypeAlias = asyncpg.Connection[asyncpg.Record] | Pooled
else:
    Session = asyncpg.Connection
UniqueViolation = asyncpg.UniqueViolationError

log = structlog.get_logger(__name__)

STATEMENT_WITHIN: Final = 5.0
CONNECT_WITHIN: Final = 5.0
PROBE_WITHIN: Final = 1.0
PROBE_EVERY: Final = 0.5
MEASURE_CLOCK_EVERY: Final = 30.0

_HONEST: Final = 1.0
"""Seconds of a round trip above which it says too little about the clock at its other end."""
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TRANSIENT: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

_FORGETFUL: Final = """
SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off'
ORDER BY name
"""
_NOT_MIGRATED: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
"""Whoever starts before the migrations waits for them."""


def _ticks() -> float:
    """Seconds on a clock that goes on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(_CLOCK)


class translating:  # noqa: N801 - reads as what it is: `with translating():`
    """Turns the driver's transient errors into Unavailable, missing grants into Misconfigured."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        _raise_translated(error)


def _raise_translated(error: BaseException | None) -> None:
    if isinstance(error, _NOT_MIGRATED):
        raise SchemaMissing from error
    if isinstance(error, _TRANSIENT):
        raise Unavailable(f"the database is away ({type(error).__name__})") from error
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        # Its text names a table, never a value.
        raise Misconfigured(
            f"the database refuses us: {error}: docs/operate.md says which role a service has"
        ) from error
    if isinstance(error, asyncpg.DataError):
        # Never later either; and its text quotes the value.
        raise Undecodable("the database can't hold one of the values") from None


class Database:
    """A pool of sessions and the clock of the server behind them."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], probe: Callable[[], Awaitable[None]]
    ) -> None:
        """Made by `open_database`; `probe` fails when the server does not answer a new session."""
        self._pool = pool
        self._measured, self._measured_at = datetime.now(UTC), _ticks()
        self._probe = probe
        self._probing: asyncio.Task[None] | None = None
        self._stalled = False

    def connection(self) -> AbstractAsyncContextManager[Session]:
        """A session of the pool, for a block. Raises Unavailable."""
        return _Lent(self._lend, self._take_back)

    async def _lend(self) -> Pooled:
        if self._stalled:
            raise Unavailable("the database does not answer")
        # A wait needs a bound, and what it takes to keep it; what is free needs no wait.
        within = None if self._pool.get_idle_size() else CONNECT_WITHIN
        try:
            return await self._pool.acquire(timeout=within)
        except Exception as error:
            self._suspect(error)
            _raise_translated(error)
            raise

    async def _take_back(self, session: Pooled, error: BaseException | None) -> None:
        """Back to the pool; but who is cancelled, or not answered in time, gives it up: on its way
        back it would ask the server to cancel, and wait for that as long again.

        Raises what the block's error means, if it was the driver's.
        """
        with translating():
            if isinstance(error, TimeoutError):
                _drop(session)
                # A silent link is rarely alone: the others are opened afresh when they are next used.
                await self._pool.expire_connections()
            elif error is None or isinstance(error, Exception):
                await self._pool.release(session)
            else:
                _drop(session)
        self._suspect(error)
        _raise_translated(error)

    def _suspect(self, error: BaseException | None) -> None:
        """After one statement was not answered in time, look whether any is."""
        if isinstance(error, TimeoutError) and self._probing is None:
            # Owned by this object: it ends when the server answers, or with the pool.
            self._probing = asyncio.get_running_loop().create_task(self._until_answered())

    async def _until_answered(self) -> None:
        """After one statement was not answered in time, find out what to tell the next: a link that

        swallows everything would cost each of them its whole bound.
        """
        try:
            while not await self._answers():
                if not self._stalled:
                    log.warning("database.stalled", next="nothing is asked until it answers")
                self._stalled = True
                await asyncio.sleep(PROBE_EVERY)
            if self._stalled:
                log.info("database.answers")
        finally:
            self._stalled, self._probing = False, None

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_WITHIN):
                await self._probe()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """End what it began itself."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A session in a transaction that commits when the block ends well."""
        async with self.connection() as session:
            transaction = session.transaction()
            await transaction.start()
            try:
                yield session
            except TimeoutError:
                raise
            except Exception:
                # Not after a cancellation, nor after a time-out: the session is given up then, and
                # what it had begun with it. A rollback would fail over that, and who is cancelled
                # would hear of an outage instead, and go on for ever.
                await transaction.rollback()
                raise
            await transaction.commit()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of one statement."""
        async with self.connection() as session:
            return await session.fetch(sql, *args, timeout=STATEMENT_WITHIN)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row of one statement."""
        async with self.connection() as session:
            return await session.fetchrow(sql, *args, timeout=STATEMENT_WITHIN)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row."""
        async with self.connection() as session:
            return await session.fetchval(sql, *args, timeout=STATEMENT_WITHIN)

    async def execute(self, sql: str, *args: Any) -> str:
        """One statement for its effect; the command tag."""
        async with self.connection() as session:
            return await session.execute(sql, *args, timeout=STATEMENT_WITHIN)

    def now(self) -> datetime:
        """The database's time: as last measured, and what has passed since on a clock that is

        never set. Whoever sets ours changes nothing.
        """
        return self._measured + timedelta(seconds=_ticks() - self._measured_at)

    async def measure_clock(self) -> None:
        """Measure the offset again; the round trip is split in half."""
        before = _ticks()
        theirs: datetime = await self.fetchval("SELECT clock_timestamp()")
        after = _ticks()
        if after - before < _HONEST:
            self._measured, self._measured_at = theirs, (before + after) / 2

    async def forgets_by(self) -> list[str]:
        """The settings by which the server, should it crash, loses what it had committed (I10).

        They may come from the role or the database, so that each process has to ask for itself.
        """
        return [row["name"] for row in await self.fetch(_FORGETFUL)]

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_CLOCK_EVERY)
            try:
                await self.measure_clock()
            except Unavailable:
                log.warning("clock.not_measured", next="the last offset is kept")


def _drop(session: Pooled) -> None:
    with suppress(asyncpg.InterfaceError):  # the server may have ended it already
        session.terminate()


class _Lent:
    """A session, for a block. A class, as every statement enters one."""

    __slots__ = ("_lend", "_session", "_take_back")

    def __init__(
        self,
        lend: Callable[[], Awaitable[Pooled]],
        take_back: Callable[[Pooled, BaseException | None], Awaitable[None]],
    ) -> None:
        self._lend = lend
        self._take_back = take_back

    async def __aenter__(self) -> Pooled:
        self._session = await self._lend()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        await self._take_back(self._session, error)


@asynccontextmanager
async def open_database(
    url: str, *, pool_size: int = 8, application_name: str = "trickle"
) -> AsyncIterator[Database]:
    """Open a pool. Raises Unavailable, or Misconfigured when the server refuses who we are."""
    try:
        with translating():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=pool_size,
                command_timeout=STATEMENT_WITHIN,
                timeout=CONNECT_WITHIN,
                reset=_keep,
                server_settings={
                    "application_name": application_name,
                    # A plan made while tomorrow's partition was empty reads all of it when it is
                    # today's, until its statistics come; planning costs no more than that saves.
                    "plan_cache_mode": "force_custom_plan",
                },
            )
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
    ) as error:
        raise Misconfigured(
            f"the database refuses {_who(url)} ({type(error).__name__}): see DATABASE_URL"
        ) from error

    async def probe() -> None:
        session = await asyncpg.connect(url, timeout=PROBE_WITHIN)
        try:
            await session.fetchval("SELECT 1", timeout=PROBE_WITHIN)
        finally:
            session.terminate()

    database = Database(pool, probe)
    try:
        await database.measure_clock()
        if settings := await database.forgets_by():
            log.warning(
                "database.forgetful", off=settings, next="a crash of it may break what is promised"
            )
        async with beside(database._keep_time(), "database clock"):  # noqa: SLF001
            yield database
    finally:
        await database.close()
        await _close(pool)


def _who(url: str) -> str:
    """Whom a URL names, without the password that stands beside it."""
    parts = urlsplit(url)
    return f"user {parts.username or '(none)'} for database {parts.path.lstrip('/') or '(none)'}"


async def _keep(_: Session) -> None:
    """Nothing to reset: no statement of ours changes its session (saves a round trip)."""


async def _close(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def load_queries(package: str, file: str) -> dict[str, str]:
    """Read a file of named queries: blocks that begin with `-- name: something`."""
    queries: dict[str, str] = {}
    name = None
    for line in files(package).joinpath(file).read_text(encoding="utf-8").splitlines():
        if line.startswith("-- name:"):
            name = line.removeprefix("-- name:").strip()
            queries[name] = ""
        elif name is not None:
            queries[name] += line + "\n"
    return queries
