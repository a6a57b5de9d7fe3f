"""What every test may ask for. A server starts when the first test asks for it, once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.topology import Names
from tests import servers
from tests.private_mariadb import PrivateMariaDB

hypothesis.settings.register_profile("dev", max_examples=25, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """asyncio in debug mode; tests/unit has virtual time instead."""
    return "asyncio", {"debug": True}


@pytest.fixture(scope="session")
def databases() -> Iterator[servers.Databases]:
    """A Postgres of the wheel's version."""
    with servers.postgres() as found:
        yield found


@pytest.fixture
def database_url(databases: servers.Databases) -> Iterator[str]:
    """A fresh, migrated database for this test alone."""
    url = databases.fresh()
    yield url
    databases.drop(url)


@pytest.fixture
def empty_database_url(databases: servers.Databases) -> Iterator[str]:
    """A fresh database without our tables."""
    url = databases.fresh(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def private_rabbitmq() -> Iterator[PrivateRabbitMQ]:
    """A broker that tests share; each has names of its own on it."""
    with servers.rabbitmq() as found:
        yield found


@pytest.fixture(scope="session")
def mariadb() -> Iterator[PrivateMariaDB]:
    """A MariaDB that tests share."""
    with servers.mariadb() as found:
        yield found


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> str:
    """The shared broker."""
    given = os.environ.get("TEST_AMQP_URL")
    return given or str(request.getfixturevalue("private_rabbitmq").url)


@pytest.fixture
def names() -> Names:
    """Names that nobody else uses on a shared broker."""
    return Names(f"t{uuid4().hex[:10]}")
