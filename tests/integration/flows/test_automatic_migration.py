"""Import on: the local store first; who is new here is taken over, once (C§1.3, second table)."""

from __future__ import annotations

import asyncio

from tests.integration.flows.town import PASSWORD, Town

NEW = "An0ther-one"
GONE = "function gone(name, password, callback) { return callback(null, null); }"
GONE_USER = "function gone(name, callback) { return callback(null, null); }"


async def test_a_sign_up_asks_whether_the_store_has_them(town: Town) -> None:
    known, new = town.somebody(), town.somebody()
    await town.store.add(known, PASSWORD)

    refused, made = await town.signup("moving", known), await town.signup("moving", new)

    assert (400, "invalid_signup") == (refused.status_code, refused.json()["code"])
    assert 200 == made.status_code, made.text
    assert ["get_user", "get_user"] == await town.store.calls()
    assert 200 == (await town.login("moving", new)).status_code
    assert [] == await town.store.calls()
    assert await town.store.person(new) is None


async def test_a_sign_up_of_somebody_here_asks_nobody(town: Town) -> None:
    address = town.somebody()
    await town.signup("moving", address)
    await town.store.details()

    refused = await town.signup("moving", address.upper())

    assert (400, "invalid_signup") == (refused.status_code, refused.json()["code"])
    assert [] == await town.store.calls()


async def test_two_sign_ups_at_once_make_one_user(town: Town) -> None:
    address = town.somebody()

    answers = await asyncio.gather(*(town.signup("moving", address) for _ in range(5)))

    assert [200, 400, 400, 400, 400] == sorted(answer.status_code for answer in answers)


async def test_a_tenant_may_tell_that_the_user_exists(town: Town) -> None:
    address = town.somebody()
    await town.signup("moving", address)
    flags = {"flags": {"enable_public_signup_user_exists_error": True}}
    await town.site.manage("PATCH", "tenants/settings", flags)

    told = await town.signup("moving", address)
    flags["flags"]["enable_public_signup_user_exists_error"] = False
    await town.site.manage("PATCH", "tenants/settings", flags)

    assert {
        "code": "user_exists",
        "description": "The user already exists.",
        "name": "BadRequestError",
        "statusCode": 400,
    } == told.json()


async def test_a_sign_up_during_an_outage_creates_nobody(town: Town) -> None:
    address = town.somebody()
    await town.store.answer_once("get_user", "outage")

    refused, made = await town.signup("moving", address), await town.signup("moving", address)

    assert [400, 200] == [refused.status_code, made.status_code]


async def test_who_forgot_before_the_first_login_is_taken_over_with_the_new_password(
    town: Town,
) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD, nickname="Ada")

    await town.forgot("moving", address)
    link = await town.link_in_mail(address)
    assert await town.user(address) is None, "nobody is created before the new password"
    done = await town.reset(link, NEW)

    assert 200 == done.status_code, done.text
    assert ["get_user"] == await town.store.calls()
    user = await town.user(address)
    assert user is not None
    assert (f"auth0|{known}", "Ada") == (user["user_id"], user["nickname"])
    assert 200 == (await town.login("moving", address, NEW)).status_code
    assert 403 == (await town.login("moving", address)).status_code
    assert [] == await town.store.calls()
    assert user["user_id"] == (await town.logged("trickle_user_imported"))[0]["user_id"]


async def test_who_logs_in_before_the_reset_is_taken_over_once(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.forgot("moving", address)
    link = await town.link_in_mail(address)

    assert 200 == (await town.login("moving", address)).status_code
    assert 200 == (await town.reset(link, NEW)).status_code

    assert 200 == (await town.login("moving", address, NEW)).status_code
    assert 403 == (await town.login("moving", address)).status_code


async def test_a_migrated_user_resets_without_the_store(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("moving", address)
    await town.store.details()

    await town.forgot("moving", address.upper())
    done = await town.reset(await town.link_in_mail(address), NEW)

    assert 200 == done.status_code
    assert [] == await town.store.calls()
    assert 200 == (await town.login("moving", address, NEW)).status_code
    person = await town.store.person(address)
    assert person is not None
    assert PASSWORD == person["password"]


async def test_an_outage_sends_no_mail_and_says_so_in_the_log_alone(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.store.answer_once("get_user", "outage")

    asked = await town.forgot("moving", address)

    assert 200 == asked.status_code
    assert [] == await town.mails_to(address)
    assert address == (await town.logged("fcpr"))[0]["user_name"]


async def test_verification_is_noted_here(town: Town) -> None:
    address = town.somebody()
    await town.signup("moving", address)
    await town.store.details()
    link = await town.link_in_mail(address)

    first, second = await town.verify(link), await town.verify(link)

    assert [200, 400] == [first.status_code, second.status_code]
    assert [] == await town.store.calls()
    user = await town.user(address)
    assert user is not None
    assert user["email_verified"]


async def test_a_link_for_an_earlier_address_verifies_nothing(town: Town) -> None:
    address, new = town.somebody(), town.somebody()
    await town.signup("moving", address)
    link = await town.link_in_mail(address)
    user = await town.user(address)
    assert user is not None
    await town.site.manage("PATCH", f"users/{user['user_id']}", {"email": new})

    refused = await town.verify(link)

    assert 400 == refused.status_code
    user = await town.user(new)
    assert user is not None
    assert not user["email_verified"]


async def test_a_new_address_must_not_be_somebody_else_s_in_the_store(town: Town) -> None:
    address, taken, free = town.somebody(), town.somebody(), town.somebody()
    await town.store.add(address, PASSWORD)
    await town.store.add(taken, PASSWORD)
    await town.login("moving", address)
    user = await town.user(address)
    assert user is not None
    await town.store.details()
    path = f"users/{user['user_id']}"

    refused = await town.site.manage("PATCH", path, {"email": taken})
    changed = await town.site.manage("PATCH", path, {"email": free})

    assert (400, "The specified new email already exists") == (
        refused.status_code,
        refused.json()["message"],
    )
    assert 200 == changed.status_code, changed.text
    assert ["get_user", "get_user"] == await town.store.calls()
    assert 200 == (await town.login("moving", free)).status_code


async def test_the_same_person_under_the_new_name_is_no_conflict(town: Town) -> None:
    address, new = town.somebody(), town.somebody()
    known = await town.store.add(address, PASSWORD)
    await town.login("moving", address)
    await town.store.connection.execute("UPDATE people SET email = $2 WHERE id = $1", known, new)

    changed = await town.site.manage("PATCH", f"users/auth0|{known}", {"email": new})

    assert 200 == changed.status_code, changed.text


async def test_a_deleted_user_comes_back_with_the_next_login_as_at_auth0(town: Town) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD)
    await town.login("moving", address)

    await town.site.manage("DELETE", f"users/auth0|{known}")
    assert await town.user(address) is None
    again = await town.login("moving", address)

    assert 200 == again.status_code
    assert await town.store.person(address) is not None


async def test_a_deleted_user_stays_away_where_that_is_chosen(town: Town) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD)
    await town.login("moving", address)
    await town.patch(town.moving, reimport_deleted_users=False)

    await town.site.manage("DELETE", f"users/auth0|{known}")
    again = await town.login("moving", address)
    await town.patch(town.moving, reimport_deleted_users=True)

    assert (403, "invalid_grant") == (again.status_code, again.json()["error"])
    assert await town.user(address) is None


async def test_a_blocked_user_is_told_only_with_the_right_password(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("moving", address)
    user = await town.user(address)
    assert user is not None
    await town.site.manage("PATCH", f"users/{user['user_id']}", {"blocked": True})

    right, wrong = await town.login("moving", address), await town.login("moving", address, "no")

    assert ("unauthorized", "user is blocked") == (
        right.json()["error"],
        right.json()["error_description"],
    )
    assert "Wrong email or password." == wrong.json()["error_description"]


async def test_the_mode_of_a_live_connection_changes_both_ways(town: Town) -> None:
    switched = await town.site.connect("switched", **town.store.options(import_mode=False))
    address, late = town.somebody(), town.somebody()
    await town.store.add(address, PASSWORD)
    await town.store.add(late, PASSWORD)
    assert 200 == (await town.login("switched", address)).status_code

    await town.patch(switched, import_mode=True)
    await town.store.details()
    # Their record is here, but no password: the store is asked once more, and they are migrated.
    first, second = await town.login("switched", address), await town.login("switched", address)
    assert [200, 200] == [first.status_code, second.status_code]
    assert ["login"] == await town.store.calls()
    assert 200 == (await town.login("switched", late)).status_code
    await town.store.connection.execute(
        "UPDATE people SET password = $2 WHERE email = $1", address, NEW
    )
    assert 403 == (await town.login("switched", address, NEW)).status_code

    await town.patch(switched, import_mode=False)
    assert 200 == (await town.login("switched", address, NEW)).status_code
    assert 403 == (await town.login("switched", address)).status_code
    users = [await town.user(each) for each in (address, late)]
    assert all(users)


async def test_at_the_end_of_the_migration_the_scripts_know_nobody(town: Town) -> None:
    ending = await town.site.connect("ending", **town.store.options(import_mode=True))
    migrated, missed, new = town.somebody(), town.somebody(), town.somebody()
    for address in (migrated, missed):
        await town.store.add(address, PASSWORD)
    await town.login("ending", migrated)

    await town.patch(ending, customScripts={"login": GONE, "get_user": GONE_USER})

    logins = [await town.login("ending", each) for each in (migrated, missed)]
    assert [200, 403] == [login.status_code for login in logins]
    assert 200 == (await town.signup("ending", new)).status_code
    assert 200 == (await town.signup("ending", missed)).status_code
    await town.mails_to(migrated)
    await town.forgot("ending", migrated)
    assert 200 == (await town.reset(await town.link_in_mail(migrated), NEW)).status_code
    assert 200 == (await town.login("ending", migrated, NEW)).status_code


async def test_an_ordinary_database_runs_no_script(town: Town) -> None:
    options = town.store.options(enabledDatabaseCustomization=False)
    await town.site.connect("ordinary", **options)
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    assert 403 == (await town.login("ordinary", address)).status_code
    assert 200 == (await town.signup("ordinary", address)).status_code
    assert 200 == (await town.login("ordinary", address)).status_code
    await town.mails_to(address)
    await town.forgot("ordinary", address)
    assert 200 == (await town.reset(await town.link_in_mail(address), NEW)).status_code
    assert 200 == (await town.login("ordinary", address, NEW)).status_code
    assert [] == await town.store.calls()
