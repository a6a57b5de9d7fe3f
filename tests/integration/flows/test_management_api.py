"""The Management API as SDKs use it: users, clients, tickets, jobs, logs (C§7.4, C§9)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote, urlsplit

import bcrypt
import httpx
import pytest

from tests.integration.flows.town import PASSWORD, Town, path_of, ticket_of

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


async def _create(town: Town, **more: Any) -> dict[str, Any]:
    body = {"connection": "moving", "email": town.somebody(), "password": PASSWORD} | more
    made = await town.site.manage("POST", "users", body)
    assert 201 == made.status_code, made.text
    user: dict[str, Any] = made.json()
    return user


async def _get(town: Town, path: str, **query: Any) -> httpx.Response:
    return await town.site.http.get(f"/api/v2/{path}", params=query, headers=town.site.bearer)


# -- users --------------------------------------------------------------------------------------


async def test_a_user_has_auth0_s_shape(town: Town) -> None:
    made = await _create(
        town, user_id="chosen|1", given_name="Ada", user_metadata={"plan": "silver"}
    )

    assert {
        "user_id": "auth0|chosen|1",
        "email_verified": False,
        "given_name": "Ada",
        "name": made["email"],
        "nickname": made["email"].partition("@")[0],
        "user_metadata": {"plan": "silver"},
        "identities": [
            {
                "connection": "moving",
                "user_id": "chosen|1",
                "provider": "auth0",
                "isSocial": False,
            }
        ],
    }.items() <= made.items()
    assert ISO.match(made["created_at"])
    assert ISO.match(made["updated_at"])
    assert made["picture"].startswith("https://s.gravatar.com/avatar/")
    assert not {"blocked", "last_login", "logins_count", "app_metadata"} & set(made)
    await town.login("moving", made["email"])
    seen = (await _get(town, f"users/{quote(made['user_id'], safe='')}")).json()
    assert (1, True) == (seen["logins_count"], bool(ISO.match(seen["last_login"])))


async def test_fields_can_be_chosen(town: Town) -> None:
    made = await _create(town)

    chosen = await _get(town, f"users/{made['user_id']}", fields="email,user_id")
    others = await _get(
        town, f"users/{made['user_id']}", fields="email,picture", include_fields="false"
    )

    assert {"email", "user_id"} == set(chosen.json())
    assert not {"email", "picture"} & set(others.json())


async def test_unset_attributes_go_and_unknown_users_are_404(town: Town) -> None:
    made = await _create(town, given_name="Ada")

    changed = await town.site.manage("PATCH", f"users/{made['user_id']}", {"given_name": None})
    missing = [
        await town.site.manage("GET", "users/auth0|nobody"),
        await town.site.manage("PATCH", "users/auth0|nobody", {"blocked": True}),
        await _get(town, "user-blocks/auth0|nobody"),
    ]

    assert "given_name" not in changed.json()
    assert {404} == {answer.status_code for answer in missing}
    assert {
        "statusCode": 404,
        "error": "Not Found",
        "message": "The user does not exist.",
        "errorCode": "inexistent_user",
    } == missing[0].json()


async def test_pages_end_with_an_empty_one(town: Town) -> None:
    marked = {"user_metadata": {"batch": "pages"}}
    made = {(await _create(town, **marked))["user_id"] for _ in range(5)}
    found: list[str] = []

    for number in range(4):
        answer = await _get(
            town,
            "users",
            q="user_metadata.batch:pages",
            page=number,
            per_page=2,
            include_totals="true",
            sort="created_at:1",
        )
        body = answer.json()
        assert (2 * number, 2, 5) == (body["start"], body["limit"], body["total"])
        assert body["length"] == len(body["users"])
        found += [user["user_id"] for user in body["users"]]

    assert made == set(found)
    assert 5 == len(found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('email:"{email}"', True),
        ("email:{email}", True),
        ("email:{local}*", True),
        ('name:"nobody" OR email:"{email}"', True),
        ('email:"{email}" AND NOT blocked:true', True),
        ('email:"{email}" AND user_metadata.plan:silver', True),
        ('email:"{email}" AND user_metadata.plan:gold', False),
        ('email:"{email}" AND app_metadata.a.b:c', True),
        ('identities.connection:"moving" AND email:"{email}"', True),
        ('email:"{email}" AND _exists_:last_login', False),
        ('(email:"{email}" OR email:"x") AND email_verified:false', True),
        ('email:"{email}" AND created_at:20*', True),
        ('email:"{email}\' OR 1=1 --"', False),
    ],
)
async def test_queries_find_what_they_say(town: Town, query: str, expected: bool) -> None:
    made = await _create(town, user_metadata={"plan": "silver"}, app_metadata={"a": {"b": "c"}})
    text = query.replace("{email}", made["email"]).replace(
        "{local}", made["email"].partition(".")[0]
    )

    found = await _get(town, "users", q=text, search_engine="v3")

    assert 200 == found.status_code, found.text
    assert expected == (made["user_id"] in [user["user_id"] for user in found.json()])


@pytest.mark.parametrize(
    "query", ["email:", "(email:a", "password:x", "email:*x", "NOT", 'email:"open', "a" * 5000]
)
async def test_a_query_that_is_not_understood_is_an_error(town: Town, query: str) -> None:
    refused = await _get(town, "users", q=query)

    assert (400, "invalid_query_string") == (refused.status_code, refused.json()["errorCode"])


async def test_a_search_ends_at_a_thousand(town: Town) -> None:
    refused = await _get(town, "users", q="email:a*", page=10, per_page=100)

    assert (400, "invalid_paging") == (refused.status_code, refused.json()["errorCode"])


async def test_users_by_email_wants_the_exact_address(town: Town) -> None:
    made = await _create(town)

    exact = await _get(town, "users-by-email", email=made["email"])
    other = await _get(town, "users-by-email", email=made["email"].upper())
    without = await _get(town, "users-by-email")

    assert [made["user_id"]] == [user["user_id"] for user in exact.json()]
    assert ([], 400) == (other.json(), without.status_code)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"email": "not an address"}, 400, "Payload validation error"),
        ({"password": "weak"}, 400, "PasswordStrengthError: Password is too weak"),
        ({"connection": "nowhere"}, 404, "connection"),
        ({"app_metadata": {"user_id": "x"}}, 400, "app_metadata"),
        ({"user_metadata": {"a.b": "x"}}, 400, "metadata"),
        ({"password": None}, 400, "password"),
        ({"user_id": "has space"}, 400, "user_id"),
    ],
)
async def test_bad_users_are_refused_and_their_passwords_not_quoted(
    town: Town, body: dict[str, Any], status: int, text: str
) -> None:
    given = {"connection": "moving", "email": town.somebody(), "password": "S3cret-enough"}

    refused = await town.site.manage("POST", "users", given | body)

    assert status == refused.status_code
    assert text in refused.json()["message"]
    assert "S3cret-enough" not in refused.text


async def test_two_users_with_one_address_or_id_are_refused(town: Town) -> None:
    made = await _create(town, user_id="twice")

    by_email = await town.site.manage(
        "POST",
        "users",
        {"connection": "moving", "email": made["email"].upper(), "password": PASSWORD},
    )
    by_id = await town.site.manage(
        "POST",
        "users",
        {
            "connection": "moving",
            "email": town.somebody(),
            "password": PASSWORD,
            "user_id": "twice",
        },
    )

    assert [409, 409] == [by_email.status_code, by_id.status_code]


# -- clients ------------------------------------------------------------------------------------


async def test_a_client_lives_and_dies(town: Town) -> None:
    body = {"name": "job", "app_type": "non_interactive", "description": "kept as it came"}
    made = (await town.site.manage("POST", "clients", body)).json()
    path = f"clients/{made['client_id']}"

    changed = await town.site.manage("PATCH", path, {"name": "work", "description": None})
    rotated = await town.site.manage("POST", f"{path}/rotate-secret")
    listed = (await _get(town, "clients", per_page=100)).json()
    seen = (await town.site.manage("GET", path)).json()
    gone = [await town.site.manage("DELETE", path) for _ in range(2)]

    assert re.match(r"^[A-Za-z0-9]{32}$", made["client_id"])
    assert 64 == len(made["client_secret"])
    assert ("work", False) == (changed.json()["name"], "description" in changed.json())
    assert made["client_secret"] != rotated.json()["client_secret"]
    assert made["client_id"] in [client["client_id"] for client in listed]
    assert "client_secret" not in seen
    assert [204, 204] == [answer.status_code for answer in gone]
    assert 404 == (await town.site.manage("GET", path)).status_code


# -- tickets ------------------------------------------------------------------------------------


async def test_a_password_ticket_sends_the_browser_on(town: Town) -> None:
    made = await _create(town)
    body = {
        "user_id": made["user_id"],
        "result_url": "https://app.example/done?a=b",
        "ttl_sec": 60,
        "mark_email_as_verified": True,
        "includeEmailInRedirect": True,
    }
    ticket = await town.site.manage("POST", "tickets/password-change", body)

    link = ticket.json()["ticket"]
    assert (201, True) == (ticket.status_code, link.endswith("#"))
    assert "/u/reset-password?ticket=" in link
    done = await town.reset(path_of(link), "An0ther-one")

    target = urlsplit(done.headers["location"])
    assert (302, "app.example", "/done") == (done.status_code, target.netloc, target.path)
    assert {"a=b", f"email={quote(made['email'])}", "success=true"} <= set(target.query.split("&"))
    user = await town.user(made["email"])
    assert user is not None
    assert user["email_verified"]
    assert 200 == (await town.login("moving", made["email"], "An0ther-one")).status_code


async def test_a_verification_ticket_works_once(town: Town) -> None:
    made = await _create(town)
    body = {"user_id": made["user_id"], "result_url": "https://app.example/done"}
    ticket = await town.site.manage("POST", "tickets/email-verification", body)

    link = path_of(ticket.json()["ticket"])
    done, again = await town.verify(link), await town.verify(link)

    assert (302, 400) == (done.status_code, again.status_code)
    assert "success=true" in done.headers["location"]
    assert "email=" not in done.headers["location"]


async def test_a_ticket_for_who_is_not_migrated_yet_asks_the_store(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    body = {"email": address, "connection_id": town.moving["id"]}

    ticket = await town.site.manage("POST", "tickets/password-change", body)
    unknown = await town.site.manage(
        "POST", "tickets/password-change", body | {"email": town.somebody()}
    )

    assert (201, 400) == (ticket.status_code, unknown.status_code), unknown.text
    assert ["get_user", "get_user"] == await town.store.calls()
    assert 200 == (await town.reset(path_of(ticket.json()["ticket"]), "An0ther-one")).status_code
    assert 200 == (await town.login("moving", address, "An0ther-one")).status_code


async def test_what_a_database_holds_of_a_ticket_opens_nothing(town: Town) -> None:
    made = await _create(town)
    ticket = await town.site.manage("POST", "tickets/password-change", {"user_id": made["user_id"]})

    rows = str(await town.site.database.fetch("SELECT t::text AS row FROM tickets t"))

    text = ticket_of(path_of(ticket.json()["ticket"]))
    assert text not in rows
    assert base64.b64encode(text.encode()).decode() not in rows


# -- jobs ---------------------------------------------------------------------------------------


async def _import(town: Town, users: Any, **fields: Any) -> httpx.Response:
    content = users if isinstance(users, bytes) else json.dumps(users).encode()
    return await town.site.http.post(
        "/api/v2/jobs/users-imports",
        files={"users": ("users.json", content, "application/json")},
        data={"connection_id": town.moving["id"]} | fields,
        headers=town.site.bearer,
    )


async def _finished(town: Town, job: httpx.Response) -> dict[str, Any]:
    assert 202 == job.status_code, job.text
    found: dict[str, Any] = {"status": "pending"}
    async with asyncio.timeout(30):
        while found["status"] in ("pending", "processing"):  # by the replica's own chore, perhaps
            await town.site.auth.state.jobs.run_waiting()
            found = (await _get(town, f"jobs/{job.json()['id']}")).json()
    return found


async def test_an_import_that_no_database_can_keep_is_refused(town: Town) -> None:
    """It would end one replica after the other: each takes the jobs of the one before."""
    for text in ("\0", "\ud800"):
        for user in ({"email": f"{text}@example.com"}, {"email": "a@example.com", text: 1}):
            refused = await _import(town, [user])
            assert (400, "invalid_body") == (refused.status_code, refused.json()["errorCode"])


async def test_users_come_with_the_hashes_that_they_have(town: Town) -> None:
    salt = b"pepper"
    hashes: dict[str, dict[str, Any]] = {
        "bcrypt": {"password_hash": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()},
        "md5": {
            "custom_password_hash": {
                "algorithm": "md5",
                "hash": {
                    "value": hashlib.md5(salt + PASSWORD.encode()).hexdigest(),  # noqa: S324
                    "encoding": "hex",
                },
                "salt": {"value": salt.decode(), "position": "prefix"},
            }
        },
        "sha256": {
            "custom_password_hash": {
                "algorithm": "sha256",
                "hash": {
                    "value": base64.b64encode(hashlib.sha256(PASSWORD.encode()).digest()).decode(),
                    "encoding": "base64",
                },
            }
        },
    }
    users = [{"email": town.somebody(), "name": name, **given} for name, given in hashes.items()]

    job = await _finished(town, await _import(town, users, external_id="first"))

    assert ("completed", "users_import", "moving", "first") == (
        job["status"],
        job["type"],
        job["connection"],
        job["external_id"],
    )
    assert {"failed": 0, "updated": 0, "inserted": 3, "total": 3} == job["summary"]
    assert 204 == (await _get(town, f"jobs/{job['id']}/errors")).status_code
    await town.store.details()
    for user in users:
        assert 403 == (await town.login("moving", user["email"], "wrong")).status_code
        assert 200 == (await town.login("moving", user["email"])).status_code, user["name"]
        stored = await town.site.database.fetchval(
            "SELECT password_hash FROM credentials JOIN users USING (user_id) WHERE email = $1",
            user["email"],
        )
        assert stored.startswith("$argon2id$"), "the first login replaces the hash"
        assert 200 == (await town.login("moving", user["email"])).status_code
    assert [] == await town.store.calls()


async def test_who_cannot_be_imported_is_listed_without_secrets(town: Town) -> None:
    known = await _create(town)
    users = [
        {"email": known["email"], "password_hash": bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()},
        {"email": "not an address", "custom_password_hash": {"algorithm": "rot13"}},
        {"name": "nobody"},
        {"email": town.somebody(), "password_hash": "no-hash-at-all"},
        "not even a user",
    ]

    job = await _finished(town, await _import(town, users))

    assert {"failed": 5, "updated": 0, "inserted": 0, "total": 5} == job["summary"]
    errors = (await _get(town, f"jobs/{job['id']}/errors")).json()
    assert [
        "DUPLICATED_USER",
        "INVALID_FORMAT",
        "MISSING_EMAIL",
        "INVALID_FORMAT",
        "INVALID_FORMAT",
    ] == [entry["errors"][0]["code"] for entry in errors]
    assert (
        "The user already exist and upsert parameter is false"
        == (errors[0]["errors"][0]["message"])
    )
    assert ("*****", known["email"]) == (
        errors[0]["user"]["password_hash"],
        errors[0]["user"]["email"],
    )
    assert "no-hash-at-all" not in str(errors)


async def test_an_upsert_updates_and_keeps_the_password(town: Town) -> None:
    known = await _create(town, user_metadata={"plan": "silver", "old": "kept"})
    users = [
        {
            "email": known["email"],
            "given_name": "Ada",
            "user_metadata": {"plan": "gold"},
            "password_hash": bcrypt.hashpw(b"older", bcrypt.gensalt(4)).decode(),
        }
    ]

    job = await _finished(town, await _import(town, users, upsert="true"))

    assert {"failed": 0, "updated": 1, "inserted": 0, "total": 1} == job["summary"]
    user = await town.user(known["email"])
    assert user is not None
    assert ("Ada", {"plan": "gold", "old": "kept"}) == (user["given_name"], user["user_metadata"])
    assert 200 == (await town.login("moving", known["email"])).status_code
    assert 403 == (await town.login("moving", known["email"], "older")).status_code


@pytest.mark.parametrize("content", [b"{}", b"not json", b"[" * 100_000, b"x" * 600_000])
async def test_a_file_that_is_none_is_refused(town: Town, content: bytes) -> None:
    refused = await _import(town, content)

    assert refused.status_code in {400, 413}
    assert 404 == (await _get(town, "jobs/job_unknown")).status_code


async def test_a_verification_mail_can_be_sent_again(town: Town) -> None:
    made = await _create(town, verify_email=False)
    assert [] == await town.mails_to(made["email"])

    job = await town.site.manage("POST", "jobs/verification-email", {"user_id": made["user_id"]})

    assert 201 == job.status_code
    assert {"type", "status", "created_at", "id"} == set(job.json())
    assert re.match(r"^job_[A-Za-z0-9]{16}$", job.json()["id"])
    seen = await _get(town, f"jobs/{job.json()['id']}")
    assert "completed" == seen.json()["status"]
    assert 200 == (await town.verify(await town.link_in_mail(made["email"]))).status_code


# -- logs ---------------------------------------------------------------------------------------


async def test_log_lines_have_auth0_s_shape_and_sortable_ids(town: Town) -> None:
    address = town.somebody()
    await town.login("moving", address, "wrong")

    line = (await town.logged("fu"))[0]

    assert {
        "type": "fu",
        "connection": "moving",
        "connection_id": town.moving["id"],
        "client_id": town.site.client_id,
        "client_name": "app",
        "user_name": address,
        "user_id": "",
        "strategy": "auth0",
        "strategy_type": "database",
        "isMobile": False,
        "description": "nobody has this name",
    }.items() <= line.items()
    assert ISO.match(line["date"])
    assert re.match(r"^900\d{53}$", line["log_id"])
    assert line["log_id"] == line["_id"]
    assert "nobody has this name" == line["details"]["error"]["message"]
    alone = await _get(town, f"logs/{line['log_id']}")
    assert line == alone.json()
    assert 404 == (await _get(town, "logs/" + "9" * 56)).status_code
    ids = [entry["log_id"] for entry in (await _get(town, "logs", per_page=100)).json()]
    assert sorted(ids, reverse=True) == ids


async def test_logs_are_read_on_from_a_checkpoint(town: Town) -> None:
    for _ in range(3):
        await town.login("moving", town.somebody(), "wrong")
    await town.settle()
    newest = (await _get(town, "logs", per_page=3)).json()

    after = await _get(town, "logs", **{"from": newest[2]["log_id"], "take": 100})
    totals = await _get(town, "logs", per_page=2, include_totals="true")

    assert {newest[0]["log_id"], newest[1]["log_id"]} <= {one["log_id"] for one in after.json()}
    assert newest[2]["log_id"] not in {one["log_id"] for one in after.json()}
    assert {"start", "limit", "length", "total", "logs"} == set(totals.json())
    assert (2, 2) == (totals.json()["limit"], totals.json()["length"])


async def test_a_user_s_own_lines(town: Town) -> None:
    made = await _create(town)
    await town.login("moving", made["email"])
    await town.settle()

    lines = (await _get(town, f"users/{made['user_id']}/logs")).json()

    assert "s" in [line["type"] for line in lines]
    assert {made["user_id"]} == {line["user_id"] for line in lines}


async def test_every_write_is_noted_without_its_secrets(town: Town) -> None:
    made = await _create(town)

    await town.site.manage("PATCH", f"users/{made['user_id']}", {"password": "An0ther-one"})

    line = (await town.logged("sapi"))[0]
    assert ("patch", f"/api/v2/users/{made['user_id']}", "*****") == (
        line["details"]["request"]["method"],
        line["details"]["request"]["path"],
        line["details"]["request"]["body"]["password"],
    )
    everything = str(await town.site.database.fetch("SELECT l::text AS row FROM logs l"))
    assert "An0ther-one" not in everything
    assert PASSWORD not in everything


@pytest.mark.parametrize("query", ["nonsense", "type:", "password:x"])
async def test_a_log_query_that_is_not_understood_is_an_error(town: Town, query: str) -> None:
    assert 400 == (await _get(town, "logs", q=query)).status_code


# -- the rest -----------------------------------------------------------------------------------


async def test_bare_values_are_added_to_the_configuration_and_kept_sealed(town: Town) -> None:
    script = "function login(email, password, callback) { callback(null, { user_id: 1 }); }"
    options = {"customScripts": {"login": script}, "configuration": {"URL": "https://db"}}
    made = await town.site.manage(
        "POST",
        "connections",
        {"strategy": "auth0", "name": "bare", "options": options},
    )
    assert 201 == made.status_code, made.text
    path = f"connections/{made.json()['id']}"

    given = made.json()["options"] | {"bareConfiguration": {"TOKEN": "s3cret-token"}}
    patched = await town.site.manage("PATCH", path, {"options": given})
    read = (await _get(town, path)).json()["options"]
    held = await town.site.database.fetchval("SELECT options FROM connections WHERE name = 'bare'")
    refused = await town.site.manage("PATCH", path, {"options": {"bareConfiguration": ["x"]}})

    assert 200 == patched.status_code, patched.text
    assert {"URL", "TOKEN"} == read["configuration"].keys()
    assert "bareConfiguration" not in read
    assert "s3cret-token" not in patched.text + json.dumps(read) + held
    assert 400 == refused.status_code


async def test_what_deploy_tools_ask_for_is_there(town: Town) -> None:
    made = await _create(town)

    blocks = await _get(town, f"user-blocks/{made['user_id']}")
    actions = await _get(town, "actions/actions")
    settings = await town.site.manage(
        "PATCH", "tenants/settings", {"friendly_name": "Town", "unknown": {"kept": True}}
    )

    assert {"blocked_for": []} == blocks.json()
    assert [] == actions.json()["actions"]
    assert ("Town", {"kept": True}) == (
        settings.json()["friendly_name"],
        settings.json()["unknown"],
    )


async def test_a_deleted_connection_takes_its_users_along(town: Town) -> None:
    realm = await town.site.connect("doomed", **town.store.options(import_mode=True))
    made = await _create(town, connection="doomed")

    gone = [await town.site.manage("DELETE", f"connections/{realm['id']}") for _ in range(2)]

    assert (202, 204) == (gone[0].status_code, gone[1].status_code)
    assert ISO.match(gone[0].json()["deleted_at"])
    assert 404 == (await town.site.manage("GET", f"users/{made['user_id']}")).status_code
    assert 404 == (await town.site.manage("GET", f"connections/{realm['id']}")).status_code


async def test_the_document_describes_every_operation_that_exists(town: Town) -> None:
    document = (await town.site.http.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))
    assert {"/oauth/token", "/api/v2/users/{id}", "/dbconnections/signup"} <= set(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scopes = operation.get("security")
            if path.startswith("/api/v2/"):
                assert scopes, f"{method} {path}"
                answer = await town.site.http.request(
                    method.upper(), path.replace("{", "").replace("}", "")
                )
                assert 401 == answer.status_code, f"{method} {path}"
