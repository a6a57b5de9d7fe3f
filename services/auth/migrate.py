"""Forward-only numbered migrations, run under a lock by whoever comes first.

They run while the release before this one serves (docs/migrations.md): a statement that waits for a
lock queues everybody behind it, so it gives up soon and comes again; what takes long is made
concurrently, outside a transaction (`-- concurrently` in its file's first line).

All migrations are auth's. The worker's role `trickle_worker` is created here where the owner may;
it can read connection revisions and write the ledger, and sees no user and no hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Final

import structlog

from services.auth.locks import Lock
from shared.database import Database, Session, open_database, translating
from shared.errors import Misconfigured
from shared.retry import retrying

log = structlog.get_logger(__name__)

WITHIN: Final = 120.0
"""Seconds for one migration."""

LOCK_WITHIN: Final = timedelta(seconds=2)
"""How long a statement of ours may hold up who comes behind it, waiting for who is before it."""
RETRY_WITHIN: Final = timedelta(minutes=5)
_CONCURRENTLY: Final = "-- concurrently"

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_ROLE: Final = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'trickle_worker') THEN
        CREATE ROLE trickle_worker NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another database's migration won
END $$
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `services/auth/migrations`."""

    version: int
    name: str
    sql: str

    @property
    def concurrently(self) -> bool:
        """Whether it runs outside a transaction, statement by statement, each safe to repeat."""
        return self.sql.startswith(_CONCURRENTLY)

    @property
    def checksum(self) -> str:
        """Changes with the text: a migration that was applied must not be edited."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this release, in order."""
    found = []
    for file in files("services.auth").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


async def migrate(database_url: str, release: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing of a release, ours unless another is given; the names of what was.

    Raises Misconfigured on an edited file, Unavailable where a lock is never to be had.
    """
    async with (
        open_database(database_url, pool_size=1, application_name="trickle-migrate") as database,
        database.connection() as session,
    ):
        await session.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATIONS, timeout=WITHIN)
        try:
            return await _apply_missing(session, migrations() if release is None else release)
        finally:
            await session.execute("SELECT pg_advisory_unlock($1)", Lock.MIGRATIONS)


async def pending(database: Database) -> list[str]:
    """The names of migrations that this release has and the database lacks."""
    known = await database.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
    rows = await database.fetch("SELECT version FROM schema_migrations") if known else []
    applied = {row["version"] for row in rows}
    return [migration.name for migration in migrations() if migration.version not in applied]


async def _apply_missing(session: Session, release: Sequence[Migration]) -> list[str]:
    await session.execute(_TABLE)
    await _create_worker_role(session)
    rows = await session.fetch("SELECT version, checksum FROM schema_migrations")
    applied = {row["version"]: row["checksum"] for row in rows}
    done = []
    for migration in release:
        checksum = applied.get(migration.version)
        if checksum is None:
            await _apply(session, migration)
            done.append(migration.name)
        elif checksum != migration.checksum:
            raise Misconfigured(
                f"migration {migration.version:04} {migration.name} was applied with another text"
            )
    return done


async def _apply(session: Session, migration: Migration) -> None:
    """Apply one, again while others hold what it needs. Raises Unavailable when they never let go."""
    async for attempt in retrying(RETRY_WITHIN):
        with attempt, translating():
            await (_bit_by_bit if migration.concurrently else _at_once)(session, migration)
    log.info("migration.applied", version=migration.version, name=migration.name)


async def _at_once(session: Session, migration: Migration) -> None:
    async with session.transaction():
        await _wait_briefly(session, local=True)
        await session.execute(migration.sql, timeout=WITHIN)
        await _note(session, migration)


async def _bit_by_bit(session: Session, migration: Migration) -> None:
    """Its statements end with a semicolon at the end of a line."""
    await _wait_briefly(session, local=False)
    for statement in migration.sql.split(";\n"):
        if statement.strip():
            await session.execute(statement, timeout=WITHIN)
    await _note(session, migration)


async def _wait_briefly(session: Session, *, local: bool) -> None:
    milliseconds = str(int(LOCK_WITHIN.total_seconds() * 1000))
    await session.execute("SELECT set_config('lock_timeout', $1, $2)", milliseconds, local)


async def _note(session: Session, migration: Migration) -> None:
    await session.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )


async def _create_worker_role(session: Session) -> None:
    exists = await session.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'trickle_worker'")
    may_create = await session.fetchval(
        "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    if not exists and not may_create:
        raise Misconfigured(
            "the role trickle_worker does not exist and may not be created:"
            " run `CREATE ROLE trickle_worker NOLOGIN` as a superuser first"
        )
    await session.execute(_ROLE)
