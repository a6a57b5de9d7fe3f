"""The chart renders what Kubernetes takes, what a restricted namespace admits, and what the code knows."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.auth.connection_options import MAX_SCRIPT_SECONDS
from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from shared.settings import env_name
from shared.topology import LANES
from tests.deploy import custom_resources
from tests.deploy.chart import (
    BY_CPU,
    CHART,
    FULL,
    INGRESS,
    ROOT,
    SMALL,
    environment,
    one,
    pod,
    program,
    render,
)

OWN_QUEUES = AuthSettings.model_fields["own_queues"].default
OLDEST, NEWEST = "1.30", "1.37"
MATRIX: dict[str, dict[str, Any]] = {
    "the least": SMALL,
    "everything": FULL,
    "an ingress": INGRESS,
    "workers by CPU": BY_CPU,
    "no policies, no budgets, accounts of one's own": SMALL
    | {
        "networkPolicy": {"enabled": False},
        "migrations": {"enabled": False},
        "auth": {"pdb": {"enabled": False}, "serviceAccount": {"create": False, "name": "mine"}},
        "scriptWorker": {"pdb": {"enabled": False}},
    },
    "a short deadline and a long name": SMALL
    | {"scriptDeadlineSeconds": 3, "fullnameOverride": "x" * 60},
    "a name twice": SMALL
    | {
        "commonLabels": {"team": "a", "app.kubernetes.io/part-of": "platform"},
        "auth": {"podLabels": {"team": "b", "app.kubernetes.io/component": "mine"}},
        "metrics": {"podMonitor": {"enabled": True, "labels": {"team": "c"}}},
    },
    "environment of one's own": SMALL
    | {
        "auth": {
            "extraEnv": {
                "TRICKLE_LOG_LEVEL": "debug",
                "TRICKLE_MAIL_FROM": {
                    "valueFrom": {"secretKeyRef": {"name": "mail", "key": "from"}}
                },
            }
        }
    },
}
SKIPPED = {
    "CKV_K8S_11": "a CPU limit throttles a login in the middle of its hash; requests share the node",
}

EXAMPLE = ROOT / "deploy" / "examples" / "values.yaml"
CHECKOV = """
import json, sys
from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter
report = Runner().run(None, files=sys.argv[1:], runner_filter=RunnerFilter(framework=["kubernetes"]))
failed = [(check.check_id, check.resource) for check in report.failed_checks]
print(json.dumps({"passed": len(report.passed_checks), "failed": failed}))
"""
"""Of checkov the one framework: its command imports all of them, for twice the time."""


def test_helm_finds_nothing_to_say() -> None:
    for values in (["--set", f"issuer={SMALL['issuer']}"], ["-f", EXAMPLE]):
        done = program("helm", "lint", "--strict", CHART, *values)
        assert 0 == done.returncode, done.stdout + done.stderr


def test_the_notes_say_what_comes_next_and_what_is_missing() -> None:
    small, whole = (
        program("helm", "install", "t", CHART, "-n", "login", "--dry-run=client", *values).stdout
        for values in (["--set", f"issuer={SMALL['issuer']}"], ["-f", EXAMPLE])
    )

    missing = ("route https", "No legacy database", "No mail server", "Alerts are off")
    for text in (small, whole):
        assert "exec deploy/t-trickle-auth -- python -m services.auth init" in text
        assert (
            "exec deploy/t-trickle-script-worker -- python -m services.script_worker check" in text
        )
    assert [] == [each for each in missing if each not in small]
    assert [] == [each for each in (*missing, "Mails can't leave") if each in whole]


def test_kubernetes_takes_what_is_rendered(
    tmp_path: Path, everything: list[dict[str, Any]]
) -> None:
    unlike = {json.dumps(each) for values in MATRIX.values() for each in render(values)}
    every_case = [json.loads(each) for each in sorted(unlike)]

    for release, objects in ((NEWEST, every_case), (OLDEST, everything)):
        file = tmp_path / f"{release}.yaml"
        core = [each for each in objects if each["apiVersion"] in custom_resources.CORE]
        file.write_text(yaml.dump_all(core, Dumper=yaml.CSafeDumper))
        done = program("kubernetes-validate", "--strict", "-k", release, file)
        assert 0 == done.returncode, done.stdout + done.stderr
        assert "WARN" not in done.stdout + done.stderr, "every kind is known"


def test_the_oldest_release_that_the_chart_takes_is_among_them() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert f">={OLDEST}.0-0" == chart["kubeVersion"]


def test_the_judge_of_schemas_is_awake(tmp_path: Path, everything: list[dict[str, Any]]) -> None:
    deployment = one(everything, "Deployment", "auth")
    deployment["spec"]["replicaz"] = 2
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text(yaml.safe_dump(deployment))
    del deployment["spec"]["replicaz"]

    assert 0 != program("kubernetes-validate", "--strict", misspelt).returncode


def test_checkov_has_no_objection_that_we_do_not_answer(
    tmp_path: Path, everything: list[dict[str, Any]]
) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump_all(everything))

    done = program("python", "-c", CHECKOV, rendered)

    results = json.loads(done.stdout)
    failed = {(check, resource) for check, resource in results["failed"]}
    assert results["passed"] > 200
    assert set() == {each for each in failed if each[0] not in SKIPPED}
    assert set(SKIPPED) == {check for check, _ in failed}, "a reason that nothing needs any more"


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_pod_is_restricted(values: dict[str, Any]) -> None:
    """Pod Security Standards, profile "restricted", and a root that nobody writes to."""
    for workload in render(values):
        if workload["kind"] not in {"Deployment", "Job"}:
            continue
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()
        for container in spec["containers"]:
            security = container["securityContext"]
            assert ["ALL"] == security["capabilities"]["drop"]
            assert "add" not in security["capabilities"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_a_name_stands_once_in_an_environment(values: dict[str, Any]) -> None:
    """Server-side apply refuses a list with two entries of one name."""
    for workload in render(values):
        if workload["kind"] in {"Deployment", "Job"}:
            names = [each["name"] for each in pod(workload)["containers"][0]["env"]]
            assert sorted(set(names)) == sorted(names)


def test_a_label_stands_once_and_none_takes_a_pod_from_its_selector() -> None:
    auth = one(render(MATRIX["a name twice"]), "Deployment", "auth")
    labels = auth["spec"]["template"]["metadata"]["labels"]

    assert ("b", "platform") == (labels["team"], labels["app.kubernetes.io/part-of"])
    assert auth["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_what_is_given_replaces_what_the_chart_says() -> None:
    told = environment(one(render(MATRIX["environment of one's own"]), "Deployment", "auth"))

    assert "debug" == told["TRICKLE_LOG_LEVEL"]


@pytest.mark.parametrize("deadline", [1, 7, 20])
def test_the_grace_period_outlasts_what_is_in_hand(deadline: int) -> None:
    objects = render(SMALL | {"scriptDeadlineSeconds": deadline})

    for component in ("auth", "script-worker"):
        workload = one(objects, "Deployment", component)
        drain = int(environment(workload)["TRICKLE_DRAIN_BUDGET"])
        waits = int(environment(workload).get("TRICKLE_SHUTDOWN_DELAY", 0))
        assert deadline < drain
        assert drain + waits < pod(workload)["terminationGracePeriodSeconds"]


def test_the_deadline_that_values_may_hold_is_the_one_of_the_code() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert MAX_SCRIPT_SECONDS == schema["properties"]["scriptDeadlineSeconds"]["maximum"]


@pytest.mark.parametrize(
    ("component", "kind"), [("auth", AuthSettings), ("script-worker", WorkerSettings)]
)
def test_every_variable_is_a_setting_and_every_secret_a_file(
    everything: list[dict[str, Any]],
    component: str,
    kind: type[AuthSettings] | type[WorkerSettings],
) -> None:
    known = {env_name(kind, (name,)) for name in kind.model_fields}
    workload = one(everything, "Deployment", component)
    [secrets] = [each for each in pod(workload)["volumes"] if each["name"] == "secrets"]
    files = {
        item["path"]
        for source in secrets["projected"]["sources"]
        for item in source["secret"]["items"]
    }

    assert set() == environment(workload).keys() - known
    assert set() == files - known
    assert {"DATABASE_URL", "AMQP_URL", "TRICKLE_KEY_RING"} <= files
    assert set() == files & environment(workload).keys()


def test_the_worker_is_given_nothing_that_is_auths_alone(everything: list[dict[str, Any]]) -> None:
    given = json.dumps(pod(one(everything, "Deployment", "script-worker"))["volumes"])

    assert set() == set(re.findall(r"trickle-auth-\w+|mail", given))


def test_an_autoscaled_deployment_leaves_its_size_to_the_scaler(
    everything: list[dict[str, Any]],
) -> None:
    """Server-side apply: whoever writes `spec.replicas` takes it from the scaler at each upgrade."""
    for component in ("auth", "script-worker"):
        assert "replicas" not in one(everything, "Deployment", component)["spec"]
        assert one(render(SMALL), "Deployment", component)["spec"]["replicas"] >= 2


def test_there_is_one_scaler_of_a_deployment(everything: list[dict[str, Any]]) -> None:
    """Two would pull it to and fro."""
    for objects in (everything, render(BY_CPU)):
        targets = Counter(
            each["spec"]["scaleTargetRef"]["name"]
            for each in objects
            if each["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}
        )
        assert {1} == set(targets.values())


def test_workers_scale_on_what_waits_and_what_runs(everything: list[dict[str, Any]]) -> None:
    scaled = one(everything, "ScaledObject", "script-worker")["spec"]
    [trigger] = scaled["triggers"]

    assert scaled["minReplicaCount"] >= 2
    assert ("http", "false") == (
        trigger["metadata"]["protocol"],
        trigger["metadata"]["excludeUnacknowledged"],
    )
    assert int(trigger["metadata"]["pageSize"]) >= OWN_QUEUES + LANES, "KEDA reads one page"
    assert re.match(trigger["metadata"]["queueName"], "trickle.req.con_1")
    assert not re.match(trigger["metadata"]["queueName"], "trickle.reply.auth-1")


def test_nothing_is_open_that_the_services_do_not_need(everything: list[dict[str, Any]]) -> None:
    ports = {
        component: sorted(
            port["port"]
            for rule in one(everything, "NetworkPolicy", component)["spec"]["egress"]
            for port in rule["ports"]
        )
        for component in ("auth", "script-worker", "migrate")
    }

    assert [53, 53, 5432, 5672] == ports["auth"]
    assert [53, 53, 3306, 5432, 5432, 5672] == ports["script-worker"]
    assert [53, 53, 5432] == ports["migrate"]
    for component in ports:
        spec = one(everything, "NetworkPolicy", component)["spec"]
        assert ["Ingress", "Egress"] == spec["policyTypes"]


def test_probes_and_services_name_ports_that_are_there(everything: list[dict[str, Any]]) -> None:
    for component in ("auth", "script-worker"):
        [container] = pod(one(everything, "Deployment", component))["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        told = environment(one(everything, "Deployment", component))
        assert str(ports["metrics"]) == told["TRICKLE_METRICS_PORT"]
        if component == "auth":
            assert str(ports["http"]) == told["TRICKLE_PORT"]
            service = one(everything, "Service", component)["spec"]["ports"][0]
            assert service["targetPort"] in ports
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        assert "/livez" == container["livenessProbe"]["httpGet"]["path"]
