"""Auth0's own clients against Trickle over HTTPS; what they report is a table for users."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.node_process import node_of_the_wheel
from tests.conformance import table
from tests.conformance.server import Served


def problems(calls: list[dict[str, Any]]) -> list[str]:
    return [f"{one['call']}: {one['problem']}" for one in calls if one["problem"] is not None]


async def test_auth0_python(server: Served, clients: Path) -> None:
    found = await server.calls("python", [sys.executable, clients / "auth0_python.py"])

    assert [] == problems(found)
    assert table.agrees(found)


@pytest.mark.parametrize("series", ["v4", "v7"])
async def test_node_auth0(server: Served, clients: Path, series: str) -> None:
    found = await server.calls(series, [node_of_the_wheel(), clients / f"node_auth0_{series}.mjs"])

    assert [] == problems(found)
    assert table.agrees(found)


async def test_an_sdk_that_gave_up_finds_its_user_imported(server: Served, clients: Path) -> None:
    found = await server.calls(
        "patience", [sys.executable, clients / "auth0_python_impatient.py"], seconds=6.5
    )

    assert [] == problems(found)
    assert ["login"] == await server.store.calls(), "the second login asked nobody"
