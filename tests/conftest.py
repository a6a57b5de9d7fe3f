"""Fixtures of every layer. A server starts when the first test asks for it, and once a session."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from shared.topology import Names
from tests import servers

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,  # the machine is shared: slow is not wrong
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """asyncio in debug mode: unawaited coroutines and slow callbacks show. tests/unit overrides it."""
    return "asyncio", {"debug": True}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The owner's URL of a Postgres server."""
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[servers.Databases]:
    """Makes databases, for a test that needs more than one."""
    made = servers.Databases(postgres_url)
    yield made
    made.close()


@pytest.fixture
def database_url(databases: servers.Databases) -> Iterator[str]:
    """A fresh, migrated database for this test alone."""
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture
def empty_database_url(databases: servers.Databases) -> Iterator[str]:
    """A fresh database without our tables."""
    url = databases.create(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """A RabbitMQ that all tests share: keep to `names`."""
    with servers.rabbitmq() as url:
        yield url


@pytest.fixture
def names() -> Names:
    """Names on the broker that no other test uses."""
    return Names(f"test.{secrets.token_hex(6)}")
