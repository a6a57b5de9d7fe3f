"""compose.yaml obeys the Compose specification's own schema, and says what the code knows."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from services.standalone import cli
from services.standalone.debian_packages import Unpacking, default_cache
from services.standalone.guarded import Guarded
from services.standalone.http_client import call
from shared.database import open_database
from shared.errors import ServiceError
from shared.settings import env_name
from tests.deploy.composed import Composed, composed, stores
from tests.processes import System, eventually
from tests.servers import missing

_SCHEMA: Final = Unpacking(
    name="docker-compose",
    version="unpacked-1",
    packages=("docker-compose",),
    needs=lambda _: False,
    without="unpack the distribution's docker-compose",
)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return composed()


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
async def test_both_services_start_from_nothing_as_it_says(tmp_path: Path) -> None:
    """Its commands, environment and secrets, as processes; `./dev images` does it with containers."""
    async with stores(tmp_path) as its, open_database(its.owner, pool_size=2) as database:
        installed = System(its.owner, "", tmp_path, database)
        try:
            migrate = start(its, "migrate", installed)
            assert 0 == await asyncio.to_thread(migrate.wait)
            for name in ("auth", "script-worker"):
                start(its, name, installed)
            await eventually(lambda: _answers(installed), within=60)
            await installed.connect("shop", LOGIN)
            await eventually(lambda: _logs_in(installed), within=60)
            users = await asyncio.to_thread(its.rabbitmq.control, "-q", "list_users")
        finally:
            for process in reversed(installed.running):
                await asyncio.to_thread(process.stop)

    assert "ACCESS_REFUSED" not in installed.logs
    assert {"user", "auth", "worker"} == {line.split()[0] for line in users.splitlines()}


LOGIN: Final = """function login(email, password, callback) {
  callback(null, { user_id: email, email: email });
}"""
MODULES: Final = {"migrate": "auth", "auth": "auth", "script-worker": "script_worker"}


def start(its: Composed, name: str, installed: System) -> Guarded:
    """One service as its container starts it, with a folder of secrets of its own."""
    folder = installed.folder / f"{name}-secrets"
    folder.mkdir()
    for target, file in its.files(name).items():
        (folder / target).write_text(file.read_text())
    environment = its.environment(name, f"{installed.url}/", installed.port, 0) | {
        "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
        "TRICKLE_SECRETS_DIR": str(folder),
    }
    command = its.compose["services"][name].get("command", ["serve"])
    process = Guarded(
        [sys.executable, "-m", f"services.{MODULES[name]}", *command],
        env=environment,
        log=installed.folder / f"{name}.log",
        grace=40,
    )
    installed.running.append(process)
    return process


async def _answers(its: System) -> bool:
    try:
        found = await call("GET", f"{its.url}/.well-known/openid-configuration", wait=5)
    except OSError:
        return False
    return found.status == 200


async def _logs_in(its: System) -> bool:
    return (await its.login("ada@example.com")).status == 200
