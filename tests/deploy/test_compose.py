"""compose.yaml obeys the Compose specification's own schema, and says what the code knows."""

from __future__ import annotations

import json
from typing import Any, Final

import jsonschema
import pytest
import yaml

from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from services.standalone.debian_packages import Unpacking, default_cache
from shared.errors import ServiceError
from shared.settings import env_name
from tests.deploy.chart import ROOT
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

    assert set() == set(its["environment"]) - known
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


def test_only_the_worker_reaches_beyond_the_installation(compose: dict[str, Any]) -> None:
    outside = {
        name
        for name, service in compose["services"].items()
        if "outside" in service.get("networks", [])
    }

    assert {"script-worker"} == outside
