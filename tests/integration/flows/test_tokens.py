"""Refresh tokens, cross-origin logins, signing keys: the rest of the Authentication API (C§7)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from services.auth import clients as clients_module
from services.auth.clients import REALM_GRANT
from shared.errors import Unavailable
from tests.integration.flows.town import PASSWORD, Town
from tests.site import ISSUER

ORIGIN = "https://app.example"


async def _lasting(town: Town, **more: Any) -> dict[str, Any]:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    answer = await town.login("moving", address, scope="openid email offline_access", **more)
    assert 200 == answer.status_code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _refresh(town: Town, token: str, **more: Any) -> httpx.Response:
    body = {
        "grant_type": "refresh_token",
        "client_id": town.site.client_id,
        "client_secret": town.site.secret,
        "refresh_token": token,
    }
    return await town.site.http.post("/oauth/token", json=body | more)


async def test_a_refresh_token_gives_another_and_dies(town: Town) -> None:
    first = await _lasting(town)

    second = await _refresh(town, first["refresh_token"])

    body = second.json()
    assert (200, "openid email offline_access") == (second.status_code, body["scope"])
    assert body["refresh_token"] != first["refresh_token"]
    assert "id_token" in body
    assert 200 == (await _refresh(town, body["refresh_token"])).status_code


async def test_a_stolen_refresh_token_ends_the_whole_family(town: Town) -> None:
    first = await _lasting(town)
    second = (await _refresh(town, first["refresh_token"])).json()

    stolen = await _refresh(town, first["refresh_token"])

    assert {
        "error": "invalid_grant",
        "error_description": "Unknown or invalid refresh token.",
    } == stolen.json()
    assert 403 == (await _refresh(town, second["refresh_token"])).status_code
    assert "fertft" == (await town.logged("fertft"))[0]["type"]


async def test_a_refresh_may_narrow_and_never_widen(town: Town) -> None:
    first = await _lasting(town)

    narrow = await _refresh(town, first["refresh_token"], scope="email read:users")

    assert "email" == narrow.json()["scope"]


async def test_a_client_may_keep_its_refresh_token(town: Town) -> None:
    settings = {"refresh_token": {"rotation_type": "non-rotating", "token_lifetime": 3600}}
    await town.site.manage("PATCH", f"clients/{town.site.client_id}", settings)
    first = await _lasting(town)

    answers = [await _refresh(town, first["refresh_token"]) for _ in range(2)]
    await town.site.manage("PATCH", f"clients/{town.site.client_id}", {"refresh_token": None})

    assert [200, 200] == [answer.status_code for answer in answers]
    assert "refresh_token" not in answers[0].json()


async def test_a_refresh_token_is_one_client_s_own(town: Town) -> None:
    first = await _lasting(town)
    other = (await town.site.manage("POST", "clients", {"name": "other"})).json()

    refused = await _refresh(
        town,
        first["refresh_token"],
        client_id=other["client_id"],
        client_secret=other["client_secret"],
    )

    assert 403 == refused.status_code
    assert 200 == (await _refresh(town, first["refresh_token"])).status_code


@pytest.mark.parametrize("how", ["revoked", "blocked", "deleted"])
async def test_a_refresh_token_ends_with_what_it_stands_for(town: Town, how: str) -> None:
    first = await _lasting(town)
    token = first["refresh_token"]
    claims = jwt.decode(first["id_token"], await _keys(town)).claims

    if how == "revoked":
        body = {"client_id": town.site.client_id, "client_secret": town.site.secret}
        revoked = await town.site.http.post("/oauth/revoke", json=body | {"token": token})
        unknown = await town.site.http.post("/oauth/revoke", json=body | {"token": "unknown"})
        assert [(200, b""), (200, b"")] == [(a.status_code, a.content) for a in (revoked, unknown)]
    elif how == "blocked":
        await town.site.manage("PATCH", f"users/{claims['sub']}", {"blocked": True})
    else:
        await town.site.manage("DELETE", f"users/{claims['sub']}")

    assert 403 == (await _refresh(town, token)).status_code


async def test_revoking_takes_a_client_s_secret(town: Town) -> None:
    first = await _lasting(town)
    body = {"client_id": town.site.client_id, "client_secret": "wrong"}

    refused = await town.site.http.post(
        "/oauth/revoke", json=body | {"token": first["refresh_token"]}
    )

    assert (401, "invalid_client") == (refused.status_code, refused.json()["error"])
    assert 200 == (await _refresh(town, first["refresh_token"])).status_code


async def _keys(town: Town) -> KeySet:
    found = await town.site.http.get("/.well-known/jwks.json")
    return KeySet.import_key_set(found.json())


async def test_signing_keys_rotate_and_tokens_of_the_last_one_stay_good(town: Town) -> None:
    before = (await _lasting(town))["id_token"]
    listed = (await town.site.manage("GET", "keys/signing")).json()
    assert {"current", "next"} <= {
        state for key in listed for state in ("current", "next") if key.get(state)
    }

    rotated = await town.site.manage("POST", "keys/signing/rotate")

    assert 201 == rotated.status_code, rotated.text
    after = (await _lasting(town))["id_token"]
    keys = await _keys(town)
    first, second = jwt.decode(before, keys), jwt.decode(after, keys)
    assert first.header["kid"] != second.header["kid"] == rotated.json()["kid"]
    assert ISSUER == second.claims["iss"]

    revoked = await town.site.manage("PUT", f"keys/signing/{first.header['kid']}/revoke")

    assert 200 == revoked.status_code, revoked.text
    names = {
        key["kid"] for key in (await town.site.http.get("/.well-known/jwks.json")).json()["keys"]
    }
    assert first.header["kid"] not in names
    assert second.header["kid"] in names
    refused = await town.site.manage("GET", "users")
    assert 401 == refused.status_code, "our own token was signed with the revoked key"
    await town.site.authorise()


async def test_published_keys_have_what_verifiers_look_for(town: Town) -> None:
    keys = (await town.site.http.get("/.well-known/jwks.json")).json()["keys"]

    for key in keys:
        assert {"kty", "use", "n", "e", "kid", "x5t", "x5c", "alg"} == set(key)
        assert ("RSA", "sig", "AQAB", "RS256") == (key["kty"], key["use"], key["e"], key["alg"])


async def test_discovery_names_what_exists(town: Town) -> None:
    found = (await town.site.http.get("/.well-known/openid-configuration")).json()

    assert ISSUER == found["issuer"]
    for name in ("authorization", "token", "userinfo", "revocation", "end_session"):
        path = found[f"{name}_endpoint"].removeprefix(ISSUER)
        answer = await town.site.http.get(f"/{path}")
        assert 404 != answer.status_code, path
    assert ["public"] == found["subject_types_supported"]
    assert "S256" in found["code_challenge_methods_supported"]


async def test_a_registered_audience_gets_a_signed_access_token(town: Town) -> None:
    server = {
        "identifier": "https://api.example/",
        "name": "API",
        "scopes": [{"value": "read:orders"}],
    }
    made = await town.site.manage("POST", "resource-servers", server)
    assert 201 == made.status_code, made.text
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    answer = await town.login(
        "moving",
        address,
        audience="https://api.example/",
        scope="openid read:orders write:orders",
    )
    refused = await town.login("moving", address, audience="https://other.example/")

    claims = jwt.decode(answer.json()["access_token"], await _keys(town)).claims
    assert ("https://api.example/", town.site.client_id, "openid read:orders", "password") == (
        claims["aud"],
        claims["azp"],
        claims["scope"],
        claims["gty"],
    )
    assert {
        "error": "invalid_request",
        "error_description": "invalid audience specified for password grant exchange",
    } == refused.json()
    who = await town.site.http.get(
        "/userinfo", headers={"authorization": f"Bearer {answer.json()['access_token']}"}
    )
    assert 200 == who.status_code


async def test_no_token_of_a_user_opens_the_management_api(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)
    wanted = {"audience": f"{ISSUER}api/v2/", "scope": "openid read:users delete:users"}

    refused = await town.login("moving", address, **wanted)
    plain = (await town.login("moving", address, scope=wanted["scope"])).json()

    assert 400 == refused.status_code
    for token in (plain["access_token"], plain["id_token"]):
        answer = await town.site.http.get(
            "/api/v2/users", headers={"authorization": f"Bearer {token}"}
        )
        assert 401 == answer.status_code


async def test_a_password_without_realm_goes_to_the_default_directory(town: Town) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    plain: dict[str, Any] = {"grant_type": "password", "realm": None}
    before = await town.site.login(PASSWORD, address, **plain)
    await town.site.manage("PATCH", "tenants/settings", {"default_directory": "moving"})
    after = await town.site.login(PASSWORD, address, **plain)
    await town.site.manage("PATCH", "tenants/settings", {"default_directory": None})

    assert (400, 200) == (before.status_code, after.status_code)


# -- cross-origin -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def page_client(shared_town: Town) -> str:
    made = await shared_town.site.manage(
        "POST",
        "clients",
        {
            "name": "page",
            "app_type": "spa",
            "callbacks": [f"{ORIGIN}/callback"],
            "web_origins": [ORIGIN],
        },
    )
    client_id = str(made.json()["client_id"])
    enabled = [*shared_town.moving["enabled_clients"], client_id]
    await shared_town.site.manage(
        "PATCH", f"connections/{shared_town.moving['id']}", {"enabled_clients": enabled}
    )
    return client_id


async def _from_page(
    town: Town, client_id: str, address: str, origin: str | None = ORIGIN, **more: Any
) -> httpx.Response:
    body = {
        "client_id": client_id,
        "username": address,
        "password": PASSWORD,
        "realm": "moving",
        "credential_type": REALM_GRANT,
    }
    headers = {} if origin is None else {"origin": origin}
    return await town.site.http.post("/co/authenticate", json=body | more, headers=headers)


async def test_a_page_logs_in_by_ticket(town: Town, page_client: str) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    answer = await _from_page(town, page_client, address)

    assert 200 == answer.status_code, answer.text
    assert {"login_ticket", "co_id", "co_verifier"} == set(answer.json())
    assert (ORIGIN, "true") == (
        answer.headers["access-control-allow-origin"],
        answer.headers["access-control-allow-credentials"],
    )
    query = {
        "client_id": page_client,
        "redirect_uri": f"{ORIGIN}/callback",
        "response_type": "code",
        "code_challenge": "c" * 43,
        "login_ticket": answer.json()["login_ticket"],
    }
    town.site.http.cookies.clear()
    stolen = await town.site.http.get("/authorize", params=query)
    assert "error=access_denied" in stolen.headers["location"]

    again = await _from_page(town, page_client, address)
    query["login_ticket"] = again.json()["login_ticket"]
    done = await town.site.http.get("/authorize", params=query)
    twice = await town.site.http.get("/authorize", params=query | {"prompt": "login"})
    town.site.http.cookies.clear()
    assert "code=" in done.headers["location"]
    assert "code=" not in twice.headers["location"]


@pytest.mark.parametrize(
    ("change", "status", "error", "text"),
    [
        ({"password": "wrong"}, 403, "access_denied", "Wrong email or password."),
        ({"realm": "nowhere"}, 400, "invalid_request", "Unknown realm nowhere."),
        ({"credential_type": "pigeon"}, 400, "unsupported_credential_type", None),
        ({"origin": "https://evil.example"}, 401, "unauthorized_client", None),
        ({"origin": None}, 401, "unauthorized_client", "Cross origin login not allowed."),
        ({"username": None}, 400, "invalid_request", None),
    ],
)
async def test_a_page_hears_what_auth0_js_knows(
    town: Town,
    page_client: str,
    change: dict[str, Any],
    status: int,
    error: str,
    text: str | None,
) -> None:
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    refused = await _from_page(town, page_client, **{"address": address} | change)

    assert (status, error) == (refused.status_code, refused.json()["error"])
    assert text is None or text == refused.json()["error_description"]


async def test_who_is_not_kept_cannot_log_in_from_a_page(town: Town, page_client: str) -> None:
    options = town.store.options(set_user_root_attributes="never_on_login")
    realm = await town.site.connect("unkept", **options)
    enabled = {"enabled_clients": [page_client]}
    await town.site.manage("PATCH", f"connections/{realm['id']}", enabled)
    address = town.somebody()
    await town.store.add(address, PASSWORD)

    refused = await _from_page(town, page_client, address, realm="unkept")

    assert (403, "access_denied") == (refused.status_code, refused.json()["error"])


async def test_a_failure_is_told_to_a_page_without_its_detail(town: Town, page_client: str) -> None:
    await town.store.answer_once("login", "outage")

    refused = await _from_page(town, page_client, town.somebody())

    assert (403, "access_denied", "Authentication error") == (
        refused.status_code,
        refused.json()["error"],
        refused.json()["error_description"],
    )


async def test_browsers_are_let_in_from_listed_origins_only(town: Town, page_client: str) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x"}

    listed = await town.site.http.request(
        "OPTIONS", "/oauth/token", headers={"origin": ORIGIN, **asked}
    )
    other = await town.site.http.request(
        "OPTIONS", "/oauth/token", headers={"origin": "https://evil.example", **asked}
    )
    api = await town.site.http.get("/api/v2/users", headers={"origin": ORIGIN})

    assert ORIGIN == listed.headers["access-control-allow-origin"]
    assert "POST" in listed.headers["access-control-allow-methods"]
    assert "Origin" in listed.headers["vary"]
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in api.headers
    assert page_client


class Away:
    """A database that is."""

    asked = 0

    async def fetch(self, _: str) -> None:
        self.asked += 1
        raise Unavailable("away")


class Silent(Away):
    """A database that is never heard of again."""

    async def fetch(self, _: str) -> None:
        self.asked += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", [Away, Silent])
async def test_without_its_database_browsers_get_their_answer_and_keep_their_origin(
    town: Town, page_client: str, monkeypatch: pytest.MonkeyPatch, kind: type[Away]
) -> None:
    site, clients, database = town.site, town.site.auth.state.clients, kind()
    monkeypatch.setattr(clients_module, "ORIGINS_WITHIN", 0.05)

    async def get() -> httpx.Response:
        return await site.http.get("/.well-known/jwks.json", headers={"origin": ORIGIN})

    async with asyncio.timeout(4):
        clients._origins = (0.0, frozenset())
        known = [await get()]
        monkeypatch.setattr(clients, "_database", database)
        clients._origins = (0.0, clients._origins[1])
        known += [await get(), await get()]
        asked = database.asked
        clients._origins = (0.0, frozenset())
        unknown = await get()

    assert page_client
    assert [200] * 4 == [answer.status_code for answer in (*known, unknown)]
    assert [ORIGIN] * 3 == [answer.headers["access-control-allow-origin"] for answer in known]
    assert 1 == asked  # the next request does not wait for it again
    assert "access-control-allow-origin" not in unknown.headers


async def test_every_answer_has_a_request_id(town: Town) -> None:
    answers = [await town.site.http.get(path) for path in ("/livez", "/userinfo", "/nowhere")]

    assert 3 == len({answer.headers["x-auth0-requestid"] for answer in answers})
    assert {"nosniff"} == {answer.headers["x-content-type-options"] for answer in answers}
    assert json.dumps("Unauthorized") != answers[1].text == "Unauthorized"
