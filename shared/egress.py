"""What is said of a script's connect; a closed set, imported by the launcher too."""

from __future__ import annotations

from enum import StrEnum


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
