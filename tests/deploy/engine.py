"""podman and buildah for `./dev images`, on a store of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.deploy.chart import ROOT

PACKAGES: Final = ("buildah", "podman", "runc", "catatonit", "debootstrap")
_CONTAINERS_CONF: Final = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Failed(Exception):
    """A step did not end as it must; the text says which and why."""


def say(text: str) -> None:
    """Tell the person who waits."""
    print(f"images: {text}", flush=True)


@dataclass(slots=True)
class Engine:
    """podman and buildah on a store of our own, so that the machine's is left alone."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Configure both for a machine without systemd."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "containers.conf"
        configuration.write_text(_CONTAINERS_CONF)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(configuration)}

    def run(self, program: str, *arguments: str | Path, within: float = 120.0) -> str:
        """Standard output; Failed with the end of what the program said when it fails."""
        places = ["--root", self.folder / "store", "--runroot", self.folder / "run"]
        command = [program, *map(str, places), "--storage-driver", "overlay", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=within, check=False,
            env=self.environment, cwd=ROOT,
        )  # fmt: skip
        if done.returncode != 0:
            tail = (done.stderr or done.stdout).strip()[-1500:]
            raise Failed(f"`{program} {arguments[0]}` ended with {done.returncode}: {tail}")
        return done.stdout.strip()


def ready_to_build() -> None:
    """Install what builds and runs images, where that is possible. Raises Failed."""
    lacking = [name for name in ("buildah", "podman", "runc") if shutil.which(name) is None]
    if not lacking:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        text = f"{', '.join(lacking)} must be installed: sudo apt-get install {' '.join(PACKAGES)}"
        raise Failed(text)
    say(f"installing {', '.join(PACKAGES)}")
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "-qq", *command], check=True, capture_output=True, timeout=600)
