"""The negative cache: denials only, for a minute at most, and never from before a change."""

from __future__ import annotations

from services.auth.negative_cache import MAX_ENTRIES, NegativeCache

KEY = b"k"


def kept(seconds: float = 60.0, asked_at: float = 99.0) -> NegativeCache[str]:
    cache: NegativeCache[str] = NegativeCache()
    cache.put(KEY, "no", asked_at=asked_at, seconds=seconds, now=100.0)
    return cache


def test_a_denial_is_kept_for_so_long() -> None:
    cache = kept(30)

    assert "no" == cache.get(KEY, changed_at=None, now=129.9)
    assert None is cache.get(b"other", changed_at=None, now=129.9)
    assert None is cache.get(KEY, changed_at=None, now=130)


def test_never_for_longer_than_a_minute() -> None:
    assert None is kept(3600).get(KEY, changed_at=None, now=160)


def test_nothing_is_kept_where_it_is_switched_off() -> None:
    assert None is kept(0).get(KEY, changed_at=None, now=100)


def test_a_change_voids_what_was_asked_before_it() -> None:
    assert None is kept(asked_at=99).get(KEY, changed_at=101, now=102)
    assert None is kept(asked_at=99).get(KEY, changed_at=98.5, now=102)  # within the clocks' doubt
    assert "no" == kept(asked_at=99).get(KEY, changed_at=90, now=102)


def test_it_is_bounded_and_the_oldest_go_first() -> None:
    cache = kept()
    for number in range(MAX_ENTRIES):
        cache.put(number.to_bytes(4, "big"), "no", asked_at=100, seconds=60, now=101)

    assert None is cache.get(KEY, changed_at=None, now=102)
    assert MAX_ENTRIES == len(cache._entries)
