"""Auth0's own clients against Trickle over HTTPS; what they report is a table for users."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.node_command import node_of_the_wheel
from tests.conformance import table
from tests.conformance.server import CLIENTS, Served


def problems(calls: list[dict[str, Any]]) -> list[str]:
    return [f"{one['call']}: {one['problem']}" for one in calls if one["problem"] is not None]


async def test_auth0_python(server: Served) -> None:
    found = await server.calls("python", [sys.executable, CLIENTS / "auth0_python.py"])

    assert [] == problems(found)
    assert table.agrees(found)


@pytest.mark.parametrize("series", ["v4", "v7"])
async def test_node_auth0(server: Served, node_clients: Path, series: str) -> None:
    program = node_clients / f"node_auth0_{series}.mjs"
    found = await server.calls(series, [node_of_the_wheel(), program])

    assert [] == problems(found)
    assert table.agrees(found)


async def test_an_sdk_that_gave_up_finds_its_user_imported(server: Served) -> None:
    program = CLIENTS / "auth0_python_slow_store.py"
    found = await server.calls("patience", [sys.executable, program, "patience"], seconds=6.5)

    assert [] == problems(found)
    assert ["login"] == await server.store.calls(), "the second login asked nobody"
    assert table.agrees(found)


async def test_a_soft_deadline_answers_before_an_sdk_gives_up(server: Served) -> None:
    options = server.store.options(import_mode=True, soft_deadline_seconds=1)
    realm = (await server.site.connect("prompt-customers", **options))["name"]
    program = CLIENTS / "auth0_python_slow_store.py"
    command = [sys.executable, str(program), "prompt"]
    found = await server.calls("prompt", command, seconds=3, realm=realm)

    assert [] == problems(found)
    assert ["login"] == await server.store.calls(), "the second login asked nobody"
    assert table.agrees(found)


async def test_a_node_client_that_calls_another_machine_is_ended(server: Served) -> None:
    script = "await fetch('https://192.0.2.1/').catch(() => {})"
    command = [str(node_of_the_wheel()), "--input-type=module", "-e", script]
    code, _, said = await server.run(command)

    assert (70, "a connection to 192.0.2.1, which is not this machine\n") == (code, said)


async def test_a_python_client_that_calls_another_machine_is_ended(server: Served) -> None:
    script = "import auth0_python, socket; socket.create_connection(('192.0.2.1', 443))"
    given = {
        "CONFORMANCE_RUN": "outside",
        "CONFORMANCE_LEGACY_USER": "",
        "PYTHONPATH": str(CLIENTS),
    }
    code, _, said = await server.run([sys.executable, "-c", script], given)

    assert (70, "a connection to 192.0.2.1, which is not this machine\n") == (code, said)
