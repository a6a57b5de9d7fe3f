"""The accounts of deploy/examples/rabbitmq-definitions.json on a real broker: enough, and no more."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Final

import aio_pika
import aiormq
import pytest
from aiormq.exceptions import ChannelAccessRefused

from services.standalone.first_secrets import account
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.sealing import KeyRing
from tests.broker_attempts import Attempts
from tests.deploy.chart import ROOT
from tests.processes import eventually, system

DEFINITIONS: Final = ROOT / "deploy" / "examples" / "rabbitmq-definitions.json"
PREFIX: Final = "trickle"
OURS: Final = "con_0123456789abcdef"
LOGIN: Final = """function login(email, password, callback) {
  callback(null, { user_id: email, email: email });
}"""


@pytest.fixture(scope="module")
def accounts(
    private_rabbitmq: PrivateRabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The file as it is, in a virtual host of these tests' and with passwords; user to URL."""
    vhost = f"v{secrets.token_hex(4)}"
    text = DEFINITIONS.read_text().replace('"vhost": "/"', f'"vhost": "{vhost}"')
    definitions = json.loads(text)
    passwords = {each["user"]: secrets.token_hex(8) for each in definitions["permissions"]}
    users = [account(user, password) for user, password in passwords.items()]
    file = tmp_path_factory.mktemp("accounts") / "definitions.json"
    file.write_text(json.dumps({"vhosts": [{"name": vhost}], "users": users, **definitions}))
    private_rabbitmq.control("import_definitions", str(file))
    place = private_rabbitmq.url.rpartition("@")[2]
    return {user: f"amqp://{user}:{word}@{place}{vhost}" for user, word in passwords.items()}


def beyond(user: str, to: Attempts) -> Iterable[Awaitable[None]]:
    """What an account must not do."""
    replies = f"{PREFIX}.integrator.billing.replies"
    events = f"{PREFIX}.integrator.billing.events"
    yield to.declare("mine")
    yield to.publish("", f"{PREFIX}.dead")
    yield to.publish("amq.topic", "x")
    yield to.delete("mine")
    if user != "billing":
        yield from (to.consume(queue) for queue in (replies, events))
    if user != "auth":
        yield from (to.delete(queue) for queue in (replies, events))
        yield to.consume(f"{PREFIX}.reply.of-a-replica")
        yield to.publish(f"{PREFIX}.control", "")
        yield to.publish(f"{PREFIX}.events", f"user.imported.{OURS}")
    if user == "worker":
        yield to.publish(f"{PREFIX}.req", OURS)
    if user == "billing":
        yield to.publish(f"{PREFIX}.req", "con_of_somebody_else")
        yield to.publish(f"{PREFIX}.reply", "billing.x")
        yield from (to.consume(f"{PREFIX}.{name}") for name in (f"req.{OURS}", "dead", "orphan"))
        yield to.bind(replies, f"{PREFIX}.reply")


async def refused(attempt: Awaitable[None]) -> bool:
    """Whether the broker says no."""
    try:
        await attempt
    except ChannelAccessRefused:
        return True
    return False


async def test_both_services_work_under_their_accounts_and_nobody_may_do_more(
    database_url: str, accounts: dict[str, str], tmp_path: Path
) -> None:
    async with system(database_url, accounts["auth"], tmp_path) as its:
        its.prefix = PREFIX
        await its.auth(TRICKLE_EVENTS="true")
        await its.worker(AMQP_URL=accounts["worker"], TRICKLE_EVENTS="true")
        await its.connect("shop", LOGIN)

        assert 200 == (await its.login("ada@example.com")).status
        await eventually(its.settled)
        assert "ACCESS_REFUSED" not in its.logs
        for user, url in accounts.items():
            async with await aio_pika.connect(url) as connection:
                for attempt in beyond(user, Attempts(connection)):
                    assert await refused(attempt), f"{user} may {attempt}"

    assert {"auth", "worker", "billing"} == accounts.keys()
    async with await aio_pika.connect(accounts["billing"]) as connection:
        may = Attempts(connection)  # so that the refusals above mean something
        await may.publish(f"{PREFIX}.req", OURS)
        await may.consume(f"{PREFIX}.integrator.billing.replies")
        await may.consume(f"{PREFIX}.integrator.billing.events")


@pytest.mark.parametrize("service", ["auth", "worker"])
async def test_first_aid_tells_a_service_that_has_another_s_account(
    database_url: str, accounts: dict[str, str], service: str
) -> None:
    module = {"auth": "services.auth", "worker": "services.script_worker"}[service]
    for user, url in accounts.items():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "check"),
            env={
                "PATH": os.defpath,
                "DATABASE_URL": database_url,
                "AMQP_URL": url,
                "TRICKLE_BROKER_PREFIX": PREFIX,
                "TRICKLE_KEY_RING": KeyRing.generate(),
                "TRICKLE_ISSUER": "https://login.example.com/",
            },
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await process.communicate())[0].decode()

        expected = "ok      broker" if user == service else "FAILED  broker: the broker refuses us"
        assert expected in said, f"{service} as {user}: {said}"


async def test_an_account_reaches_no_other_virtual_host(
    accounts: dict[str, str], private_rabbitmq: PrivateRabbitMQ
) -> None:
    for url in accounts.values():
        with pytest.raises(aiormq.exceptions.AMQPError):
            await aio_pika.connect(url.rpartition("/")[0] + "/")
