"""The worker, put together: everything is built once, in the open, and owned by a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final
from uuid import uuid4

import structlog

from services.script_worker import metrics
from services.script_worker.consumer import CONNECTIONS, Consumer
from services.script_worker.egress import Egress
from services.script_worker.execution import Collaborators, execute
from services.script_worker.integrators import Integrators
from services.script_worker.leases import Leases
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.revisions import Revisions
from services.script_worker.sandbox.levels import Level
from services.script_worker.settings import WorkerSettings
from services.script_worker.spawner import Isolation, Spawner
from shared.database import open_database
from shared.errors import Misconfigured
from shared.ledger import Ledger
from shared.topology import Names
from shared.transport import Transport

log = structlog.get_logger(__name__)

_GAUGE_EVERY: Final = 5.0


class Worker:
    """A running worker: consume, then drain."""

    def __init__(
        self,
        consumer: Consumer,
        leases: Leases,
        pool: Pool,
        transport: Transport,
        isolation: Level,
    ) -> None:
        """Made by `open_worker`."""
        self.isolation = isolation
        self._consumer = consumer
        self._leases = leases
        self._pool = pool
        self._transport = transport

    @property
    def ready(self) -> bool:
        """Whether requests are being taken right now."""
        return self._consumer.ready

    async def run(self) -> None:
        """Consume until cancelled or drained."""
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._leases.keep(), name="leases")
            gauging = group.create_task(self._gauge(), name="gauges")
            await self._consumer.run()
            keeping.cancel()
            gauging.cancel()

    async def drain(self, budget: float) -> bool:
        """Finish what is in hand; False when the budget ran out and deliveries went back."""
        try:
            async with asyncio.timeout(budget):
                await self._consumer.drain()
        except TimeoutError:
            log.warning("drain.cut", next="unfinished deliveries go back to the broker")
            return False
        return True

    async def _gauge(self) -> None:
        while True:
            metrics.LEASES.set(len(self._leases))
            metrics.CONNECTED.set(self._transport.connected)
            for state, number in self._pool.states().items():
                metrics.RUNNERS.labels(state).set(number)
            await self._pool.look_up_own_services()
            await asyncio.sleep(_GAUGE_EVERY)


@asynccontextmanager
async def open_worker(settings: WorkerSettings, transport: Transport) -> AsyncIterator[Worker]:
    """Open the database, the ledger and the pool; the caller owns the transport."""
    worker, ring, names = uuid4(), settings.ring, Names(settings.broker_prefix)
    async with AsyncExitStack() as owned:
        database = await owned.enter_async_context(
            open_database(settings.database_dsn, application_name=settings.worker_name)
        )
        await database.fetch(f"{CONNECTIONS} LIMIT 0")  # what lacks migrations is known now
        revisions = Revisions(database, ring)
        await revisions.look()  # a ring that opens nothing would end every login as a failure
        ledger = await owned.enter_async_context(Ledger(database, events=settings.events))
        pool = await owned.enter_async_context(_pool(settings, str(worker)))
        isolation = await pool.isolation()
        require(isolation, settings)
        _publish(isolation)
        leases = Leases(ledger, worker)
        its = Collaborators(
            worker=worker,
            names=names,
            transport=transport,
            ledger=ledger,
            leases=leases,
            revisions=revisions,
            pool=pool,
            ring=ring,
            integrators=Integrators(database, ring),
            database=database,
        )
        await transport.declare(names.base())
        consumer = Consumer(
            transport=transport,
            database=database,
            names=names,
            concurrency=settings.concurrency,
            execute=partial(execute, its=its),
            changed=pool.revision_changed,
        )
        yield Worker(consumer, leases, pool, transport, isolation.level)


async def examine_node(settings: WorkerSettings) -> str:
    """Node's name and version. Raises Misconfigured where it, or what scripts require, is not there."""
    command = NodeCommand.installed(node=settings.node, modules=settings.modules)
    if not (command.modules / "node_modules").is_dir():
        raise Misconfigured(f"{command.modules} has no node_modules: scripts could require nothing")
    try:
        process = await asyncio.create_subprocess_exec(
            str(command.node), "--version", stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise Misconfigured(f"{command.node} can't be run: {error.strerror}") from None
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise Misconfigured(f"{command.node} --version failed")
    return f"{command.node.name} {output.decode().strip()}"


async def examine_isolation(settings: WorkerSettings) -> Isolation:
    """Try what this machine gives, with a launcher for that alone. Raises as `require` does."""
    command = NodeCommand.installed(node=settings.node, modules=settings.modules)
    spawner = Spawner(await Egress(settings.egress_rules).order(command.order()))
    try:
        found = await spawner.isolation()
    finally:
        await spawner.close()
    require(found, settings)
    return found


def require(isolation: Isolation, settings: WorkerSettings) -> None:
    """Raises Misconfigured when the level is below what the operator asks for."""
    least = settings.isolation_required
    if settings.egress_default == "deny":
        least = Level.FULL
    if isolation.level.rank < least.rank:
        raise Misconfigured(
            f"this machine isolates scripts at level {isolation.level}, and"
            f" {least} is required (TRICKLE_ISOLATION_REQUIRED, or TRICKLE_EGRESS_DEFAULT, which"
            f" takes the full one to deny). Tried, and what failed: {dict(isolation.missing)}."
            " docs/security.md says what each level needs from the kernel."
        )


def _publish(isolation: Isolation) -> None:
    metrics.observe_isolation(isolation.level)
    complete = isolation.level is Level.FULL
    (log.info if complete else log.warning)(
        "isolation.level",
        isolation=str(isolation.level),  # `level` is the line's own
        pieces=list(isolation.pieces),
        missing=dict(isolation.missing),
        next="scripts run" if complete else "scripts run with less around them: docs/security.md",
    )


def _pool(settings: WorkerSettings, worker: str) -> Pool:
    command = NodeCommand.installed(
        node=settings.node, modules=settings.modules, data_bytes=settings.memory_per_process
    )
    limits = PoolLimits(
        max_processes=settings.max_processes,
        max_processes_per_connection=settings.processes_per_connection,
        blanks=settings.blanks,
    )
    return Pool(
        command,
        limits=limits,
        observe=metrics.observe_pool,
        worker=worker,
        egress=Egress(settings.egress_rules),
    )
