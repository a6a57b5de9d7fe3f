"""One server for all clients, and the rows of the table that they fill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conformance.server import CLIENTS, Served, served
from tests.servers import Databases, missing


@pytest.fixture(scope="module")
def urls(databases: Databases) -> Iterator[tuple[str, str]]:
    ours, theirs = databases.fresh(), databases.fresh(migrated=False)
    yield ours, theirs
    for each in (ours, theirs):
        databases.drop(each)


@pytest.fixture(scope="module")
async def server(
    urls: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    async with served(*urls, tmp_path_factory.mktemp("https")) as found:
        yield found


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """Where the Node clients are installed."""
    if not (CLIENTS / "node_modules" / ".stamp").exists():
        missing("the Node clients", FileNotFoundError("run ./dev test, which installs them"))
    return CLIENTS
