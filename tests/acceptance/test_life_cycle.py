"""Services come and go under load, in any order, and nobody is turned away for it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from time import perf_counter

import pytest

from services.auth.migrate import migrate
from services.standalone.embedded_postgres import free_port
from services.standalone.guarded import Guarded
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from tests.load import Logins, loaded
from tests.processes import System, eventually, system

NOWHERE = "amqp://guest:guest@127.0.0.1:1/"
LOGIN = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: email, email: email }), 200);
}"""
SLOW_LOGIN = LOGIN.replace("200", "4000")
RATE = 8.0
ENOUGH = 12  # logins, for a test to have seen anything
SERVICES = ["services.auth", "services.script_worker"]


async def ended(process: Guarded) -> int:
    return await asyncio.to_thread(process.wait)


@pytest.mark.parametrize("module", SERVICES)
async def test_a_service_waits_for_a_broker_only_so_long_and_says_so(
    database_url: str, tmp_path: Path, module: str
) -> None:
    async with system(database_url, NOWHERE, tmp_path) as its:
        process = its.start(module, _settings(its, TRICKLE_START_WITHIN="1"))

        assert 1 == await ended(process)
        assert "the broker is away" in its.logs
        assert "start.waiting" in its.logs


@pytest.mark.parametrize("module", SERVICES)
async def test_a_service_that_still_waits_ends_at_once_when_it_is_asked_to(
    database_url: str, tmp_path: Path, module: str
) -> None:
    async with system(database_url, NOWHERE, tmp_path) as its:
        process = its.start(module, _settings(its, TRICKLE_START_WITHIN="600"))
        await eventually(lambda: _logged(its, "start.waiting"))

        process.signal(signal.SIGTERM)

        assert 0 == await ended(process)


@pytest.mark.slow
async def test_services_may_start_before_the_broker_and_before_the_migrations(
    empty_database_url: str, tmp_path: Path
) -> None:
    broker = PrivateRabbitMQ()
    try:
        async with system(empty_database_url, broker.url, tmp_path) as its:
            port = free_port()
            its.start("services.script_worker", {"TRICKLE_METRICS_PORT": str(port)})
            its.start("services.auth", _settings(its))
            await eventually(lambda: its._ready(f"http://127.0.0.1:{port}/livez"))
            assert not await its._ready(f"http://127.0.0.1:{port}/readyz")

            await asyncio.to_thread(broker.start)
            await eventually(lambda: _logged(its, "migrations are missing"))
            await migrate(empty_database_url)
            await eventually(lambda: its._ready(f"{its.url}/readyz"), within=60)
            await eventually(lambda: its._ready(f"http://127.0.0.1:{port}/readyz"), within=60)
            await its.connect("shop", LOGIN)

            assert 200 == (await its.login("ada@example.com")).status
    finally:
        await asyncio.to_thread(broker.close)


@pytest.mark.slow
async def test_a_rolling_restart_of_the_workers_turns_nobody_away(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", LOGIN, import_mode=False)
        workers = [await its.worker(), await its.worker()]
        async with loaded(its.client_id, its.url) as load:
            over = asyncio.Event()
            logins = asyncio.create_task(load.offer("shop", RATE, until=over, at_least=ENOUGH))
            for old in workers:
                await asyncio.sleep(1)
                await its.worker()
                old.signal(signal.SIGTERM)
                assert 0 == await ended(old)
            await asyncio.sleep(1)
            over.set()
            found = await logins

        await settled(its, found)


@pytest.mark.slow
async def test_the_only_worker_may_restart_too(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """Requests wait for the next one, for a grace (`TRICKLE_WORKER_GRACE`)."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth(TRICKLE_WORKER_GRACE="30")
        await its.connect("shop", LOGIN, import_mode=False)
        old = await its.worker()
        async with loaded(its.client_id, its.url) as load:
            over = asyncio.Event()
            logins = asyncio.create_task(load.offer("shop", RATE / 2, until=over, at_least=ENOUGH))
            await asyncio.sleep(1)
            old.signal(signal.SIGTERM)
            assert 0 == await ended(old)
            await its.worker()
            over.set()
            found = await logins

        await settled(its, found)


@pytest.mark.slow
async def test_a_rolling_restart_of_auth_turns_nobody_away(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """A balancer looks for readiness; who is asked to stop answers on until it has noticed."""
    ports = [free_port(), free_port()]
    delay = {"TRICKLE_SHUTDOWN_DELAY": "2"}
    async with system(database_url, amqp_url, tmp_path) as its:
        its.port = ports[0]
        replicas = [await its.auth(port, **delay) for port in ports]
        await its.connect("shop", LOGIN, import_mode=False)
        await its.worker()
        async with loaded(its.client_id, *(f"http://127.0.0.1:{port}" for port in ports)) as load:
            over = asyncio.Event()
            logins = asyncio.create_task(load.offer("shop", RATE, until=over, at_least=ENOUGH))
            for old, port in zip(replicas, ports, strict=True):
                await asyncio.sleep(1)
                old.signal(signal.SIGTERM)
                assert 0 == await ended(old)
                await its.auth(port, **delay)
            await asyncio.sleep(1)
            over.set()
            found = await logins

        await settled(its, found)


async def settled(its: System, found: Logins) -> None:
    """Every login was answered 200, by one run each, nothing is left, and nobody is alarmed."""
    await eventually(its.settled)
    counts = await its.counts()
    number = found.statuses.total()
    assert {200: number} == dict(found.statuses)
    assert (number, number, 0) == (counts.requests, counts.outcomes, counts.repeated)
    assert number >= ENOUGH
    assert "broker.lost" not in its.logs  # the broker was there all the time


@pytest.mark.slow
async def test_a_second_signal_gives_back_what_is_in_hand_at_once(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """Another worker takes it over when the claim's lease is dead (I4), within the deadline."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", SLOW_LOGIN)
        first = await its.worker()
        login = asyncio.create_task(its.login("ada@example.com"))
        await eventually(its.claimed)
        await its.worker()

        first.signal(signal.SIGTERM)
        await eventually(lambda: _logged(its, "worker.draining"))
        before = perf_counter()
        first.signal(signal.SIGTERM)
        code = await ended(first)
        took = perf_counter() - before
        answer = await login
        await eventually(its.settled)
        counts = await its.counts()

        assert (0, 200) == (code, answer.status)
        assert took < 3.5  # less than its script would have needed
        assert (1, 1, 1) == (counts.requests, counts.outcomes, counts.repeated)


@pytest.mark.slow
async def test_a_drain_ends_within_its_budget(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """What is not done by then goes back: nobody waits for a script that waits for nothing."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", SLOW_LOGIN.replace("4000", "15000"))
        worker = await its.worker(TRICKLE_DRAIN_BUDGET="2")
        login = asyncio.create_task(its.login("ada@example.com", wait=5))
        await eventually(its.claimed)

        before = perf_counter()
        worker.signal(signal.SIGTERM)
        code = await ended(worker)
        took = perf_counter() - before
        await asyncio.gather(login, return_exceptions=True)

        assert 0 == code
        assert 2 <= took < 10
        assert "drain.cut" in its.logs


def _settings(its: System, **more: str) -> dict[str, str]:
    return {"TRICKLE_ISSUER": f"{its.url}/", "TRICKLE_PORT": str(its.port), **more}


async def _logged(its: System, text: str) -> bool:
    return text in its.logs
