"""Private servers for tests: started once, on free ports, ended with the test run.

`TEST_POSTGRES_URL` (an owner who may create databases) and `TEST_AMQP_URL` replace them;
`TEST_POSTGRES_BINARIES` is a folder with another release's `initdb` and `postgres`. A server
that is missing is an error on CI and a skip elsewhere, never a silent pass.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.auth.migrate import migrate
from services.standalone.debian_packages import Unpacking, default_cache
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.errors import ServiceError
from tests.private_mariadb import PrivateMariaDB

_INSTALLED_15 = Path("/usr/lib/postgresql/15/bin")
_HAS_EVERY_SYSTEM = {"libc6", "libgcc-s1", "libstdc++6", "libcrypt1"}


def _without_jit(root: Path) -> None:
    """Its compiler is not unpacked: without this file Postgres does without."""
    (root / "usr/lib/postgresql/15/lib/llvmjit.so").unlink(missing_ok=True)


_UNPACKING_15 = Unpacking(
    name="postgresql-15",
    version="unpacked-1",
    packages=("postgresql-15",),
    needs=lambda name: (
        name.startswith("lib")
        and not name.startswith(("libllvm", "libperl"))
        and not name.endswith("-perl")
        and name not in _HAS_EVERY_SYSTEM
    ),
    mend=_without_jit,
    without="install postgresql-15",
)


def missing(what: str, error: Exception) -> NoReturn:
    """Fail on CI, skip elsewhere."""
    if os.environ.get("CI"):
        raise RuntimeError(f"{what} is needed on CI") from error
    pytest.skip(f"{what} is not to be had: {error}")


@dataclass(slots=True)
class Databases:
    """Fresh databases; migrated ones are clones of a template, at a tenth of the price."""

    url: str = field(repr=False)
    _prefix: str = field(default_factory=lambda: f"test_{secrets.token_hex(4)}")
    _made: int = 0
    _template: str | None = None

    def fresh(self, *, migrated: bool = True) -> str:
        """The URL of a database that nobody used."""
        if not migrated:
            return self._create("template1")
        if self._template is None:
            template = self._create("template1")
            asyncio.run(migrate(template))
            self._template = urlsplit(template).path[1:]
        return self._create(self._template)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    def close(self) -> None:
        """Drop the template."""
        if self._template is not None:
            self._execute(f"DROP DATABASE {self._template}")

    def _create(self, template: str) -> str:
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.url, timeout=10)
            try:
                await connection.execute(statement, timeout=30)
            finally:
                await connection.close()

        asyncio.run(execute())


@contextmanager
def oldest_postgres() -> Iterator[Databases]:
    """A server of the oldest release that we support, 15: installed, or Debian's, unpacked."""
    binaries, libraries = _INSTALLED_15, None
    if not (binaries / "postgres").exists():
        try:
            root = _UNPACKING_15.folder(default_cache())
        except ServiceError as error:
            missing("PostgreSQL 15", error)
        binaries = root / "usr/lib/postgresql/15/bin"
        libraries = next(root.glob("usr/lib/*-linux-*"))
    with postgres(binaries, libraries) as databases:
        yield databases


@contextmanager
def postgres(binaries: Path | None = None, libraries: Path | None = None) -> Iterator[Databases]:
    """A server of the wheel's version, or of `binaries`."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given and binaries is None:
        databases = Databases(given)
        yield databases
        databases.close()
        return
    other = os.environ.get("TEST_POSTGRES_BINARIES")
    server = EmbeddedPostgres(
        binaries=binaries or (Path(other) if other else None), libraries=libraries
    )
    with started(server.start, server.close, "Postgres"):
        yield Databases(server.url)


@contextmanager
def rabbitmq() -> Iterator[PrivateRabbitMQ]:
    """A private broker."""
    server = PrivateRabbitMQ()
    with started(server.start, server.close, "RabbitMQ"):
        yield server


@contextmanager
def mariadb() -> Iterator[PrivateMariaDB]:
    """A server until the block ends."""
    server = PrivateMariaDB()
    with started(server.start, server.close, "MariaDB"):
        yield server


@contextmanager
def started(start: Callable[[], None], close: Callable[[], None], what: str) -> Iterator[None]:
    """Start, and close whatever happens, also when the start failed half way."""
    try:
        try:
            start()
        except ServiceError as error:
            missing(what, error)
        yield
    finally:
        close()
