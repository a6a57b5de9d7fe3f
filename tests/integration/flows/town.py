"""People, and two connections to one legacy store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.legacy_store import LegacyStore
from tests.people import PASSWORD, People, path_of, ticket_of

__all__ = ["PASSWORD", "Town", "path_of", "ticket_of"]


@dataclass(kw_only=True)
class Town(People):
    """`old`: the store is its authority; `moving`: it migrates."""

    store: LegacyStore
    old: dict[str, Any] = field(default_factory=dict)
    moving: dict[str, Any] = field(default_factory=dict)
