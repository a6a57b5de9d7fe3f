"""What a login makes of a profile: root attributes, metadata, factors, what is not kept (C§2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.flows.town import PASSWORD, Town


async def _rename(town: Town, address: str, name: str) -> None:
    await town.store.connection.execute(
        "UPDATE people SET extra = jsonb_build_object('nickname', $2::text) WHERE email = $1",
        address,
        name,
    )


async def _connected(town: Town, **options: Any) -> dict[str, Any]:
    name = f"profiles-{town.somebody().partition('@')[0]}"
    return await town.site.connect(name, **town.store.options(**options))


async def test_on_each_login_the_store_s_attributes_win(town: Town) -> None:
    realm = await _connected(town, set_user_root_attributes="on_each_login")
    address = town.somebody()
    await town.store.add(address, PASSWORD, nickname="first")
    await town.login(realm["name"], address)
    await _rename(town, address, "second")

    await town.login(realm["name"], address)

    user = await town.user(address)
    assert user is not None
    assert "second" == user["nickname"]


async def test_on_first_login_they_are_set_once_and_can_be_edited(town: Town) -> None:
    realm = await _connected(town, set_user_root_attributes="on_first_login")
    address = town.somebody()
    await town.store.add(address, PASSWORD, nickname="first")
    await town.login(realm["name"], address)
    user = await town.user(address)
    assert user is not None
    edited = await town.site.manage("PATCH", f"users/{user['user_id']}", {"nickname": "ours"})
    assert 200 == edited.status_code, edited.text
    await _rename(town, address, "second")

    await town.login(realm["name"], address)

    user = await town.user(address)
    assert user is not None
    assert "ours" == user["nickname"]


async def test_never_on_login_keeps_nobody_and_still_tells_who_it_was(town: Town) -> None:
    realm = await _connected(town, set_user_root_attributes="never_on_login")
    address = town.somebody()
    await town.store.add(address, PASSWORD, nickname="Ada")

    tokens = await town.login(realm["name"], address, scope="openid profile email offline_access")

    assert 200 == tokens.status_code, tokens.text
    assert "refresh_token" not in tokens.json()
    assert await town.user(address) is None
    who = await town.site.http.get(
        "/userinfo", headers={"authorization": f"Bearer {tokens.json()['access_token']}"}
    )
    assert (200, address, "Ada") == (who.status_code, who.json()["email"], who.json()["nickname"])


async def test_who_is_kept_elsewhere_is_left_alone_by_never_on_login(town: Town) -> None:
    realm = await _connected(town, set_user_root_attributes="on_each_login")
    address = town.somebody()
    await town.store.add(address, PASSWORD, nickname="first")
    await town.login(realm["name"], address)
    await town.patch(realm, set_user_root_attributes="never_on_login")
    await _rename(town, address, "second")

    assert 200 == (await town.login(realm["name"], address)).status_code

    user = await town.user(address)
    assert user is not None
    assert "first" == user["nickname"]


async def test_attributes_that_are_not_kept_are_known_during_the_login_alone(town: Town) -> None:
    realm = await _connected(town, import_mode=True, non_persistent_attrs=["given_name", "gender"])
    address = town.somebody()
    await town.store.add(address, PASSWORD, given_name="Ada", gender="f", plan="silver")

    tokens = (await town.login(realm["name"], address, scope="openid profile")).json()

    assert tokens["id_token"]
    user = await town.user(address)
    assert user is not None
    assert "silver" == user["plan"]
    assert not {"given_name", "gender"} & set(user)


async def test_metadata_is_kept_and_changed_here(town: Town) -> None:
    address = town.somebody()
    await town.store.add(
        address, PASSWORD, user_metadata={"plan": "silver", "color": "red"}, metadata={"role": "a"}
    )
    await town.login("moving", address)
    user = await town.user(address)
    assert user is not None
    assert ({"plan": "silver", "color": "red"}, {"role": "a"}) == (
        user["user_metadata"],
        user["app_metadata"],
    )
    path = f"users/{user['user_id']}"

    merged = await town.site.manage(
        "PATCH", path, {"user_metadata": {"plan": "gold", "color": None}}
    )
    cleared = await town.site.manage("PATCH", path, {"app_metadata": {}})

    assert {"plan": "gold"} == merged.json()["user_metadata"]
    assert {} == cleared.json().get("app_metadata", {})
    await town.login("moving", address)
    user = await town.user(address)
    assert user is not None
    assert {"plan": "gold"} == user["user_metadata"]


FACTORS = [
    [{"totp": {"secret": "JBSWY3DPEHPK3PXP"}}],
    [{"phone": {"value": "+15551234567"}}],
    [{"email": {"value": "ada@example.com"}}],
]


@pytest.mark.parametrize("factors", FACTORS, ids=["totp", "phone", "email"])
async def test_who_has_a_second_factor_is_never_let_in_without(
    town: Town, factors: list[dict[str, Any]]
) -> None:
    realm = await _connected(town, import_mode=True)
    address = town.somebody()
    await town.store.add(address, PASSWORD, mfa_factors=factors)

    first, second = (
        await town.login(realm["name"], address),
        await town.login(realm["name"], address),
    )

    for refused in (first, second):
        assert (403, "mfa_required") == (refused.status_code, refused.json()["error"])
    assert "JBSWY3DPEHPK3PXP" not in str(
        await town.site.database.fetch("SELECT u::text AS row FROM users u")
    )
    await town.patch(realm, ignore_mfa_factors=True)
    assert 200 == (await town.login(realm["name"], address)).status_code
    assert 403 == (await town.login(realm["name"], address, "wrong")).status_code


@pytest.mark.parametrize(
    "factors",
    [
        [{"totp": {"secret": "not base32!"}}],
        [{"phone": {"value": "12345"}}],
        [{"pigeon": {"value": "coo"}}],
        [{"email": {"value": f"{n}@example.com"}} for n in range(11)],
        "totp",
    ],
)
async def test_factors_that_cannot_be_read_are_logged_and_the_login_goes_on(
    town: Town, factors: Any
) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD, mfa_factors=factors)

    assert 200 == (await town.login("moving", address)).status_code

    lines = [line for line in await town.logged("fu") if line["user_name"] == address]
    assert "Unable to import MFA factors" in lines[0]["description"]


async def test_a_profile_above_the_limit_imports_nobody(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD, user_metadata={"essay": "x" * 1_200_000})

    refused = await town.login("moving", address)

    assert (403, "access_denied") == (refused.status_code, refused.json()["error"])
    assert await town.user(address) is None


async def test_idp_tokens_are_shown_only_to_whom_they_are_for(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD, access_token="legacy-at", refresh_token="legacy-rt")
    await town.login("moving", address)
    user = await town.user(address)
    assert user is not None

    shown = await town.site.manage("GET", f"users/{user['user_id']}")

    assert "legacy-at" not in str({k: v for k, v in shown.json().items() if k != "identities"})
    assert "legacy-at" == shown.json()["identities"][0]["access_token"]
    assert "legacy-at" not in str(
        await town.site.database.fetch("SELECT u::text AS row FROM users u")
    )
