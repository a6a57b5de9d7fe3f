"""What nobody sends by accident is answered with an error of the caller's, never with one of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.auth.clients import REALM_GRANT
from tests.integration.flows.town import PASSWORD, Town

BODIES = [b"", b"[]", b"null", b'{"client_id": {"a": 1}}', b'{"client_id": "\\u0000"}', b"\xff"]
POSTS = ["/oauth/token", "/oauth/revoke", "/dbconnections/signup", "/co/authenticate"]
PAGES = [
    "/authorize?client_id=%00",
    "/authorize?client_id=a&redirect_uri=%00",
    "/u/login?state=%00",
    "/u/signup?state=AAAA",
    "/u/reset-password?ticket=%00",
    "/u/email-verification?ticket=%00",
    "/v2/logout?client_id=%00&returnTo=%00",
    "/userinfo",
]
MANAGED = [
    "users?q=email:%00",
    "users?q=email:%F0%9F%92%A9",
    "users?page=99999999999",
    "users?per_page=-1",
    "users?sort=password:1",
    "users/auth0%7C%00",
    "users-by-email?email=%00",
    "user-blocks/%00",
    "clients/%00",
    "connections/%00",
    "connections?name=%00",
    "connections?take=0",
    "connections?from=%25%25&take=1",
    "jobs/%00",
    "jobs/%00/errors",
    "logs?q=type:%00",
    "logs?from=x&take=1",
    "logs/%00",
    "resource-servers/%00",
]


@pytest.mark.parametrize("path", POSTS)
async def test_bodies(town: Town, path: str) -> None:
    for content in BODIES:
        headers = {"content-type": "application/json"}
        answer = await town.site.http.post(path, content=content, headers=headers)
        assert 400 <= answer.status_code < 500, content


@pytest.mark.parametrize("path", PAGES)
async def test_pages(town: Town, path: str) -> None:
    assert (await town.site.http.get(path)).status_code < 500


@pytest.mark.parametrize("path", MANAGED)
async def test_management(town: Town, path: str) -> None:
    answer = await town.site.http.get(f"/api/v2/{path}", headers=town.site.bearer)

    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "a\0@example.com"},
        {"email": "a@example.com\r\nBcc: b@example.com"},
        {"user_metadata": {"a": "\0"}},
        {"user_metadata": {"a": "\ud800"}},
        {"given_name": "\ud800"},
        {"given_name": "\0"},
        {"password": "\0" * 20 + "aA1"},
        {"password": "\ud800aA1aA1aA1"},
        {"user_id": "\ud800"},
        {"username": "a" * 10_000},
        {"app_metadata": {"deep": [[[[[[[[[[]]]]]]]]]]}},
    ],
)
async def test_users(town: Town, fields: dict[str, Any]) -> None:
    body = {"connection": "moving", "email": town.somebody(), "password": PASSWORD} | fields
    headers = town.site.bearer | {"content-type": "application/json"}

    made = await town.site.http.post(
        "/api/v2/users", content=json.dumps(body).encode(), headers=headers
    )
    login = {
        "grant_type": REALM_GRANT,
        "client_id": town.site.client_id,
        "client_secret": town.site.secret,
        "realm": "moving",
        "username": body["email"],
        "password": body["password"],
    }
    answer = await town.site.http.post(
        "/oauth/token", content=json.dumps(login).encode(), headers=headers
    )

    assert made.status_code < 500, made.text
    assert answer.status_code in {200, 400, 403}


async def test_a_state_stays_a_value(town: Town) -> None:
    made = await town.site.manage(
        "POST", "clients", {"name": "x", "callbacks": ["https://app.example/cb"]}
    )
    query = {
        "client_id": made.json()["client_id"],
        "redirect_uri": "https://app.example/cb",
        "response_type": "token",
        "state": "\r\nset-cookie: a=b",
    }

    answer = await town.site.http.get("/authorize", params=query)

    assert 302 == answer.status_code
    assert "set-cookie" not in answer.headers
    assert answer.headers["location"].startswith("https://app.example/cb?error=")
