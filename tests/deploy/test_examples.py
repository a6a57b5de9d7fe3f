"""The examples fit the chart, each other, and the definitions of the operators' resources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml
from pydantic import ValidationError

from services.standalone.broker_examples import definitions
from tests.deploy import custom_resources
from tests.deploy.chart import ROOT, environment, one, pod, render

EXAMPLES: Final = ROOT / "deploy" / "examples"
FREE: Final = {"labels", "annotations", "matchLabels"}
"""Maps whose keys are ours to choose."""


def shown() -> list[dict[str, Any]]:
    """Every object of the examples."""
    files = [path for path in sorted(EXAMPLES.glob("*.yaml")) if path.name != "values.yaml"]
    return [each for path in files for each in yaml.safe_load_all(path.read_text()) if each]


@pytest.fixture(scope="module")
def installed() -> list[dict[str, Any]]:
    """What the values that we show render."""
    return render(yaml.safe_load((EXAMPLES / "values.yaml").read_text()))


@pytest.fixture(scope="module")
def custom(
    everything: list[dict[str, Any]], installed: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Every custom resource that we write."""
    core = custom_resources.CORE
    return [each for each in [*everything, *installed, *shown()] if each["apiVersion"] not in core]


def test_custom_resources_are_what_their_operators_define(custom: list[dict[str, Any]]) -> None:
    for each in custom:
        custom_resources.judge(each)

    assert {
        *("ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule", "HTTPRoute"),
        *("RabbitmqCluster", "User", "Permission", "TopicPermission", "Cluster"),
        "CiliumEgressGatewayPolicy",
    } == {each["kind"] for each in custom}


def test_a_misspelt_field_is_noticed_wherever_it_stands(custom: list[dict[str, Any]]) -> None:
    for each in custom:
        for place, holder, key in fields(each):
            value = holder.pop(key)
            holder[key + "z"] = value
            assert not judged(each), f"{each['kind']}: {place}z went unnoticed"
            holder[key] = holder.pop(key + "z")


def judged(resource: dict[str, Any]) -> bool:
    """Whether it is as defined."""
    try:
        custom_resources.judge(resource)
    except ValidationError:
        return False
    return True


def fields(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every field of an object: where it stands, what holds it, its name."""
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from fields(each, f"{place}[{number}]")
    elif isinstance(node, dict):
        for key in list(node):
            yield f"{place}.{key}", node, key
            if key not in FREE:
                yield from fields(node[key], f"{place}.{key}")


def test_policies_let_through_what_the_operators_make(installed: list[dict[str, Any]]) -> None:
    """RabbitMQ's operator labels pods with the cluster's name, and CloudNativePG with its own label."""
    by_kind = {each["kind"]: each["metadata"] for each in shown()}
    peers = [
        peer["podSelector"]["matchLabels"]
        for rule in one(installed, "NetworkPolicy", "auth")["spec"]["egress"]
        for peer in rule["to"]
        if set(peer) == {"podSelector"}
    ]

    assert {"app.kubernetes.io/name": by_kind["RabbitmqCluster"]["name"]} in peers
    assert {"cnpg.io/cluster": by_kind["Cluster"]["name"]} in peers
    namespaces = {each["metadata"].get("namespace") for each in shown()}
    assert {None, "login"} == namespaces, "all in one namespace, but for what has none"


def test_the_operators_services_find_no_pod_of_ours(installed: list[dict[str, Any]]) -> None:
    """RabbitMQ's Service selects by `app.kubernetes.io/name` alone."""
    [cluster] = [each for each in shown() if each["kind"] == "RabbitmqCluster"]

    for workload in installed:
        if workload["kind"] in {"Deployment", "Job"}:
            labels = workload["spec"]["template"]["metadata"]["labels"]
            assert cluster["metadata"]["name"] != labels["app.kubernetes.io/name"]


def test_the_gateway_for_egress_takes_what_workers_send_to_the_legacy_databases(
    installed: list[dict[str, Any]],
) -> None:
    [gateway] = [each["spec"] for each in shown() if each["kind"] == "CiliumEgressGatewayPolicy"]
    worker = one(installed, "Deployment", "script-worker")
    labels = worker["spec"]["template"]["metadata"]["labels"]
    labels |= {"io.kubernetes.pod.namespace": "login"}
    allowed = {
        peer["ipBlock"]["cidr"]
        for rule in one(installed, "NetworkPolicy", "script-worker")["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    }

    assert allowed == set(gateway["destinationCIDRs"])
    for selector in gateway["selectors"]:
        assert selector["podSelector"]["matchLabels"].items() <= labels.items()


def test_secrets_that_operators_write_have_the_names_that_the_values_say(
    installed: list[dict[str, Any]],
) -> None:
    [cluster] = [each["metadata"]["name"] for each in shown() if each["kind"] == "Cluster"]
    secrets = json.dumps(pod(one(installed, "Deployment", "auth"))["volumes"])

    assert f'"{cluster}-app"' in secrets


def test_the_guide_makes_every_secret_that_something_names(installed: list[dict[str, Any]]) -> None:
    guide = (ROOT / "docs" / "operate.md").read_text()
    [accounts] = re.findall(r"for account in ([\w ]+); do  ", guide)
    made = set(re.findall(r"^ *secret ([\w-]+) ", guide, re.MULTILINE))
    made |= {f"broker-{account}" for account in accounts.split()}
    named = {
        found
        for text in (json.dumps(installed), json.dumps(shown()))
        for pattern in (
            r'"(?:secret|importCredentialsSecret|passwordSecret)": {"name": "([\w-]+)"',
            r'"secretTargetRef": \[{"parameter": "host", "name": "([\w-]+)"',
        )
        for found in re.findall(pattern, text)
    }

    assert {"trickle-app"} == named - made, "which CloudNativePG makes"


def test_the_values_that_we_show_can_be_kept_to(installed: list[dict[str, Any]]) -> None:
    """To deny takes the whole sandbox, and mails need a way out."""
    told = environment(one(installed, "Deployment", "script-worker"))
    ways = json.dumps(one(installed, "NetworkPolicy", "auth")["spec"]["egress"])

    assert ("deny", "full") == (
        told["TRICKLE_EGRESS_DEFAULT"],
        told["TRICKLE_ISOLATION_REQUIRED"],
    )
    assert '"port": 587' in ways


def test_scalers_read_queues_as_the_account_that_may_only_look() -> None:
    users = {each["metadata"]["name"]: each["spec"] for each in shown() if each["kind"] == "User"}

    assert {"keda"} == {name for name, spec in users.items() if "tags" in spec}
    assert ["monitoring"] == users["keda"]["tags"]
    assert "keda" not in {each["user"] for each in json.loads(definitions())["permissions"]}
