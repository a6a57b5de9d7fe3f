"""What benchmarks measure: servers of their own, our pipeline in parts, and the rivals.

The client side runs in the measuring process, the serving side in a process of its own, so that
each one's CPU can be told.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg

from services.auth.bulkhead import Bulkhead
from services.auth.connections import Connection, Connections
from services.auth.executions import Executions
from services.auth.migrate import migrate
from services.script_worker.node_command import NodeCommand
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.guarded import Guarded
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.amqp import open_transport
from shared.contracts import Action, Succeeded
from shared.database import open_database
from shared.ledger import Counts, Ledger
from shared.sealing import KeyRing
from shared.topology import Names
from tests.benchmarks.measure import Call
from tests.benchmarks.rivals import raw_echo

LOGIN = (
    "function login(email, password, callback) { callback(null, { user_id: 1, email: email }); }"
)
BY_HAND = """
let text = '';
process.stdin.on('data', (chunk) => { text += chunk; });
process.stdin.on('end', () => {
  const login = LOGIN;
  const body = JSON.parse(text);
  login(body.email, body.password, (error, profile) => console.log(JSON.stringify({ error, profile })));
});
""".replace("LOGIN", LOGIN)
ARGUMENTS = ["user@example.com", "a password"]
NAIVE = {"email": ARGUMENTS[0], "password": ARGUMENTS[1]}
WORKER = "services.script_worker"


@dataclass(frozen=True, slots=True)
class Servers:
    """A Postgres and a RabbitMQ of our own, with their processes."""

    database_url: str
    amqp_url: str
    pids: dict[str, int]


@asynccontextmanager
async def servers(*, with_broker: bool = True) -> AsyncIterator[Servers]:
    """Started, migrated, and gone with the block."""
    async with AsyncExitStack() as owned:
        postgres = EmbeddedPostgres()
        owned.push_async_callback(asyncio.to_thread, postgres.close)
        broker = PrivateRabbitMQ()
        owned.push_async_callback(asyncio.to_thread, broker.close)
        await asyncio.to_thread(postgres.start)
        pids = {"postgres": postgres.pid or 0}
        if with_broker:
            await asyncio.to_thread(broker.start)
            pids["broker"] = broker.pid or 0
        await migrate(postgres.url)
        yield Servers(postgres.url, broker.url if with_broker else "", pids)


@dataclass(slots=True)
class Pipeline:
    """auth's executions in this process, and one worker or more beside it."""

    executions: Executions
    connections: Connections
    ledger: Ledger
    names: Names
    environment: dict[str, str]
    workers: list[Guarded]
    marking: set[asyncio.Task[bool]] = field(default_factory=set)

    async def connect(self, login: str = LOGIN, *, concurrency: int = 64) -> Connection:
        """A connection with this login script."""
        options = {
            "enabledDatabaseCustomization": True,
            "import_mode": True,
            "customScripts": {"login": login},
            "worker_concurrency": concurrency,
        }
        return await self.connections.create(name=f"bench-{uuid4().hex[:8]}", options=options)

    def start_worker(self, module: str = WORKER, **settings: str) -> Guarded:
        """One more worker; `settings` are its own."""
        worker = Guarded([sys.executable, "-m", module], env={**self.environment, **settings})
        self.workers.append(worker)
        return worker

    async def call(self, connection: Connection) -> None:
        """One login through everything; anything but a success ends the benchmark."""
        await self.ledger.mark_applied(await self._run(connection))

    async def answer(self, connection: Connection) -> None:
        """The same, until the answer: its effect is marked while the caller goes on."""
        execution_id = await self._run(connection)
        marking = asyncio.get_running_loop().create_task(self.ledger.mark_applied(execution_id))
        self.marking.add(marking)
        marking.add_done_callback(self.marking.discard)

    async def _run(self, connection: Connection) -> UUID:
        answer = await self.executions.run(connection, Action.LOGIN, ARGUMENTS)
        assert isinstance(answer.result.outcome, Succeeded), answer.result.outcome
        return answer.execution_id

    async def counts(self) -> Counts:
        """What the ledger holds."""
        return await self.ledger.counts()


@asynccontextmanager
async def pipeline(
    its: Servers,
    *,
    fast: bool = True,
    ledger: Callable[[Any], Ledger] = Ledger,
    max_in_flight: int = 1000,
) -> AsyncIterator[Pipeline]:
    """Everything but the worker, which the caller starts. `fast`: our hot path to the broker."""
    ring_text, names = KeyRing.generate(), Names(f"bench{uuid4().hex[:6]}")
    ring = KeyRing.parse(ring_text)
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": its.database_url,
        "AMQP_URL": its.amqp_url,
        "TRICKLE_KEY_RING": ring_text,
        "TRICKLE_BROKER_PREFIX": names.prefix,
        "TRICKLE_BROKER_FAST_PATH": str(fast),
        "TRICKLE_METRICS_PORT": "0",
        "TRICKLE_CONCURRENCY": "64",
        "TRICKLE_LOG_LEVEL": "warning",
    }
    workers: list[Guarded] = []
    async with AsyncExitStack() as owned:
        database = await owned.enter_async_context(open_database(its.database_url))
        transport = await owned.enter_async_context(
            open_transport(its.amqp_url, client_name="bench", fast=fast)
        )
        await transport.declare(names.base())
        kept = await owned.enter_async_context(ledger(database))
        executions = Executions(
            transport=transport,
            ledger=kept,
            database=database,
            ring=ring,
            names=names,
            replica=f"bench-{os.getpid()}",
            bulkhead=Bulkhead(max_in_flight),
            worker_grace=timedelta(seconds=30),
        )
        started = asyncio.Event()
        serving = asyncio.get_running_loop().create_task(executions.serve(started))
        owned.callback(serving.cancel)
        await started.wait()
        connections = Connections(database, ring, transport, names)
        try:
            yield Pipeline(executions, connections, kept, names, environment, workers)
        finally:
            for worker in workers:
                await asyncio.to_thread(worker.stop)


@asynccontextmanager
async def commits(its: Servers, number: int) -> AsyncIterator[Call]:
    """The floor of whatever commits `number` times in a row: a row each, nothing else."""
    session = await asyncpg.connect(its.database_url)
    try:
        await session.execute("CREATE TABLE bench_commits (id uuid PRIMARY KEY)")
        insert = await session.prepare("INSERT INTO bench_commits VALUES (gen_random_uuid())")

        async def call() -> None:
            for _ in range(number):
                await insert.fetch()

        yield call
    finally:
        await session.close()


@asynccontextmanager
async def raw(its: Servers) -> AsyncIterator[Call]:
    """The ceiling: a confirmed aio-pika echo with the same wire options, no ledger, no script."""
    server = Guarded(
        [sys.executable, "-m", "tests.benchmarks.rivals.raw_echo", its.amqp_url],
        env=dict(os.environ),
    )
    its.pids["raw"] = server.pid
    connection = await aio_pika.connect_robust(its.amqp_url)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.set_qos(prefetch_count=raw_echo.PREFETCH)
    replies = await channel.declare_queue(exclusive=True)
    await channel.declare_queue(raw_echo.QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    waiting: dict[str, asyncio.Future[bytes]] = {}

    async def took(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        await message.ack()
        waiting.pop(message.correlation_id or "").set_result(message.body)

    await replies.consume(took)
    body = os.urandom(512)

    async def call() -> None:
        key = uuid4().hex
        waiting[key] = answer = asyncio.get_running_loop().create_future()
        message = aio_pika.Message(
            body,
            correlation_id=key,
            reply_to=replies.name,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await channel.default_exchange.publish(message, routing_key=raw_echo.QUEUE)
        await answer

    try:
        yield call
    finally:
        await connection.close()
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def celery(its: Servers, scratch: Path) -> AsyncIterator[tuple[Call, Call]]:
    """Celery prefork, acks late, result backend rpc: a bare echo, and `node script.js` per task."""
    script = scratch / "by_hand.js"
    script.write_text(BY_HAND)
    os.environ |= {
        "RIVAL_AMQP_URL": its.amqp_url,
        "RIVAL_NODE": str(NodeCommand.installed().node),
        "RIVAL_SCRIPT": str(script),
    }
    from tests.benchmarks.rivals import celery_app as rival  # noqa: PLC0415 - reads the environment

    command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.rivals.celery_app", "worker"]
    options = ["--concurrency", "2", "--loglevel", "error", "--without-gossip", "--without-mingle"]
    server = Guarded([*command, *options], env=dict(os.environ), log=scratch / "celery.log")
    its.pids["celery"] = server.pid

    def asking(task: Any) -> Callable[[], Awaitable[object]]:
        # A thread a caller: Celery's client blocks, which is how it is used.
        async def call() -> None:
            await asyncio.to_thread(lambda: task.delay(NAIVE).get(timeout=30))

        return call

    try:
        await asking(rival.echo)()
        yield asking(rival.echo), asking(rival.node_login)
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def faststream(its: Servers, scratch: Path) -> AsyncIterator[Call]:
    """FastStream's `request`: direct reply-to, transient, nothing confirmed."""
    from faststream.rabbit import RabbitBroker  # noqa: PLC0415 - slow to load

    from tests.benchmarks.rivals import faststream_app as rival  # noqa: PLC0415

    command = [sys.executable, "-m", "tests.benchmarks.rivals.faststream_app", its.amqp_url]
    server = Guarded(command, env=dict(os.environ), log=scratch / "faststream.log")
    its.pids["faststream"] = server.pid
    broker = RabbitBroker(its.amqp_url, logger=None)
    await broker.start()

    async def call(within: float = 30) -> None:
        await broker.request(NAIVE, queue=rival.QUEUE, timeout=within)

    try:
        async with asyncio.timeout(30):
            while True:  # it declares its queue when it is up; before, nothing is kept
                with suppress(TimeoutError):
                    await call(1)
                    break
        yield call
    finally:
        await broker.stop()
        await asyncio.to_thread(server.stop)
