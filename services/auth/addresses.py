"""Whose address it is: the peer's, or what proxies that the operator trusts say of it. Pure.

Rule 1: a header is believed only as far as trusted proxies wrote it: from the right of
`X-Forwarded-For`, the first address that is none of theirs is the caller's.
Rule 2: what is no address is no caller's.
Rule 3: limits count an IPv6 address with its /64: that is what one customer gets (RFC 6177).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]
MAX_HOPS: Final = 20
"""Of a header: a longer one is forged, or a loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLimits:
    """What one address may do, as an operator chose."""

    failures_per_address: int
    sign_ups_per_address: int
    resets_per_address: int
    """A day, all three."""
    exempt: Networks
    """Addresses without limits of their own: a backend that logs everybody in, say."""


def networks(text: str) -> Networks:
    """`10.0.0.0/8, 192.0.2.1`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


@lru_cache(maxsize=4096)
def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, without a port; None when it is none. IPv4 in IPv6 is IPv4."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def within(text: str | None, trusted: Networks) -> bool:
    """Whether an address is in one of the networks."""
    address = None if text is None else parsed(text)
    return address is not None and any(address in network for network in trusted)


def caller_address(peer: str | None, forwarded: Sequence[str], trusted: Networks) -> str | None:
    """The caller's address; `forwarded` are the values of `X-Forwarded-For`, as they came."""
    address = None if peer is None else parsed(peer)
    if address is None:
        return None
    hops = [hop for value in forwarded for hop in value.split(",")][-MAX_HOPS:]
    found = str(address)
    for hop in reversed(hops):
        if not within(found, trusted):
            break
        before = parsed(hop)
        if before is None:
            break
        found = str(before)
    return found


def counted(text: str) -> str:
    """What limits count an address as."""
    address = parsed(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address or text)
