"""Names on this side of the sandbox: whose they are, and which addresses they have right now.

The launcher judges addresses; who knows names is the worker. It resolves its own services, so that
they can be refused, and the destinations that a connection lists, so that they can be reached.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from services.script_worker.bundle import Bundle
from services.script_worker.sandbox.confinement import Order
from services.script_worker.sandbox.egress import Endpoint, Grant
from shared.egress import Destination

log = structlog.get_logger(__name__)

FRESH: Final = 30.0
"""Seconds for which an answer of the name service is taken as it is."""
REMEMBERED: Final = 600.0
"""Seconds for which an address that a name had may still be connected to: a script may have
resolved it before the answer changed."""
RESOLVE_WITHIN: Final = 5.0
_DEFAULT_PORTS: Final = {"postgres": 5432, "postgresql": 5432, "amqp": 5672, "amqps": 5671}


def destinations_of(url: str) -> tuple[Destination, ...]:
    """Where a client with this URL connects to; nothing for a socket in a folder.

    libpq's form with several hosts, and with hosts among the parameters, is understood too.
    """
    parts = urlsplit(url)
    port = _DEFAULT_PORTS.get(parts.scheme, 0)
    hosts = [host for host in parts.netloc.rpartition("@")[2].split(",") if host]
    given = parse_qs(parts.query)
    if "host" in given:
        ports = given.get("port", [str(port)])[0].split(",")
        names = given["host"][0].split(",")
        hosts = [f"{name}:{ports[min(i, len(ports) - 1)]}" for i, name in enumerate(names)]
    found = []
    for host in map(unquote, hosts):
        named = host if re.search(r":\d+$", host) else f"{host}:{port}"
        with suppress(ValueError):
            found.append(Destination.parse(named))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class EgressRules:
    """What an operator says about the connects of scripts."""

    own: tuple[Destination, ...] = ()
    """Our broker, our database, our own ports: refused."""
    shared: tuple[Destination, ...] = ()
    """Of these the ones that hold legacy data too: not refused."""
    refused: tuple[str, ...] = ()
    """Networks, as CIDR."""
    ports: tuple[int, ...] | None = None
    open: bool = True
    """Whether a connection without a list reaches anything that is not refused."""
    allowed: tuple[Destination, ...] = ()
    """What every connection may reach, where a list is needed."""


@dataclass(slots=True)
class _Known:
    asked: float = float("-inf")
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Who comes meanwhile waits for the answer, instead of taking there being none for one."""
    seen: dict[str, float] = field(default_factory=dict)
    """Addresses, by when they were last answered."""


class Egress:
    """Resolves, and remembers for a while."""

    def __init__(self, rules: EgressRules | None = None) -> None:
        """Without rules: anything but what is refused to all."""
        self.rules = rules or EgressRules()
        self._names: dict[str, _Known] = {}

    async def order(self, base: Order) -> Order:
        """What the launcher has to know, with the addresses that our services have now."""
        rules = self.rules
        own, shared = await self.addresses(rules.own), await self.addresses(rules.shared)
        return replace(
            base,
            own=tuple(sorted((str(each.address), each.port) for each in own)),
            shared=tuple(sorted((str(each.address), each.port) for each in shared)),
            refused=rules.refused,
            ports=rules.ports,
        )

    def is_open(self, bundle: Bundle) -> bool:
        """Whether this connection reaches anything that is not refused to all."""
        return self.rules.open and bundle.egress is None

    async def grant(self, bundle: Bundle) -> Grant:
        """What this connection may reach, with the addresses that its names have now."""
        if self.is_open(bundle):
            return Grant()
        listed = (*map(Destination.parse, bundle.egress or ()), *self.rules.allowed)
        return Grant(open=False, listed=await self.addresses(listed))

    async def addresses(self, destinations: Iterable[Destination]) -> frozenset[Endpoint]:
        """Every address that these names have, or had lately."""
        wanted = tuple(destinations)
        await asyncio.gather(*(self._resolve(host) for host in {each.host for each in wanted}))
        return frozenset(
            Endpoint.of(address, each.port)
            for each in wanted
            for address in self._names[each.host].seen
        )

    async def _resolve(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        known = self._names.setdefault(host, _Known())
        async with known.asking:
            if loop.time() - known.asked < FRESH:
                return
            for address in await _lookup(host):
                known.seen[address] = loop.time()
            known.asked = loop.time()
            known.seen = {
                address: seen
                for address, seen in known.seen.items()
                if loop.time() - seen < REMEMBERED
            }


async def _lookup(host: str) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_WITHIN):
            answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        log.warning("egress.unresolved", host=host, reason=str(error)[:200], next="asked again")
        return ()
    return sorted({str(sockaddr[0]).partition("%")[0] for *_, sockaddr in answers})
