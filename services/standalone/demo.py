"""`./dev demo`: the main job, step by step, against a realistic legacy database.

Each step says what it does, shows what came back, and checks it; the exit code is 0 only if every
step did what it says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from services.standalone import legacy_database
from services.standalone.cli import Parser
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.http_client import Answer, call
from services.standalone.stack import Broker, Stack, open_stack
from shared.errors import ServiceError

REALM_GRANT: Final = "http://auth0.com/oauth/grant-type/password-realm"
_SPIN_BUDGET: Final = 2

_NEVER_CALLS_BACK: Final = """function login(email, password, callback) {
  if (password === 'right') return callback(null, { user_id: 1, email: email });
  // every other branch forgets the callback
}"""
_SPINS: Final = """function login(email, password, callback) {
  if (password === 'right') return callback(null, { user_id: email, email: email });
  while (true) { }
}"""


class StepFailed(Exception):
    """A step of the demo did not do what it says."""


@dataclass(slots=True)
class _Screen:
    """Numbers the steps and remembers how they went."""

    number: int = 0
    failed: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def note(self, text: str) -> None:
        self.line(f"     {text}")

    @contextlib.asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[None]:
        self.number += 1
        self.line(f"\n{self.number:>3}. {title}")
        begun = time.monotonic()
        try:
            yield
        except (StepFailed, OSError, KeyError, TypeError) as error:
            self.failed.append(title)
            self.line(f"     FAILED: {error!s}")
        else:
            self.line(f"     ok, {(time.monotonic() - begun) * 1000:.0f} ms")


class _Tenant:
    """Talks to auth as a tenant's administrator and as its application."""

    def __init__(self, stack: Stack, screen: _Screen) -> None:
        self._stack = stack
        self._screen = screen
        self._bearer = ""
        self._client_id = ""

    async def prepare(self, legacy_url: str) -> None:
        """A client and three connections: the shop, one that stalls, one that spins."""
        management = self._stack.management
        token = await call(
            "POST",
            f"{self._stack.auth_url}/oauth/token",
            body={
                "grant_type": "client_credentials",
                "client_id": management["client_id"],
                "client_secret": management["client_secret"],
                "audience": f"{self._stack.issuer}api/v2/",
            },
        )
        self._bearer = _expect(token, 200)["access_token"]
        client = await self._manage(
            "POST",
            "clients",
            {
                "name": "Shop",
                "app_type": "native",
                "grant_types": ["password", REALM_GRANT],
                "token_endpoint_auth_method": "none",
            },
        )
        self._client_id = client["client_id"]
        script = files("services.standalone").joinpath("legacy_login.js").read_text()
        await self._connection("shop", script, {"DATABASE_URL": legacy_url})
        await self._connection("stalls", _NEVER_CALLS_BACK, {})
        await self._connection("spins", _SPINS, {}, script_timeout_seconds=_SPIN_BUDGET)

    async def _connection(
        self, name: str, login: str, configuration: dict[str, str], **options: Any
    ) -> None:
        await self._manage(
            "POST",
            "connections",
            {
                "name": name,
                "strategy": "auth0",
                "enabled_clients": [self._client_id],
                "options": {
                    "enabledDatabaseCustomization": True,
                    "import_mode": True,
                    "customScripts": {"login": login},
                    "configuration": configuration,
                    **options,
                },
            },
        )

    async def _manage(self, method: str, path: str, body: Any) -> Any:
        url = f"{self._stack.auth_url}/api/v2/{path}"
        return _expect(await call(method, url, body=body, bearer=self._bearer), 201)

    async def login(self, username: str, password: str, realm: str = "shop") -> Answer:
        """Log in as the application does, and show the answer."""
        answer = await call(
            "POST",
            f"{self._stack.auth_url}/oauth/token",
            body={
                "grant_type": REALM_GRANT,
                "client_id": self._client_id,
                "username": username,
                "password": password,
                "realm": realm,
                "scope": "openid profile email",
            },
        )
        self._screen.note(f"POST /oauth/token  {username}  ->  {_brief(answer)}")
        return answer

    async def userinfo(self, token: str) -> Any:
        """Who the access token belongs to."""
        return _expect(await call("GET", f"{self._stack.auth_url}/userinfo", bearer=token), 200)


async def demo(*, rabbitmq: bool) -> int:
    """Run all steps; the exit code."""
    screen = _Screen()
    screen.line("Trickle: the first login of each user moves them.\n")
    async with contextlib.AsyncExitStack() as owned:
        legacy = EmbeddedPostgres()
        owned.push_async_callback(asyncio.to_thread, legacy.close)
        mode: Broker = "private" if rabbitmq else "never"
        stack, _ = await asyncio.gather(
            owned.enter_async_context(open_stack(rabbitmq=mode, say=screen.note)),
            _start_legacy(legacy, screen.note),
        )
        tenant = _Tenant(stack, screen)
        async with screen.step("A tenant: one application, three connections, import mode on"):
            await tenant.prepare(legacy.url)
        if not screen.failed:
            await _steps(screen, tenant, stack, legacy)
    return _close(screen)


async def _start_legacy(legacy: EmbeddedPostgres, say: Callable[[str], None]) -> None:
    await asyncio.to_thread(legacy.start)
    await legacy_database.fill(legacy.url)
    say(f"legacy database: {legacy_database.CUSTOMERS} customers with bcrypt hashes")


async def _steps(screen: _Screen, tenant: _Tenant, stack: Stack, legacy: EmbeddedPostgres) -> None:
    ada, grace, _ = legacy_database.KNOWN
    async with screen.step("First login of Ada: the legacy script is asked, the user is imported"):
        token = _expect(await tenant.login(ada.email, ada.password), 200)["access_token"]
        who = await tenant.userinfo(token)
        screen.note(f"GET /userinfo  ->  {who['sub']}  {who['name']}  {who['email']}")
        _check(who["sub"] == "auth0|1" and who["name"] == ada.name, "the imported profile is Ada's")
        _check(await _users(stack) == 1, "one user was imported")
    async with screen.step("Wrong password, for a migrated and for a not yet migrated user"):
        for username in (ada.email, grace.email):
            _check_error(await tenant.login(username, "not it"), 403, "invalid_grant")
    async with screen.step("Unknown user: the very same answer"):
        _check_error(await tenant.login("nobody@shop.example", "not it"), 403, "invalid_grant")
    async with screen.step("The legacy database is switched off; Ada logs in all the same"):
        await asyncio.to_thread(legacy.stop)
        _expect(await tenant.login(ada.email, ada.password), 200)
    async with screen.step("Grace, not yet migrated: an outage is not a wrong password"):
        answer = await tenant.login(grace.email, grace.password)
        _check_error(answer, 403, "access_denied")
        _check(await _users(stack) == 1, "nothing was imported, nobody was locked out")
    async with screen.step("The legacy database is back, and so is Grace"):
        await asyncio.to_thread(legacy.start)
        _expect(await tenant.login(grace.email, grace.password), 200)
        _check(await _users(stack) == 2, "two users are imported now")
    await _bad_scripts(screen, tenant)
    await _ledger(screen, stack)


async def _bad_scripts(screen: _Screen, tenant: _Tenant) -> None:
    async with screen.step("A script that never calls back is found out at once, not in 20 s"):
        begun = time.monotonic()
        _check_error(await tenant.login("a@b.example", "x", "stalls"), 403, "access_denied")
        _check(time.monotonic() - begun < _SPIN_BUDGET, "it was answered long before the deadline")
    async with screen.step(f"A script that spins is killed at its deadline of {_SPIN_BUDGET} s"):
        begun = time.monotonic()
        _check_error(await tenant.login("a@b.example", "x", "spins"), 403, "access_denied")
        _check(time.monotonic() - begun >= _SPIN_BUDGET * 0.9, "it had its whole budget")
    async with screen.step("The next login of that connection gets a fresh process"):
        _expect(await tenant.login("a@b.example", "right", "spins"), 200)


async def _ledger(screen: _Screen, stack: Stack) -> None:
    async with screen.step("The ledger: exactly one outcome for each request"):
        counts = await stack.ledger_counts()
        duplicates = await _duplicate_results(stack)
        screen.note(
            f"{counts.requests} requests, {counts.outcomes} outcomes,"
            f" {duplicates} duplicate results, {counts.undecided} undecided"
        )
        _check(counts.requests > 0, "scripts were run")
        _check(counts.requests == counts.outcomes, "every request has its outcome")
        _check(duplicates == 0 and counts.undecided == 0, "and only one")
        for kind, number in sorted(counts.kinds.items()):
            screen.note(f"{number:>3} {kind}")


async def _users(stack: Stack) -> int:
    return int(await stack.database.fetchval("SELECT count(*) FROM users"))


async def _duplicate_results(stack: Stack) -> int:
    """Copies of results that auth received and dropped, from its metrics."""
    answer = await call("GET", stack.metrics["auth"])
    counted = re.findall(
        r'^auth_script_rpc_replies_total\{disposition="(?:duplicate|late)"\} (\d+)',
        str(answer.body),
        re.MULTILINE,
    )
    return sum(map(int, counted))


def _close(screen: _Screen) -> int:
    took = time.monotonic() - screen.started
    if screen.failed:
        screen.line(f"\n{len(screen.failed)} of {screen.number} steps failed ({took:.0f} s):")
        for title in screen.failed:
            screen.line(f"  - {title}")
        return 1
    screen.line(f"\nAll {screen.number} steps did what they say ({took:.0f} s).")
    return 0


def _brief(answer: Answer) -> str:
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.status == 200:
        return f"200 {body.get('token_type', '')} token, {body.get('expires_in', '?')} s"
    return f"{answer.status} {body.get('error', '')}: {body.get('error_description', '')}"


def _expect(answer: Answer, status: int) -> Any:
    if answer.status != status:
        raise StepFailed(f"expected HTTP {status}, got {answer.status}: {answer.body}")
    return answer.body


def _check(holds: bool, promise: str) -> None:
    if not holds:
        raise StepFailed(f"not so: {promise}")


def _check_error(answer: Answer, status: int, error: str) -> None:
    body = answer.body if isinstance(answer.body, dict) else {}
    _check(answer.status == status and body.get("error") == error, f"HTTP {status} {error}")


def parser() -> argparse.ArgumentParser:
    """The command line of `trickle demo`."""
    described = Parser(
        prog="trickle demo",
        description="Walk through the main job against a realistic legacy database.",
    )
    described.add_argument(
        "--rabbitmq",
        action="store_true",
        help="two real processes over a private RabbitMQ, instead of one process without a broker",
    )
    return described


def run(arguments: argparse.Namespace) -> int:
    """Entry point of `trickle demo`."""
    try:
        return asyncio.run(demo(rabbitmq=arguments.rabbitmq))
    except KeyboardInterrupt:
        return 130
    except ServiceError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
