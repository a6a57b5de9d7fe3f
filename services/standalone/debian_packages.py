"""Programs of the distribution, without installing them: fetched, unpacked into a cache folder, run from there.

The machine's own package client fetches, as any user and without touching the system.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import Misconfigured, Unavailable

_WITHIN: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacking:
    """What is fetched, and what is done to it."""

    name: str
    """Of the program; its folder in the cache."""
    version: str
    """Changes when what we do to the packages changes."""
    packages: tuple[str, ...]
    needs: Callable[[str], bool]
    """Which of the packages that these depend on are needed too; every system has the others."""
    mend: Callable[[Path], None] = lambda _: None
    """Makes the programs run from another folder than `/`."""
    without: str
    """What to do on a machine that can't fetch."""

    def folder(self, cache: Path) -> Path:
        """The unpacked packages, fetched on the first call. Raises Misconfigured, Unavailable."""
        root = cache / self.name / self.version
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs must not unpack over each other
            if not (root / "complete").exists():
                self._unpack(root)
        return root

    def _unpack(self, root: Path) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise Misconfigured(
                f"there is no {self.name} here, and no apt-get to fetch one: {self.without}"
            )
        shutil.rmtree(root, ignore_errors=True)
        downloads, lists = root / "downloads", root / "lists"
        for folder in (downloads, lists / "partial", root / "archives" / "partial"):
            folder.mkdir(parents=True)
        # Lists of our own: the system's may be empty, old, or not ours to update.
        options = [
            *("-o", f"Dir::State::lists={lists}"),
            *("-o", f"Dir::Cache::archives={root / 'archives'}"),
            *("-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User="),
        ]
        self._run(["apt-get", *options, "-qq", "update"], downloads)
        wanted = self._closure(options, downloads)
        self._run(["apt-get", *options, "-qq", "download", *wanted], downloads)
        for package in sorted(downloads.glob("*.deb")):
            self._run(["dpkg-deb", "-x", str(package), str(root)], root)
        self.mend(root)
        for folder in (downloads, lists, root / "archives"):
            shutil.rmtree(folder, ignore_errors=True)
        (root / "complete").touch()

    def _closure(self, options: list[str], folder: Path) -> list[str]:
        relations = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        without = [f"--no-{relation}" for relation in relations]
        command = ["apt-cache", *options, "depends", "--recurse", *without, *self.packages]
        listed = self._run(command, folder)
        names = {line for line in listed.splitlines() if line and line[0].isalnum()}
        return sorted(name for name in names if name in self.packages or self.needs(name))

    def _run(self, command: list[str], folder: Path) -> str:
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_WITHIN, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{command[0]} did not end within {_WITHIN:.0f} s") from error
        if done.returncode != 0:
            tail = (done.stderr or done.stdout).strip()[-300:]
            raise Misconfigured(
                f"`{command[0]}` failed, so that there is no {self.name}: {self.without}. {tail}"
            )
        return done.stdout


def default_cache() -> Path:
    """Where unpacked packages are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"  # noqa: TID251
    return Path(base) / "trickle"
