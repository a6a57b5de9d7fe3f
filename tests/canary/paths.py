"""The paths that a secret may take: each drives the installation and asserts that it got there."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from services.auth.bootstrap import create_management_client
from services.auth.clients import REALM_GRANT
from services.standalone.guarded import Guarded
from shared.amqp import open_transport
from shared.topology import Names
from shared.transport import Message
from tests.canary.installation import Installation
from tests.processes import eventually

SOON = timedelta(seconds=5)
WITHIN = 30.0
PASSWORD_RULES = "aA1!"
SAYS = """
  const forms = [password, JSON.stringify({ password }), encodeURIComponent(password),
    Buffer.from(password).toString('hex'), Buffer.from('user:' + password).toString('base64'),
    'https://user:' + encodeURIComponent(configuration.SECRET) + '@old.example/'];
  for (const form of forms) { console.log(form); console.error('said', { form }); }
  console.log(arguments, configuration, process.env, process.argv);
  process.stdout.write(password + '\\n'); process.stderr.write(configuration.SECRET + '\\n');
"""
PROFILE = """{ user_id: email, email, name: 'Ada', email_verified: true, access_token: FACTOR.replace('factor', 'provider'),
    mfa_factors: [{ totp: { secret: FACTOR } }, { phone: { value: FACTOR } }] }"""
LOGIN = (
    """function login(email, password, callback) {
  const FACTOR = 'can' + 'ary7factor' + configuration.NUMBER; // not in the source as it is searched for
  const kind = email.split(/[.@]/)[0];
"""
    + SAYS
    + """
  const profile = """
    + PROFILE
    + """;
  console.log(profile, JSON.stringify(profile));
  const error = new Error('no: ' + password + ' ' + configuration.SECRET);
  error.code = password; error.detail = { password }; error.stack += password;
  if (kind === 'wrong') return callback(new WrongUsernameOrPasswordError(password, password));
  if (kind === 'invalid') return callback(new ValidationError(password, password));
  if (kind === 'barred') return callback(new UnauthorizedError('no ' + password));
  if (kind === 'error') return callback(error);
  if (kind === 'string') return callback(password);
  if (kind === 'object') return callback({ password, message: password, name: password });
  if (kind === 'throws') throw error;
  if (kind === 'throwsstring') throw password;
  if (kind === 'named') { error.name = password; throw error; }
  if (kind === 'rejects') return Promise.reject(error);
  if (kind === 'twice') { callback(null, profile); return callback(error); }
  if (kind === 'later') { setTimeout(() => { throw error; }, 20); return callback(null, profile); }
  if (kind === 'uncaught') return setTimeout(() => { throw error; }, 5);
  if (kind === 'nothing') return;
  if (kind === 'value') return callback(null, password);
  if (kind === 'nobody') return callback(null, { email: password, password });
  if (kind === 'cycle') { profile.self = profile; profile.password = password; return callback(null, profile); }
  if (kind === 'huge') { profile.text = password.repeat(100000); return callback(null, profile); }
  if (kind === 'exits') process.exit(3);
  if (kind === 'aborts') process.abort();
  if (kind === 'kills') process.kill(process.pid, 'SIGSEGV');
  if (kind === 'flood') { const line = password.repeat(1000); for (;;) require('fs').writeSync(1, line); }
  if (kind === 'spins') for (;;) { }
  if (kind === 'eats') { const all = []; for (;;) all.push(Buffer.alloc(1e6, password)); }
  callback(null, profile);
}"""
)
DENIED = ("wrong", "invalid", "barred")
FAILED = ("error", "string", "object", "throws", "throwsstring", "named", "rejects", "uncaught")
ODD = ("nothing", "value", "nobody", "cycle", "huge")
CRASHED = ("exits", "aborts", "kills", "flood")
SLOW = ("spins", "eats")
UNREADABLE = (
    "delivery.rejected",
    "dead_letter.unreadable",
    "orphan.unreadable",
    "result.unreadable",
)


async def introduce(its: Installation) -> None:
    """A management client, an application, a connection; what they get is secret from here on."""
    management = await create_management_client(its.database_url)
    its.marked.learned("client secret", management["client_secret"])
    asked = {"grant_type": "client_credentials", "audience": f"{its.url}/api/v2/"}
    token = await its.ask("POST", "/oauth/token", json=management | asked, answered=False)
    its.bearer = its.marked.learned("management token", token.json()["access_token"])
    application = {
        "name": "app",
        "grant_types": [REALM_GRANT, "authorization_code", "refresh_token"],
        "callbacks": ["https://app.example/cb"],
        "token_endpoint_auth_method": "client_secret_post",
    }
    made = await its.manage("POST", "clients", json=application, answered=False)
    its.client_id = made.json()["client_id"]
    its.secret = its.marked.learned("client secret 2", made.json()["client_secret"])
    await connect(its, "shop", LOGIN)
    await connect(its, "plain", LOGIN, enabledDatabaseCustomization=False, passwordPolicy="good")


async def connect(its: Installation, name: str, login: str, **options: Any) -> None:
    """A connection whose configuration is marked."""
    configuration = {
        "SECRET": its.marked.core("setting") + '"/ä',
        "NUMBER": its.marked.core("factor")[-3:],
    }
    body = {
        "name": name,
        "strategy": "auth0",
        "enabled_clients": [its.client_id],
        "options": {
            "enabledDatabaseCustomization": True,
            "import_mode": True,
            "customScripts": {"login": login},
            "configuration": configuration,
            "script_timeout_seconds": 4,
            **options,
        },
    }
    made = await its.manage("POST", "connections", json=body)
    assert 201 == made.status_code, made.text


async def log_in(its: Installation, kind: str, password: str | None = None, **more: Any) -> Any:
    """A login; `kind` is what its script does. Only a success has tokens, which belong there."""
    body = {
        "grant_type": REALM_GRANT,
        "client_id": its.client_id,
        "client_secret": its.secret,
        "username": f"{kind}@example.com",
        "password": its.marked.password() if password is None else password,
        "realm": "shop",
        "scope": "openid profile offline_access",
        **more,
    }
    answer = await its.ask("POST", "/oauth/token", json=body, answered=False)
    found = dict(answer.json())
    for name in ("access_token", "id_token", "refresh_token"):
        if name in found:
            its.marked.learned(f"{name} of {kind}", found.pop(name))
    its.answers[f"answer to the login {kind}"] = (
        repr(answer.headers.raw) + json.dumps(found)
    ).encode()
    return answer


async def logins(its: Installation, kinds: tuple[str, ...]) -> dict[str, int]:
    """One login a kind; their statuses. Denials in between: the legacy store is not to look broken."""
    found = {}
    for kind in kinds:
        found[kind] = (await log_in(its, kind)).status_code
        for number in range(2):
            await log_in(its, f"wrong.{kind}{number}")
    return found


async def strangers(its: Installation) -> None:
    """Messages that can't be read, results that nobody waits for: by whoever may publish."""
    names, secret = Names(its.prefix), its.marked.core("stranger")
    connection_id = await its.database.fetchval("SELECT connection_id FROM connections LIMIT 1")
    replica = await its.database.fetchval("SELECT reply_to FROM executions LIMIT 1")
    places = (
        (names.requests, connection_id),
        (names.replies, "nobody.there"),
        (names.replies, replica),
        (names.dead, ""),
    )
    bodies = (
        secret,
        json.dumps({"password": secret, secret: secret, "schema_version": 9}),
        json.dumps({"execution_id": secret, "outcome": {"kind": secret}}),
    )
    async with open_transport(its.amqp_url, client_name="stranger") as transport:
        for body in bodies:
            message = Message(
                body=body.encode(),
                type=secret,
                correlation_id=secret,
                reply_to=secret,
                headers={secret: secret},
            )
            for exchange, key in places:
                await transport.publish(exchange, key, message, within=SOON)
    for event in UNREADABLE:
        await eventually(partial(_logged, its, event))


async def _logged(its: Installation, event: str) -> bool:
    return event in its.logs


async def without_a_worker(its: Installation, worker: Guarded) -> Guarded:
    """Nobody takes a request, and what was taken comes again as dead letters; a new worker."""
    await asyncio.to_thread(worker.stop)
    assert (await log_in(its, "expires")).status_code in {403, 503}
    names = Names(its.prefix)
    async with open_transport(its.amqp_url, client_name="stranger") as transport:
        taken = [raw for name, raw in its.messages.items() if name.endswith(names.requests)]
        for raw in taken[-5:]:
            body = raw.partition(b"\n")[0]
            message = Message(body=body, type="again", correlation_id="again")
            await transport.publish(names.dead, "", message, within=SOON)
    await eventually(its.settled)
    return await its.worker()


async def _in_a_script(its: Installation) -> asyncio.Task[Any]:
    """A login whose script runs. Auth sees a second late that there is a worker again: 503 so long."""
    async with asyncio.timeout(WITHIN):
        while True:
            login = asyncio.create_task(log_in(its, "spins"))
            while not await its.claimed():
                await asyncio.sleep(0.02)
                if login.done():
                    assert 503 == login.result().status_code, login.result().text
                    break
            else:
                return login


async def killed_workers(its: Installation, worker: Guarded) -> None:
    """It dies in the middle of a script, by SIGKILL and by what would write a core."""
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
        login = await _in_a_script(its)
        worker.signal(number)
        assert 403 == (await login).status_code
        await eventually(its.settled)
        worker = await its.worker()


async def killed_auth(its: Installation) -> None:
    """It dies while a login waits, the same ways; its result finds nobody."""
    auth = its.running[0]
    for number in (signal.SIGKILL, signal.SIGSEGV):
        login = await _in_a_script(its)
        auth.signal(number)
        with pytest.raises(httpx.HTTPError):
            await login
        auth = await its.auth()
        await eventually(its.settled)
    assert 200 == (await log_in(its, "after")).status_code
