"""First aid: `python -m services.auth check`."""

from __future__ import annotations

from secrets import token_hex

from services.auth.migrate import pending
from services.auth.settings import AuthSettings
from services.auth.signing_keys import SigningKeys
from shared.amqp import open_transport
from shared.database import open_database
from shared.errors import Misconfigured
from shared.first_aid import examine
from shared.topology import Names


async def check(settings: AuthSettings) -> int:
    """Database with migrations, the key ring by what it has to open, and broker."""

    async def database() -> str:
        async with open_database(settings.database_dsn, pool_size=1) as opened:
            if missing := await pending(opened):
                raise Misconfigured(f"migrations are missing: {', '.join(missing)}")
            if off := await opened.forgets_by():
                raise Misconfigured(f"a crash would lose outcomes: {', '.join(off)} is off")
            users = await opened.fetchval("SELECT count(*) FROM users")
            return f"reachable and migrated, {users} users"

    async def key_ring() -> str:
        async with open_database(settings.database_dsn, pool_size=1) as opened:
            kid = await SigningKeys(opened, settings.ring).look()
            return f"opens the signing key {kid}" if kid else "nothing is sealed yet"

    async def broker() -> str:
        async with open_transport(settings.amqp_dsn, client_name="check") as transport:
            names = Names(settings.broker_prefix)
            await transport.declare(names.base())
            # What no other account may: `shared.broker_rights`.
            replica = f"check-{token_hex(4)}"
            replies = await transport.consume_exclusive(
                f"{names.replies}.{replica}",
                {names.replies: replica},
                prefetch=1,
                handler=lambda delivery: delivery.ack(),
            )
            await replies.cancel()
            return "reachable, the topology stands, replies would arrive"

    return await examine({"database": database, "key ring": key_ring, "broker": broker})
