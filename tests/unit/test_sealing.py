"""Sealed data opens for exactly what it was sealed for."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import Action, Binding, Sealed
from shared.errors import Misconfigured, Unsealable
from shared.execution_ids import mint
from shared.sealing import Direction, KeyRing

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
BINDING = Binding(
    execution_id=mint(NOW),
    connection_id="con_" + "a" * 16,
    revision="0" * 32,
    action=Action.LOGIN,
    deadline=NOW,
)
RING = KeyRing.parse(KeyRing.generate())


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_again(plain: bytes) -> None:
    sealed = RING.seal(Direction.ARGUMENTS, BINDING, plain)

    assert plain == RING.open(Direction.ARGUMENTS, BINDING, sealed)


@pytest.mark.parametrize(
    "change",
    [
        {"execution_id": mint(NOW)},
        {"connection_id": "con_" + "b" * 16},
        {"revision": "1" * 32},
        {"action": Action.CREATE},
        {"deadline": NOW + timedelta(microseconds=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_under_another_binding_it_does_not_open(change: dict[str, Any]) -> None:
    sealed = RING.seal(Direction.ARGUMENTS, BINDING, b"secret")

    with pytest.raises(Unsealable):
        RING.open(Direction.ARGUMENTS, BINDING.model_copy(update=change), sealed)


def test_in_another_direction_it_does_not_open() -> None:
    sealed = RING.seal(Direction.ARGUMENTS, BINDING, b"secret")

    with pytest.raises(Unsealable):
        RING.open(Direction.VALUE, BINDING, sealed)


def test_the_same_instant_in_another_zone_is_the_same_deadline() -> None:
    sealed = RING.seal(Direction.ARGUMENTS, BINDING, b"secret")
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))

    moved = BINDING.model_copy(update={"deadline": elsewhere})
    assert b"secret" == RING.open(Direction.ARGUMENTS, moved, sealed)


@given(st.integers(0, 40), st.integers(1, 255))
def test_a_flipped_bit_is_noticed(place: int, flip: int) -> None:
    sealed = RING.seal(Direction.VALUE, BINDING, b"0123456789abc")
    data = bytearray(base64.b64decode(sealed.data))
    data[place % len(data)] ^= flip

    with pytest.raises(Unsealable):
        RING.open(
            Direction.VALUE,
            BINDING,
            Sealed(key_id=sealed.key_id, data=base64.b64encode(data).decode()),
        )


@pytest.mark.parametrize("data", ["", "!!!", "QUJD", "QUJDQUJDQUJDQUJD"])
def test_what_is_no_ciphertext_does_not_open(data: str) -> None:
    with pytest.raises(Unsealable):
        RING.open(Direction.VALUE, BINDING, Sealed(key_id=RING.current, data=data))


def test_a_rotated_ring_opens_the_old_and_seals_with_the_new() -> None:
    old_text, new_text = KeyRing.generate("k1"), KeyRing.generate("k2")
    old, rotated = KeyRing.parse(old_text), KeyRing.parse(f"{new_text},{old_text}")
    sealed = old.seal(Direction.VALUE, BINDING, b"secret")

    assert b"secret" == rotated.open(Direction.VALUE, BINDING, sealed)
    assert "k2" == rotated.seal(Direction.VALUE, BINDING, b"x").key_id
    with pytest.raises(Unsealable):
        KeyRing.parse(new_text).open(Direction.VALUE, BINDING, sealed)


def test_what_rests_in_one_place_does_not_open_in_another() -> None:
    sealed = RING.seal_at_rest("connection/a/x", b"secret")

    assert b"secret" == RING.open_at_rest("connection/a/x", sealed)
    assert sealed.data != RING.seal_at_rest("connection/a/x", b"secret").data
    with pytest.raises(Unsealable):
        RING.open_at_rest("connection/b/x", sealed)


@pytest.mark.parametrize("text", ["", "k1", "k1:c2hvcnQ=", "k1:%%%", ":QUJD"])
def test_a_broken_ring_is_named_and_not_shown(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        KeyRing.parse(text)

    assert text.partition(":")[2] == "" or text.partition(":")[2] not in str(caught.value)
    assert "c2hvcnQ" not in repr(RING)
