"""Every panel of every dashboard has data in a real Prometheus that scraped both services under load."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import subprocess
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from services.standalone.dashboards.boards import BOARDS
from services.standalone.dashboards.model import Panel
from services.standalone.embedded_postgres import free_port
from services.standalone.http_client import call
from tests.deploy.prometheus import RULES, binary
from tests.deploy.rendering import Series, page
from tests.metric_names import known_metrics
from tests.processes import System, eventually, system

PANELS: Final = [(name, panel) for name, board in BOARDS.items() for panel in board.panels]
PICTURES: Final = "TRICKLE_WRITE_DASHBOARDS" in os.environ
LEAST_SECONDS: Final = 14 if PICTURES else 0
"""The load goes on until every panel has data; a picture is of more than that."""
MOST_SECONDS: Final = 60
WINDOW: Final = "10s" if PICTURES else "5s"
STEP: Final = 1
LOGIN: Final = """function login(email, password, callback) {
  if (password === 'broken') return callback(new Error('connect ECONNREFUSED'));
  if (password === 'twice') callback(null, { user_id: email, email: email });
  if (password === 'wrong') return callback(new WrongUsernameOrPasswordError(email));
  setTimeout(() => callback(null, { user_id: email, email: email }), 15);
}"""


def test_a_panel_says_what_it_tells_and_names_metrics_that_the_code_has() -> None:
    used: set[str] = set()
    for _, panel in PANELS:
        assert panel.tells.endswith(".")
        for query in panel.queries:
            used |= set(re.findall(r"\b(?:auth|script_worker|event_loop|trickle)_\w+", query.expr))

    assert len(used) > 20
    assert set() == used - known_metrics()


@asynccontextmanager
async def prometheus(folder: Path, targets: dict[str, int]) -> AsyncIterator[str]:
    """A Prometheus that scrapes every second; its URL."""
    port = free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in RULES],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"]}]}
            for job, at in targets.items()
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    command = [
        str(binary("prometheus")),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": os.defpath})
    url = f"http://127.0.0.1:{port}"
    try:
        await eventually(lambda: _ready(f"{url}/-/ready"))
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


async def _ready(url: str) -> bool:
    try:
        return (await call("GET", url, wait=5)).status == 200
    except OSError:
        return False


async def _load(its: System, enough: asyncio.Event) -> None:
    """Every kind of login, until it is enough."""
    number = 0
    while not enough.is_set():
        number += 1
        someone = f"user{number}@example.com"
        await asyncio.gather(
            its.login(someone),
            its.login("user1@example.com"),
            its.login(f"wrong{number}@example.com", "wrong"),
            its.login(f"twice{number}@example.com", "twice"),
            its.login(f"broken{number}@example.com", "broken", realm="fragile"),
        )


async def _drawn(url: str, start: float) -> tuple[dict[Panel, list[Series]], list[str]]:
    """The lines of every panel so far, and the queries without any."""
    end = await _now(url)
    drawn, empty = {}, []
    for name, panel in PANELS:
        lines = []
        for place, query in enumerate(panel.queries):
            found = _series(panel, place, await _range(url, query.expr, start, end), start)
            if not any(line.points for line in found):
                empty.append(f"{name}: {panel.title}: {query.expr}")
            lines += found
        drawn[panel] = lines
    return drawn, empty


async def _range(url: str, expr: str, start: float, end: float) -> list[dict[str, Any]]:
    asked = {
        "query": expr.replace("$__rate_interval", WINDOW).replace("[1h]", f"[{WINDOW}]"),
        "start": f"{start:.3f}",
        "end": f"{end:.3f}",
        "step": str(STEP),
    }
    answer = await call("GET", f"{url}/api/v1/query_range?{urllib.parse.urlencode(asked)}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.body["data"]["result"]
    return found


def _series(panel: Panel, place: int, result: list[dict[str, Any]], start: float) -> list[Series]:
    """The lines of one query, without holes; legends as Grafana would write them."""
    lines = []
    for each in result:
        points = [(float(at) - start, float(value)) for at, value in each["values"]]
        kept = [(at, value) for at, value in points if math.isfinite(value)]
        legend = panel.queries[place].legend
        lines.append(Series(_legend(legend, each["metric"]), kept))
    return lines


def _legend(text: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), text).strip() or "none"


async def _now(url: str) -> float:
    """Prometheus' own clock."""
    answer = await call("GET", f"{url}/api/v1/query?query=time()")
    return float(answer.body["data"]["result"][1])


async def test_every_panel_has_data_under_load(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    ports = {"auth": free_port(), "script-worker": free_port()}
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth(TRICKLE_METRICS_PORT=str(ports["auth"]))
        await its.worker(TRICKLE_METRICS_PORT=str(ports["script-worker"]))
        await its.connect("shop", LOGIN)
        await its.connect("fragile", LOGIN)
        async with prometheus(tmp_path, ports) as url:
            start = await _now(url)
            enough = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_load(its, enough))
                while True:
                    drawn, empty = await _drawn(url, start)
                    passed = (end := await _now(url)) - start
                    if passed > MOST_SECONDS or (not empty and passed > LEAST_SECONDS):
                        break
                enough.set()
            typo = await _range(url, f"sum(rate(auth_login_attemps_total[{WINDOW}]))", start, end)
            rules = await call("GET", f"{url}/api/v1/rules")
            targets = await call("GET", f"{url}/api/v1/targets")

    assert [] == empty
    assert [] == typo, "a query of nothing must be told apart"
    assert {"ok"} == {
        rule["health"] for group in rules.body["data"]["groups"] for rule in group["rules"]
    }
    assert {"up"} == {each["health"] for each in targets.body["data"]["activeTargets"]}
    for name, board in BOARDS.items():
        written = page(board, {panel: drawn[panel] for panel in board.panels})
        (tmp_path / f"{name}.svg").write_text(written)
        if PICTURES:
            folder = Path(__file__).parents[2] / "docs" / "dashboards"
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.svg").write_text(written)


def test_what_grafana_imports_is_what_the_panels_say() -> None:
    for name, board in BOARDS.items():
        kept = Path(__file__).parents[2] / "deploy/chart/files/dashboards" / f"{name}.json"
        loaded = json.loads(kept.read_text())
        assert [panel.title for panel in board.panels] == [
            each["title"] for each in loaded["panels"]
        ]
        assert sorted({each["id"] for each in loaded["panels"]}) == list(
            range(1, len(board.panels) + 1)
        )
        for each in loaded["panels"]:
            assert each["gridPos"]["x"] + each["gridPos"]["w"] <= 24
