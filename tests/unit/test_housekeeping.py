"""What every auth replica does beside answering, when the broker is away as it begins."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from services.auth.housekeeping import BACK_OFF, Housekeeping
from shared.beside import beside
from shared.inprocess import InProcessBroker
from shared.topology import Names
from shared.transport import Delivery

NAMES = Names("t")
NOTHING: Any = cast(Any, None)


async def _ack(delivery: Delivery) -> None:
    delivery.ack()


async def test_a_broker_that_is_away_when_it_begins_to_consume_is_asked_again() -> None:
    """It ended the replica; the fault campaign found it."""
    broker = InProcessBroker()
    transport = broker.transport("auth")
    await transport.declare(NAMES.base())
    transport.cut()
    house = Housekeeping(transport=transport, names=NAMES, ledger=NOTHING, database=NOTHING)

    async with beside(house._consume(NAMES.dead, _ack), "consume"):
        await asyncio.sleep(BACK_OFF.total_seconds() / 2)
        await transport.relink()
        await asyncio.sleep(BACK_OFF.total_seconds())

    facts = broker.facts(NAMES.dead)
    assert facts is not None
    assert 1 == facts.consumers
