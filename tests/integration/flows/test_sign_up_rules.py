"""Who may sign up, with which name and which password (C§2.2, C§3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.flows.town import PASSWORD, Town


@pytest.fixture
async def ordinary(shared_town: Town) -> dict[str, Any]:
    """A connection that tests change as they like."""
    name = f"rules-{shared_town.somebody().partition('@')[0]}"
    options = shared_town.store.options(import_mode=True)
    return await shared_town.site.connect(name, **options)


async def test_sign_ups_can_be_switched_off(town: Town, ordinary: dict[str, Any]) -> None:
    await town.patch(ordinary, disable_signup=True)
    body = {"connection": ordinary["name"], "email": town.somebody(), "password": PASSWORD}

    refused = await town.signup(ordinary["name"], town.somebody())
    made = await town.site.manage("POST", "users", body)

    assert (400, "public_signup_disabled") == (refused.status_code, refused.json()["code"])
    assert 201 == made.status_code, made.text


async def test_a_username_is_asked_for_where_it_is_needed(
    town: Town, ordinary: dict[str, Any]
) -> None:
    await town.patch(
        ordinary, requires_username=True, validation={"username": {"min": 3, "max": 8}}
    )
    name, address = ordinary["name"], town.somebody()

    refused = [
        await town.signup(name, address),
        await town.signup(name, address, username="ab"),
        await town.signup(name, address, username="ninechars"),
        await town.signup(name, address, username="a b c"),
    ]
    made = await town.signup(name, address, username="Ada")

    assert [400] * 4 == [each.status_code for each in refused]
    assert ["invalid_username"] * 4 == [each.json()["code"] for each in refused]
    assert (200, "ada") == (made.status_code, made.json()["username"])
    assert 200 == (await town.login(name, "ADA")).status_code
    assert 200 == (await town.login(name, address)).status_code


@pytest.mark.parametrize(
    "address", ["", "no-at-sign", "two@at@signs", "a b@example.com", f"{'l' * 65}@example.com"]
)
async def test_an_address_must_be_one(town: Town, address: str) -> None:
    refused = await town.signup("moving", address)

    assert 400 == refused.status_code


@pytest.mark.parametrize(
    "metadata",
    [
        {f"field{n}": "x" for n in range(11)},
        {"long": "x" * 501},
        {"n" * 101: "x"},
        {"number": 1},
        {"dotted.name": "x"},
        {"$dollar": "x"},
    ],
)
async def test_metadata_of_a_sign_up_has_limits(town: Town, metadata: dict[str, Any]) -> None:
    refused = await town.signup("moving", town.somebody(), user_metadata=metadata)

    assert 400 == refused.status_code
    assert [] == await town.store.calls()


async def test_a_sign_up_cannot_say_what_only_an_administrator_may(town: Town) -> None:
    address = town.somebody()

    made = await town.signup(
        "moving",
        address,
        app_metadata={"role": "admin"},
        email_verified=True,
        user_id="chosen",
        blocked=True,
    )

    assert 200 == made.status_code, made.text
    user = await town.user(address)
    assert user is not None
    assert ({}, False) == (user.get("app_metadata", {}), user["email_verified"])
    assert not user.get("blocked")
    assert "auth0|chosen" != user["user_id"]


async def test_a_weak_password_is_answered_with_the_rules(
    town: Town, ordinary: dict[str, Any]
) -> None:
    await town.patch(ordinary, passwordPolicy="good")

    refused = await town.signup(ordinary["name"], town.somebody(), password="short")

    body = refused.json()
    assert 400 == refused.status_code
    assert ("PasswordStrengthError", "invalid_password", "Password is too weak", 400) == (
        body["name"],
        body["code"],
        body["message"],
        body["statusCode"],
    )
    codes = [rule["code"] for rule in body["description"]["rules"]]
    assert ["lengthAtLeast", "containsAtLeast"] == codes
    assert not body["description"]["verified"]
    assert [8] == body["description"]["rules"][0]["format"]
    assert body["policy"].startswith("* At least 8 characters in length\n")
    assert [] == await town.store.calls()


@pytest.mark.parametrize(
    ("options", "password", "name"),
    [
        (
            {"password_dictionary": {"enable": True, "dictionary": ["Zanz1bar-Cloves"]}},
            "zanz1bar-CLOVES",
            "PasswordDictionaryError",
        ),
        ({"password_dictionary": {"enable": True}}, "Password1", "PasswordDictionaryError"),
        (
            {"password_no_personal_info": {"enable": True}},
            "Lovelace-1815",
            "PasswordNoUserInfoError",
        ),
        ({"password_complexity_options": {"min_length": 20}}, PASSWORD, "PasswordStrengthError"),
    ],
)
async def test_the_extras_of_a_policy_have_errors_of_their_own(
    town: Town, ordinary: dict[str, Any], options: dict[str, Any], password: str, name: str
) -> None:
    await town.patch(ordinary, **options)

    refused = await town.signup(ordinary["name"], f"lovelace.{town.somebody()}", password=password)

    assert (400, name) == (refused.status_code, refused.json()["name"])


async def test_a_password_of_the_past_is_refused(town: Town, ordinary: dict[str, Any]) -> None:
    await town.patch(ordinary, password_history={"enable": True, "size": 2})
    address = town.somebody()
    await town.signup(ordinary["name"], address)
    user = await town.user(address)
    assert user is not None
    path = f"users/{user['user_id']}"

    async def changed(password: str) -> tuple[int, str]:
        answer = await town.site.manage("PATCH", path, {"password": password})
        return answer.status_code, answer.json().get("message", "")

    used = (400, "PasswordHistoryError: Password has previously been used")
    assert used == await changed(PASSWORD)
    assert (200, "") == await changed("Se9ond-password")
    assert used == await changed(PASSWORD)
    assert (200, "") == await changed("Th1rd-password")
    assert (200, "") == await changed("F0urth-password")
    assert (200, "") == await changed(PASSWORD), "two are remembered, and this is the fourth back"


async def test_a_policy_never_judges_a_login_that_migrates(
    town: Town, ordinary: dict[str, Any]
) -> None:
    await town.patch(ordinary, passwordPolicy="excellent")
    address = town.somebody()
    await town.store.add(address, "abc")

    assert 200 == (await town.login(ordinary["name"], address, "abc")).status_code
    assert 200 == (await town.login(ordinary["name"], address, "abc")).status_code


async def test_passwords_longer_than_bcrypt_s_72_bytes_count_to_the_end(town: Town) -> None:
    address, long = town.somebody(), "Long-1" + "é" * 500

    made = await town.signup("moving", address, password=long)
    refused = await town.signup("moving", town.somebody(), password=long + "x" * 100)

    assert (200, 400) == (made.status_code, refused.status_code), made.text
    assert 200 == (await town.login("moving", address, long)).status_code
    assert 403 == (await town.login("moving", address, long[:-1])).status_code


async def test_who_asks_for_what_does_not_exist_is_told(town: Town) -> None:
    nowhere = await town.signup("nowhere", town.somebody())
    nobody = await town.signup("moving", town.somebody(), client_id="nobody")
    other = (await town.site.manage("POST", "clients", {"name": "other"})).json()["client_id"]
    stranger = await town.signup("moving", town.somebody(), client_id=other)

    assert ["invalid_connection", "invalid_client", "unauthorized_client"] == [
        each.json()["code"] for each in (nowhere, nobody, stranger)
    ]
    assert {400} == {each.status_code for each in (nowhere, nobody, stranger)}
