"""Scripts as they are in the wild, by family, through real runners against stores that answer.

MySQL and PostgreSQL are real servers (and `tests/acceptance/test_legacy_stores.py` drives whole
flows on them); MongoDB, SQL Server and the web service are stand-ins that speak the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.bundle import Bundle
from services.script_worker.node_process import NodeCommand, node_of_the_wheel
from services.script_worker.pool import Pool, PoolLimits, Run
from services.script_worker.verdicts import Value
from shared.contracts import Action, Denied, DeniedReason, Failed
from shared.telemetry import serve_http
from tests.legacy_stores.web_service import web_service

TESTS = Path(__file__).parents[1]
EMAIL, PASSWORD, NEW = "ada@example.com", "correct horse", "battery staple"
FAMILIES = ["mongodb", "sqlserver", "aspnet_mvc3", "aspnet_mvc4", "web_service_basic_auth", "axios"]


@dataclass
class Family:
    """A family's scripts, and the store that they are configured for."""

    name: str
    pool: Pool
    configuration: dict[str, str] = field(repr=False)

    async def run(self, action: Action, *arguments: Any, **configuration: str) -> Run:
        text = (TESTS / "legacy_scripts" / self.name / f"{action}.js").read_text()
        bundle = Bundle(
            connection_id="con_" + "f" * 16,
            revision=f"{abs(hash((self.name, action, *configuration.items()))):032x}"[:32],
            scripts={action: text},
            configuration=self.configuration | configuration,
        )
        until = asyncio.get_running_loop().time() + 15
        return await self.pool.run(bundle, action, list(arguments), context={}, deadline=until)


@asynccontextmanager
async def node_store(program: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        node_of_the_wheel(),
        TESTS / "legacy_stores" / program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(20):
            yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def store_of(name: str) -> AsyncIterator[dict[str, str]]:
    """A store for a family, as its configuration."""
    if name == "mongodb":
        async with node_store("mongodb.mjs") as port:
            yield {"MONGO_URL": f"mongodb://127.0.0.1:{port}/legacy"}
    elif name in {"web_service_basic_auth", "axios"}:
        async with serve_http(web_service(), "127.0.0.1", 0) as port:
            yield {"SERVICE_URL": f"http://127.0.0.1:{port}"}
    else:
        async with node_store("sqlserver.mjs") as port:
            yield {"SQL_SERVER": "127.0.0.1", "SQL_PORT": str(port), "SQL_PASSWORD": "s3cret"}


@pytest.fixture(params=FAMILIES)
async def family(request: pytest.FixtureRequest) -> AsyncIterator[Family]:
    async with (
        store_of(request.param) as configuration,
        Pool(NodeCommand.installed(), limits=PoolLimits(blanks=1), worker="test") as pool,
    ):
        yield Family(request.param, pool, configuration)


def said(run: Run) -> Any:
    assert isinstance(run.outcome, Value), run
    return run.outcome.value


def no(run: Run) -> bool:
    return isinstance(run.outcome, Denied) and run.outcome.reason in {
        DeniedReason.WRONG_PASSWORD,
        DeniedReason.NOT_FOUND,
    }


async def test_a_user_lives_in_an_old_store(family: Family) -> None:
    assert no(await family.run(Action.GET_USER, EMAIL))
    assert no(await family.run(Action.LOGIN, EMAIL, PASSWORD))

    said(await family.run(Action.CREATE, {"email": EMAIL, "password": PASSWORD}))
    profile = said(await family.run(Action.LOGIN, EMAIL, PASSWORD))
    assert EMAIL == profile["email"]
    assert profile["user_id"]
    assert str(profile["user_id"]) == str(said(await family.run(Action.GET_USER, EMAIL))["user_id"])
    assert no(await family.run(Action.LOGIN, EMAIL, "wrong"))

    assert said(await family.run(Action.CHANGE_PASSWORD, EMAIL, NEW)) is True
    assert no(await family.run(Action.LOGIN, EMAIL, PASSWORD))
    said(await family.run(Action.LOGIN, EMAIL, NEW))

    said(await family.run(Action.DELETE, str(profile["user_id"])))
    assert no(await family.run(Action.LOGIN, EMAIL, NEW))


async def test_a_store_that_is_away_is_no_wrong_password(family: Family) -> None:
    away = {
        "MONGO_URL": "mongodb://127.0.0.1:1/legacy?serverSelectionTimeoutMS=500",
        "SERVICE_URL": "http://127.0.0.1:1",
        "SQL_PORT": "1",
    }
    given = {name: value for name, value in away.items() if name in family.configuration}

    run = await family.run(Action.LOGIN, EMAIL, PASSWORD, **given)

    assert isinstance(run.outcome, Failed), run
    assert PASSWORD not in repr(run)
