"""Logins that can't be decided are told so at once: a real broker and a real Postgres, no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client import REGISTRY

from services.auth.app import open_auth
from services.auth.bootstrap import create_management_client
from services.auth.settings import AuthSettings
from shared.amqp import open_transport
from shared.beside import beside
from shared.errors import Rejected
from shared.sealing import KeyRing
from shared.settings import read_settings
from shared.topology import MAX_QUEUED_REQUESTS, Names
from shared.transport import REQUEST_TYPE, Message, Transport
from tests.proxy import Proxy
from tests.site import ISSUER, Site

WITHIN = timedelta(seconds=5)
AT_ONCE = 1.5
"""Seconds: far above what it takes here and far below the deadline, because machines are shared."""


@dataclass
class Under:
    """A site, and what its links to the servers run through."""

    site: Site
    broker: Proxy
    database: Proxy
    names: Names
    connection_id: str

    async def login(self, number: int = 0) -> httpx.Response:
        """Of somebody whom only the script could know."""
        return await self.site.login("secret", username=f"user{number}@example.com")


@asynccontextmanager
async def opened(
    database_url: str, amqp_url: str, names: Names, *, grace: float
) -> AsyncIterator[Under]:
    """An auth service without a worker, which nobody misses for `grace` seconds."""
    environment = {
        "TRICKLE_KEY_RING": KeyRing.generate(),
        "TRICKLE_ISSUER": ISSUER,
        "TRICKLE_BROKER_PREFIX": names.prefix,
        "TRICKLE_WORKER_GRACE": str(grace),
    }
    async with AsyncExitStack() as owned:
        broker = await owned.enter_async_context(Proxy(urlsplit(amqp_url).port or 5672))
        database = await owned.enter_async_context(Proxy(urlsplit(database_url).port or 5432))
        environment["DATABASE_URL"] = through(database, database_url)
        transport = await owned.enter_async_context(
            open_transport(through(broker, amqp_url), client_name="auth")
        )
        auth = await owned.enter_async_context(
            open_auth(read_settings(AuthSettings, environment), transport)
        )
        started = asyncio.Event()
        await owned.enter_async_context(beside(auth.run(started), "auth"))
        await started.wait()
        http = await owned.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(auth.app), base_url=ISSUER, timeout=60)
        )
        site = Site(http, auth, auth.state.its.database, transport)  # type: ignore[arg-type]
        site.management = await create_management_client(database_url)
        await site.authorise()
        made = (await site.manage("POST", "clients", {"name": "app"})).json()
        site.client_id, site.secret = made["client_id"], made["client_secret"]
        connection = await site.connect()
        yield Under(site, broker, database, names, connection["id"])


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()


async def refused_at_once(ask: Awaitable[httpx.Response]) -> int:
    """Its `Retry-After`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await ask
    assert loop.time() - began < AT_ONCE
    assert (503, "temporarily_unavailable") == (answer.status_code, answer.json()["error"])
    return int(answer.headers["retry-after"])


@pytest.fixture
async def under(database_url: str, amqp_url: str, names: Names) -> AsyncIterator[Under]:
    async with opened(database_url, amqp_url, names, grace=600) as found:
        yield found


async def test_a_full_queue(under: Under) -> None:
    transport: Transport = under.site.transport

    async def fill() -> bool:
        message = Message(body=b"", type=REQUEST_TYPE, correlation_id="")
        try:
            await transport.publish(
                under.names.requests, under.connection_id, message, within=WITHIN
            )
        except Rejected:
            return False
        return True

    async with asyncio.timeout(60):
        while all(await asyncio.gather(*(fill() for _ in range(MAX_QUEUED_REQUESTS)))):
            pass

    assert 1 <= await refused_at_once(under.login())
    assert 0 == await under.site.count("executions")


async def test_a_crowd_above_the_bulkhead(under: Under) -> None:
    """Its limit is derived: 60 while nothing is known of how long a script takes."""
    waiting = [asyncio.create_task(under.login(number)) for number in range(60)]
    await eventually(lambda: 60 == metric("auth_script_rpc_in_flight"))

    assert 5 <= await refused_at_once(under.login(99))

    for task in waiting:
        task.cancel()


async def test_without_a_worker_who_waits_is_told_after_the_grace_and_the_next_at_once(
    database_url: str, amqp_url: str, names: Names
) -> None:
    async with opened(database_url, amqp_url, names, grace=2) as under:
        waiting = await under.login(1)

        assert (503, "temporarily_unavailable") == (
            waiting.status_code,
            waiting.json()["error"],
        )
        await refused_at_once(under.login(2))
        # The one that waited can't start any more; the other never was a request.
        assert ["capacity"] == [
            row["outcome"] for row in await under.site.database.fetch("SELECT * FROM executions")
        ]


async def test_a_broker_that_is_away(under: Under) -> None:
    under.broker.refuse()
    await eventually(lambda: not under.site.transport.connected)

    await refused_at_once(under.login())


async def test_a_broker_that_takes_no_more_and_one_that_does_again(under: Under) -> None:
    """An alarm and a dead link look the same from here: no publish is confirmed."""
    under.broker.stall()
    await asyncio.gather(*(under.login(number) for number in range(3)))

    await refused_at_once(under.login(9))

    under.broker.flow()
    before = confirmed()
    tasks = []
    async with asyncio.timeout(60):
        while confirmed() == before:
            tasks.append(asyncio.create_task(under.login(10)))
            await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()


async def test_a_database_that_is_away(under: Under) -> None:
    under.database.refuse()
    try:
        await refused_at_once(under.login())
    finally:
        under.database.accept()


async def test_a_database_that_swallows_everything_costs_the_first_its_bound_and_nobody_else(
    under: Under,
) -> None:
    under.database.stall()
    try:
        assert 503 == (await under.login(1)).status_code
        await asyncio.sleep(2)  # the probe is not answered either

        for number in range(5):
            await refused_at_once(under.login(number))
    finally:
        under.database.flow()

    before = confirmed()
    tasks = []
    async with asyncio.timeout(60):
        while confirmed() == before:
            tasks.append(asyncio.create_task(under.login(10)))
            await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()


def confirmed() -> float:
    return metric("auth_amqp_publish_total", exchange="requests", outcome="confirmed") or 0


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)
