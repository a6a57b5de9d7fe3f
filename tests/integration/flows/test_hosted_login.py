"""`/authorize` and the hosted pages: what a browser without JavaScript sees."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jws

from tests.integration.flows.town import PASSWORD, Town, ticket_of
from tests.site import ISSUER

CALLBACK = "https://app.example/callback?from=login"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)


class Form(HTMLParser):
    """The one form of a page, and what a person hears of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.action = ""
        self.labels: set[str] = set()
        self.inputs: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        if tag == "label":
            self.labels.add(given["for"])
        if tag == "input":
            self.fields[given["name"]] = given.get("value", "")
            if given.get("type") != "hidden":
                self.inputs.add(given["id"])


class Browser:
    """Keeps cookies, follows no redirect by itself."""

    def __init__(self, town: Town, client_id: str) -> None:
        self.town = town
        self.client_id = client_id
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(town.site.auth.app), base_url="https://auth.example"
        )

    async def authorize(self, **more: str | None) -> httpx.Response:
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid profile email offline_access",
            "state": "xyz&1",
            "nonce": "n-0S6",
            "connection": "moving",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **more,
        }
        given = {name: value for name, value in query.items() if value is not None}
        return await self.http.get("/authorize", params=given)

    async def form(self, **more: str | None) -> Form:
        """The login form, from the beginning."""
        sent = await self.authorize(**more)
        assert 302 == sent.status_code, sent.text
        page = await self.http.get(sent.headers["location"])
        assert 200 == page.status_code
        return Form(page.text)

    async def submit(self, form: Form, **values: str) -> httpx.Response:
        return await self.http.post(form.action, data=form.fields | values)

    async def exchange(self, response: httpx.Response, **more: Any) -> httpx.Response:
        """Trade the code of a redirect for tokens."""
        body = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": sent_back(response)["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        return await self.http.post("/oauth/token", data=body | more)


def sent_back(response: httpx.Response) -> dict[str, str]:
    """What the application is told by a redirect."""
    assert 302 == response.status_code, response.text
    target = urlsplit(response.headers["location"])
    assert "app.example" == target.netloc
    return {name: values[0] for name, values in parse_qs(target.query).items()}


@pytest.fixture(scope="module")
async def public_client(shared_town: Town) -> str:
    made = await shared_town.site.manage(
        "POST",
        "clients",
        {
            "name": "Shop & Co",
            "app_type": "spa",
            "token_endpoint_auth_method": "none",
            "callbacks": [CALLBACK],
            "allowed_logout_urls": ["https://app.example/bye"],
        },
    )
    client_id = str(made.json()["client_id"])
    for realm in (shared_town.old, shared_town.moving):
        enabled = [*realm["enabled_clients"], client_id]
        await shared_town.site.manage(
            "PATCH", f"connections/{realm['id']}", {"enabled_clients": enabled}
        )
    return client_id


@pytest.fixture
async def browser(town: Town, public_client: str) -> AsyncIterator[Browser]:
    found = Browser(town, public_client)
    yield found
    await found.http.aclose()


async def test_a_login_ends_at_the_application_with_a_code(town: Town, browser: Browser) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD, nickname="Ada")

    form = await browser.form(login_hint=address)
    assert address == form.fields["username"]
    done = await browser.submit(form, password=PASSWORD)

    told = sent_back(done)
    assert ("login", "xyz&1") == (told["from"], told["state"])
    tokens = (await browser.exchange(done)).json()
    assert {"access_token", "id_token", "refresh_token"} <= set(tokens), tokens
    claims = jwt_claims(tokens["id_token"])
    assert (ISSUER, browser.client_id, "n-0S6", "Ada") == (
        claims["iss"],
        claims["aud"],
        claims["nonce"],
        claims["nickname"],
    )
    who = await browser.http.get(
        "/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"}
    )
    assert address == who.json()["email"]


def jwt_claims(token: str) -> dict[str, Any]:
    """Unverified: who signed is for other tests."""
    found: dict[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return found


async def test_a_code_works_once_and_a_second_use_ends_what_the_first_gave(
    town: Town, browser: Browser
) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    done = await browser.submit(await browser.form(), username=address, password=PASSWORD)

    first, second = await browser.exchange(done), await browser.exchange(done)

    assert (200, 403) == (first.status_code, second.status_code)
    assert {
        "error": "invalid_grant",
        "error_description": "Invalid authorization code",
    } == second.json()
    body = {
        "grant_type": "refresh_token",
        "client_id": browser.client_id,
        "refresh_token": first.json()["refresh_token"],
    }
    assert 403 == (await browser.http.post("/oauth/token", data=body)).status_code


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"redirect_uri": "https://app.example/other"},
        {"redirect_uri": ""},
    ],
)
async def test_a_code_is_worth_nothing_to_somebody_else(
    town: Town, browser: Browser, change: dict[str, str]
) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    done = await browser.submit(await browser.form(), username=address, password=PASSWORD)

    refused = await browser.exchange(done, **change)

    assert refused.status_code in {400, 403}
    assert "access_token" not in refused.json()


async def test_pages_let_no_script_run_and_nobody_frame_them(browser: Browser) -> None:
    sent = await browser.authorize()
    page = await browser.http.get(sent.headers["location"])

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://app.example" in policy
    assert ("DENY", "no-store", "nosniff") == (
        page.headers["x-frame-options"],
        page.headers["cache-control"],
        page.headers["x-content-type-options"],
    )
    assert "<script" not in page.text
    assert "Shop &amp; Co" in page.text
    cookie = sent.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "secure", "samesite=lax"))
    style = await browser.http.get("/u/style.css")
    assert (200, "text/css; charset=utf-8") == (style.status_code, style.headers["content-type"])


@pytest.mark.parametrize("path", ["login", "signup", "forgot-password"])
async def test_every_field_has_a_label(browser: Browser, path: str) -> None:
    sent = await browser.authorize()
    page = await browser.http.get(sent.headers["location"].replace("/u/login", f"/u/{path}"))

    form = Form(page.text)
    assert form.inputs
    assert form.inputs == form.labels
    assert '<html lang="en">' in page.text
    assert re.search(r"<title>[^<]+</title>", page.text)


async def test_a_wrong_password_is_said_and_the_name_is_kept(town: Town, browser: Browser) -> None:
    name = f'"><b>{town.somebody()}'

    refused = await browser.submit(await browser.form(), username=name, password="wrong")

    assert 403 == refused.status_code
    assert "Wrong email or password." in refused.text
    assert 'role="alert"' in refused.text
    assert "<b>person" not in refused.text
    assert "wrong" not in Form(refused.text).fields.values()
    again = await browser.submit(Form(refused.text), username=name, password="wrong")
    assert 403 == again.status_code


async def test_a_failure_of_the_store_is_no_wrong_password(town: Town, browser: Browser) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await town.store.answer_once("login", "outage")

    failed = await browser.submit(await browser.form(), username=address, password=PASSWORD)

    assert "Something went wrong, please try again later." in failed.text
    assert "Wrong email" not in failed.text
    done = await browser.submit(Form(failed.text), username=address, password=PASSWORD)
    assert "code" in sent_back(done)


async def test_what_a_script_tells_the_user_is_shown(town: Town, browser: Browser) -> None:
    address = town.somebody()
    await town.store.answer_once("login", "barred")

    failed = await browser.submit(await browser.form(), username=address, password=PASSWORD)

    assert "Come back tomorrow." in failed.text


@pytest.mark.parametrize("field", ["csrf", "state"])
async def test_a_form_of_another_page_is_refused(town: Town, browser: Browser, field: str) -> None:
    form = await browser.form()
    form.fields[field] = form.fields[field][:-4] + "AAAA"

    refused = await browser.submit(form, username=town.somebody(), password=PASSWORD)

    assert 400 == refused.status_code
    assert [] == await town.store.calls()


async def test_a_form_works_in_its_own_browser_only(
    town: Town, browser: Browser, public_client: str
) -> None:
    form = await browser.form()
    other = Browser(town, public_client)
    await other.form()

    refused = await other.submit(form, username=town.somebody(), password=PASSWORD)
    await other.http.aclose()

    assert 400 == refused.status_code
    assert [] == await town.store.calls()


@pytest.mark.parametrize(
    "change",
    [{"redirect_uri": "https://evil.example/"}, {"client_id": "nobody"}, {"redirect_uri": None}],
)
async def test_nobody_is_sent_to_an_address_that_the_client_does_not_list(
    browser: Browser, change: dict[str, str | None]
) -> None:
    refused = await browser.authorize(**change)

    assert 400 == refused.status_code
    assert "location" not in refused.headers


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "md5"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"connection": "nowhere"}, "invalid_request"),
        ({"audience": "https://unknown.example/"}, "access_denied"),
    ],
)
async def test_the_application_hears_what_was_wrong(
    browser: Browser, change: dict[str, str | None], error: str
) -> None:
    told = sent_back(await browser.authorize(**change))

    assert (error, "xyz&1") == (told["error"], told["state"])
    assert told["error_description"]


async def test_a_session_saves_the_second_login_until_logout(town: Town, browser: Browser) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await browser.submit(await browser.form(), username=address, password=PASSWORD)

    assert "code" in sent_back(await browser.authorize(prompt="none"))
    assert "/u/login" in (await browser.authorize(prompt="login")).headers["location"]
    assert "/u/login" in (await browser.authorize(connection="old")).headers["location"]

    query = {"client_id": browser.client_id, "returnTo": "https://app.example/bye"}
    left = await browser.http.get("/v2/logout", params=query)
    assert "https://app.example/bye" == left.headers["location"]
    assert "login_required" == sent_back(await browser.authorize(prompt="none"))["error"]
    away = await browser.http.get("/v2/logout", params=query | {"returnTo": "https://evil.example"})
    assert (400, False) == (away.status_code, "location" in away.headers)


async def test_a_session_is_no_way_into_a_client_that_the_connection_does_not_have(
    town: Town, browser: Browser
) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await browser.submit(await browser.form(), username=address, password=PASSWORD)
    stranger = await town.site.manage(
        "POST", "clients", {"name": "stranger", "callbacks": [CALLBACK]}
    )
    browser.client_id = stranger.json()["client_id"]

    told = sent_back(await browser.authorize(prompt="none", connection=None))

    assert "login_required" == told["error"]


async def test_a_blocked_user_s_session_is_over(town: Town, browser: Browser) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    await browser.submit(await browser.form(), username=address, password=PASSWORD)
    user = await town.user(address)
    assert user is not None

    await town.site.manage("PATCH", f"users/{user['user_id']}", {"blocked": True})

    assert "login_required" == sent_back(await browser.authorize(prompt="none"))["error"]


async def test_a_new_password_ends_sessions_and_refresh_tokens(
    town: Town, browser: Browser
) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    done = await browser.submit(await browser.form(), username=address, password=PASSWORD)
    tokens = (await browser.exchange(done)).json()
    await town.forgot("moving", address)

    await town.reset(await town.link_in_mail(address), "An0ther-one")

    assert "login_required" == sent_back(await browser.authorize(prompt="none"))["error"]
    body = {
        "grant_type": "refresh_token",
        "client_id": browser.client_id,
        "refresh_token": tokens["refresh_token"],
    }
    assert 403 == (await browser.http.post("/oauth/token", data=body)).status_code


async def test_a_sign_up_on_the_page_goes_on_as_a_login(town: Town, browser: Browser) -> None:
    address = town.somebody()
    sent = await browser.authorize()
    page = await browser.http.get(sent.headers["location"].replace("/u/login", "/u/signup"))

    weak = await browser.submit(Form(page.text), email=address, password="weak")
    assert 400 == weak.status_code
    assert "At least 8 characters in length" in weak.text
    known = town.somebody()
    await town.store.add(known, PASSWORD)
    taken = await browser.submit(Form(weak.text), email=known, password=PASSWORD)
    assert "Do you have an account already?" in taken.text
    done = await browser.submit(Form(taken.text), email=address, password=PASSWORD)

    assert 200 == (await browser.exchange(done)).status_code


async def test_a_forgotten_password_begins_on_the_page(town: Town, browser: Browser) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    sent = await browser.authorize()
    page = await browser.http.get(
        sent.headers["location"].replace("/u/login", "/u/forgot-password")
    )

    said = await browser.submit(Form(page.text), email=address)
    unknown = await browser.submit(Form(page.text), email=town.somebody())
    await town.settle()

    assert (200, said.text) == (said.status_code, unknown.text)
    link = await town.link_in_mail(address)
    form = Form((await browser.http.get(link)).text)
    assert ticket_of(link) == form.fields["ticket"]
    differ = await browser.submit(form, password="An0ther-one", again="An0ther-two")
    assert "The two passwords differ." in differ.text
    weak = await browser.submit(form, password="weak", again="weak")
    assert "At least 8 characters" in weak.text
    done = await browser.submit(form, password="An0ther-one", again="An0ther-one")
    assert "The new password is set" in done.text
    assert "works no more" in (await browser.http.get(link)).text
