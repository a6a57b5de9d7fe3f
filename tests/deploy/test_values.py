"""Every value of the chart does something, and a misspelt one is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any, Final

import jsonschema
import pytest
import yaml

from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from tests.deploy.chart import BY_CPU, CHART, FULL, INGRESS, SMALL, rendered, template

VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_text())
_OF_PODS: Final[dict[str, Any]] = {
    "replicaCount": 5,
    "extraEnv": {"TRICKLE_LOG_FORMAT": "console"},
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "resources": {"limits": {"memory": "999Mi"}},
    "image": {"repository": "another", "tag": "9.9", "digest": "sha256:" + "1" * 64},
    "serviceAccount": {"create": False, "name": "mine", "annotations": {"a": "b"}},
    "pdb": {"enabled": False, "maxUnavailable": "50%"},
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 587}]}]},
}
_SECRET: Final = {"name": "another", "key": "another"}
_PEERS: Final = {"to": [{"namespaceSelector": {}}], "ports": [9999]}
CHANGED: Final[dict[str, Any]] = {
    "nameOverride": "other",
    "fullnameOverride": "other",
    "commonLabels": {"a": "b"},
    "image": {"registry": "elsewhere.example.com", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "other"}],
    "issuer": "https://other.example.com/",
    "brokerPrefix": "other",
    "scriptDeadlineSeconds": 7,
    "logLevel": "debug",
    "secrets": {
        "keyRing": _SECRET,
        "auth": {"database": _SECRET, "broker": _SECRET, "smtp": _SECRET},
        "scriptWorker": {"database": _SECRET, "broker": _SECRET},
    },
    "auth": _OF_PODS
    | {
        "hashThreads": 9,
        "databasePool": 9,
        "trustedProxies": ["192.0.2.0/24"],
        "service": {"type": "NodePort", "port": 81, "annotations": {"a": "b"}},
        "autoscaling": {
            "enabled": False,
            "minReplicas": 3,
            "maxReplicas": 9,
            "targetCPUUtilizationPercentage": 50,
        },
        "networkPolicy": {
            "ingressFrom": [{"podSelector": {}}],
            "extraEgress": [{"ports": [{"port": 587}]}],
        },
    },
    "scriptWorker": _OF_PODS
    | {
        "concurrency": 9,
        "processesPerConnection": 9,
        "maxProcesses": 9,
        "blanks": 9,
        "memoryPerProcess": 100_000_000,
        "egress": {"default": "allow", "allow": ["other:1"], "refuse": ["192.0.2.0/24"]},
        "isolationRequired": "",
        "autoscaling": {
            "enabled": False,
            "kind": "hpa",
            "minReplicas": 3,
            "maxReplicas": 9,
            "queueName": "^other$",
            "queueLength": 9,
            "pollingInterval": 9,
            "cooldownPeriod": 9,
            "managementSecret": _SECRET,
            "targetCPUUtilizationPercentage": 50,
        },
    },
    "migrations": {
        "enabled": False,
        "activeDeadlineSeconds": 9,
        "backoffLimit": 9,
        "resources": {"limits": {"memory": "999Mi"}},
    },
    "networkPolicy": {
        "enabled": False,
        "dns": _PEERS,
        "broker": _PEERS,
        "database": _PEERS,
        "legacyDatabases": [],
        "monitoringNamespace": "other",
    },
    "ingress": {
        "enabled": False,
        "className": "other",
        "annotations": {"a": "b"},
        "hosts": [{"host": "other.example.com", "paths": [{"path": "/a", "pathType": "Exact"}]}],
        "tls": [],
    },
    "httpRoute": {
        "enabled": False,
        "annotations": {"a": "b"},
        "parentRefs": [{"name": "other"}],
        "hostnames": ["other.example.com"],
    },
    "metrics": {
        "podMonitor": {"enabled": False, "interval": "9s", "labels": {"a": "b"}},
        "prometheusRule": {"enabled": False, "labels": {"a": "b"}},
        "dashboards": {"enabled": False, "labels": {"a": "b"}, "annotations": {"a": "b"}},
    },
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}}],
}
FROM: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("ingress.", INGRESS),
    ("scriptWorker.autoscaling.targetCPUUtilizationPercentage", BY_CPU),
    ("auth.image.tag", SMALL),  # a digest says more than a tag
    ("scriptWorker.image.tag", SMALL),
    ("auth.replicaCount", SMALL),
    ("scriptWorker.replicaCount", SMALL),
    ("metrics.", FULL),
    ("", FULL | {"metrics": {}}),  # whose files take helm half of its time
)
"""What a value is changed in: the first whose beginning fits, since some exclude each other."""


OPEN: Final = {"labels", "annotations", "commonLabels", "resources", "extraEnv", "podAnnotations",
               "podLabels", "nodeSelector", "affinity"}  # fmt: skip
"""Maps whose names are the operator's."""


def leaves(values: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that can be given alone, by its dotted path; maps of one's own are one value."""
    for name, value in values.items():
        if isinstance(value, dict) and name not in OPEN:
            yield from leaves(value, f"{place}{name}.")
        else:
            yield place + name, value


def put(values: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with one value changed."""
    copy = deepcopy(values)
    *way, last = place.split(".")
    node = copy
    for name in way:
        node = node.setdefault(name, {})
    node[last] = value
    return copy


def test_every_value_has_a_change_here() -> None:
    assert set(dict(leaves(VALUES))) == set(dict(leaves(CHANGED)))


@pytest.mark.slow  # a rendering for each
def test_every_value_changes_what_is_rendered() -> None:
    changes = dict(leaves(CHANGED))

    def does_nothing(place: str) -> bool:
        base = next(base for beginning, base in FROM if place.startswith(beginning))
        changed = put(base, place, changes[place])
        return rendered(json.dumps(base, sort_keys=True)) == rendered(json.dumps(changed))

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(changes, pool.map(does_nothing, changes), strict=True))

    assert [] == [place for place, nothing in found.items() if nothing]


def test_the_schema_knows_what_the_values_hold_and_no_more() -> None:
    assert dict(SCHEMA["properties"]).keys() - {"global"} == VALUES.keys()
    for place, of_schema, of_values in objects(SCHEMA, VALUES):
        assert of_schema["additionalProperties"] is False, place
        assert of_values.keys() == of_schema["properties"].keys() - {"global"}, place


def objects(
    schema: dict[str, Any], values: dict[str, Any], place: str = "values"
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every object of fixed names, as the schema and the values have it."""
    if reference := schema.get("$ref"):
        schema = SCHEMA["$defs"][reference.rpartition("/")[2]]
    if "properties" in schema and place.rpartition(".")[2] != "resources":
        yield place, schema, values
        for name, value in values.items():
            if isinstance(value, dict):
                yield from objects(schema["properties"][name], value, f"{place}.{name}")


def test_a_misspelt_value_is_refused_at_every_level() -> None:
    judge = jsonschema.Draft7Validator(SCHEMA)
    judge.validate(VALUES | SMALL)

    for place, _, of_values in objects(SCHEMA, VALUES):
        for name in of_values:
            way = f"{place}.{name}z".removeprefix("values.")
            assert not judge.is_valid(put(VALUES | SMALL, way, of_values[name])), way


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "/issuer"),
        (SMALL | {"issuer": "login.example.com"}, "/issuer"),
        (SMALL | {"issuer": "https://login.example.com"}, "must end with a slash"),
        (SMALL | {"scriptDeadlineSeconds": 30}, "/scriptDeadlineSeconds"),
        (SMALL | {"auth": {"replicas": 3}}, "additional properties 'replicas' not allowed"),
        (SMALL | {"scriptWorker": {"isolationRequired": "most"}}, "'full', 'fs+net', 'fs'"),
        (
            SMALL | {"scriptWorker": {"egress": {"default": "deny"}, "isolationRequired": "fs"}},
            "deny takes the isolation level full",
        ),
        (SMALL | {"scriptWorker": {"autoscaling": {"minReplicas": 0}}}, "minReplicas"),
        (
            SMALL | {"auth": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
            "minReplicas is above maxReplicas",
        ),
        (SMALL | {"ingress": {"enabled": True}, "httpRoute": {"enabled": True}}, "choose one"),
        (
            SMALL | {"networkPolicy": {"legacyDatabases": [{"cidr": "old.example.com"}]}},
            "/networkPolicy/legacyDatabases/0",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_that_could_only_fail_later_are_refused(values: dict[str, Any], said: str) -> None:
    done = template(values)

    assert 0 != done.returncode
    assert said in done.stderr


def test_a_worker_of_the_chart_starts_with_what_a_worker_starts_with() -> None:
    """So that a script behaves there as under `trickle try`."""
    fields = WorkerSettings.model_fields
    of_chart = {
        "concurrency": "concurrency",
        "processesPerConnection": "processes_per_connection",
        "maxProcesses": "max_processes",
        "blanks": "blanks",
        "memoryPerProcess": "memory_per_process",
    }

    assert {name: fields[field].default for name, field in of_chart.items()} == {
        name: VALUES["scriptWorker"][name] for name in of_chart
    }
    assert AuthSettings.model_fields["database_pool"].default == VALUES["auth"]["databasePool"]
