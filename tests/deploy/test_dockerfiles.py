"""The Dockerfiles, as far as they can be judged without building; `./dev images` builds them."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.deploy.chart import ROOT, program

IMAGES = ROOT / "deploy" / "images"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_no_objection(dockerfile: Path) -> None:
    done = program("hadolint", "--failure-threshold", "style", dockerfile)

    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_nothing_is_installed_that_a_hash_does_not_name(dockerfile: Path) -> None:
    for line in re.findall(r"pip[^&\n]* install [^&\n]*", dockerfile.read_text()):
        assert "--require-hashes" in line or "--no-deps" in line, line


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_runs_is_nobody_in_particular_and_starts_without_a_shell(dockerfile: Path) -> None:
    last = dockerfile.read_text().rpartition("\nFROM ")[2]

    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["/opt/trickle/bin/python"' in last
    assert "RUN" not in last


@pytest.mark.parametrize("service", ["auth", "script-worker"])
def test_an_image_holds_what_was_tested_for_every_platform(service: str) -> None:
    """The same versions with the same hashes, so that a base with another Python installs too."""
    tested, held = _hashes(ROOT / "requirements.lock"), _hashes(IMAGES / f"{service}.lock")

    assert len(held) > 20
    assert held == {name: tested[name] for name in held}


def test_what_is_compiled_is_locked_for_other_machines_than_this() -> None:
    """A lock that was made beside one platform's files names no others, and installs nowhere else."""
    tested = _hashes(ROOT / "requirements.lock")
    compiled = {
        f"{each.name.lower().replace('_', '-').replace('.', '-')}=={each.version}"
        for each in distributions()
        if "Root-Is-Purelib: false" in (each.read_text("WHEEL") or "")
    }

    assert len(compiled & tested.keys()) > 10
    assert [] == [name for name in sorted(compiled & tested.keys()) if len(tested[name]) < 4]


def _hashes(lock: Path) -> dict[str, set[str]]:
    entries = re.findall(r"^(\S+==\S+)(.*?)(?=^\S|\Z)", lock.read_text(), re.MULTILINE | re.DOTALL)
    return {name: set(re.findall(r"sha256:\w+", rest)) for name, rest in entries}


def test_locks_name_no_address() -> None:
    for lock in [*IMAGES.glob("*.lock"), ROOT / "deploy" / "tools" / "tools.lock"]:
        assert "://" not in lock.read_text()
