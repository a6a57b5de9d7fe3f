"""Execution ids: UUIDv7 (RFC 9562, section 5.7), so that the ledger can be partitioned by them.

Minted in Python: PostgreSQL 18's `uuidv7()` does not exist on 15, and the id must be known before
the request is published.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from shared.errors import Undecodable

KEPT: Final = timedelta(days=7)
"""How long the ledger keeps a row; an older id can't be told from an unknown one."""
AHEAD: Final = timedelta(days=1)
"""Partitions exist two days ahead; a clock that is off by more than one is broken."""


def mint(now: datetime) -> UUID:
    """A fresh id of this instant: 48 bits of milliseconds, 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    tail = int.from_bytes(os.urandom(10))
    value = (milliseconds << 80) | (0x7 << 76) | ((tail >> 68) << 64)
    return UUID(int=value | (0b10 << 62) | (tail & ((1 << 62) - 1)))


def minted_at(execution_id: UUID) -> datetime:
    """The instant in an id, to the millisecond. Raises Undecodable for other UUIDs."""
    if execution_id.version != 7:
        raise Undecodable(f"{execution_id} is not a UUIDv7")
    return datetime.fromtimestamp((execution_id.int >> 80) / 1000, UTC)


def check_window(execution_id: UUID, now: datetime) -> None:
    """Raise Undecodable for an id that the ledger has, or will have, no partition for."""
    minted = minted_at(execution_id)
    if not now - KEPT <= minted <= now + AHEAD:
        raise Undecodable(f"{execution_id} lies outside the ledger's window")
