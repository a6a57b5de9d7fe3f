"""What legacy scripts return, and what we store of it (C§2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.profiles import InvalidProfile, canonical, normalise

EMAIL = {"email": "Ada@Example.com "}


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        ({"user_id": 42}, "42"),
        ({"user_id": 42.0}, "42"),
        ({"user_id": " abc "}, "abc"),
        ({"user_id": "507f1f77bcf86cd799439011"}, "507f1f77bcf86cd799439011"),
        ({"user_id": "shop|7"}, "shop|7"),
        ({"user_id": "auth0|7"}, "auth0|7"),
        ({"id": 7}, "7"),
        ({"user_id": None, "id": "x"}, "x"),
    ],
)
def test_an_id_keeps_its_meaning_whatever_its_type(given_id: dict[str, Any], expected: str) -> None:
    profile = normalise(EMAIL | given_id)

    assert (expected, f"auth0|{expected}") == (profile.legacy_id, profile.user_id)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        EMAIL | {"user_id": "a\0b"},
        {"user_id": 1, "email": "ada\0@example.com"},
        EMAIL | {"user_id": 1, "user_metadata": {"\ud800": 1}},
        {},
        EMAIL,
        EMAIL | {"user_id": True},
        EMAIL | {"user_id": {}},
        EMAIL | {"user_id": "  "},
        {"user_id": 1},
        EMAIL | {"user_id": 1, "user_metadata": "text"},
        EMAIL | {"user_id": 1, "blob": "x" * 70_000},
        {"user_id": 1, "email": "x" * 300},
    ],
)
def test_what_can_not_be_stored_is_refused_without_quoting_it(value: Any) -> None:
    with pytest.raises(InvalidProfile) as caught:
        normalise(value)

    assert "Ada" not in str(caught.value)


def test_originals_are_kept_and_compared_in_one_form() -> None:
    profile = normalise(
        {"user_id": 1, "email": " Ada@Example.com ", "username": "\uff21\uff24\uff21"}
    )

    assert ("Ada@Example.com", "\uff21\uff24\uff21") == (profile.email, profile.username)
    assert ("ada@example.com", "ada") == (canonical(profile.email), canonical(profile.username))


@pytest.mark.parametrize("verified", [1, "true", "yes", None, [], {}])
def test_an_address_is_verified_only_when_it_is_said_so(verified: Any) -> None:
    assert not normalise(EMAIL | {"user_id": 1, "email_verified": verified}).email_verified
    assert normalise(EMAIL | {"user_id": 1, "email_verified": True}).email_verified


def test_metadata_is_what_older_scripts_call_app_metadata() -> None:
    profile = normalise(EMAIL | {"user_id": 1, "metadata": {"plan": "gold", "email": "x"}})

    assert {"plan": "gold"} == profile.app_metadata


def test_what_is_not_persistent_is_dropped_and_the_rest_stays_at_the_root() -> None:
    profile = normalise(
        EMAIL | {"user_id": 1, "gender": "f", "tags": ["a"], "password": "x"},
        non_persistent={"gender"},
    )

    assert ["a"] == profile.root["tags"]
    assert not {"gender", "password", "user_id", "email"} & profile.root.keys()


def test_names_are_made_up_from_what_is_there() -> None:
    root = normalise({"user_id": 1, "email": "ada@example.com"}).root

    assert ("ada@example.com", "ada") == (root["name"], root["nickname"])
    assert root["picture"].startswith("https://s.gravatar.com/avatar/")


@given(st.text(max_size=40))
def test_canonical_is_stable(identifier: str) -> None:
    once = canonical(identifier)

    assert once == canonical(once)
