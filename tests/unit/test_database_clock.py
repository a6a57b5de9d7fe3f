"""The database's time as a process knows it, whatever becomes of the machine's own clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self, cast

import pytest

from shared import database
from shared.database import Database

THEIRS = datetime(2030, 1, 1, tzinfo=UTC)


class _Asked(Database):
    """One whose server says what time it is."""

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return THEIRS


class _SetAhead(datetime):
    """The machine's clock, after somebody set it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=9)


async def _never() -> None:
    """Nobody probes here."""


async def test_who_sets_the_machine_s_clock_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker whose clock was set refused every request; the fault campaign found it."""
    known = _Asked(cast(Any, None), _never)
    await known.measure_clock()

    monkeypatch.setattr(database, "datetime", _SetAhead)

    assert timedelta(0) <= known.now() - THEIRS < timedelta(seconds=5)
