"""Budgets ahead of the legacy store: who is refused, how, for how long, and who is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.auth.budgets import Budgets
from shared.errors import Unavailable
from tests.servers import Databases
from tests.site import LOGIN, PASSWORD, Site, opened

PROXY = {"TRICKLE_TRUSTED_PROXIES": "127.0.0.1"}
BLOCKED = {
    "error": "too_many_attempts",
    "error_description": "Your account has been blocked after multiple consecutive login attempts."
    " We've sent you an email with instructions on how to unblock it.",
}
HOME, OFFICE = "203.0.113.7", "198.51.100.9"


@dataclass(frozen=True)
class Shop:
    """A connection of its own, with users of its own, on a site that others use too."""

    site: Site
    name: str

    async def login(
        self, password: str, who: str = "ada@example.com", at: str = HOME
    ) -> tuple[int, str]:
        answer = await self.answer(password, who, at)
        return answer.status_code, answer.json().get("error", "")

    async def answer(
        self, password: str, who: str = "ada@example.com", at: str = HOME
    ) -> httpx.Response:
        headers = {"x-forwarded-for": at}
        return await self.site.login(password, who, headers=headers, realm=self.name)

    async def later(self, seconds: float) -> None:
        """Time passes, for every budget."""
        await self.site.database.execute(
            "UPDATE limits SET since = since - make_interval(secs => $1)", seconds
        )

    async def runs(self) -> int:
        return int(
            await self.site.database.fetchval(
                "SELECT count(*) FROM executions JOIN connections USING (connection_id)"
                " WHERE name = $1",
                self.name,
            )
        )


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    found = databases.fresh()
    yield found
    databases.drop(found)


@pytest.fixture(scope="module")
async def site(url: str) -> AsyncIterator[Site]:
    async with opened(url, **PROXY) as made:
        yield made


async def opening(site: Site, **options: Any) -> Shop:
    name = f"shop-{uuid4().hex[:8]}"
    login = LOGIN.replace("user_id: 7", f"user_id: '{name}|' + email")
    await site.connect(name, **({"customScripts": {"login": login}} | options))
    await site.database.execute("DELETE FROM limits")
    return Shop(site, name)


async def test_the_legacy_store_sees_fewer_denials_than_it_locks_a_user_out_for(
    site: Site,
) -> None:
    shop = await opening(site)
    answers = [await shop.login(f"guess {number}", at=f"192.0.2.{number}") for number in range(7)]

    assert [(403, "invalid_grant")] * 4 + [(429, "too_many_attempts")] * 3 == answers
    assert 4 == await shop.runs()
    assert (429, "too_many_attempts") == await shop.login(PASSWORD)
    assert (403, "invalid_grant") == await shop.login("x", "eve@example.com")

    await shop.later(600)  # as the store's own count
    assert (200, "") == await shop.login(PASSWORD)


async def test_however_many_come_at_once_the_store_sees_no_more(site: Site) -> None:
    shop = await opening(site)
    async with asyncio.TaskGroup() as tasks:
        guesses = [tasks.create_task(shop.login(f"guess {number}")) for number in range(20)]
    answers = sorted(guess.result() for guess in guesses)

    assert [(403, "invalid_grant")] * 4 + [(429, "too_many_attempts")] * 16 == answers
    assert 4 == await shop.runs()


async def test_what_was_given_back_and_not_heard_of_is_not_given_back_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that goes away between a commit and its answer makes no room for a guess."""
    shop = await opening(site)
    assert (403, "invalid_grant") == await shop.login("wrong")
    give_back = Budgets.give_back

    async def unheard(its: Budgets, amounts: Mapping[bytes, float]) -> None:
        await give_back(its, amounts)
        raise Unavailable("away")

    monkeypatch.setattr(Budgets, "give_back", unheard)
    assert (503, "temporarily_unavailable") == await shop.login("outage")

    levels = await site.database.fetch("SELECT level FROM limits WHERE budget = 'lockout'")
    assert [1.0] == [row["level"] for row in levels]


async def test_known_unknown_and_migrated_users_are_counted_alike(site: Site) -> None:
    shop = await opening(site)
    assert (200, "") == await shop.login(PASSWORD, "moved@example.com", at=OFFICE)
    answers = {
        who: [
            await shop.login("same" if number % 2 else f"guess {number}", who)
            for number in range(7)
        ]
        for who in ("moved@example.com", "ada@example.com", "nobody@example.com")
    }

    denied = [(403, "invalid_grant")] * 4 + [(429, "too_many_attempts")] * 3
    assert [denied] * 3 == list(answers.values())


async def test_equal_guesses_at_the_same_time_count_each(site: Site) -> None:
    shop = await opening(site)
    await shop.login(PASSWORD, "moved@example.com", at=OFFICE)
    for who in ("moved@example.com", "ada@example.com"):
        async with asyncio.TaskGroup() as tasks:
            guesses = [tasks.create_task(shop.login("same", who)) for _ in range(7)]
        answers = sorted(guess.result() for guess in guesses)
        assert [(403, "invalid_grant")] * 4 + [(429, "too_many_attempts")] * 3 == answers


async def test_a_migrated_user_is_not_kept_out_of_where_they_come_from(site: Site) -> None:
    shop = await opening(site)
    await shop.login(PASSWORD)
    for number in range(6):
        await shop.login(f"guess {number}", at=OFFICE)

    assert (429, "too_many_attempts") == await shop.login(PASSWORD, at="192.0.2.1")
    assert (200, "") == await shop.login(PASSWORD, at=HOME)


async def test_guesses_from_where_a_user_comes_from_are_counted_all_the_same(site: Site) -> None:
    shop = await opening(site)
    await shop.login(PASSWORD)
    for number in range(4):
        await shop.login(f"guess {number}", at=OFFICE)
    for number in range(12):  # each is denied by `lockout`, and counted by `identifier`
        assert (429, "too_many_attempts") == await shop.login(f"guess {number}", at=HOME)

    assert (429, "too_many_attempts") == await shop.login(PASSWORD, at=HOME)


async def test_however_many_come_at_once_one_beyond_the_budget_finds_no_password_kept_here(
    site: Site,
) -> None:
    shop = await opening(site)
    await shop.login(PASSWORD, at=OFFICE)
    async with asyncio.TaskGroup() as tasks:
        guesses = [tasks.create_task(shop.login(f"guess {number}")) for number in range(30)]
        right = tasks.create_task(shop.login(PASSWORD))

    assert 4 == [guess.result() for guess in guesses].count((403, "invalid_grant"))
    assert (429, "too_many_attempts") == right.result()
    assert (200, "") == await shop.login(PASSWORD, at=OFFICE)


async def test_a_new_password_of_two_spellings_of_a_name_unblocks_it(site: Site) -> None:
    shop = await opening(site)
    for number in range(5):
        await shop.login(f"guess {number}")
    connection_id = await site.database.fetchval(
        "SELECT connection_id FROM connections WHERE name = $1", shop.name
    )
    await site.auth.state.its.guard.changed(connection_id, {"Ada@Example.com", "ada@example.com"})

    assert (200, "") == await shop.login(PASSWORD)


async def test_a_right_password_empties_the_count(site: Site) -> None:
    shop = await opening(site)
    for _ in range(3):
        for number in range(3):
            assert (403, "invalid_grant") == await shop.login(f"guess {number}")
        assert (200, "") == await shop.login(PASSWORD)


async def test_an_outage_locks_nobody_out(site: Site) -> None:
    shop = await opening(site)
    for _ in range(12):
        status, error = await shop.login("outage")
        assert "too_many" not in error
        assert status in {403, 503}

    rows = await site.database.fetch("SELECT level FROM limits WHERE budget <> 'calls'")
    assert {0.0} == {row["level"] for row in rows}


async def test_an_address_has_a_budget_over_all_users(database_url: str) -> None:
    async with opened(database_url, **PROXY, TRICKLE_FAILURES_PER_ADDRESS="5") as site:
        shop = await opening(site)
        for number in range(5):
            await shop.login("x", f"user{number}@example.com")
        answer = await shop.answer("x", "other@example.com")

        assert (429, "too_many_requests") == (answer.status_code, answer.json()["error"])
        assert "Rate limit exceeded." == answer.json()["error_description"]
        assert "5" == answer.headers["x-ratelimit-limit"]
        assert "0" == answer.headers["x-ratelimit-remaining"]
        assert 17_270 < int(answer.headers["retry-after"]) <= 17_280
        assert (200, "") == await shop.login(PASSWORD, at=OFFICE)
        rows = await site.database.fetch("SELECT ip FROM logs WHERE type = 'limit_mu'")
        assert [HOME] == [row["ip"] for row in rows]

        assert 200 == (await site.manage("GET", f"anomaly/blocks/ips/{HOME}")).status_code
        assert 404 == (await site.manage("GET", f"anomaly/blocks/ips/{OFFICE}")).status_code
        assert 400 == (await site.manage("GET", "anomaly/blocks/ips/nowhere")).status_code
        assert 204 == (await site.manage("DELETE", f"anomaly/blocks/ips/{HOME}")).status_code
        assert 404 == (await site.manage("GET", f"anomaly/blocks/ips/{HOME}")).status_code
        assert (403, "invalid_grant") == await shop.login("x", "other@example.com")
        await shop.later(17_300)  # one leaked meanwhile
        assert (403, "invalid_grant") == await shop.login("x", "another@example.com")


async def test_right_passwords_use_up_no_address(database_url: str) -> None:
    async with opened(database_url, **PROXY, TRICKLE_FAILURES_PER_ADDRESS="2") as site:
        shop = await opening(site)
        for _ in range(6):
            assert (200, "") == await shop.login(PASSWORD, "ada@example.com")
        assert (403, "invalid_grant") == await shop.login("x")


async def test_a_count_outlives_a_restart_and_is_shared_by_replicas(database_url: str) -> None:
    key = {"TRICKLE_KEY_RING": "k1:" + "A" * 43 + "="}
    async with opened(database_url, **PROXY, **key) as first:
        shop = await opening(first)
        for number in range(4):
            await shop.login(f"guess {number}")
        async with opened(database_url, **PROXY, **key) as second:
            second.client_id, second.secret = first.client_id, first.secret
            assert (429, "too_many_attempts") == await Shop(second, shop.name).login(PASSWORD)
    async with opened(database_url, **PROXY, **key) as third:
        third.client_id, third.secret = first.client_id, first.secret
        assert (429, "too_many_attempts") == await Shop(third, shop.name).login(PASSWORD)


async def test_who_is_blocked_can_be_seen_and_unblocked(site: Site) -> None:
    shop = await opening(site, legacy_lockout_attempts=None)
    await shop.login(PASSWORD, at=OFFICE)
    user = f"auth0|{shop.name}|ada@example.com"
    for number in range(10):
        assert (403, "invalid_grant") == await shop.login(f"guess {number}")
    refused = await shop.answer(PASSWORD)

    assert (429, BLOCKED) == (refused.status_code, refused.json())
    assert (200, "") == await shop.login(PASSWORD, at=OFFICE)
    block = {"identifier": "ada@example.com", "ip": HOME, "connection": shop.name}
    for path in (f"user-blocks/{user}", "user-blocks?identifier=ADA@example.com"):
        found = (await site.manage("GET", path)).json()["blocked_for"]
        assert [block] == [one | {"identifier": one["identifier"].lower()} for one in found]

    assert 204 == (await site.manage("DELETE", f"user-blocks/{user}")).status_code
    assert {"blocked_for": []} == (await site.manage("GET", f"user-blocks/{user}")).json()
    assert (200, "") == await shop.login(PASSWORD)
    types = {row["type"] for row in await site.database.fetch("SELECT type FROM logs")}
    assert {"limit_wc", "ublkdu"} <= types


async def test_a_block_ends_after_thirty_days_of_quiet(site: Site) -> None:
    shop = await opening(site, legacy_lockout_attempts=None)
    for number in range(10):
        await shop.login(f"guess {number}")

    await shop.later(29 * 86_400)
    assert (429, "too_many_attempts") == await shop.login(PASSWORD)
    await shop.later(86_400)
    assert (200, "") == await shop.login(PASSWORD)


async def test_somebody_nobody_knows_is_unblocked_by_name(site: Site) -> None:
    shop = await opening(site)
    for number in range(5):
        await shop.login(f"guess {number}", "nobody@example.com")
    path = "user-blocks?identifier=nobody@example.com"

    shown = (await site.manage("GET", path)).json()
    assert {"blocked_for": [{"identifier": "nobody@example.com", "connection": shop.name}]} == shown
    assert 204 == (await site.manage("DELETE", path)).status_code
    assert (403, "invalid_grant") == await shop.login("x", "nobody@example.com")


async def test_protection_can_be_switched_off_for_a_connection(site: Site) -> None:
    shop = await opening(site, brute_force_protection=False, legacy_lockout_attempts=None)
    answers = {await shop.login(f"guess {number}") for number in range(12)}

    assert {(403, "invalid_grant")} == answers


async def test_sign_ups_and_forgotten_passwords_have_a_budget_for_each_address(
    database_url: str,
) -> None:
    few = {"TRICKLE_SIGN_UPS_PER_ADDRESS": "2", "TRICKLE_RESETS_PER_ADDRESS": "2"}
    async with opened(database_url, **PROXY, **few) as site:
        shop = await opening(site, enabledDatabaseCustomization=False)

        async def ask(path: str, number: int, at: str = HOME) -> Any:
            body = {
                "client_id": site.client_id,
                "connection": shop.name,
                "email": f"new{number}@example.com",
                **({"password": "Correct horse 42"} if path == "signup" else {}),
            }
            return await site.http.post(
                f"/dbconnections/{path}", json=body, headers={"x-forwarded-for": at}
            )

        for path in ("signup", "change_password"):
            answers = [await ask(path, number) for number in range(3)]
            assert [200, 200, 429] == [one.status_code for one in answers]
            assert {
                "error": "too_many_requests",
                "error_description": "Rate limit exceeded.",
            } == answers[2].json()
            assert int(answers[2].headers["retry-after"]) > 3600
            assert 200 == (await ask(path, 3, at=OFFICE)).status_code


async def test_nothing_of_an_identifier_or_a_password_is_in_the_table(site: Site) -> None:
    shop = await opening(site)
    await shop.login("a wrong password")
    rows = await site.database.fetch("SELECT to_jsonb(l)::text AS row FROM limits l")

    assert 4 == len(rows)
    assert not [row["row"] for row in rows if "ada" in row["row"] or "wrong" in row["row"]]


async def test_old_counts_are_forgotten(site: Site) -> None:
    shop = await opening(site)
    await shop.login("x")
    await shop.later(31 * 86_400)
    await site.auth.state.its.guard.forget_old()

    assert 0 == await site.count("limits")


async def test_a_connection_has_a_budget_of_calls(site: Site) -> None:
    shop = await opening(site, legacy_calls_per_second=1)
    async with asyncio.TaskGroup() as tasks:
        logins = [
            tasks.create_task(shop.login("x", f"user{number}@example.com")) for number in range(6)
        ]
    answers = [one.result() for one in logins]

    assert (403, "invalid_grant") in answers
    assert (429, "too_many_requests") in answers
