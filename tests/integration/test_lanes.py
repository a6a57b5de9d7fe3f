"""Connections move between a queue of their own and a shared lane, under logins."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import pytest

from services.auth.lanes import OWN, Lanes
from services.script_worker.app import Worker
from shared.database import Database
from shared.ledger import Ledger
from shared.topology import Names, lane_of
from tests.site import PASSWORD, Site, opened, without_worker, working

NAMES = Names()
LOGIN = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: email, email: email }), 20);
}"""


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    async with opened(database_url) as found:
        yield found


async def places(database: Database) -> dict[str, tuple[int | None, int | None]]:
    rows = await database.fetch("SELECT connection_id, lane, leaving FROM connections")
    return {row["connection_id"]: (row["lane"], row["leaving"]) for row in rows}


async def test_connections_move_to_lanes_and_back_and_no_login_is_lost(site: Site) -> None:
    """The service's own chore, whose limit is far off, moves them back."""
    options = {"import_mode": False, "customScripts": {"login": LOGIN}}
    ids = [(await site.connect(realm, **options))["id"] for realm in ("shop", "bank", "club")]
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def log_in(realm: str) -> None:
        number = 0
        while not over.is_set():
            number += 1
            answer = await site.login(PASSWORD, username=f"{realm}{number}@x.example", realm=realm)
            statuses[answer.status_code] += 1

    lanes = Lanes(site.database, site.transport, NAMES, 1, linger=timedelta(seconds=2))
    async with asyncio.timeout(90), asyncio.TaskGroup() as logins:
        for realm in ("shop", "bank", "club"):
            logins.create_task(log_in(realm))
        moved = {ids[0]: (None, None)} | {one: (lane_of(one), None) for one in ids[1:]}
        while await places(site.database) != moved or await consumers(site, ids[1]):
            await lanes.tend()
            await asyncio.sleep(0.1)
        assert await site.transport.look(NAMES.request_queue(ids[0]))
        assert {0} == {await consumers(site, one) for one in ids[1:]}
        while any(lane is not None for lane, _ in (await places(site.database)).values()):
            await asyncio.sleep(0.1)
        while await unswitched(site.database):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        over.set()

    counts = await Ledger(site.database).counts()
    assert {200: statuses.total()} == dict(statuses)
    assert statuses.total() > 30
    assert (statuses.total(), 0) == (counts.outcomes, counts.repeated)


async def test_a_connection_moves_when_a_worker_knows_its_lane_and_not_before(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an upgrade: an older worker goes on with the queue that it knows, and no login is lost."""
    async with asyncio.timeout(60), without_worker(database_url) as site:
        lanes = site.auth.state.its.connections._lanes
        assert lanes is not None
        options: dict[str, Any] = {"import_mode": False, "customScripts": {"login": LOGIN}}
        made = (await site.connect(**options))["id"]

        async def gone_on() -> dict[str, tuple[int | None, int | None]]:
            """One step, and a login by whoever takes it."""
            await lanes.tend()
            answer = await site.login(PASSWORD)
            assert 200 == answer.status_code, answer.text
            return await places(site.database)

        async with working(site, "older") as older:
            knows_no_lanes(older, monkeypatch)
            monkeypatch.setattr(lanes, "_own_queues", 0)
            monkeypatch.setattr(lanes, "_linger", timedelta(seconds=1))
            moving = {made: (lane_of(made), OWN)}
            assert [moving] * 3 == [await gone_on() for _ in range(3)]
            assert 1 == await unswitched(site.database)

            async with working(site, "newer"):
                while await gone_on() == moving:
                    await asyncio.sleep(0.1)
                while await consumers(site, made) > 1:  # the newer one leaves it
                    await asyncio.sleep(0.1)
                await gone_on()
                kept = await consumers(site, made)
                await older.drain(10)
                await gone_on()

                assert 1 == kept
                assert not await site.transport.look(NAMES.request_queue(made))


def knows_no_lanes(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It consumes what a release without them does: each connection's own queue."""
    wanted = worker._consumer._wanted

    def own(rows: Iterable[Any]) -> Any:
        return wanted([dict(row) | {"lane": None, "leaving": None} for row in rows])

    monkeypatch.setattr(worker._consumer, "_wanted", own)


async def consumers(site: Site, connection_id: str) -> int:
    """Of a connection's own queue; none if there is none."""
    facts = await site.transport.look(NAMES.request_queue(connection_id))
    return 0 if facts is None else facts.consumers


async def unswitched(database: Database) -> int:
    found: int = await database.fetchval(
        "SELECT count(*) FROM connections WHERE leaving IS NOT NULL AND left_at IS NULL"
    )
    return found


async def test_a_new_connection_above_the_limit_shares_a_lane_at_once(database_url: str) -> None:
    async with opened(database_url, TRICKLE_OWN_QUEUES="1") as site:
        first = (await site.connect("shop"))["id"]
        second = await site.connect("bank")

        answer = await site.login(PASSWORD, realm="bank")
        gone = await site.manage("DELETE", f"connections/{second['id']}")

        assert (200, 202) == (answer.status_code, gone.status_code), answer.text
        assert {first: (None, None)} == await places(site.database)
        assert not await site.transport.look(NAMES.request_queue(second["id"]))
