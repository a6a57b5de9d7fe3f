"""Names of destinations, as a worker resolves them."""

from __future__ import annotations

import asyncio

import uvloop

from services.script_worker.egress import Egress
from services.script_worker.sandbox.egress import Endpoint
from shared.egress import Destination


def test_who_asks_for_a_name_while_it_is_looked_up_gets_its_addresses_too() -> None:
    async def asked() -> list[frozenset[Endpoint]]:
        egress, destination = Egress(), Destination("localhost", 80)
        return await asyncio.gather(*(egress.addresses((destination,)) for _ in range(2)))

    first, second = uvloop.run(asked())

    assert first
    assert first == second
