"""What people and programs send over HTTP with a secret in it: in its field, and where it is wrong."""

from __future__ import annotations

import json
import re
from email import message_from_bytes, policy
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from services.auth.http.operations import Operation
from services.auth.http.surface import OPERATIONS
from tests.canary.installation import Installation
from tests.canary.paths import PASSWORD_RULES, log_in
from tests.processes import eventually

_TICKET = re.compile(r"ticket=([\w-]{20,})")
_FIELD = re.compile(r'<input[^>]*name="(state|csrf|ticket)"[^>]*value="([^"]*)"')


async def requests_that_fail(its: Installation) -> None:
    """The password is where it belongs; something else is wrong."""
    password = its.marked.password()
    body = {
        "grant_type": "password",
        "client_id": its.client_id,
        "client_secret": its.marked.core("setting"),
        "username": "ada@example.com",
        "password": password,
        "email": "ada@example.com",
        "connection": "nowhere",
        "realm": "nowhere",
        "credential_type": "x",
    }
    broken = json.dumps(body)[:-1]
    for path in ("/oauth/token", "/dbconnections/signup", "/co/authenticate", "/oauth/revoke"):
        await its.ask("POST", path, json=body)
        await its.ask("POST", path, data=body)
        await its.ask("POST", path, json=body | {"client_secret": its.secret})
        await its.ask(
            "POST", path, json=body | {"password": [password], "username": {"a": password}}
        )
        await its.ask("POST", path, json=body | {"password": password * 100})
        await its.ask("POST", path, json=[body])
        await its.ask("POST", path, content=broken)
        await its.ask("POST", path, content=broken.encode("utf-16"))
        await its.ask("POST", path, content=password, headers={"content-type": "text/plain"})
        await its.ask("POST", f"{path}?password={quote(password)}", auth=("x", password))
        await its.ask("GET", f"{path}/{quote(password, safe='')}?password={quote(password)}")


async def fields_of_every_operation(its: Installation) -> None:
    """A secret of the wrong type in each field of each body, and in the URL of each operation."""
    secret = its.marked.core("misplaced")
    for one in OPERATIONS:
        path = re.sub(r"\{\w+\}", secret, one.path)
        headers = {"authorization": f"Bearer {its.bearer if one.scope else secret}"}
        query = {"password": secret, "client_secret": secret, "access_token": secret}
        await its.ask(one.method, path, params=query, headers=headers)
        for body in _wrong_bodies(one, secret):
            await its.ask(one.method, path, json=body, headers=headers)


def _wrong_bodies(one: Operation, secret: str) -> list[Any]:
    names = list(one.body.model_fields) if one.body is not None else []
    everywhere = [dict.fromkeys(names, value) for value in ({secret: secret}, [secret])]
    return [secret, *everywhere, *({name: [secret]} for name in names)]


async def people(its: Installation) -> None:
    """Sign-up, a local login, a reset by mail, the hosted pages, and what the Management API does."""
    password = its.marked.password() + PASSWORD_RULES
    signup = {"client_id": its.client_id, "connection": "plain", "email": "eve@example.com"}
    made = await its.ask("POST", "/dbconnections/signup", json=signup | {"password": password})
    assert 200 == made.status_code, made.text
    weak = its.marked.core("password")
    await its.ask("POST", "/dbconnections/signup", json=signup | {"password": weak[:9]})
    assert 200 == (await log_in(its, "eve", password, realm="plain")).status_code
    assert 403 == (await log_in(its, "eve", realm="plain")).status_code
    await its.ask("POST", "/dbconnections/change_password", json=signup)
    await _reset(its)
    await _hosted(its)


async def _ticket(its: Installation, about: str) -> str:
    """From the mail; the mail itself may hold its link, and nothing else."""

    async def there() -> bool:
        return any(about in str(_text(mail)) for mail in its.mailer.mails)

    await eventually(there)
    mail = next(mail for mail in its.mailer.mails if about in _text(mail))
    found = _TICKET.search(_text(mail))
    assert found is not None
    return found[1]


def _text(mail: bytes) -> str:
    message = message_from_bytes(mail, policy=policy.default)
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


async def _reset(its: Installation) -> None:
    ticket = its.marked.learned("ticket", await _ticket(its, "reset-password"))
    page = f"/u/reset-password?ticket={ticket}"
    await its.ask("GET", page, answered=False)
    for values in (
        {"password": its.marked.password(), "again": its.marked.password()},
        {"password": its.marked.core("password")[:6]},
    ):
        form = await its.ask(
            "POST", "/u/reset-password", data={"ticket": ticket} | values, answered=False
        )
        # The form comes back with its ticket, which belongs there, and without the password.
        its.answers[f"reset form {len(its.answers)}"] = form.content.replace(ticket.encode(), b"")
    good = {"ticket": ticket, "password": its.marked.password() + PASSWORD_RULES}
    assert 200 == (await its.ask("POST", "/u/reset-password", data=good)).status_code


async def _hosted(its: Installation) -> None:
    query = {
        "client_id": its.client_id,
        "redirect_uri": "https://app.example/cb",
        "response_type": "code",
        "connection": "shop",
        "state": "of the application",
    }
    await its.ask("GET", "/authorize", params=query, follow_redirects=False)
    page = await its.ask("GET", "/authorize", params=query, follow_redirects=True)
    form = {name: unescape(value) for name, value in _FIELD.findall(page.text)}
    assert {"state", "csrf"} == form.keys()
    for kind, status in (("wrong", 403), ("error", 403), ("hosted", 302)):
        values = {"username": f"{kind}@example.com", "password": its.marked.password()}
        answer = await its.ask("POST", "/u/login", data=form | values, answered=kind != "hosted")
        assert status == answer.status_code, answer.text
        if kind == "hosted":
            code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
            await _redeem(its, its.marked.learned("code", code))
    for cookie in its.http.cookies.jar:
        its.marked.learned(f"cookie {cookie.name}", str(cookie.value)[-40:])


async def _redeem(its: Installation, code: str) -> None:
    body = {
        "grant_type": "authorization_code",
        "client_id": its.client_id,
        "client_secret": its.secret,
        "redirect_uri": "https://app.example/cb",
        "code": code,
    }
    await its.ask(
        "POST", "/oauth/token", json=body | {"code_verifier": its.marked.core("password")}
    )
    await its.ask("POST", "/oauth/token", json=body, answered=False)
    await its.ask("POST", "/oauth/token", json=body)


async def management(its: Installation) -> None:
    """Users with passwords, second factors and hashes; clients and connections with secrets."""
    password = its.marked.password() + PASSWORD_RULES
    user = {"connection": "plain", "email": "max@example.com", "password": password}
    made = await its.manage("POST", "users", json=user)
    assert 201 == made.status_code, made.text
    await its.manage("POST", "users", json=user)
    path = f"users/{quote(made.json()['user_id'])}?password={quote(password)}"
    for change in (
        {"password": its.marked.password() + PASSWORD_RULES, "connection": "plain"},
        {"password": [password]},
        {"client_secret": password, "new_password": password, "Password": password},
        {"user_metadata": {"api_key": its.marked.core("metadata")}},
    ):
        await its.manage("PATCH", path, json=change)
    await its.manage("POST", "clients", json={"name": "x", "client_secret": [password]})
    await its.manage(
        "PATCH", f"clients/{its.client_id}", json={"name": "app", "client_secret": password}
    )
    options = {"configuration": {"A": its.marked.core("setting"), "B": [password], password: 1}}
    await its.manage(
        "POST", "connections", json={"name": "y", "strategy": "auth0", "options": options}
    )
    listed = [await its.manage("GET", path) for path in ("users", "connections", "clients", "logs")]
    assert {200} == {one.status_code for one in listed}


async def imports(its: Installation) -> None:
    """Users with hashes: good ones, and such as can't be read."""
    secret, factor = its.marked.core("hash"), its.marked.core("factor")
    good = {"algorithm": "sha256", "hash": {"value": "ab" * 32, "encoding": "hex"}}
    salted = good | {"salt": {"value": secret, "position": "prefix"}}
    broken = [
        "$2b$10$",
        "$argon2id$v=19$",
        "$pbkdf2-sha256$i=1",
        "$P$",
        "{SSHA}",
        "",
        "$scrypt$ln=",
    ]
    users = [
        {"email": "good@example.com", "custom_password_hash": salted},
        {"email": "two@example.com", "mfa_factors": [{"totp": {"secret": factor}}]},
        {"email": "three@example.com", "custom_password_hash": good | {"algorithm": secret}},
        {"email": "four@example.com", "custom_password_hash": {"hash": secret, secret: secret}},
        {"email": "five@example.com", "password_hash": [secret]},
        {"email": {"password_hash": secret}},
        *(
            {"email": f"b{n}@example.com", "password_hash": x + secret}
            for n, x in enumerate(broken)
        ),
        {"email": "good@example.com", "custom_password_hash": salted},
    ]
    connections = (await its.manage("GET", "connections?name=plain")).json()
    form = {"connection_id": connections[0]["id"]}
    for content in (json.dumps(users), json.dumps(users)[:-1], json.dumps({"users": users})):
        job = await its.manage("POST", "jobs/users-imports", data=form, files={"users": content})
        if job.status_code == 202:
            await _finished(its, job.json()["id"])


async def _finished(its: Installation, job: str) -> None:
    async def over() -> bool:
        return "completed" == str((await its.manage("GET", f"jobs/{job}")).json()["status"])

    await eventually(over)
    errors = await its.manage("GET", f"jobs/{job}/errors")
    assert 200 == errors.status_code
    assert 1 <= await its.database.fetchval(
        "SELECT count(*) FROM users WHERE email = 'good@example.com'"
    )
