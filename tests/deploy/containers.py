"""The containers of deploy/compose.yaml, run by podman as the file says.

Nobody's user, a read-only root, no capability, a temporary /tmp, each secret a file of its own; on
the host's network, because what stands for the broker and the database listens on its loopback. What
this does not show is compose's own: networks, order, health checks.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.standalone.embedded_postgres import free_port
from tests.deploy.composed import Composed, stores
from tests.deploy.engine import Engine, Failed, say
from tests.deploy.pods import READY_WITHIN, confinement, log_in, ready, stop

IMAGES: Final = {"migrate": "auth", "auth": "auth", "script-worker": "script-worker"}
SERVING: Final = ("auth", "script-worker")


@dataclass(slots=True)
class Containers:
    """What was started, and where it listens."""

    engine: Engine
    its: Composed
    port: int = field(default_factory=free_port)
    metrics: dict[str, int] = field(default_factory=lambda: {each: free_port() for each in IMAGES})

    @property
    def url(self) -> str:
        """auth, as an application reaches it."""
        return f"http://127.0.0.1:{self.port}"

    def run(self, name: str) -> str:
        """Start one; its name."""
        service = self.its.compose["services"][name]
        told = self.its.environment(name, f"{self.url}/", self.port, self.metrics[name])
        container = f"composed-{name}"
        self.engine.run("podman", "rm", "-f", "-i", container)  # of a run that was killed
        self.engine.run(
            "podman", "run", "-d", "--name", container, "--network", "host",
            "--user", service["user"],
            *(["--read-only", "--read-only-tmpfs=false"] if service["read_only"] else []),
            *(f"--cap-drop={each}" for each in service["cap_drop"]),
            *(f"--security-opt={each.removesuffix(':true')}" for each in service["security_opt"]),
            *(f"--tmpfs={each}" for each in service["tmpfs"]),
            *(f"--env={key}={value}" for key, value in told.items()),
            *(f"--volume={file}:/run/secrets/{target}:ro"
              for target, file in self.its.files(name).items()),
            f"localhost/trickle-{IMAGES[name]}",
            *service.get("command", []),
        )  # fmt: skip
        return container

    def tell(self) -> None:
        """The end of what each said."""
        for name in IMAGES:
            say(f"the end of what composed-{name} said:")
            say(self.engine.run("podman", "logs", "--tail", "20", f"composed-{name}"))

    def remove(self) -> None:
        """All of them, whatever their state."""
        for name in IMAGES:
            self.engine.run("podman", "rm", "-f", "-i", f"composed-{name}")


async def run_composed(engine: Engine) -> None:
    """Migrations, both services, a login across them, and their clean end."""
    with tempfile.TemporaryDirectory(prefix="trickle-compose-") as name:
        async with stores(Path(name)) as its:
            containers = Containers(engine, its)
            try:
                await _walk(containers)
            except Failed:
                containers.tell()
                raise
            finally:
                containers.remove()


async def _walk(containers: Containers) -> None:
    engine, services = containers.engine, containers.its.compose["services"]
    ended = engine.run("podman", "wait", containers.run("migrate"), within=READY_WITHIN)
    if ended != "0":
        raise Failed(f"compose's migrate ended with {ended}")
    for name in SERVING:
        container = containers.run(name)
        await ready(f"http://127.0.0.1:{containers.metrics[name]}/readyz")
        confinement(engine, container)
    await log_in(containers.url, containers.its.owner)
    for name in SERVING:
        grace = int(services[name]["stop_grace_period"].removesuffix("s"))
        took = stop(engine, f"composed-{name}", grace)
        say(f"ok      compose's {name} ended with 0, {took:.1f} s after SIGTERM (grace {grace} s)")
