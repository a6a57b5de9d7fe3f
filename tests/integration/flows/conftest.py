"""A site, and a legacy store behind it, that the tests of one module share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.flows.town import Town
from tests.legacy_store import LegacyStore
from tests.servers import Databases
from tests.site import opened


@pytest.fixture(scope="module")
def urls(databases: Databases) -> Iterator[tuple[str, str]]:
    """A database for us, and one for the legacy store."""
    ours, theirs = databases.fresh(), databases.fresh(migrated=False)
    yield ours, theirs
    for each in (ours, theirs):
        databases.drop(each)


@pytest.fixture(scope="module")
async def shared_town(
    urls: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    mails = tmp_path_factory.mktemp("mails")
    ours, theirs = urls
    store = await LegacyStore.open(theirs)
    async with opened(ours, TRICKLE_MAIL_FOLDER=str(mails)) as site:
        town = Town(site, mails, store=store)
        town.old = await site.connect("old", **store.options(import_mode=False))
        town.moving = await site.connect("moving", **store.options(import_mode=True))
        yield town
    await store.connection.close()


@pytest.fixture
async def town(shared_town: Town) -> Town:
    await shared_town.store.details()
    return shared_town
