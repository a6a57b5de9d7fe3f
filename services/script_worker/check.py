"""First aid: `python -m services.script_worker check`."""

from __future__ import annotations

from services.script_worker.app import examine_isolation, examine_node
from services.script_worker.revisions import Revisions
from services.script_worker.settings import WorkerSettings
from shared.amqp import open_transport
from shared.database import open_database
from shared.first_aid import examine
from shared.topology import Names


async def check(settings: WorkerSettings) -> int:
    """Database, the key ring by what it has to open, broker, Node and sandbox."""

    async def database() -> str:
        async with open_database(settings.database_dsn, pool_size=1) as opened:
            revisions = await opened.fetchval("SELECT count(*) FROM connection_revisions")
            return f"reachable, {revisions} connection revisions"

    async def key_ring() -> str:
        async with open_database(settings.database_dsn, pool_size=1) as opened:
            connection_id = await Revisions(opened, settings.ring).look()
            if connection_id is None:
                return "nothing is sealed yet"
            return f"opens the configuration of {connection_id}"

    async def broker() -> str:
        async with open_transport(settings.amqp_dsn, client_name="check") as transport:
            names = Names(settings.broker_prefix)
            await transport.declare(names.base())
            # What no other account may: `shared.broker_rights`.
            control = await transport.consume_exclusive(
                f"{names.control}.worker",
                {names.control: "#"},
                prefetch=1,
                handler=lambda delivery: delivery.ack(),
            )
            await control.cancel()
            return "reachable, the topology stands, changes would be heard"

    async def node() -> str:
        return await examine_node(settings)

    async def isolation() -> str:
        return await _isolation(settings)

    return await examine(
        {
            "database": database,
            "key ring": key_ring,
            "broker": broker,
            "node": node,
            "isolation": isolation,
        }
    )


async def _isolation(settings: WorkerSettings) -> str:
    found = await examine_isolation(settings)
    failed = "".join(f"; {pieces}: {', '.join(what)}" for pieces, what in found.missing.items())
    return f"level {found.level} ({', '.join(found.pieces) or 'limits alone'}){failed}"
