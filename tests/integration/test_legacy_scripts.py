"""Scripts as they are in the wild, by family, through real runners against stores that answer.

MySQL and PostgreSQL are real servers (`tests/acceptance/test_legacy_stores.py` drives whole flows
on them); MongoDB, SQL Server and the web service are stand-ins that speak the protocol. Who is in a
store at first was put there with another implementation of its hash than the scripts have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.pool_events import PoolEvent, Retired
from services.script_worker.retiring import RetireReason
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared.contracts import Action, Denied, DeniedReason, Failed, FailureKind
from tests.legacy_stores import stand_ins
from tests.legacy_stores.databases import Legacy
from tests.legacy_stores.web_service import WebService, web_service
from tests.servers import Databases

SCRIPTS = Path(__file__).parents[1] / "legacy_scripts"
EMAIL, PASSWORD, NEW = "ada@example.com", "correct horse", "battery staple"
NOBODY, ANOTHER = "nobody@example.com", "grace@example.com"
TABLES = {
    "sqlserver": stand_ins.USERS,
    "azure_sql": stand_ins.USERS,
    "magic_sqlserver": stand_ins.USERS,
    "aspnet_mvc3": stand_ins.MEMBERSHIP,
    "aspnet_mvc4": stand_ins.SIMPLE_MEMBERSHIP,
}
WEB = ("web_service_basic_auth", "axios")
FAMILIES = sorted(folder.name for folder in SCRIPTS.iterdir() if folder.is_dir())
WHOLE = [name for name in FAMILIES if (SCRIPTS / name / "create.js").exists()]
AWAY = {
    "MONGO_URL": "mongodb://127.0.0.1:1/legacy?serverSelectionTimeoutMS=500&poolSize=5",
    "SERVICE_URL": "http://127.0.0.1:1",
    "CONNECTION": "postgres://legacy@127.0.0.1:1/legacy",
    "SQL_PORT": "1",
    "PORT": "1",
}
REFUSING = {"SQL_PASSWORD": "another", "PASSWORD": "another"}
"""Configuration with which a store is there, and does not let the scripts in."""

Store = Legacy | stand_ins.MongoDB | stand_ins.SQLServer | WebService


@dataclass
class Family:
    """A family's scripts, and the store that they are configured for, with one user in it."""

    name: str
    pool: Pool
    store: Store
    events: list[PoolEvent] = field(default_factory=list)

    def has(self, action: Action) -> bool:
        return (SCRIPTS / self.name / f"{action}.js").exists()

    async def run(
        self, action: Action, *arguments: Any, configuration: Mapping[str, str] | None = None
    ) -> Run:
        given = {**self.store.configuration, **(configuration or {})}
        scripts = {
            one: (SCRIPTS / self.name / f"{one}.js").read_text() for one in Action if self.has(one)
        }
        bundle = Bundle(
            connection_id="con_" + "f" * 16,
            revision=("1" if configuration else "0") * 32,
            scripts=scripts,
            configuration=given,
            magic_globals=self.name.startswith("magic"),
        )
        until = asyncio.get_running_loop().time() + 15
        return await self.pool.run(bundle, action, list(arguments), context={}, deadline=until)

    async def login(self, email: str, password: str) -> Run:
        return await self.run(Action.LOGIN, email, password)

    async def get_user(self, email: str) -> Run:
        return await self.run(Action.GET_USER, email)


@asynccontextmanager
async def store_of(name: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Store]:
    if name in TABLES:
        async with stand_ins.sqlserver(TABLES[name], folder) as sql:
            yield sql
    elif "mongodb" in name:
        async with stand_ins.mongodb() as documents:
            yield documents
    elif name in WEB:
        async with web_service() as service:
            yield service
    else:
        async with table_in(name, request) as legacy:
            yield legacy


@asynccontextmanager
async def table_in(name: str, request: pytest.FixtureRequest) -> AsyncIterator[Legacy]:
    if "mysql" in name:
        legacy = Legacy.in_mariadb(request.getfixturevalue("mariadb").port)
        await legacy.create()
        yield legacy
        await legacy.drop()
        return
    databases: Databases = request.getfixturevalue("databases")
    url = await asyncio.to_thread(databases.fresh, migrated=False)
    legacy = Legacy.in_postgres(url)
    await legacy.create()
    yield legacy
    await asyncio.to_thread(databases.drop, url)


@pytest.fixture
async def family(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Family]:
    events: list[PoolEvent] = []
    limits = PoolLimits(blanks=0)
    async with (
        store_of(request.param, request, tmp_path) as store,
        Pool(NodeCommand.installed(), limits=limits, observe=events.append, worker="test") as pool,
    ):
        await store.add(EMAIL, PASSWORD)
        yield Family(request.param, pool, store, events)


def of(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("family", names, indirect=True)


def said(run: Run) -> Any:
    assert isinstance(run.outcome, Value), run
    assert run.violations == ()
    return run.outcome.value


def no(run: Run) -> bool:
    """Whether it is the user's fault, and not the store's."""
    assert run.violations == ()
    return isinstance(run.outcome, Denied) and run.outcome.reason in {
        DeniedReason.WRONG_PASSWORD,
        DeniedReason.NOT_FOUND,
    }


def test_every_family_that_can_be_run_here_has_scripts() -> None:
    assert {"login", "get_user", "create", "verify", "change_password", "change_email"} <= {
        path.stem for path in SCRIPTS.joinpath("mysql").iterdir()
    } & {path.stem for path in SCRIPTS.joinpath("postgresql").iterdir()}
    expected = {"mysql", "postgresql", "mongodb", "sqlserver", "aspnet_mvc3", "aspnet_mvc4", *WEB}
    assert expected <= set(WHOLE)


@of(FAMILIES)
async def test_who_was_there_before_logs_in_and_nobody_else(family: Family) -> None:
    profile = said(await family.login(EMAIL, PASSWORD))

    assert EMAIL == profile["email"]
    assert profile["user_id"]
    assert no(await family.login(EMAIL, "wrong"))
    assert no(await family.login(EMAIL, ""))
    assert no(await family.login(NOBODY, PASSWORD))
    assert no(await family.login("' OR 1 = 1 -- ", PASSWORD))
    if family.has(Action.GET_USER):
        found = said(await family.get_user(EMAIL))
        assert (str(profile["user_id"]), EMAIL) == (str(found["user_id"]), found["email"])
        assert no(await family.get_user(NOBODY))


@of(WHOLE)
async def test_somebody_new_is_made_changes_the_password_and_goes(family: Family) -> None:
    assert no(await family.get_user(ANOTHER))
    said(await family.run(Action.CREATE, {"email": ANOTHER, "password": PASSWORD}))
    profile = said(await family.login(ANOTHER, PASSWORD))
    assert no(await family.login(ANOTHER, "wrong"))
    if family.has(Action.VERIFY):
        # That published MySQL scripts say false here is theirs (C§1.4).
        assert said(await family.run(Action.VERIFY, ANOTHER)) is (family.name != "mysql")

    changed = said(await family.run(Action.CHANGE_PASSWORD, ANOTHER, NEW))
    assert changed is (family.name != "mysql")
    assert no(await family.login(ANOTHER, PASSWORD))
    again = said(await family.login(ANOTHER, NEW))
    assert again["user_id"] == profile["user_id"]

    said(await family.run(Action.DELETE, str(profile["user_id"])))
    assert no(await family.login(ANOTHER, NEW))
    assert no(await family.get_user(ANOTHER))
    said(await family.login(EMAIL, PASSWORD))


@of(["mysql", "postgresql"])
async def test_an_address_is_changed(family: Family) -> None:
    assert said(await family.run(Action.CHANGE_EMAIL, *(EMAIL, ANOTHER, True))) is True

    found = said(await family.get_user(ANOTHER))
    assert found["email_verified"] is True
    assert no(await family.get_user(EMAIL))


@of(FAMILIES)
async def test_a_store_that_is_away_is_no_wrong_password(family: Family) -> None:
    given = {name: AWAY[name] for name in AWAY if name in family.store.configuration}

    run = await family.run(Action.LOGIN, EMAIL, PASSWORD, configuration=given)

    assert isinstance(run.outcome, Failed), run
    assert FailureKind.SCRIPT_ERROR == run.outcome.kind
    assert "ECONNREFUSED" in str(run.outcome.message) or "onnect" in str(run.outcome.message)
    assert PASSWORD not in repr(run)


@of([name for name in FAMILIES if name not in WEB and "postgresql" not in name])
async def test_a_store_that_refuses_the_scripts_is_no_wrong_password(family: Family) -> None:
    given = {name: REFUSING[name] for name in REFUSING if name in family.store.configuration}
    if "mongodb" in family.name:
        url = family.store.configuration["MONGO_URL"]
        given = {"MONGO_URL": url.replace(stand_ins.SECRET, "another")}

    run = await family.run(Action.LOGIN, EMAIL, PASSWORD, configuration=given)

    assert isinstance(run.outcome, Failed), run
    assert FailureKind.SCRIPT_ERROR == run.outcome.kind


@of([*WEB])
async def test_a_proxy_without_its_service_is_no_wrong_password(family: Family) -> None:
    assert isinstance(family.store, WebService)
    family.store.broken = True

    run = await family.login(EMAIL, PASSWORD)

    assert isinstance(run.outcome, Failed), run
    family.store.broken = False
    said(await family.login(EMAIL, PASSWORD))


@of(["mysql", "sqlserver"])
async def test_connections_that_are_never_ended_cost_a_runner_and_no_login(family: Family) -> None:
    for _ in range(25):
        said(await family.get_user(EMAIL))

    retired = [event.reason for event in family.events if isinstance(event, Retired)]
    assert RetireReason.MEMORY_GROWTH in retired
    assert set(retired) == {RetireReason.MEMORY_GROWTH}


@of(["mysql", "postgresql", "mongodb", "sqlserver", "aspnet_mvc3"])
async def test_connections_that_the_store_cuts_cost_no_later_login(family: Family) -> None:
    """What the mysql, pg and tedious of a forgotten connection throw is nobody else's error."""
    said(await family.login(EMAIL, PASSWORD))
    if family.has(Action.VERIFY):
        said(await family.run(Action.VERIFY, EMAIL))

    assert not isinstance(family.store, WebService)
    await family.store.cut()

    said(await family.login(EMAIL, PASSWORD))


@of(["mysql", "mongodb", "axios"])
async def test_what_a_pin_got_instead_is_told(family: Family) -> None:
    run = await family.get_user(EMAIL)

    [mapped] = run.mapped
    assert mapped.asked.split("@")[0] == mapped.got.split("@")[0]
    assert mapped.asked != mapped.got
