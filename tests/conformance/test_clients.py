"""Auth0's own clients against Trickle over HTTPS; what they report is a table for users."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.node_process import node_of_the_wheel
from tests.conformance.server import Served


def problems(calls: list[dict[str, Any]]) -> list[str]:
    return [f"{one['call']}: {one['problem']}" for one in calls if one["problem"] is not None]


async def test_auth0_python(server: Served, clients: Path, rows: list[dict[str, Any]]) -> None:
    found = await server.calls("python", [sys.executable, clients / "auth0_python.py"])
    rows += found

    assert [] == problems(found)
    assert 29 <= len(found)


@pytest.mark.parametrize(("series", "least"), [("v4", 24), ("v7", 15)])
async def test_node_auth0(
    server: Served, clients: Path, rows: list[dict[str, Any]], series: str, least: int
) -> None:
    found = await server.calls(series, [node_of_the_wheel(), clients / f"node_auth0_{series}.mjs"])
    rows += found

    assert [] == problems(found)
    assert least <= len(found)
