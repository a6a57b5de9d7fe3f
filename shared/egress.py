"""The words for a script's connects: where to, and the verdict. Imported by the launcher too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_LISTED: Final = 64
"""Destinations that a connection may list."""
_DESTINATION: Final = re.compile(
    r"^(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]{1,253})):(?P<port>[0-9]{1,5})$"
)


class EgressVerdict(StrEnum):
    """Why a connect was let through, or not."""

    ALLOWED = "allowed"
    LINK_LOCAL = "link_local"
    METADATA = "metadata"
    UNSPECIFIED = "unspecified"
    RESERVED = "reserved"
    OWN_SERVICE = "own_service"
    REFUSED_NETWORK = "refused_network"
    NOT_LISTED = "not_listed"
    UNBOUND = "unbound"
    TOO_MANY = "too_many"
    NOT_INTERNET = "not_internet"


@dataclass(frozen=True, slots=True)
class Destination:
    """A host and a TCP port, as a person writes them."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Destination:
        """`db.example.com:5432`, `192.0.2.1:443`, `[2001:db8::1]:443`. Raises ValueError."""
        match = _DESTINATION.match(text.strip())
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError(f"{text[:80]!r} is not host:port")
        return cls(match["six"] or match["name"], int(match["port"]))
