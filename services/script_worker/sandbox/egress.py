"""Where a script may connect to: addresses, never names. Pure.

Rule 1: the verdict is about the address that is then connected to, in whatever way it was written:
        an IPv4 address inside an IPv6 one counts as itself.
Rule 2: some destinations are refused whatever anybody allows: link-local and metadata addresses,
        and the worker's own broker, database and ports.
Rule 3: what cannot be judged is refused.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from shared.egress import EgressVerdict as Verdict

__all__ = ["Endpoint", "Grant", "Policy", "SocketAddress", "Verdict"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
DNS_PORT: Final = 53


_ALWAYS: Final[tuple[tuple[Network, Verdict], ...]] = tuple(
    (ip_network(network), verdict)
    for network, verdict in (
        # Metadata services outside link-local: EC2 (IPv6), Google Cloud (IPv6), Alibaba, Oracle.
        ("fd00:ec2::/32", Verdict.METADATA),
        ("fd20:ce::/32", Verdict.METADATA),
        ("100.100.100.200/32", Verdict.METADATA),
        ("192.0.0.192/32", Verdict.METADATA),
        ("168.63.129.16/32", Verdict.METADATA),  # Azure's wire server
        ("169.254.0.0/16", Verdict.LINK_LOCAL),
        ("fe80::/10", Verdict.LINK_LOCAL),
        ("0.0.0.0/8", Verdict.UNSPECIFIED),  # Linux connects to this host
        ("::/128", Verdict.UNSPECIFIED),
        ("224.0.0.0/4", Verdict.RESERVED),
        ("240.0.0.0/4", Verdict.RESERVED),
        ("ff00::/8", Verdict.RESERVED),
        ("fec0::/10", Verdict.RESERVED),  # site-local, deprecated
    )
)
_TRANSLATED: Final = (
    # Where the 32 bits of an IPv4 address stand inside an IPv6 one: bits to their right.
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291
    (IPv6Network("::/96"), 0),  # IPv4-compatible, deprecated
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("64:ff9b:1::/48"), 0),  # NAT64 of a site, RFC 8215, as a /96
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a TCP port."""

    address: Address
    port: int

    @classmethod
    def of(cls, address: str, port: int) -> Endpoint:
        """From the text form of an address. Raises ValueError."""
        return cls(ip_address(address), port)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one connection's scripts may reach beyond what is refused to all."""

    open: bool = True
    """Whether anything else may be reached too."""
    listed: frozenset[Endpoint] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for all scripts of a worker."""

    own: frozenset[Endpoint] = frozenset()
    """Our broker, our database, our own ports."""
    shared: frozenset[Endpoint] = frozenset()
    """Of these the ones that the operator says hold legacy data too."""
    refused: tuple[Network, ...] = ()
    ports: frozenset[int] | None = None
    """The only ports that may be connected to; None: any."""
    resolvers: frozenset[Address] = frozenset()

    def judge(self, to: Endpoint, grant: Grant | None, *, local: bool) -> Verdict:
        """The verdict. `local`: the address is one of this machine's."""
        if self.is_resolver(to):
            return Verdict.UNBOUND if grant is None else Verdict.ALLOWED
        spellings = tuple(spellings_of(to.address))
        for address in spellings:
            verdict = self._refusal(address, to.port, local=local)
            if verdict is not None:
                return verdict
        if grant is None:
            return Verdict.UNBOUND
        listed = grant.open or any(Endpoint(each, to.port) in grant.listed for each in spellings)
        if not listed or (self.ports is not None and to.port not in self.ports):
            return Verdict.NOT_LISTED
        return Verdict.ALLOWED

    def is_resolver(self, to: Endpoint) -> bool:
        """Whether a name server of this machine answers there: over UDP nothing else is reached."""
        return to.port == DNS_PORT and any(
            address in self.resolvers for address in spellings_of(to.address)
        )

    def _refusal(self, address: Address, port: int, *, local: bool) -> Verdict | None:
        for network, verdict in _ALWAYS:
            if address in network:
                return verdict
        if any(address in network for network in self.refused):
            return Verdict.REFUSED_NETWORK
        return Verdict.OWN_SERVICE if self._is_own(Endpoint(address, port), local=local) else None

    def _is_own(self, to: Endpoint, *, local: bool) -> bool:
        own = self.own - self.shared
        if to in own:
            return True
        # A service on this machine answers at each of the machine's addresses.
        return local and any(each.port == to.port and is_loopback(each.address) for each in own)


def is_loopback(address: Address) -> bool:
    """Whether it leads to this machine on every machine."""
    return any(each.is_loopback for each in spellings_of(address))


def spellings_of(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 addresses that are written inside it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    for network, right in _TRANSLATED:
        if address in network and number > 1:  # :: and ::1 are themselves
            yield IPv4Address(number >> right & 0xFFFFFFFF)
    if address in _TEREDO:  # RFC 4380: the server, and the client with its bits turned over
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~number & 0xFFFFFFFF)
    if number >> 32 & 0xFFFFFFFF in _ISATAP:  # RFC 5214
        yield IPv4Address(number & 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A `struct sockaddr` of a TCP connect, taken apart once."""

    family: int
    to: Endpoint
    flow: int = 0
    scope: int = 0

    @classmethod
    def parse(cls, raw: bytes) -> SocketAddress | None:
        """From memory; None: too short, or no internet address (AF_UNSPEC, AF_UNIX)."""
        if len(raw) < 2:
            return None
        (family,) = struct.unpack_from("=H", raw)
        if family == socket.AF_INET and len(raw) >= 16:
            port, packed = struct.unpack_from("!H4s", raw, 2)
            return cls(family, Endpoint(IPv4Address(packed), port))
        if family == socket.AF_INET6 and len(raw) >= 24:
            port, flow, packed = struct.unpack_from("!HI16s", raw, 2)
            scope = struct.unpack_from("=I", raw, 24)[0] if len(raw) >= 28 else 0
            return cls(family, Endpoint(IPv6Address(packed), port), flow, scope)
        return None

    def for_python(self) -> tuple[Any, ...]:
        """As `socket.connect` takes it."""
        host = str(self.to.address)
        if self.family == socket.AF_INET:
            return (host, self.to.port)
        return (host, self.to.port, self.flow, self.scope)


def resolvers_of(text: str) -> frozenset[Address]:
    """The name servers of a resolv.conf; without one, the C library asks this machine."""
    found = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.add(ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return frozenset(found or {ip_address("127.0.0.1"), ip_address("::1")})


def endpoints(pairs: Sequence[Sequence[Any]]) -> frozenset[Endpoint]:
    """From JSON: `[["192.0.2.1", 5432], …]`."""
    return frozenset(Endpoint.of(str(address), int(port)) for address, port in pairs)
