"""auth over HTTP: both services in one process, on a real Postgres and real Node processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from services.auth.bootstrap import create_management_client
from services.auth.clients import REALM_GRANT
from tests.site import ISSUER, PASSWORD, Site, opened


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    async with opened(database_url) as found:
        yield found


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


async def test_a_first_login_imports_and_a_second_needs_no_script(site: Site) -> None:
    await site.connect()

    first = await site.login(PASSWORD)
    second = await site.login(PASSWORD, username=" ADA@example.com ")

    assert [200, 200] == [first.status_code, second.status_code]
    assert "x-trickle-execution-id" in first.headers
    assert "x-trickle-execution-id" not in second.headers
    assert "no-store" == first.headers["cache-control"]
    assert (1, 1) == (await site.count("users"), await site.count("executions"))
    row = await site.database.fetchrow("SELECT * FROM users JOIN credentials USING (user_id)")
    assert row is not None
    assert ("auth0|7", "7", True) == (row["user_id"], row["legacy_id"], row["email_verified"])
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_twenty_first_logins_at_once_import_one_user(site: Site) -> None:
    await site.connect()

    answers = await asyncio.gather(*(site.login(PASSWORD) for _ in range(20)))

    assert {200} == {answer.status_code for answer in answers}
    assert (1, 1) == (await site.count("users"), await site.count("executions"))
    lines = await site.database.fetch("SELECT type FROM logs ORDER BY type")
    told = Counter(line["type"] for line in lines)
    assert (1, 20, 20) == (told["trickle_user_imported"], told["s"], told["sepft"])


async def test_a_migrated_user_s_legacy_store_is_never_asked_again(site: Site) -> None:
    await site.connect()
    await site.login(PASSWORD)

    answers = [await site.login(password) for password in ("wrong", "outage", "stall")]

    assert {(403, "invalid_grant")} == {error(answer) for answer in answers}
    assert 1 == await site.count("executions")


@pytest.mark.parametrize(
    ("password", "expected", "description"),
    [
        ("wrong", (403, "invalid_grant"), "Wrong email or password."),
        ("outage", (403, "access_denied"), "Authentication error"),
        ("stall", (403, "access_denied"), "Authentication error"),
        ("nameless", (403, "access_denied"), "Authentication error"),
        ("barred", (403, "access_denied"), "come back tomorrow"),
    ],
)
async def test_verdicts_and_failures_read_as_the_contract_says(
    site: Site, password: str, expected: tuple[int, str], description: str
) -> None:
    """C§3.2: an outage never looks like a wrong password."""
    await site.connect()

    answer = await site.login(password)

    assert expected == error(answer)
    assert description == answer.json()["error_description"]
    # A denial looks as if no script had been asked: a migrated user's has none.
    assert (password != "wrong") == ("x-trickle-execution-id" in answer.headers)
    assert 0 == await site.count("users")


async def test_failures_become_503_where_the_connection_says_so(site: Site) -> None:
    await site.connect(failures_as_503=True)

    answer = await site.login("outage")

    assert (503, "temporarily_unavailable") == error(answer)
    assert "retry-after" in answer.headers


async def test_legacy_mode_asks_each_time_and_keeps_no_hash(site: Site) -> None:
    await site.connect(import_mode=False)

    answers = [await site.login(PASSWORD), await site.login(PASSWORD), await site.login("wrong")]

    assert [200, 200, 403] == [answer.status_code for answer in answers]
    assert (1, 0, 3) == (
        await site.count("users"),
        await site.count("credentials"),
        await site.count("executions"),
    )


async def test_without_a_broker_only_new_users_have_to_wait(site: Site) -> None:
    await site.connect()
    await site.login(PASSWORD)
    site.transport.cut()

    migrated = await site.login(PASSWORD)
    new = await site.login(PASSWORD, username="bob@example.com")

    assert 200 == migrated.status_code
    assert (503, "temporarily_unavailable") == error(new)
    assert int(new.headers["retry-after"]) in range(1, 4)


async def test_a_blocked_user_is_told_so(site: Site) -> None:
    await site.connect()
    await site.login(PASSWORD)
    await site.database.execute("UPDATE users SET blocked = true")

    assert (403, "unauthorized") == error(await site.login(PASSWORD))


async def test_forms_and_basic_authentication_work_too(site: Site) -> None:
    await site.connect()
    form = {
        "grant_type": REALM_GRANT,
        "username": "ada@example.com",
        "password": PASSWORD,
        "realm": "shop",
    }

    answer = await site.http.post(
        "/oauth/token", data=form, auth=httpx.BasicAuth(site.client_id, site.secret)
    )

    assert 200 == answer.status_code, answer.text


async def test_tokens_are_what_they_say(site: Site) -> None:
    await site.connect()
    body = (await site.login(PASSWORD)).json()
    jwks = KeySet.import_key_set((await site.http.get("/.well-known/jwks.json")).json())

    claims = jwt.decode(body["id_token"], jwks).claims
    who = await site.http.get(
        "/userinfo", headers={"authorization": f"Bearer {body['access_token']}"}
    )
    discovery = (await site.http.get("/.well-known/openid-configuration")).json()

    assert (ISSUER, site.client_id, "auth0|7") == (claims["iss"], claims["aud"], claims["sub"])
    assert ("auth0|7", "Ada", "ada@example.com") == tuple(
        who.json()[name] for name in ("sub", "name", "email")
    )
    assert 32 == len(body["access_token"])
    assert ISSUER == discovery["issuer"]
    assert 401 == (await site.http.get("/userinfo")).status_code


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_id": "nobody"}, (401, "invalid_client")),
        ({"client_secret": "wrong"}, (401, "invalid_client")),
        ({"realm": "nowhere"}, (400, "invalid_request")),
        ({"realm": None}, (400, "invalid_request")),
        ({"grant_type": "carrier-pigeon"}, (400, "unsupported_grant_type")),
        ({"username": None}, (400, "invalid_request")),
        ({"password": None}, (400, "invalid_request")),
        ({"password": ["a", "list"]}, (400, "invalid_request")),
        ({"password": "x" * 5000}, (400, "invalid_request")),
        ({"grant_type": "password", "realm": None}, (400, "server_error")),
    ],
)
async def test_bad_requests_get_clear_errors_that_quote_no_password(
    site: Site, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    await site.connect()

    answer = await site.login(**({"password": PASSWORD} | changes))

    assert expected == error(answer)
    assert PASSWORD not in answer.text
    assert 0 == await site.count("executions")


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[]", 400), (b"[" * 9000, 400), (b"x" * 70_000, 413)]
)
async def test_bodies_that_are_none(site: Site, content: bytes, status: int) -> None:
    answer = await site.http.post(
        "/oauth/token", content=content, headers={"content-type": "application/json"}
    )

    assert (status, "invalid_request") == error(answer)


async def test_configuration_is_write_only_and_its_ciphertext_means_unchanged(site: Site) -> None:
    """C§6.4: a client sends back what it read; that must not be encrypted again."""
    made = await site.connect()
    ciphertext = made["options"]["configuration"]["PASSWORD"]
    back = {"options": made["options"] | {"disable_signup": True}}

    changed = await site.manage("PATCH", f"connections/{made['id']}", back)
    await asyncio.sleep(0)
    login = await site.login(PASSWORD)

    assert PASSWORD not in str(made)
    assert ciphertext != changed.json()["options"]["configuration"]["PASSWORD"]
    assert changed.json()["options"]["disable_signup"] is True
    assert 200 == login.status_code, login.text


async def test_options_are_replaced_wholesale_and_make_a_new_revision(site: Site) -> None:
    made = await site.connect()
    revision = await site.database.fetchval("SELECT current_revision FROM connections")

    answer = await site.manage(
        "PATCH", f"connections/{made['id']}", {"options": {"import_mode": False}}
    )

    assert "customScripts" not in answer.json()["options"]
    assert "passwordPolicy" not in answer.json()["options"]
    assert revision != await site.database.fetchval("SELECT current_revision FROM connections")
    assert 2 == await site.count("connection_revisions")


async def test_both_ways_to_page(site: Site) -> None:
    for number in range(3):
        await site.connect(f"shop{number}")

    plain = (await site.manage("GET", "connections")).json()
    totals = (await site.manage("GET", "connections?per_page=2&page=1&include_totals=true")).json()
    first = (await site.manage("GET", "connections?take=2")).json()
    rest = (await site.manage("GET", f"connections?take=2&from={first['next']}")).json()
    beyond = (await site.manage("GET", "connections?page=9")).json()

    assert 3 == len(plain)
    assert (3, 2, 1) == (totals["total"], totals["start"], len(totals["connections"]))
    assert (2, 1) == (len(first["connections"]), len(rest["connections"]))
    assert "next" not in rest
    assert [] == beyond


async def test_the_management_api_refuses_in_auth0_s_words(site: Site) -> None:
    await site.connect()
    management = await site.manage("GET", "connections/con_0000000000000000")
    taken = await site.manage("POST", "connections", {"name": "shop", "strategy": "auth0"})
    big = {"login": "x" * 110_000}
    huge = await site.manage(
        "POST",
        "connections",
        {"name": "big", "strategy": "auth0", "options": {"customScripts": big}},
    )
    anonymous = await site.http.get("/api/v2/connections")
    forged = await site.http.get("/api/v2/connections", headers={"authorization": "Bearer a.b.c"})

    assert (404, "inexistent_connection") == (
        management.status_code,
        management.json()["errorCode"],
    )
    assert 409 == taken.status_code
    assert (400, "invalid_body") == (huge.status_code, huge.json()["errorCode"])
    assert (401, 401) == (anonymous.status_code, forged.status_code)
    assert 404 == (await site.http.get("/nowhere")).status_code
    assert 405 == (await site.http.get("/oauth/token")).status_code


async def test_a_token_opens_only_what_its_scopes_name(site: Site, database_url: str) -> None:
    management = await create_management_client(database_url)
    narrow = (await site.token(management, scope="read:clients")).json()["access_token"]
    bearer = {"authorization": f"Bearer {narrow}"}

    refused = await site.http.get("/api/v2/connections", headers=bearer)
    allowed = await site.http.get("/api/v2/clients", headers=bearer)

    assert (403, "insufficient_scope") == (refused.status_code, refused.json()["errorCode"])
    assert 200 == allowed.status_code
