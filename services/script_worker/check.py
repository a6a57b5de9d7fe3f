"""First aid: one line a check, exit code 0 when all hold, 1 otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.script_worker.node_process import NodeCommand
from services.script_worker.settings import WorkerSettings
from shared.amqp import open_transport
from shared.database import open_database
from shared.errors import Misconfigured, ServiceError
from shared.topology import Names


async def check(settings: WorkerSettings) -> int:
    """Run every check, also after one failed."""
    results = [
        await _one("database", lambda: _database(settings)),
        await _one("broker", lambda: _broker(settings)),
        await _one("node", lambda: _node(settings)),
    ]
    return 0 if all(results) else 1


async def _one(name: str, look: Callable[[], Awaitable[str]]) -> bool:
    try:
        print(f"ok      {name}: {await look()}")  # noqa: T201 - a command for a person
    except ServiceError as error:
        print(f"FAILED  {name}: {error}")  # noqa: T201
        return False
    return True


async def _database(settings: WorkerSettings) -> str:
    async with open_database(settings.database_dsn, pool_size=1) as database:
        revisions = await database.fetchval("SELECT count(*) FROM connection_revisions")
        return f"reachable, {revisions} connection revisions"


async def _broker(settings: WorkerSettings) -> str:
    async with open_transport(settings.amqp_dsn, client_name="check") as transport:
        await transport.declare(Names(settings.broker_prefix).base())
        return "reachable, the topology stands"


async def _node(settings: WorkerSettings) -> str:
    command = NodeCommand.installed(node=settings.node, modules=settings.modules)
    if not (command.modules / "node_modules").is_dir():
        raise Misconfigured(f"{command.modules} has no node_modules: scripts could require nothing")
    process = await asyncio.create_subprocess_exec(
        str(command.node), "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise Misconfigured(f"{command.node} --version failed")
    return f"{command.node.name} {output.decode().strip()}"
