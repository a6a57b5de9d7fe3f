"""`./dev bench spine`: the runner and the whole round trip, against floors and rivals, in one run.

Every figure is the median of interleaved rounds. Ratios inside a round are what counts: these
machines are shared, and an absolute time means little.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import aio_pika
import uvloop

from services.auth.bulkhead import Bulkhead
from services.auth.connections import Connection, Connections
from services.auth.executions import Executions
from services.auth.migrate import migrate
from services.script_worker.bundle import Bundle
from services.script_worker.node_process import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.guarded import Guarded
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.amqp import open_transport
from shared.contracts import Action, Succeeded
from shared.database import open_database
from shared.ledger import Ledger
from shared.sealing import KeyRing
from shared.telemetry import configure_logging
from shared.topology import Names
from tests.benchmarks.measure import Round, measure, median, spread
from tests.benchmarks.report import Report, arguments, duration
from tests.benchmarks.rivals import raw_echo

LOGIN = (
    "function login(email, password, callback) { callback(null, { user_id: 1, email: email }); }"
)
WITH_MODULES = (
    "function login(email, password, callback) {"
    " require('pg'); require('bcrypt'); callback(null, { user_id: 1, email: email }); }"
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
ECHO = """
const { Socket } = require('net');
const channel = new Socket({ fd: 3, readable: true, writable: true });
channel.on('data', (chunk) => channel.write(chunk));
"""
ARGUMENTS = ["user@example.com", "a password"]
NAIVE = {"email": ARGUMENTS[0], "password": ARGUMENTS[1]}


# -- the runner ---------------------------------------------------------------------------------


@asynccontextmanager
async def node_echo(node: Path) -> AsyncIterator[Callable[[], Any]]:
    """The floor: bytes to a Node process and back over a socket pair, nothing else."""
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        str(node),
        "-e",
        f"{ECHO}",
        pass_fds=(theirs.fileno(),),
        preexec_fn=lambda: os.dup2(theirs.fileno(), 3),
    )
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    payload = json.dumps({"id": "x" * 16, "args": ARGUMENTS}).encode()
    frame = struct.pack(">I", len(payload)) + payload

    async def call() -> None:
        writer.write(frame)
        await reader.readexactly(len(frame))

    try:
        yield call
    finally:
        writer.close()
        process.kill()
        await process.wait()


async def runner(report: Report, rounds: int, seconds: float) -> None:
    """Warm invocation against a bare echo and against `node script.js` per call."""
    command = NodeCommand.installed()
    bundle = Bundle("con_" + "b" * 16, "0" * 32, {Action.LOGIN: LOGIN}, {})
    floors, warms, hands = [], [], []
    async with AsyncExitStack() as owned:
        pool = await owned.enter_async_context(
            Pool(command, limits=PoolLimits(blanks=1, max_uses=10**9))
        )
        echo = await owned.enter_async_context(node_echo(command.node))
        script = Path(owned.enter_context(tempfile.TemporaryDirectory())) / "login.js"
        script.write_text(BY_HAND)
        loop = asyncio.get_running_loop()

        async def warm() -> None:
            await pool.run(bundle, Action.LOGIN, ARGUMENTS, context={}, deadline=loop.time() + 20)

        async def by_hand() -> None:
            process = await asyncio.create_subprocess_exec(
                str(command.node), str(script), stdin=-1, stdout=-1, stderr=-3
            )
            await process.communicate(json.dumps(NAIVE).encode())

        for number in range(rounds):
            report.progress(f"runner, round {number + 1} of {rounds}")
            floors.append(await measure(echo, concurrency=1, seconds=seconds))
            warms.append(await measure(warm, concurrency=1, seconds=seconds))
            hands.append(await measure(by_hand, concurrency=1, seconds=seconds))
    _runner_table(report, floors, warms, hands)


def _runner_table(
    report: Report, floors: list[Round], warms: list[Round], hands: list[Round]
) -> None:
    report.line("## Runner: one call at a time, uvloop")
    report.line()
    report.line("| | p50 | p99 | spread of p50 | x floor |")
    report.line("|---|---|---|---|---|")
    floor = median([one.percentile(50) for one in floors])
    for name, found in (
        ("bare echo through a Node process (floor)", floors),
        ("warm invocation through the supervisor", warms),
        ("`node script.js` per call (rival)", hands),
    ):
        p50s = [one.percentile(50) for one in found]
        p99 = median([one.percentile(99) for one in found])
        report.line(
            f"| {name} | {duration(median(p50s))} | {duration(p99)} | {spread(p50s)} | {median(p50s) / floor:.1f} |"
        )
    ratios = [
        hand.percentile(50) / warm.percentile(50) for hand, warm in zip(hands, warms, strict=True)
    ]
    report.line()
    report.line(
        f"`node script.js` per call takes **{median(ratios):.0f}x** as long as a warm invocation."
    )
    report.line()


async def corners(report: Report, repeats: int) -> None:
    """First call with a blank, lateness of the deadline, a callback that is never called."""
    firsts, lates, stalls = [], [], []
    async with Pool(NodeCommand.installed(), limits=PoolLimits(blanks=2)) as pool:
        loop = asyncio.get_running_loop()

        async def run(number: int, script: str, budget: float) -> float:
            bundle = Bundle(f"con_{number:016d}", "0" * 32, {Action.LOGIN: script}, {})
            before = perf_counter()
            await pool.run(
                bundle, Action.LOGIN, ARGUMENTS, context={}, deadline=loop.time() + budget
            )
            return perf_counter() - before

        spin = "function login(a, b, callback) { if (b === 'x') return callback(); for (;;) {} }"
        stall = "function login(a, b, callback) { if (b === 'x') callback(); }"
        for number in range(repeats):
            await _blank(pool)
            firsts.append(await run(3 * number, WITH_MODULES, 20))
            await _blank(pool)
            lates.append(await run(3 * number + 1, spin, 0.3) - 0.3)
            await _blank(pool)
            stalls.append(await run(3 * number + 2, stall, 20))
    report.line("| corner | p50 | max | target |")
    report.line("|---|---|---|---|")
    for name, values, target in (
        ("first call of a connection, blank with `pg` and `bcrypt` loaded", firsts, "10 ms"),
        ("answer after the deadline of a spinning script", lates, "25 ms"),
        ("`callback` never called, nothing pending (bind included)", stalls, "10 ms"),
    ):
        report.line(f"| {name} | {duration(median(values))} | {duration(max(values))} | {target} |")
    report.line()


async def _blank(pool: Pool) -> None:
    async with asyncio.timeout(20):
        while pool.states()["blank"] < 1:
            await asyncio.sleep(0.02)


# -- the round trip -----------------------------------------------------------------------------


@asynccontextmanager
async def trickle(
    database_url: str, amqp_url: str, pids: dict[str, int]
) -> AsyncIterator[tuple[Callable[[], Any], Callable[[], Any]]]:
    """auth's executions in this process, a real worker beside it, ledger and script included."""
    ring_text, names = KeyRing.generate(), Names(f"bench{uuid4().hex[:6]}")
    ring = KeyRing.parse(ring_text)
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "AMQP_URL": amqp_url,
        "TRICKLE_KEY_RING": ring_text,
        "TRICKLE_BROKER_PREFIX": names.prefix,
        "TRICKLE_METRICS_PORT": "0",
        "TRICKLE_CONCURRENCY": "64",
        "TRICKLE_LOG_LEVEL": "warning",
    }
    async with AsyncExitStack() as owned:
        database = await owned.enter_async_context(open_database(database_url))
        transport = await owned.enter_async_context(open_transport(amqp_url, client_name="bench"))
        await transport.declare(names.base())
        ledger = await owned.enter_async_context(Ledger(database))
        connection = await _connection(Connections(database, ring, transport, names))
        worker = Guarded([sys.executable, "-m", "services.script_worker"], env=environment)
        owned.push_async_callback(asyncio.to_thread, worker.stop)
        pids["worker"] = worker.pid
        executions = Executions(
            transport=transport,
            ledger=ledger,
            database=database,
            ring=ring,
            names=names,
            replica=f"bench-{os.getpid()}",
            bulkhead=Bulkhead(1000),
            worker_grace=timedelta(seconds=30),
        )
        started = asyncio.Event()
        serving = asyncio.get_running_loop().create_task(executions.serve(started))
        owned.callback(serving.cancel)
        await started.wait()

        async def call() -> None:
            answer = await executions.run(connection, Action.LOGIN, ARGUMENTS)
            assert isinstance(answer.result.outcome, Succeeded), answer.result.outcome.kind
            await ledger.mark_applied(answer.execution_id)

        yield call, ledger.counts


async def _connection(connections: Connections) -> Connection:
    options = {
        "enabledDatabaseCustomization": True,
        "import_mode": True,
        "customScripts": {"login": LOGIN},
        "worker_concurrency": 64,
    }
    return await connections.create(name="bench", options=options)


@asynccontextmanager
async def raw(amqp_url: str, pids: dict[str, int]) -> AsyncIterator[Callable[[], Any]]:
    """The ceiling: a confirmed aio-pika echo with the same wire options, no ledger, no script."""
    server = Guarded(
        [sys.executable, "-m", "tests.benchmarks.rivals.raw_echo", amqp_url], env=dict(os.environ)
    )
    pids["raw"] = server.pid
    connection = await aio_pika.connect_robust(amqp_url)
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
        waiting[key] = asyncio.get_running_loop().create_future()
        message = aio_pika.Message(
            body,
            correlation_id=key,
            reply_to=replies.name,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await channel.default_exchange.publish(message, routing_key=raw_echo.QUEUE)
        await (waiting[key] if key in waiting else asyncio.sleep(0))

    try:
        yield call
    finally:
        await connection.close()
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def celery(
    amqp_url: str, pids: dict[str, int], scratch: Path
) -> AsyncIterator[tuple[Callable[[], Any], Callable[[], Any]]]:
    """Celery prefork, acks late, result backend rpc: a bare echo, and `node script.js` per task."""
    script = scratch / "by_hand.js"
    script.write_text(BY_HAND)
    os.environ |= {
        "RIVAL_AMQP_URL": amqp_url,
        "RIVAL_NODE": str(NodeCommand.installed().node),
        "RIVAL_SCRIPT": str(script),
    }
    from tests.benchmarks.rivals import celery_app as rival  # noqa: PLC0415 - reads the environment

    command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.rivals.celery_app", "worker"]
    options = ["--concurrency", "2", "--loglevel", "error", "--without-gossip", "--without-mingle"]
    server = Guarded([*command, *options], env=dict(os.environ), log=scratch / "celery.log")
    pids["celery"] = server.pid

    def asking(task: Any) -> Callable[[], Any]:
        # A thread a caller: Celery's client blocks, which is how it is used.
        async def call() -> None:
            await asyncio.to_thread(lambda: task.delay(NAIVE).get(timeout=30))

        return call

    try:
        await asking(rival.echo)()
        yield asking(rival.echo), asking(rival.node_login)
    finally:
        await asyncio.to_thread(server.stop)


async def round_trip(report: Report, rounds: int, seconds: float, concurrency: int) -> None:
    """Everything over one private RabbitMQ and one Postgres, interleaved."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency + 8))
    found: dict[str, list[Round]] = {"raw": [], "trickle": [], "celery": [], "celery + node": []}
    pids: dict[str, int] = {}
    async with AsyncExitStack() as owned:
        scratch = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        postgres = EmbeddedPostgres()
        owned.callback(postgres.close)
        broker = PrivateRabbitMQ()
        owned.callback(broker.close)
        report.progress("starting Postgres and RabbitMQ")
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(broker.start))
        await migrate(postgres.url)
        pids |= {"broker": broker.pid or 0, "postgres": postgres.pid or 0}
        ours, counts = await owned.enter_async_context(trickle(postgres.url, broker.url, pids))
        ceiling = await owned.enter_async_context(raw(broker.url, pids))
        echo, spawning = await owned.enter_async_context(celery(broker.url, pids, scratch))
        await ours()
        contestants = {"raw": ceiling, "trickle": ours, "celery": echo, "celery + node": spawning}
        for number in range(rounds):
            for name, call in contestants.items():
                report.progress(f"round trip, round {number + 1} of {rounds}: {name}")
                one = await measure(call, concurrency=concurrency, seconds=seconds, pids=pids)
                found[name].append(one)
        totals = await counts()
        _round_trip_table(report, found, concurrency)
        report.line(
            f"The ledger afterwards: {totals.requests} requests, {totals.outcomes} outcomes,"
            f" {totals.undecided} undecided, {totals.unpublished} unpublished,"
            f" {totals.repeated} repeated."
        )
        report.line()


_SERVERS = {"raw": "raw", "trickle": "worker", "celery": "celery", "celery + node": "celery"}
_NAMES = {
    "raw": "aio-pika echo, confirmed both ways, same wire options (ceiling)",
    "trickle": "**Trickle: sealed, claimed, run in Node, recorded, confirmed**",
    "celery": "Celery prefork 2, acks late, rpc backend: bare echo (rival)",
    "celery + node": "Celery, the task starts `node script.js` (what one writes by hand)",
}


def _round_trip_table(report: Report, found: dict[str, list[Round]], concurrency: int) -> None:
    report.line(f"## Round trip over RabbitMQ, {concurrency} at a time")
    report.line()
    report.line(
        "| | calls/s | x ceiling | p50 | p99 | CPU us a call: client / server / broker / Postgres |"
    )
    report.line("|---|---|---|---|---|---|")
    for name, rounds in found.items():
        ratio = median(
            [one.rate / raw_.rate for one, raw_ in zip(rounds, found["raw"], strict=True)]
        )
        cpu = " / ".join(
            f"{median([one.cpu_per_call(who) for one in rounds]):.0f}"
            for who in ("client", _SERVERS[name], "broker", "postgres")
        )
        report.line(
            f"| {_NAMES[name]} | {median([one.rate for one in rounds]):.0f} | {ratio:.2f}"
            f" | {duration(median([one.percentile(50) for one in rounds]))}"
            f" | {duration(median([one.percentile(99) for one in rounds]))} | {cpu} |"
        )
    over = [
        one.rate / other.rate for one, other in zip(found["trickle"], found["celery"], strict=True)
    ]
    by_hand = [
        one.rate / other.rate
        for one, other in zip(found["trickle"], found["celery + node"], strict=True)
    ]
    report.line()
    report.line(
        f"Trickle answers **{median(over):.1f}x** as many as Celery's bare echo, and"
        f" **{median(by_hand):.0f}x** as many as Celery starting Node per task."
    )
    report.line()


def main() -> int:
    """Run, print, write."""
    parser = arguments("spine", __doc__)
    parser.add_argument(
        "--concurrency", type=int, default=64, help="round trips at once (default 64)"
    )
    chosen = parser.parse_args()
    configure_logging("error", "console")
    report = Report("spine", "The spine: a runner, and the whole round trip", chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(runner(report, chosen.rounds, min(chosen.seconds, 2)))
        loop.run(corners(report, 15))
        loop.run(round_trip(report, chosen.rounds, chosen.seconds, chosen.concurrency))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
