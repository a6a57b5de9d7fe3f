"""The real servers that tests run against, started by the tests themselves on free ports.

`TEST_POSTGRES_URL` (an owner who may create databases) and `TEST_AMQP_URL` name servers to use
instead; `TEST_POSTGRES_BINARIES` is a folder with another release's `initdb` and `postgres`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.auth.migrate import migrate
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.errors import Misconfigured, Unavailable

T = TypeVar("T")


def missing(what: str, error: Exception) -> None:
    """A server that can't be had: an error where CI is set, else a skip. Never returns."""
    if os.environ.get("CI"):
        raise error
    pytest.skip(f"there is no {what}: {error}")


@contextmanager
def postgres() -> Iterator[str]:
    """The owner's URL of a Postgres, for the session."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield url
        return
    binaries = os.environ.get("TEST_POSTGRES_BINARIES")
    server = EmbeddedPostgres(binaries=None if binaries is None else Path(binaries))
    with started(server.start, server.close, "Postgres"):
        yield server.url


@contextmanager
def rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ, for the session."""
    if url := os.environ.get("TEST_AMQP_URL"):
        yield url
        return
    server = PrivateRabbitMQ()
    with started(server.start, server.close, "RabbitMQ"):
        yield server.url


@contextmanager
def started(start: Callable[[], None], close: Callable[[], None], what: str) -> Iterator[None]:
    """Start, and close whatever happens, also when the start failed half way."""
    try:
        try:
            start()
        except (Misconfigured, Unavailable) as error:
            missing(what, error)
        yield
    finally:
        close()


@dataclass(slots=True)
class Databases:
    """Databases of one server: a migrated template, and clones of it at a tenth of its price."""

    owner_url: str = field(repr=False)
    _prefix: str = field(default_factory=lambda: f"test_{secrets.token_hex(4)}")
    _made: int = 0
    _template: str | None = None

    def create(self, *, migrated: bool = True) -> str:
        """The URL of a fresh database."""
        if migrated and self._template is None:
            template = self._name()
            self._execute(f"CREATE DATABASE {template}")
            in_own_loop(lambda: migrate(self._url(template)))
            self._template = template
        name = self._name()
        self._execute(
            f"CREATE DATABASE {name} TEMPLATE {self._template if migrated else 'template1'}"
        )
        return self._url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        self._execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    def close(self) -> None:
        """Drop the template."""
        if self._template is not None:
            self.drop(self._url(self._template))

    def _name(self) -> str:
        self._made += 1
        return f"{self._prefix}_{self._made}"

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.owner_url)._replace(path=f"/{name}"))

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.owner_url, timeout=10)
            try:
                await connection.execute(statement, timeout=30)
            finally:
                await connection.close()

        in_own_loop(execute)


def in_own_loop(work: Callable[[], Awaitable[T]]) -> T:
    """Run it to its end from a synchronous fixture, leaving the test's own loop alone."""

    async def main() -> T:
        return await work()

    with asyncio.Runner() as runner:
        return runner.run(main())
