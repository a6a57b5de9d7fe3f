"""Processes are killed in the middle of things; the ledger's counts say what became of it."""

from __future__ import annotations

import asyncio
import base64
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from aio_pika import connect

from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.amqp import open_transport
from shared.topology import Names
from shared.transport import Message
from tests.processes import System, children, eventually, system

SOON = timedelta(seconds=5)
SLOW_LOGIN = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: email, email: email }), 1500);
}"""
LOGIN = """function login(email, password, callback) {
  console.log('password is', password);
  if (password === 'fail') return callback(new Error('refused ' + password));
  callback(null, { user_id: email, email: email });
}"""


@pytest.mark.slow
async def test_a_worker_killed_in_the_middle_of_a_script(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """I4: a login may run again, and does so on the other worker within its deadline."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", SLOW_LOGIN)
        first = await its.worker()
        login = asyncio.create_task(its.login("ada@example.com"))
        await eventually(its.claimed)
        runners = children(first.pid)
        its.kill(first)  # at once: another worker takes longer to start than the script runs
        await its.worker()

        answer = await login
        await eventually(its.settled)
        counts = await its.counts()

        assert 200 == answer.status, answer.body
        assert (1, 1, 1) == (counts.requests, counts.outcomes, counts.repeated)
        assert runners
        await eventually(lambda: _gone(runners))


@pytest.mark.slow
async def test_the_only_worker_killed_in_the_middle_of_a_script(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """I5, I6: nobody is left to answer; the caller is told by the deadline, the reaper decides."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", SLOW_LOGIN, script_timeout_seconds=4)
        worker = await its.worker()
        login = asyncio.create_task(its.login("ada@example.com"))
        await eventually(its.claimed)
        its.kill(worker)

        answer = await login
        await eventually(its.settled)
        counts = await its.counts()

        assert (403, "access_denied") == (answer.status, answer.body["error"])
        assert {"indeterminate": 1} == counts.kinds


@pytest.mark.slow
async def test_auth_killed_in_the_middle_of_a_request(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """I7: the outcome is recorded and published; the next login runs the script again."""
    async with system(database_url, amqp_url, tmp_path) as its:
        auth = await its.auth()
        await its.connect("shop", SLOW_LOGIN)
        await its.worker()
        login = asyncio.create_task(its.login("ada@example.com"))
        await eventually(its.claimed)
        its.kill(auth)
        with pytest.raises(OSError):  # noqa: PT011 - the connection broke, in whatever way
            await login

        await its.auth()
        await eventually(its.settled)
        again = await its.login("ada@example.com")
        counts = await its.counts()

        assert 200 == again.status, again.body
        assert (2, 2, 0) == (counts.requests, counts.outcomes, counts.repeated)
        assert 1 == await its.database.fetchval("SELECT count(*) FROM users")


@pytest.mark.slow
async def test_the_broker_killed_under_logins(database_url: str, tmp_path: Path) -> None:
    """Every caller is answered, nothing is left undecided, and logins work again."""
    broker = PrivateRabbitMQ()
    await asyncio.to_thread(broker.start)
    try:
        async with system(database_url, broker.url, tmp_path) as its:
            await its.auth()
            await its.connect("shop", SLOW_LOGIN, script_timeout_seconds=6, worker_concurrency=8)
            await its.worker()
            logins = [
                asyncio.create_task(its.login(f"user{number}@example.com")) for number in range(10)
            ]
            await eventually(its.claimed)
            await asyncio.to_thread(broker.kill)
            answers = await asyncio.gather(*logins)
            refused = await its.login("late@example.com")
            await asyncio.to_thread(broker.start)

            await eventually(lambda: _works(its, "after@example.com"), within=60)
            await eventually(its.settled, within=60)
            counts = await its.counts()

            assert {answer.status for answer in answers} <= {200, 403, 503}
            assert 503 == refused.status
            assert "retry-after" in refused.headers
            assert counts.requests == counts.outcomes
    finally:
        await asyncio.to_thread(broker.close)


async def test_a_stopping_worker_finishes_what_it_has(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", SLOW_LOGIN)
        worker = await its.worker()
        login = asyncio.create_task(its.login("ada@example.com"))
        await eventually(its.claimed)
        worker.signal(signal.SIGTERM)

        answer = await login
        code = await asyncio.to_thread(worker.wait)

        assert (200, 0) == (answer.status, code)


async def test_a_client_that_hung_up_is_imported_all_the_same(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """SDKs give up before scripts do (C§8): the retry then succeeds without the script."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", SLOW_LOGIN)
        await its.worker()

        with pytest.raises(OSError):  # noqa: PT011 - our own time-out
            await its.login("ada@example.com", wait=0.3)
        await eventually(lambda: _imported(its))
        again = await its.login("ada@example.com")
        counts = await its.counts()

        assert 200 == again.status
        assert (1, 1, 0) == (counts.requests, counts.outcomes, counts.unapplied)


async def _imported(its: System) -> bool:
    return bool(await its.database.fetchval("SELECT count(*) FROM users"))


async def test_what_can_not_be_read_hurts_nobody(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    """Garbage requests, garbage results, and no password in any log."""
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth()
        await its.connect("shop", LOGIN)
        await its.worker()
        connection_id = await its.database.fetchval("SELECT connection_id FROM connections")
        names = Names(its.prefix)
        async with open_transport(amqp_url, client_name="stranger") as transport:
            for body in (b"", b"not json", b'{"schema_version": 9}', b"[" * 5000):
                message = Message(body=body, type="x", correlation_id="y")
                for exchange, key in ((names.requests, connection_id), (names.replies, "nobody")):
                    await transport.publish(exchange, key, message, within=SOON)
        marked = "marked password 8f1c"
        answers = [
            await its.login("ada@example.com", marked),
            await its.login("bob@example.com", "fail"),
        ]
        await eventually(its.settled)
        await eventually(lambda: _empty(amqp_url, names))

        assert [200, 403] == [answer.status for answer in answers]
        for form in (marked, base64.b64encode(marked.encode()).decode()):
            assert form not in its.logs
        results = await its.database.fetch("SELECT result FROM executions")
        assert all(marked.encode() not in row["result"] for row in results)


async def _works(its: System, username: str) -> bool:
    try:
        return (await its.login(username)).status == 200
    except OSError:
        return False


async def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)  # noqa: ASYNC240 - /proc never blocks


async def _empty(amqp_url: str, names: Names) -> bool:
    """Whether the shared queues hold nothing: a passive look at their counts."""

    async with await connect(amqp_url) as connection:
        channel = await connection.channel()
        counts = []
        for name in (names.dead, names.orphans):
            queue = await channel.declare_queue(name, passive=True)
            counts.append(queue.declaration_result.message_count)
    return counts == [0, 0]
