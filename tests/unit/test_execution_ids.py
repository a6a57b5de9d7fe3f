"""Execution ids are UUIDv7, in order of time, and only accepted within the ledger's window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Undecodable
from shared.execution_ids import AHEAD, KEPT, check_window, mint, minted_at

NOW = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_id_is_a_version_7_uuid_of_its_instant(instant: datetime) -> None:
    found = mint(instant)

    assert (7, RFC_4122) == (found.version, found.variant)
    assert abs(minted_at(found) - instant) <= timedelta(milliseconds=1)


def test_later_ids_sort_behind() -> None:
    ids = [mint(NOW + timedelta(milliseconds=number)) for number in range(50)]

    assert sorted(ids) == ids
    assert 50 == len(set(ids))


@pytest.mark.parametrize("offset", [-KEPT - timedelta(seconds=1), AHEAD + timedelta(seconds=1)])
def test_an_id_outside_the_window_is_refused(offset: timedelta) -> None:
    with pytest.raises(Undecodable):
        check_window(mint(NOW + offset), NOW)


def test_other_uuids_are_refused() -> None:
    for other in (uuid4(), UUID(int=0)):
        with pytest.raises(Undecodable):
            check_window(other, NOW)
