"""compose.yaml obeys the Compose specification's own schema, and says what the code knows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import asyncpg
import jsonschema
import pytest
import yaml

from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from services.standalone import cli
from services.standalone.debian_packages import Unpacking, default_cache
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.guarded import Guarded
from services.standalone.http_client import call
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.database import open_database
from shared.errors import ServiceError
from shared.settings import env_name
from tests.deploy.chart import ROOT
from tests.processes import System, eventually
from tests.servers import missing

COMPOSE: Final = ROOT / "deploy" / "compose.yaml"
_SCHEMA: Final = Unpacking(
    name="docker-compose",
    version="unpacked-1",
    packages=("docker-compose",),
    needs=lambda _: False,
    without="unpack the distribution's docker-compose",
)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    try:
        root = _SCHEMA.folder(default_cache())
    except ServiceError as error:
        missing("the Compose specification's schema", error)
    [file] = root.glob("usr/lib/python3/dist-packages/compose/config/compose_spec.json")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def test_it_obeys_the_specification(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(schema).validate(compose)


def test_the_schema_would_notice(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    broken = compose | {"services": {"auth": compose["services"]["auth"] | {"restarts": "no"}}}

    with pytest.raises(jsonschema.ValidationError, match="restarts"):
        jsonschema.Draft7Validator(schema).validate(broken)


@pytest.mark.parametrize(
    ("service", "kind"), [("auth", AuthSettings), ("script-worker", WorkerSettings)]
)
def test_every_variable_is_a_setting_and_secrets_are_files(
    compose: dict[str, Any], service: str, kind: type[AuthSettings] | type[WorkerSettings]
) -> None:
    known = {env_name(kind, (name,)) for name in kind.model_fields}
    its = compose["services"][service]
    files = {each["target"] for each in its["secrets"]}

    assert set() == set(its["environment"]) - known, "settings"
    assert {"DATABASE_URL", "AMQP_URL", "TRICKLE_KEY_RING"} == files
    assert {each["source"] for each in its["secrets"]} <= compose["secrets"].keys()


def test_containers_are_as_restricted_as_pods(compose: dict[str, Any]) -> None:
    for name in ("migrate", "auth", "script-worker"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert ["ALL"] == service["cap_drop"]
        assert ["no-new-privileges:true"] == service["security_opt"]
        assert not service["user"].startswith("0")


def test_stopping_outlasts_what_is_in_hand(compose: dict[str, Any]) -> None:
    for name in ("auth", "script-worker"):
        service = compose["services"][name]
        drain = int(service["environment"]["TRICKLE_DRAIN_BUDGET"])
        assert 20 < drain < int(service["stop_grace_period"].removesuffix("s"))


def test_broker_and_database_reach_nothing_and_nothing_reaches_them(
    compose: dict[str, Any],
) -> None:
    assert compose["networks"]["inside"] == {"internal": True}
    for name in ("database", "broker", "migrate"):
        assert ["inside"] == compose["services"][name]["networks"]
        assert "ports" not in compose["services"][name]
    assert all("127.0.0.1:" in port for port in compose["services"]["auth"]["ports"])


def test_the_secrets_that_are_made_up_are_those_that_it_mounts(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"

    assert 0 == cli.main(["secrets", str(folder)])
    assert 1 == cli.main(["secrets", str(folder)]), "a second time would lock everybody out"

    mounted = {Path(each["file"]).name for each in compose["secrets"].values()}
    assert mounted == {path.name for path in folder.iterdir()}
    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o644} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.slow  # a Postgres and a RabbitMQ of its own
async def test_both_services_start_from_nothing_as_it_says(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    """Its commands, environment and secrets, as processes: images are what `./dev images` runs."""
    secrets = tmp_path / "secrets"
    cli.main(
        ["secrets", str(secrets), "--database-host", "127.0.0.1", "--broker-host", "127.0.0.1"]
    )
    configuration = (ROOT / "deploy" / "rabbitmq.conf").read_text()
    configuration = configuration.replace("/run/secrets/", f"{secrets}/")
    with EmbeddedPostgres() as postgres, PrivateRabbitMQ(configuration=configuration) as rabbitmq:
        await _as_the_image_does(postgres, secrets)
        for name, port in (("database", postgres.port), ("broker", rabbitmq.port)):
            for file in secrets.glob(f"*-{name}-url"):
                file.write_text(re.sub(r":(5432|5672)/", f":{port}/", file.read_text()))
        owner = (secrets / "auth-database-url").read_text()
        async with open_database(owner, pool_size=2) as database:
            its = System(owner, "", tmp_path, database)
            try:
                migrate = start(compose, "migrate", its, secrets)
                assert 0 == await asyncio.to_thread(migrate.wait)
                for name in ("auth", "script-worker"):
                    start(compose, name, its, secrets)
                await eventually(lambda: _answers(its), within=60)
                await its.connect("shop", LOGIN)
                await eventually(lambda: _logs_in(its), within=60)
                users = await asyncio.to_thread(rabbitmq.control, "-q", "list_users")
            finally:
                for process in reversed(its.running):
                    await asyncio.to_thread(process.stop)

    assert "ACCESS_REFUSED" not in its.logs
    assert {"user", "auth", "worker"} == {line.split()[0] for line in users.splitlines()}


LOGIN: Final = """function login(email, password, callback) {
  callback(null, { user_id: email, email: email });
}"""
MODULES: Final = {"migrate": "auth", "auth": "auth", "script-worker": "script_worker"}


async def _as_the_image_does(postgres: EmbeddedPostgres, secrets: Path) -> None:
    """The entry point of the image: the owner's password, the database, the scripts of a first start."""
    password = (secrets / "postgres-password").read_text()
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"ALTER ROLE trickle PASSWORD '{password}'")
        await connection.execute("CREATE DATABASE trickle")
        await connection.execute((secrets / "database-roles.sql").read_text())
    finally:
        await connection.close()


def start(compose: dict[str, Any], name: str, its: System, secrets: Path) -> Guarded:
    """One service as its container starts it; on a port of its own, and in a folder of secrets of its own."""
    service = compose["services"][name]
    folder = its.folder / f"{name}-secrets"
    folder.mkdir()
    for each in service["secrets"]:
        file = Path(compose["secrets"][each["source"]]["file"]).name
        (folder / each["target"]).write_text((secrets / file).read_text())
    said = {
        key: value for key, value in service["environment"].items() if value is not None
    }  # what stands there without a value is handed on from the caller
    environment = said | {
        "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
        "TRICKLE_SECRETS_DIR": str(folder),
        "TRICKLE_HOST": "127.0.0.1",
        "TRICKLE_METRICS_HOST": "127.0.0.1",
        "TRICKLE_METRICS_PORT": "0",
    }
    if "TRICKLE_ISSUER" in said:
        environment |= {"TRICKLE_ISSUER": f"{its.url}/", "TRICKLE_PORT": str(its.port)}
    module = f"services.{MODULES[name]}"
    command = [sys.executable, "-m", module, *service.get("command", ["serve"])]
    process = Guarded(command, env=environment, log=its.folder / f"{name}.log", grace=40)
    its.running.append(process)
    return process


async def _answers(its: System) -> bool:
    try:
        return (
            await call("GET", f"{its.url}/.well-known/openid-configuration", wait=5)
        ).status == 200
    except OSError:
        return False


async def _logs_in(its: System) -> bool:
    return (await its.login("ada@example.com")).status == 200
