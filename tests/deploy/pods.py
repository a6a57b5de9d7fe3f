"""The chart's own pods, played by podman: without a cluster this is the nearest to one.

As rendered: non-root, all capabilities dropped, read-only root, the runtime's default seccomp
profile, memory limits; on the host's network, because a private Postgres and RabbitMQ listen on
its loopback. What podman 4.3 has no word for is taken out or replaced, in `playable`, and nothing
else.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from services.auth.bootstrap import create_management_client
from services.auth.clients import REALM_GRANT
from services.standalone.embedded_postgres import EmbeddedPostgres, free_port
from services.standalone.http_client import call
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from shared.sealing import KeyRing
from tests.deploy.chart import one, pod, render
from tests.deploy.engine import Engine, Failed, say

SERVICES: Final = ("auth", "script-worker")
READY_WITHIN: Final = 90.0
LOGIN: Final = """function login(email, password, callback) {
  if (password !== 'right') return callback(new WrongUsernameOrPasswordError(email));
  callback(null, { user_id: '1', email: email });
}"""


def playable(workload: dict[str, Any], secrets: Path) -> dict[str, Any]:
    """A rendered pod as podman 4.3 can play it.

    Taken out: the service account and the spread (no cluster), `preStop.sleep` (unknown), probes by
    the name of a port. Replaced: the projected secrets, by a folder with the same files.
    """
    spec = json.loads(json.dumps(pod(workload)))
    for name in ("serviceAccountName", "topologySpreadConstraints", "enableServiceLinks"):
        spec.pop(name, None)
    for container in spec["containers"]:
        for name in ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "ports"):
            container.pop(name, None)
        container["image"] = container["image"].replace("trickle-", "localhost/trickle-", 1)
        container["imagePullPolicy"] = "Never"
    for volume in spec["volumes"]:
        if volume["name"] == "secrets":
            del volume["projected"]
            volume["hostPath"] = {"path": str(secrets), "type": "Directory"}
    labels = workload["spec"]["template"]["metadata"]["labels"]
    name = workload["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


@dataclass(slots=True)
class Installation:
    """What the chart renders, on servers of our own."""

    engine: Engine
    folder: Path
    database_url: str
    amqp_url: str
    ports: dict[str, int]
    ring: str = field(default_factory=KeyRing.generate, repr=False)
    pods: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """auth, as an application reaches it."""
        return f"http://127.0.0.1:{self.ports['http']}"

    def values(self) -> dict[str, Any]:
        """The chart's values: pods share the host's network here, so each needs ports of its own."""
        return {
            "issuer": f"{self.url}/",
            "auth": {
                "image": {"tag": "latest"},
                "extraEnv": {
                    "TRICKLE_PORT": self.ports["http"],
                    "TRICKLE_METRICS_PORT": self.ports["auth"],
                },
            },
            "scriptWorker": {
                "image": {"tag": "latest"},
                "extraEnv": {"TRICKLE_METRICS_PORT": self.ports["script-worker"]},
            },
        }

    def secrets(self) -> Path:
        """The files that a Secret would hold, readable by the pods' group."""
        folder = self.folder / "secrets"
        folder.mkdir(exist_ok=True)
        values = {
            "DATABASE_URL": self.database_url,
            "AMQP_URL": self.amqp_url,
            "TRICKLE_KEY_RING": self.ring,
        }
        for name, value in values.items():
            (folder / name).write_text(value)
            (folder / name).chmod(0o440)
        for path in (folder, *folder.iterdir()):
            os.chown(path, 10001, 10001)
        self.folder.chmod(0o711)
        return folder

    def play(self, workload: dict[str, Any]) -> str:
        """Start the pod; the name of its container."""
        playing = playable(workload, self.secrets())
        name = playing["metadata"]["name"]
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(playing))
        self.engine.run("podman", "pod", "rm", "-f", "-i", name)  # of a run that was killed
        self.pods.append(name)
        self.engine.run("podman", "play", "kube", "--network", "host", file)
        return f"{name}-{playing['spec']['containers'][0]['name']}"

    def tell(self) -> None:
        """The end of what each pod said."""
        for name in self.pods:
            say(f"the end of what {name} said:")
            print(self.engine.run("podman", "pod", "logs", "--tail", "20", name))

    def remove(self) -> None:
        """Every pod, whatever its state."""
        for name in self.pods:
            self.engine.run("podman", "pod", "rm", "-f", "-i", name)

    def ended(self, container: str) -> int:
        """Wait for a container that ends by itself."""
        return int(self.engine.run("podman", "wait", container, within=READY_WITHIN))


async def ready(url: str) -> dict[str, Any]:
    """What `/readyz` says once it says yes."""
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        try:
            answer = await call("GET", url, wait=5)
        except OSError:
            answer = None
        if answer is not None and answer.status == 200:
            return answer.body if isinstance(answer.body, dict) else {}
        await asyncio.sleep(0.2)
    raise Failed(f"{url} was not ready within {READY_WITHIN:.0f} s")


async def log_in(url: str, database_url: str) -> None:
    """A first login through both containers (imported), a second one, and a wrong password."""
    management = await create_management_client(database_url)
    asked = {"grant_type": "client_credentials", "audience": f"{url}/api/v2/"}
    token = await call("POST", f"{url}/oauth/token", body=management | asked)
    bearer = token.body["access_token"]
    application = {
        "name": "app",
        "grant_types": [REALM_GRANT],
        "token_endpoint_auth_method": "none",
    }
    made = await call("POST", f"{url}/api/v2/clients", body=application, bearer=bearer)
    connection = {
        "name": "legacy",
        "strategy": "auth0",
        "enabled_clients": [made.body["client_id"]],
        "options": {
            "enabledDatabaseCustomization": True,
            "import_mode": True,
            "customScripts": {"login": LOGIN},
        },
    }
    created = await call("POST", f"{url}/api/v2/connections", body=connection, bearer=bearer)
    if created.status != 201:
        raise Failed(f"the connection was not created: {created.status} {created.body}")
    for password, status in (("wrong", 403), ("right", 200), ("right", 200)):
        body = {
            "grant_type": REALM_GRANT,
            "client_id": made.body["client_id"],
            "username": "ada@example.com",
            "password": password,
            "realm": "legacy",
        }
        answer = await call("POST", f"{url}/oauth/token", body=body)
        until = time.monotonic() + READY_WITHIN
        while answer.status == 503 and time.monotonic() < until:  # auth looks for workers
            await asyncio.sleep(1)
            answer = await call("POST", f"{url}/oauth/token", body=body)
        if answer.status != status:
            raise Failed(f"a login was answered {answer.status} {answer.body}, not {status}")
    say("ok      a wrong password refused, a user imported by a script, and logged in locally")


def confinement(engine: Engine, container: str) -> str:
    """What the kernel says of the container's first process; Failed when it may too much."""
    program = (
        "import os,re;s=open('/proc/1/status').read();"
        "f=dict(re.findall(r'(\\w+):\\s*(\\S+)',s));"
        "w=''\n"
        "try: open('/written','w')\n"
        "except OSError as e: w=e.strerror\n"
        "print(os.getuid(),f['CapEff'],f['CapBnd'],f['NoNewPrivs'],f['Seccomp'],w)"
    )
    said = engine.run("podman", "exec", container, "/opt/trickle/bin/python", "-c", program)
    if said != "10001 0000000000000000 0000000000000000 1 2 Read-only file system":
        raise Failed(f"{container} is not confined as rendered: {said}")
    return said


def stop(engine: Engine, container: str, grace: int) -> float:
    """SIGTERM, and the seconds until the end; Failed unless the service ended by itself and well."""
    began = time.monotonic()
    engine.run("podman", "stop", "-t", str(grace), container, within=grace + 30)
    took = time.monotonic() - began
    code = engine.run("podman", "inspect", "-f", "{{.State.ExitCode}}", container)
    if code != "0":
        raise Failed(f"{container} ended with {code} after SIGTERM")
    return took


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[str, str]]:
    """A private Postgres and RabbitMQ on the host's loopback."""
    postgres, rabbitmq = EmbeddedPostgres(), PrivateRabbitMQ()
    try:
        await asyncio.to_thread(postgres.start)
        await asyncio.to_thread(rabbitmq.start)
        yield postgres.url, rabbitmq.url
    finally:
        await asyncio.to_thread(rabbitmq.close)
        await asyncio.to_thread(postgres.close)


async def run_pods(engine: Engine) -> None:
    """The chart's Job and both Deployments' pods, a login across them, and their clean end."""
    with tempfile.TemporaryDirectory(prefix="trickle-images-") as name:
        async with servers() as (database_url, amqp_url):
            ports = {each: free_port() for each in ("http", *SERVICES)}
            its = Installation(engine, Path(name), database_url, amqp_url, ports)
            try:
                await _walk(its)
            except Failed:
                its.tell()
                raise
            finally:
                its.remove()


async def _walk(its: Installation) -> None:
    objects = render(its.values())
    if (code := its.ended(its.play(one(objects, "Job", "migrate")))) != 0:
        raise Failed(f"migrate ended with {code}")
    say("ok      the migration Job's pod ended with 0")
    playing = {}
    for service in SERVICES:
        playing[service] = its.play(one(objects, "Deployment", service))
        said = await ready(f"http://127.0.0.1:{its.ports[service]}/readyz")
        kernel = confinement(its.engine, playing[service])
        say(f"ok      {service} is ready: {said}")
        say(f"        uid, CapEff, CapBnd, NoNewPrivs, Seccomp, a write to /: {kernel}")
    await log_in(its.url, its.database_url)
    for service, container in playing.items():
        grace = pod(one(objects, "Deployment", service))["terminationGracePeriodSeconds"]
        took = stop(its.engine, container, grace)
        say(f"ok      {service} ended with 0, {took:.1f} s after SIGTERM (grace {grace} s)")
