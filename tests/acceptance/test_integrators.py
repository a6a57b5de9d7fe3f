"""Another team on the queue, with a broker account and a sealing key of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aiormq.exceptions import ChannelAccessRefused

from services.auth.integrator_commands import definitions
from services.auth.integrators import Integrators
from services.script_worker.node_command import node_of_the_wheel
from services.standalone.http_client import call
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared import broker_rights
from shared.events import EVENT
from shared.sealing import KeyRing
from shared.topology import Names
from tests.broker_attempts import Attempts
from tests.conformance.server import CLIENTS
from tests.processes import System, eventually, system
from tests.servers import missing

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples" / "queue"
LOGIN = """function login(email, password, callback) {
  if (password === 'stall') return setTimeout(() => callback(null), 60000);
  if (password !== 'pw') return callback(new WrongUsernameOrPasswordError(email));
  setTimeout(() => callback(null, { user_id: email, email: email }), 20);
}"""


@dataclass
class Installation:
    """Both services under accounts of their own, and what other teams need."""

    its: System
    broker: PrivateRabbitMQ
    names: Names
    integrators: Integrators
    folder: Path
    urls: dict[str, str] = field(default_factory=dict, repr=False)

    def account(self, name: str, rights: dict[str, Any]) -> str:
        """An account on the broker with exactly these rights; its URL."""
        password = secrets.token_hex(8)
        user = f"{self.names.prefix}-{name}"
        text = json.dumps(rights).replace(f'"user": "{name}"', f'"user": "{user}"')
        (self.folder / f"{name}.json").write_text(text)
        self.broker.control("add_user", user, password)
        self.broker.control("import_definitions", str(self.folder / f"{name}.json"))
        place = urlsplit(self.broker.url).netloc.rpartition("@")[2]
        self.urls[name] = f"amqp://{user}:{password}@{place}/"
        return self.urls[name]

    async def integrator(self, name: str, *connections: str) -> str:
        """A new integrator with its account; its sealing key."""
        key = await self.integrators.add(name, connections)
        rights = definitions(self.names, await self.integrators.get(name))
        await asyncio.to_thread(self.account, name, rights)
        return key

    async def ask(
        self,
        name: str,
        key: str,
        connection_id: str,
        *arguments: str,
        timeout: float = 20,
        node: bool = False,
    ) -> dict[str, Any]:
        """The outcome that the example prints."""
        environment = {"TIMEOUT": str(timeout)}
        command = ["ask", connection_id, "login", json.dumps(arguments)]
        printed = await self.example(name, key, command, environment, node=node)
        found: dict[str, Any] = json.loads(printed)
        return found

    async def example(
        self,
        name: str,
        key: str,
        command: list[str],
        environment: dict[str, str],
        *,
        node: bool = False,
    ) -> str:
        """What it prints."""
        code, printed, _ = await self.ended(name, key, command, environment, node=node)
        assert 0 == code
        return printed

    async def ended(
        self,
        name: str,
        key: str,
        command: list[str],
        environment: dict[str, str],
        *,
        node: bool = False,
    ) -> tuple[int, str, str]:
        """Its exit code, what it prints, and what it says is wrong."""
        program = self._in_node() if node else [sys.executable, str(EXAMPLES / "integrator.py")]
        process = await asyncio.create_subprocess_exec(
            *program,
            *command,
            env={
                "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
                "AMQP_URL": self.urls[name],
                "SEALING_KEY": key,
                "PREFIX": self.names.prefix,
                **environment,
            },
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                printed, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return int(process.returncode or 0), printed.decode(), said.decode()

    def _in_node(self) -> list[str]:
        """Where amqplib is installed: Node looks beside the program."""
        program = self.folder / "integrator.mjs"
        if not program.exists():
            program.write_text((EXAMPLES / "integrator.mjs").read_text())
            (self.folder / "node_modules").symlink_to(CLIENTS / "node_modules")
        return [str(node_of_the_wheel()), str(program)]


@asynccontextmanager
async def installed(
    database_url: str, broker: PrivateRabbitMQ, folder: Path, **settings: str
) -> AsyncIterator[Installation]:
    async with system(database_url, broker.url, folder) as its:
        names = Names(its.prefix)
        ring = KeyRing.parse(its.ring)
        found = Installation(its, broker, names, Integrators(its.database, ring), folder)
        auth, worker = await asyncio.gather(
            asyncio.to_thread(found.account, "auth", broker_rights.auth(names).definitions("auth")),
            asyncio.to_thread(
                found.account, "worker", broker_rights.worker(names).definitions("worker")
            ),
        )
        await its.auth(None, AMQP_URL=auth, **settings)
        await its.worker(AMQP_URL=worker, **settings)
        yield found


async def test_a_team_asks_with_an_account_and_a_key_of_its_own_and_gets_what_auth_gets(
    database_url: str, private_rabbitmq: PrivateRabbitMQ, tmp_path: Path
) -> None:
    async with installed(database_url, private_rabbitmq, tmp_path) as one:
        shop = await one.its.connect("shop", LOGIN)
        bank = await one.its.connect("bank", LOGIN)
        first = await one.its.login("ada@example.com")
        key = await one.integrator("billing", shop)

        granted = await one.ask("billing", key, shop, "bob@example.com", "pw")
        denied = await one.ask("billing", key, shop, "bob@example.com", "no")
        late = await one.ask("billing", key, shop, "bob@example.com", "stall", timeout=1)

        assert 200 == first.status
        assert "bob@example.com" == granted["value"]["email"]
        assert ("denied", "wrong_password") == (denied["kind"], denied["reason"])
        assert "timed_out" == late["kind"]
        users = await one.its.database.fetchval("SELECT count(*) FROM users")
        assert 1 == users, "auth imports what it asked for, and nothing else"

        await one.integrator("crm", bank)
        fresh = await one.integrators.rotate("billing")
        rotated = await one.ask("billing", fresh, shop, "bob@example.com", "pw")
        await one.integrators.revoke("billing", key.partition(":")[0])
        revoked = await one.ask("billing", key, shop, "bob@example.com", "pw")

        assert "succeeded" == rotated["kind"]
        assert ("misconfigured", "undecryptable") == (revoked["kind"], revoked["detail"])
        await refused(one, "billing", shop, bank)

        await one.its.database.execute("DELETE FROM integrator_connections WHERE name = 'billing'")
        unbound = await one.ask("billing", fresh, shop, "bob@example.com", "pw")
        assert ("misconfigured", "undecryptable") == (unbound["kind"], unbound["detail"])


async def refused(one: Installation, name: str, own: str, foreign: str) -> None:
    """What its account can't do."""
    names, connection = one.names, await aio_pika.connect(one.urls[name])
    async with connection:
        to = Attempts(connection)
        mine = names.integrator_queue(name, "replies")
        theirs = names.integrator_queue("crm", "replies")
        attempts = [
            to.publish(names.requests, foreign),
            to.publish(names.replies, "crm.x"),
            to.publish(names.control, ""),
            to.publish(names.events, f"user.imported.{own}"),
            to.publish("", theirs),
            *(to.consume(queue) for queue in (theirs, names.request_queue(own), names.dead)),
            *(
                to.bind(mine, exchange)
                for exchange in (names.replies, names.requests, names.events)
            ),
            *(to.delete(queue) for queue in (mine, theirs, names.request_queue(own), names.dead)),
            *(to.purge(queue) for queue in (theirs, names.request_queue(own), names.orphans)),
            to.declare("mine"),
            to.declare(f"{names.prefix}.integrator.{name}.more"),
        ]
        for attempt in attempts:
            with pytest.raises(ChannelAccessRefused):
                await attempt
        await to.consume(mine)  # so that the refusals above mean something


async def test_both_services_work_with_the_permissions_of_their_accounts(
    database_url: str, private_rabbitmq: PrivateRabbitMQ, tmp_path: Path
) -> None:
    """Also where connections share lanes, come and go."""
    settings = {"TRICKLE_OWN_QUEUES": "1"}
    async with installed(database_url, private_rabbitmq, tmp_path, **settings) as one:
        await one.its.connect("shop", LOGIN)
        bank = await one.its.connect("bank", LOGIN)
        assert 200 == (await one.its.login("ada@example.com")).status
        assert 200 == (await one.its.login("bob@example.com", realm="bank")).status
        places = await one.its.database.fetch(
            "SELECT connection_id FROM connections WHERE lane >= 0"
        )
        assert [bank] == [row["connection_id"] for row in places]

        path = f"{one.its.url}/api/v2/connections/{bank}"
        assert 202 == (await call("DELETE", path, bearer=one.its.bearer)).status

        await asyncio.to_thread(private_rabbitmq.control, "close_all_connections", "again")
        await eventually(lambda: _logs_in(one, "eve"), within=60)
        await eventually(one.its.settled)

        assert "ACCESS_REFUSED" not in one.its.logs
        assert "queue.not_consumed" not in one.its.logs


async def _logs_in(one: Installation, name: str) -> bool:
    return (await one.its.login(f"{name}@example.com")).status == 200


async def test_both_examples_ask_and_are_told_what_happened_once_and_nothing_secret(
    database_url: str, private_rabbitmq: PrivateRabbitMQ, tmp_path: Path, node_clients: Path
) -> None:
    assert CLIENTS == node_clients
    async with installed(database_url, private_rabbitmq, tmp_path, TRICKLE_EVENTS="true") as one:
        shop = await one.its.connect("shop", LOGIN)
        bank = await one.its.connect("bank", LOGIN)
        keys = {name: await one.integrator(name, shop) for name in ("billing", "crm")}

        assert 200 == (await one.its.login("ada@example.com")).status
        assert 403 == (await one.its.login("eve@example.com", "s3cret-guess")).status
        assert 200 == (await one.its.login("bob@example.com", realm="bank")).status
        ask = partial(one.ask, "billing", keys["billing"], shop, "cyd@example.com", node=True)
        for node in (False, True):
            foreign = ["ask", bank, "login", '["cyd@example.com", "pw"]']
            code, printed, said = await one.ended(
                "billing", keys["billing"], foreign, {}, node=node
            )
            assert (1, "") == (code, printed), said
            assert "refuse" in said.splitlines()[0].lower()
            assert bank in said
            assert "Traceback" not in said
            assert "    at " not in said
        granted, denied, late = [await ask("pw"), await ask("no"), await ask("stall", timeout=1)]
        await eventually(lambda: _told(one))
        await _tell_again(one, shop)
        environment = {"EVENTS": "8"}
        in_python, in_node = [
            (await one.example(name, keys[name], ["events"], environment, node=node)).splitlines()
            for name, node in (("billing", False), ("crm", True))
        ]

    assert "cyd@example.com" == granted["value"]["email"]
    assert ("denied", "wrong_password", "timed_out") == (
        *(denied["kind"], denied["reason"]),
        late["kind"],
    )
    for lines in (in_python, in_node):
        events = [json.loads(line) for line in lines]
        for each in lines:
            EVENT.validate_json(each)
        assert {
            "user.imported": 1,
            "login.denied": 1,
            "execution.decided": 5,
            "user.imported again": 1,
        } == Counter(
            "user.imported again" if each["event_id"] == AGAIN else each["type"] for each in events
        )
        assert {shop} == {each["connection_id"] for each in events}
        assert bank not in str(events)
        decided = [each["data"] for each in events if each["type"] == "execution.decided"]
        assert Counter({"auth": 2, "billing": 3}) == Counter(each["origin"] for each in decided)
        assert not [secret for secret in ('pw"', "s3cret", "eve@", "cyd@") if secret in str(lines)]


AGAIN = "01890000-0000-4000-8000-000000000000"


async def _told(one: Installation) -> bool:
    return not await one.its.database.fetchval("SELECT count(*) FROM events")


async def _tell_again(one: Installation, connection_id: str) -> None:
    """One event three times under its id, as a replica does that lost its database in between."""
    for _ in range(3):
        await one.its.database.execute(
            "INSERT INTO events (event_id, type, connection_id, data)"
            " VALUES ($1, 'user.imported', $2, $3)",
            *(AGAIN, connection_id, json.dumps({"user_id": "auth0|x"})),
        )
    await eventually(lambda: _told(one))


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """Where amqplib is installed."""
    if not (CLIENTS / "node_modules" / "amqplib").exists():
        missing("amqplib", FileNotFoundError("run ./dev test, which installs it"))
    return CLIENTS
