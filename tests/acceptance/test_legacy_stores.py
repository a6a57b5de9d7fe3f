"""From a tenant folder to people who log in: seven old scripts, both modes, MariaDB and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.standalone import cli
from tests.legacy_stores.databases import Legacy
from tests.people import People, path_of
from tests.servers import Databases
from tests.serving import served
from tests.site import opened

SCRIPTS = Path(__file__).parents[1] / "legacy_scripts"
NEW = "An0ther-one"


@pytest.fixture(params=["mysql", "postgresql"])
def legacy(request: pytest.FixtureRequest, databases: Databases) -> Legacy:
    if request.param == "mysql":
        return Legacy.in_mariadb(request.getfixturevalue("mariadb").port)
    return Legacy.in_postgres(databases.fresh(migrated=False))


def write_folder(root: Path, legacy: Legacy) -> None:
    """Two connections to one store, as deploy-cli keeps them, and the application."""
    scripts = sorted((SCRIPTS / legacy.family).glob("*.js"))
    assert 7 == len(scripts)
    for name, import_mode in (("old", False), ("moving", True)):
        folder = root / "database-connections" / name
        folder.mkdir(parents=True)
        for script in scripts:
            (folder / script.name).write_text(script.read_text())
        options = {
            "enabledDatabaseCustomization": True,
            "import_mode": import_mode,
            "passwordPolicy": "fair",
            "customScripts": {script.stem: f"./{script.name}" for script in scripts},
            "configuration": {key: f"##{key}##" for key in legacy.configuration},
        }
        database = {
            "name": name,
            "strategy": "auth0",
            "enabled_clients": ["Shop"],
            "options": options,
        }
        (folder / "database.json").write_text(json.dumps(database))
    (root / "clients").mkdir()
    (root / "clients" / "Shop.json").write_text(json.dumps({"name": "Shop"}))


@pytest.fixture
async def people(database_url: str, tmp_path: Path, legacy: Legacy) -> AsyncIterator[People]:
    """A site whose connections came from a folder, by the command that users run."""
    await legacy.create()
    folder, mails = tmp_path / "tenant", tmp_path / "mails"
    write_folder(folder, legacy)
    async with (
        opened(database_url, TRICKLE_MAIL_FOLDER=str(mails)) as site,
        served(site.auth.app) as port,
    ):
        up, config, secrets = (tmp_path / name for name in ("up.json", "config.json", "s.json"))
        up.write_text(
            json.dumps({"auth_url": f"http://127.0.0.1:{port}", "management": site.management})
        )
        config.write_text(json.dumps({"AUTH0_KEYWORD_REPLACE_MAPPINGS": legacy.configuration}))
        command = ["import-tenant", folder, "--credentials", up, "--config", config, "--yes"]
        command += ["--client-secrets", secrets]
        assert 0 == await asyncio.to_thread(cli.main, [str(one) for one in command])
        clients = (await site.manage("GET", "clients?per_page=100")).json()
        site.client_id = next(one["client_id"] for one in clients if one["name"] == "Shop")
        rotated = await site.manage("POST", f"clients/{site.client_id}/rotate-secret")
        site.secret = rotated.json()["client_secret"]
        yield People(site, mails)
    await legacy.drop()


async def user_path(people: People, address: str) -> str:
    user = await people.user(address)
    assert user is not None
    return f"users/{user['user_id']}"


async def test_a_legacy_database_is_the_authority_for_everything(
    people: People, legacy: Legacy
) -> None:
    known, new, renamed = people.somebody(), people.somebody(), people.somebody()
    await legacy.add(known)

    assert 200 == (await people.login("old", known)).status_code
    assert 403 == (await people.login("old", known, "wrong")).status_code
    assert 403 == (await people.login("old", new)).status_code

    assert 400 == (await people.signup("old", known)).status_code
    made = await people.signup("old", new)
    assert 200 == made.status_code, made.text
    row = await legacy.row(new)
    assert row is not None
    assert str(row["id"]) == made.json()["_id"]

    verified = await people.verify(await people.link_in_mail(new))
    assert 200 == verified.status_code, verified.text
    row = await legacy.row(new)
    assert row is not None
    assert row["verified"] in {1}

    await people.forgot("old", new)
    assert 200 == (await people.reset(await people.link_in_mail(new), NEW)).status_code
    assert 200 == (await people.login("old", new, NEW)).status_code
    assert 403 == (await people.login("old", new)).status_code

    path = await user_path(people, new)
    changed = await people.site.manage("PATCH", path, {"email": renamed})
    assert 200 == changed.status_code, changed.text
    assert await legacy.row(new) is None
    assert 200 == (await people.login("old", renamed, NEW)).status_code

    assert 204 == (await people.site.manage("DELETE", path)).status_code
    assert await legacy.row(renamed) is None
    assert 403 == (await people.login("old", renamed, NEW)).status_code
    assert await legacy.row(known) is not None


async def test_an_automatic_migration_leaves_the_old_store_alone(
    people: People, legacy: Legacy
) -> None:
    known, forgetful, new, renamed = (people.somebody() for _ in range(4))
    await legacy.add(known)
    await legacy.add(forgetful)
    before = [await legacy.row(address) for address in (known, forgetful)]

    first = await people.login("moving", known)
    assert 200 == first.status_code, first.text
    assert "x-trickle-execution-id" in first.headers
    assert "x-trickle-execution-id" not in (await people.login("moving", known)).headers
    assert 403 == (await people.login("moving", known, "wrong")).status_code

    assert 400 == (await people.signup("moving", forgetful)).status_code
    assert 200 == (await people.signup("moving", new)).status_code
    assert await legacy.row(new) is None
    assert 200 == (await people.verify(await people.link_in_mail(new))).status_code

    await people.forgot("moving", forgetful)
    assert 200 == (await people.reset(await people.link_in_mail(forgetful), NEW)).status_code
    assert 200 == (await people.login("moving", forgetful, NEW)).status_code
    assert 403 == (await people.login("moving", forgetful)).status_code

    path = await user_path(people, known)
    refused = await people.site.manage("PATCH", path, {"email": forgetful})
    assert 400 == refused.status_code
    assert 200 == (await people.site.manage("PATCH", path, {"email": renamed})).status_code
    assert 200 == (await people.login("moving", renamed)).status_code
    ticket = await people.site.manage(
        "POST", "tickets/password-change", {"user_id": path.removeprefix("users/")}
    )
    assert 200 == (await people.reset(path_of(ticket.json()["ticket"]), NEW)).status_code

    assert 204 == (await people.site.manage("DELETE", path)).status_code
    assert 403 == (await people.login("moving", renamed, NEW)).status_code
    assert before == [await legacy.row(address) for address in (known, forgetful)]
