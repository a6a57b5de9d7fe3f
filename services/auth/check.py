"""First aid: `python -m services.auth check`."""

from __future__ import annotations

from services.auth.migrate import pending
from services.auth.settings import AuthSettings
from shared.amqp import open_transport
from shared.database import open_database
from shared.errors import Misconfigured
from shared.first_aid import examine
from shared.topology import Names


async def check(settings: AuthSettings) -> int:
    """Database with migrations, and broker."""

    async def database() -> str:
        async with open_database(settings.database_dsn, pool_size=1) as opened:
            if missing := await pending(opened):
                raise Misconfigured(f"migrations are missing: {', '.join(missing)}")
            users = await opened.fetchval("SELECT count(*) FROM users")
            return f"reachable and migrated, {users} users"

    async def broker() -> str:
        async with open_transport(settings.amqp_dsn, client_name="check") as transport:
            await transport.declare(Names(settings.broker_prefix).base())
            return "reachable, the topology stands"

    return await examine({"database": database, "broker": broker})
