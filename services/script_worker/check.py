"""First aid: `python -m services.script_worker check`."""

from __future__ import annotations

import asyncio

from services.script_worker.app import examine_isolation
from services.script_worker.node_process import NodeCommand
from services.script_worker.settings import WorkerSettings
from shared.amqp import open_transport
from shared.database import open_database
from shared.errors import Misconfigured
from shared.first_aid import examine
from shared.topology import Names


async def check(settings: WorkerSettings) -> int:
    """Database, broker and Node."""

    async def database() -> str:
        async with open_database(settings.database_dsn, pool_size=1) as opened:
            revisions = await opened.fetchval("SELECT count(*) FROM connection_revisions")
            return f"reachable, {revisions} connection revisions"

    async def broker() -> str:
        async with open_transport(settings.amqp_dsn, client_name="check") as transport:
            await transport.declare(Names(settings.broker_prefix).base())
            return "reachable, the topology stands"

    async def node() -> str:
        return await _node(settings)

    async def isolation() -> str:
        return await _isolation(settings)

    return await examine(
        {"database": database, "broker": broker, "node": node, "isolation": isolation}
    )


async def _isolation(settings: WorkerSettings) -> str:
    found = await examine_isolation(settings)
    failed = "".join(f"; {pieces}: {', '.join(what)}" for pieces, what in found.missing.items())
    return f"level {found.level} ({', '.join(found.pieces) or 'limits alone'}){failed}"


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
