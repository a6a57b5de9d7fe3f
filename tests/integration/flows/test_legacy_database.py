"""Import off: the legacy store is always the authority (C§1.3, first table)."""

from __future__ import annotations

import pytest

from tests.integration.flows.town import PASSWORD, Town


async def test_every_login_asks_and_keeps_no_hash(town: Town) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD, verified=True, nickname="Ada")

    first, second = await town.login("old", address), await town.login("old", address)

    assert [200, 200] == [first.status_code, second.status_code]
    assert ["login", "login"] == await town.store.calls()
    user = await town.user(address)
    assert user is not None
    assert (f"auth0|{known}", "Ada", 2) == (user["user_id"], user["nickname"], user["logins_count"])
    kept = await town.site.database.fetchval(
        "SELECT count(*) FROM credentials WHERE user_id = $1", user["user_id"]
    )
    assert 0 == kept


async def test_a_login_brings_what_changed_in_the_store(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD, given_name="Ada")
    await town.login("old", address)

    await town.store.connection.execute(
        "UPDATE people SET verified = true, extra = $2 WHERE email = $1",
        address,
        '{"given_name": "Augusta"}',
    )
    await town.login("old", address)

    user = await town.user(address)
    assert user is not None
    assert ("Augusta", True) == (user["given_name"], user["email_verified"])


async def test_a_sign_up_asks_creates_and_logs_in(town: Town) -> None:
    address = town.somebody()

    made = await town.signup("old", address, given_name="Ada", user_metadata={"plan": "silver"})

    assert 200 == made.status_code, made.text
    calls = await town.store.details()
    assert ["get_user", "create", "login"] == [action for action, _, _ in calls]
    assert [address] == calls[0][1]
    assert {
        "client_id": town.site.client_id,
        "tenant": "auth.example",
        "connection": "old",
        "email": address,
        "password": PASSWORD,
        "given_name": "Ada",
        "user_metadata": {"plan": "silver"},
    } == calls[1][1][0]
    assert [address, PASSWORD] == calls[2][1]
    person = await town.store.person(address)
    assert person is not None
    assert {
        "_id": person["id"],
        "email": address,
        "email_verified": False,
        "given_name": "Ada",
        "user_metadata": {"plan": "silver"},
    } == made.json()
    assert 200 == (await town.login("old", address)).status_code
    body = (await town.logged("ss"))[0]["details"]["body"]
    assert ("*****", address) == (body["password"], body["email"])


async def test_a_sign_up_of_somebody_known_creates_nothing(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    refused = await town.signup("old", address)

    assert 400 == refused.status_code
    assert {
        "code": "invalid_signup",
        "description": "Invalid sign up",
        "name": "BadRequestError",
        "statusCode": 400,
    } == refused.json()
    assert ["get_user"] == await town.store.calls()
    assert address == (await town.logged("fs"))[0]["user_name"]


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        ("taken", "user_exists", "That name is gone."),
        ("refused", "too_short", "Ten letters, please."),
    ],
)
async def test_what_create_refuses_is_said(town: Town, kind: str, code: str, text: str) -> None:
    address = town.somebody()
    await town.store.answer_once("create", kind)

    refused = await town.signup("old", address)

    body = refused.json()
    assert (400, code, text, True) == (
        refused.status_code,
        body["code"],
        body["description"],
        body["fromSandbox"],
    )
    assert text == (await town.logged("fs"))[0]["description"]
    assert await town.user(address) is None


async def test_a_sign_up_during_an_outage_says_nothing_of_the_store(town: Town) -> None:
    address = town.somebody()
    await town.store.answer_once("get_user", "outage")

    refused = await town.signup("old", address)

    assert 400 == refused.status_code
    assert "10.0.0.1" not in refused.text
    assert ["get_user"] == await town.store.calls()
    assert "10.0.0.1" in (await town.logged("f"))[0]["description"]


async def test_who_is_new_can_be_created_over_the_management_api(town: Town) -> None:
    address = town.somebody()
    body = {"connection": "old", "email": address, "password": PASSWORD, "blocked": True}

    made = await town.site.manage("POST", "users", body | {"app_metadata": {"role": "clerk"}})

    assert 201 == made.status_code, made.text
    assert ["get_user", "create", "login"] == await town.store.calls()
    user = made.json()
    assert {"role": "clerk"} == user["app_metadata"]
    assert user["blocked"]
    refused = await town.login("old", address)
    assert (403, "user is blocked") == (
        refused.status_code,
        refused.json()["error_description"],
    )
    again = await town.site.manage("POST", "users", body)
    assert (409, "The user already exists.", "auth0_idp_error") == (
        again.status_code,
        again.json()["message"],
        again.json()["errorCode"],
    )


async def test_a_forgotten_password_is_reset_in_the_store(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("old", address)
    await town.store.details()

    asked = await town.forgot("old", address)

    assert (200, "We've just sent you an email to reset your password.") == (
        asked.status_code,
        asked.text,
    )
    assert ["get_user"] == await town.store.calls()
    link = await town.link_in_mail(address)
    page = await town.site.http.get(link)
    assert 200 == page.status_code
    assert address in page.text

    done = await town.reset(link, "An0ther-one")

    assert 200 == done.status_code, done.text
    calls = await town.store.details()
    assert ["get_user", "change_password"] == [action for action, _, _ in calls]
    assert [address, "An0ther-one"] == calls[1][1]
    assert 403 == (await town.login("old", address)).status_code
    assert 200 == (await town.login("old", address, "An0ther-one")).status_code
    assert 400 == (await town.reset(link, "Y3t-another")).status_code
    assert "scp" == (await town.logged("scp"))[0]["type"]


async def test_who_forgot_is_told_the_same_whoever_they_are(town: Town) -> None:
    known, unknown, unlucky = town.somebody(), town.somebody(), town.somebody()
    for address in (known, unlucky):
        await town.store.add(address, PASSWORD)

    answers = [await town.forgot("old", known), await town.forgot("old", unknown)]
    await town.store.answer_once("get_user", "outage")
    answers.append(await town.forgot("old", unlucky))

    assert 1 == len({(answer.status_code, answer.text) for answer in answers})
    assert 1 == len(
        {tuple(sorted(set(answer.headers) - {"x-auth0-requestid"})) for answer in answers}
    )
    assert [1, 0, 0] == [len(await town.mails_to(each)) for each in (known, unknown, unlucky)]
    failures = {line["user_name"]: line["description"] for line in await town.logged("fcpr")}
    assert "nobody has this address" in failures[unknown]
    assert "10.0.0.1" in failures[unlucky]


async def test_who_forgot_is_answered_before_the_store_is_asked(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.store.answer_once("get_user", "slow")
    body = {"client_id": town.site.client_id, "connection": "old", "email": address}

    asked = await town.site.http.post("/dbconnections/change_password", json=body)

    assert 200 == asked.status_code
    assert 1 == len(town.site.auth.state.tasks), "the work goes on behind the answer"
    await town.settle()
    assert 1 == len(await town.mails_to(address))


async def test_a_reset_survives_an_outage(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.forgot("old", address)
    link = await town.link_in_mail(address)
    await town.store.answer_once("change_password", "outage")

    failed, done = await town.reset(link, "An0ther-one"), await town.reset(link, "An0ther-one")

    assert (400, 200) == (failed.status_code, done.status_code)
    assert "10.0.0.1" not in failed.text
    assert 200 == (await town.login("old", address, "An0ther-one")).status_code


async def test_false_from_change_password_undoes_nothing_and_is_noted(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.forgot("old", address)
    link = await town.link_in_mail(address)
    await town.store.answer_once("change_password", "false")

    done = await town.reset(link, "An0ther-one")

    assert 200 == done.status_code
    assert "false" in (await town.logged("scp"))[0]["description"]


async def test_a_verification_link_needs_a_press_and_tells_the_store(town: Town) -> None:
    address = town.somebody()
    await town.signup("old", address)
    await town.store.details()
    link = await town.link_in_mail(address)

    page = await town.site.http.get(link)

    assert 200 == page.status_code
    assert [] == await town.store.calls()

    done = await town.verify(link)

    assert 200 == done.status_code
    assert [("verify", [address], None)] == await town.store.details()
    user = await town.user(address)
    assert user is not None
    assert not user["email_verified"], "only the next login changes the profile"
    await town.login("old", address)
    user = await town.user(address)
    assert user is not None
    assert user["email_verified"]
    assert "sv" == (await town.logged("sv"))[0]["type"]


async def test_an_address_changes_in_the_store_first(town: Town) -> None:
    address, new = town.somebody(), town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("old", address)
    await town.store.details()
    user = await town.user(address)
    assert user is not None

    changed = await town.site.manage("PATCH", f"users/{user['user_id']}", {"email": new})

    assert 200 == changed.status_code, changed.text
    assert new == changed.json()["email"]
    assert [("get_user", [address], None), ("change_email", [address, new, False], None)] == (
        await town.store.details()
    )
    assert 200 == (await town.login("old", new)).status_code
    assert 403 == (await town.login("old", address)).status_code
    assert "sce" == (await town.logged("sce"))[0]["type"]


@pytest.mark.parametrize("kind", ["false", "outage"])
async def test_an_address_that_the_store_keeps_stays_here_too(town: Town, kind: str) -> None:
    address, new = town.somebody(), town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("old", address)
    user = await town.user(address)
    assert user is not None
    await town.store.answer_once("change_email", kind)

    refused = await town.site.manage("PATCH", f"users/{user['user_id']}", {"email": new})

    assert 400 == refused.status_code
    assert await town.user(address) is not None
    assert await town.user(new) is None


async def test_an_administrator_sets_a_password_in_the_store(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("old", address)
    await town.store.details()
    user = await town.user(address)
    assert user is not None

    body = {"password": "An0ther-one", "connection": "old"}
    changed = await town.site.manage("PATCH", f"users/{user['user_id']}", body)

    assert 200 == changed.status_code, changed.text
    assert ["get_user", "change_password"] == await town.store.calls()
    assert "last_password_reset" in changed.json()
    assert 200 == (await town.login("old", address, "An0ther-one")).status_code


async def test_what_each_login_overwrites_cannot_be_changed_here(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.login("old", address)
    user = await town.user(address)
    assert user is not None
    path = f"users/{user['user_id']}"

    refused = await town.site.manage("PATCH", path, {"nickname": "Countess", "name": "Ada"})
    taken = await town.site.manage("PATCH", path, {"user_metadata": {"plan": "gold"}})

    assert (400, "The following user attributes cannot be updated: name, nickname.") == (
        refused.status_code,
        refused.json()["message"],
    )
    assert (200, {"plan": "gold"}) == (taken.status_code, taken.json()["user_metadata"])


async def test_a_deleted_user_is_gone_in_both(town: Town) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD)
    await town.login("old", address)
    await town.store.details()

    first = await town.site.manage("DELETE", f"users/auth0|{known}")
    second = await town.site.manage("DELETE", f"users/auth0|{known}")

    assert [204, 204] == [first.status_code, second.status_code]
    assert [("delete", [known], None)] == await town.store.details()
    assert await town.user(address) is None
    assert await town.store.person(address) is None
    assert 403 == (await town.login("old", address)).status_code
    assert "sdu" == (await town.logged("sdu"))[0]["type"]


async def test_a_user_whom_the_store_does_not_delete_stays(town: Town) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD)
    await town.login("old", address)
    await town.store.answer_once("delete", "outage")

    refused = await town.site.manage("DELETE", f"users/auth0|{known}")

    assert (400, "Sandbox Error: connect ECONNREFUSED 10.0.0.1:5432") == (
        refused.status_code,
        refused.json()["message"],
    )
    assert await town.user(address) is not None


async def test_a_script_that_is_missing_is_named(town: Town) -> None:
    login_only = {"login": town.store.options()["customScripts"]["login"]}
    await town.site.connect("bare", **town.store.options(customScripts=login_only))
    address = town.somebody()
    known = await town.store.add(address, PASSWORD)
    assert 200 == (await town.login("bare", address)).status_code

    answers = [
        await town.site.manage("DELETE", f"users/auth0|{known}"),
        await town.site.manage("PATCH", f"users/auth0|{known}", {"password": "An0ther-one"}),
    ]

    where = "this database connection at https://manage.auth0.com/#/connections/database"
    assert [
        f"Sandbox Error: Please implement the Delete script for {where}",
        f"Sandbox Error: Please implement the Get User script for {where}",
    ] == [answer.json()["message"] for answer in answers]


async def test_a_connection_without_scripts_gets_the_default_ones(town: Town) -> None:
    body = {
        "name": "blank",
        "strategy": "auth0",
        "enabled_clients": [town.site.client_id],
        "options": {"enabledDatabaseCustomization": True},
    }
    made = await town.site.manage("POST", "connections", body)

    written = made.json()["options"]["customScripts"]
    assert {"login", "get_user", "create", "verify", "change_password", "delete"} == set(written)
    refused = await town.login("blank", town.somebody())
    assert (403, "access_denied") == (refused.status_code, refused.json()["error"])
    assert "Please implement the Login script" in (await town.logged("f"))[0]["description"]


async def test_scripts_get_a_context_where_that_is_switched_on(town: Town) -> None:
    made = await town.site.connect("aware", **town.store.options(with_context=True))
    address, new = town.somebody(), town.somebody()
    await town.signup("aware", address)
    user = await town.user(address)
    assert user is not None
    path = f"users/{user['user_id']}"
    assert 200 == (await town.site.manage("PATCH", path, {"email": new})).status_code
    assert 200 == (await town.site.manage("PATCH", path, {"password": "An0ther-one"})).status_code
    await town.site.manage("POST", "jobs/verification-email", {"user_id": user["user_id"]})
    link = await town.link_in_mail(new)
    assert 200 == (await town.verify(link)).status_code
    assert 204 == (await town.site.manage("DELETE", path)).status_code

    details = await town.store.details()

    assert {action for action, _, _ in details} == set(made["options"]["customScripts"])
    assert [{}] * len(details) == [context for _, _, context in details]


async def test_a_verdict_s_detail_is_for_the_tenant_log(town: Town) -> None:
    address = town.somebody()
    known = await town.store.add(address, PASSWORD)

    wrong = await town.login("old", address, "wrong")
    unknown = await town.login("old", town.somebody(), "wrong")
    await town.store.answer_once("login", "barred")
    barred = await town.login("old", address)

    assert wrong.json() == unknown.json()
    assert 403 == wrong.status_code == unknown.status_code == barred.status_code
    assert {"error": "access_denied", "error_description": "Come back tomorrow."} == barred.json()
    fp, fu = (await town.logged("fp"))[0], (await town.logged("fu"))[0]
    assert (f"auth0|{known}", "that is not the password") == (fp["user_id"], fp["description"])
    assert ("", "nobody has this name") == (fu["user_id"], fu["description"])
