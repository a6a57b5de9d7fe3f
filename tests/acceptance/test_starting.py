"""Services that can't start say why, and whose move it is; and what they show of themselves."""

from __future__ import annotations

import socket
import subprocess
import sys

import httpx
import pytest
from starlette.applications import Starlette

from shared.errors import Misconfigured
from shared.http_server import listening, serve_http
from shared.sealing import KeyRing
from shared.telemetry import metrics_server

SERVICES = ["services.auth", "services.script_worker"]
GOOD = {
    "DATABASE_URL": "postgresql://trickle:hunter2@127.0.0.1:1/trickle",
    "AMQP_URL": "amqp://trickle:hunter2@127.0.0.1:1/",
    "TRICKLE_KEY_RING": KeyRing.generate(),
    "TRICKLE_ISSUER": "http://127.0.0.1:1/",
}


def start(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", SERVICES)
def test_a_service_without_settings_names_all_that_are_missing(module: str) -> None:
    ended = start(module, TRICKLE_METRICS_PORT="many")

    assert 78 == ended.returncode
    for name in ("DATABASE_URL", "TRICKLE_KEY_RING", "TRICKLE_METRICS_PORT"):
        assert name in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("module", SERVICES)
def test_first_aid_checks_everything_and_shows_no_password(module: str) -> None:
    ended = start(module, "check", **GOOD)

    assert 1 == ended.returncode
    assert "FAILED  database" in ended.stdout
    assert "FAILED  broker" in ended.stdout
    assert "hunter2" not in ended.stdout + ended.stderr
    assert GOOD["TRICKLE_KEY_RING"] not in ended.stdout + ended.stderr


def test_a_worker_without_node_takes_nothing() -> None:
    ended = start("services.script_worker", **GOOD, TRICKLE_NODE="/nowhere/node")

    assert 78 == ended.returncode
    assert "script_worker: /nowhere/node can't be run" in ended.stderr


@pytest.mark.parametrize(
    ("module", "setting"),
    [
        ("services.auth", "TRICKLE_PORT"),
        ("services.auth", "TRICKLE_METRICS_PORT"),
        ("services.script_worker", "TRICKLE_METRICS_PORT"),
    ],
)
def test_a_port_that_is_taken_is_named_with_the_setting_for_another(
    module: str, setting: str
) -> None:
    """Before the broker and the database are waited for, and nothing else is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = start(module, **GOOD | {setting: port})

    assert 78 == ended.returncode
    (line,) = ended.stderr.strip().splitlines()
    assert f"can't listen at 127.0.0.1, port {port}: Address already in use. {setting}" in line


async def test_of_two_who_wait_at_a_port_the_later_is_told() -> None:
    """A bound port that nobody listens at may be bound again."""
    with (
        listening("127.0.0.1", 0, "TRICKLE_PORT") as first,
        listening("127.0.0.1", first.getsockname()[1], "TRICKLE_PORT") as second,
    ):
        async with serve_http(Starlette(), first):
            with pytest.raises(Misconfigured, match="in use"):
                async with serve_http(Starlette(), second):
                    pass


@pytest.mark.parametrize("module", SERVICES)
def test_a_host_that_is_none_of_ours_is_named(module: str) -> None:
    ended = start(module, **GOOD, TRICKLE_METRICS_HOST="nobody.invalid")

    assert 78 == ended.returncode
    assert "nobody.invalid is no address to listen at" in ended.stderr


@pytest.mark.parametrize("module", SERVICES)
def test_help_is_there_without_any_setting(module: str) -> None:
    ended = start(module, "--help")

    assert 0 == ended.returncode
    assert "docs/settings.md" in ended.stdout


async def test_metrics_are_served_on_a_port_of_their_own_in_both_formats() -> None:
    async with metrics_server("127.0.0.1", 0, ready=lambda: False) as port:
        status, kind, body = await get(f"http://127.0.0.1:{port}/metrics", "text/plain")
        assert (200, True) == (status, kind.startswith("text/plain"))
        assert "trickle_build_info{" in body

        accepted = "application/openmetrics-text;version=1.0.0"
        status, kind, body = await get(f"http://127.0.0.1:{port}/metrics", accepted)
        assert (200, True) == (status, kind.startswith("application/openmetrics-text"))
        assert body.endswith("# EOF\n")


async def test_liveness_asks_nothing_and_readiness_asks_the_service() -> None:
    async with metrics_server("127.0.0.1", 0, ready=lambda: False) as port:
        assert 200 == (await get(f"http://127.0.0.1:{port}/livez"))[0]
        assert 503 == (await get(f"http://127.0.0.1:{port}/readyz"))[0]


async def get(url: str, accept: str = "*/*") -> tuple[int, str, str]:
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.get(url, headers={"accept": accept})
        return answer.status_code, answer.headers["content-type"], answer.text
