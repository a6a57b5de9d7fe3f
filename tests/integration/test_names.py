"""Scripts resolve names as they always did, whatever their name server speaks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.pod import NOT_POSSIBLE
from tests.own_resolver import ADDRESS, command
from tests.servers import missing

ROOT = Path(__file__).parents[2]


def on_a_machine_with(mode: str, scratch: Path) -> dict[str, Any]:
    inherited = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - handed on, without servers out there
        if name != "TEST_POSTGRES_URL"
    }
    done = subprocess.run(
        command(scratch, mode),
        cwd=ROOT,
        env=inherited,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode == NOT_POSSIBLE:
        missing("a network namespace", OSError(done.stderr))
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("mode", "also_tcp"), [("udp", False), ("truncated", True)])
def test_a_script_resolves_names_and_connects_by_them(
    tmp_path: Path, mode: str, *, also_tcp: bool
) -> None:
    found = on_a_machine_with(mode, tmp_path)

    assert "full" == found["level"]
    assert {
        "lookup": "127.0.0.1",
        "many": ["127.0.0.1", "192.0.2.7", "2001:db8::7"],
        "nobody": "ENOTFOUND",
        "resolve4": ["127.0.0.1"],
        "resolveSrv": [
            {
                "name": "db.example.test",
                "port": 27017,
                "priority": 0,
                "weight": 5,
                "type": "SRV",
            }
        ],
        "postgres": "met",
    } == found["outcome"]["told"]
    assert [] == found["violations"]
    assert [
        ["127.0.0.1", found["port"], "allowed"],
        [ADDRESS, 53, "allowed"],
    ] == found["egress"]
    assert {"udp", "tcp"} if also_tcp else {"udp"} == set(found["asked"])
