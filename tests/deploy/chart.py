"""The chart, rendered by helm itself, and the programs that judge what it renders."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "chart"
PROGRAMS: Final = ROOT / ".trickle" / "deploy-tools" / "bin"
WITHIN: Final = 110.0

SMALL: Final[dict[str, Any]] = {"issuer": "https://login.example.com/"}
_DIGEST: Final = "sha256:" + "0" * 64
FULL: Final[dict[str, Any]] = SMALL | {
    "image": {"registry": "images.example.com"},
    "imagePullSecrets": [{"name": "images"}],
    "secrets": {"auth": {"smtp": {"name": "mail", "key": "url"}}},
    "auth": {
        "image": {"digest": _DIGEST},
        "autoscaling": {"enabled": True},
        "trustedProxies": ["10.0.0.0/8"],
        "extraEnv": {"TRICKLE_TENANT": "example"},
        "networkPolicy": {"ingressFrom": [{"namespaceSelector": {}}]},
    },
    "scriptWorker": {
        "image": {"digest": _DIGEST},
        "autoscaling": {"enabled": True},
        "isolationRequired": "full",
        "egress": {"default": "deny", "allow": ["db.example.com:5432"], "refuse": ["10.0.0.0/8"]},
    },
    "networkPolicy": {"legacyDatabases": [{"cidr": "203.0.113.10/32", "ports": [5432, 3306]}]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
    "metrics": {
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
}

INGRESS: Final[dict[str, Any]] = SMALL | {
    "ingress": {
        "enabled": True,
        "className": "traefik",
        "hosts": [{"host": "a.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]}],
        "tls": [{"secretName": "tls", "hosts": ["a.example.com"]}],
    }
}
BY_CPU: Final[dict[str, Any]] = SMALL | {
    "scriptWorker": {"autoscaling": {"enabled": True, "kind": "hpa", "maxReplicas": 40}}
}


def program(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the programs that `./dev` set up for this."""
    path = PROGRAMS / name
    assert path.exists(), f"{path} is missing: `./dev test` sets it up"
    command = [str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that these values give; AssertionError with helm's words when they give none."""
    text = rendered(json.dumps(values, sort_keys=True))
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


@cache
def rendered(values: str) -> str:
    """The text that these values (as JSON) give, once a test run; AssertionError as `render`."""
    done = template(json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def template(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values in a file, as people give them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        return program("helm", "template", "t", CHART, "--namespace", "login", "-f", file)


def one(objects: list[dict[str, Any]], kind: str, component: str) -> dict[str, Any]:
    """The object of a kind that belongs to `auth`, `script-worker` or `migrate`."""
    label = "app.kubernetes.io/component"
    [found] = [
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["labels"][label] == component
    ]
    return found


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    """The pod's spec."""
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def environment(workload: dict[str, Any]) -> dict[str, str]:
    """What the container is told, by name."""
    return {each["name"]: each.get("value", "") for each in pod(workload)["containers"][0]["env"]}
