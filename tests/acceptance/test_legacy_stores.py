"""From a tenant folder to people who log in: seven old scripts, both modes, MariaDB and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from services.script_worker.node_process import node_of_the_wheel
from services.standalone import cli
from shared.telemetry import serve_http
from tests.people import PASSWORD, People, path_of
from tests.private_mariadb import PASSWORD as MARIADB_PASSWORD
from tests.servers import Databases
from tests.site import opened

SCRIPTS = Path(__file__).parents[1] / "legacy_scripts"
MODULES = Path(__file__).parents[2] / "services" / "script_worker" / "modules"
NEW = "An0ther-one"
TABLE = {
    "mysql": "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, nickname VARCHAR(80),"
    " email VARCHAR(254) NOT NULL, password VARCHAR(80) NOT NULL, verified INT DEFAULT 0)",
    "postgresql": "CREATE TABLE users (id serial PRIMARY KEY, nickname text, email text NOT NULL,"
    " password text NOT NULL, verified boolean NOT NULL DEFAULT false)",
}
ASK = {
    "mysql": """
const db = require('mysql2/promise');
(async () => {
  const link = await db.createConnection(JSON.parse(process.argv[1]));
  const [rows] = await link.query(process.argv[2], JSON.parse(process.argv[3]));
  console.log(JSON.stringify(rows)); await link.end();
})();""",
    "postgresql": """
const { Client } = require('pg');
(async () => {
  const link = new Client(JSON.parse(process.argv[1])); await link.connect();
  let n = 0;
  const { rows } = await link.query(process.argv[2].replace(/\\?/g, () => `$${++n}`), JSON.parse(process.argv[3]));
  console.log(JSON.stringify(rows)); await link.end();
})();""",
}


@dataclass
class Legacy:
    """A legacy database, seen with its own driver and none of the scripts."""

    family: str
    address: Mapping[str, Any]
    configuration: Mapping[str, str] = field(repr=False)

    async def ask(self, sql: str, *values: Any) -> Any:
        command = ["-e", ASK[self.family], json.dumps(self.address), sql, json.dumps(values)]
        process = await asyncio.create_subprocess_exec(
            node_of_the_wheel(), *command, cwd=MODULES, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
        assert 0 == process.returncode
        return json.loads(out)

    async def add(self, email: str) -> None:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        await self.ask(
            "INSERT INTO users (email, password, nickname) VALUES (?, ?, 'Ada')", email, hashed
        )

    async def row(self, email: str) -> dict[str, Any] | None:
        rows = await self.ask("SELECT * FROM users WHERE email = ?", email)
        return rows[0] if rows else None


@pytest.fixture(params=["mysql", "postgresql"])
def legacy(request: pytest.FixtureRequest, databases: Databases) -> Legacy:
    if request.param == "mysql":
        server = request.getfixturevalue("mariadb")
        address = {"host": "127.0.0.1", "port": server.port, "user": "legacy"}
        secret = {"password": MARIADB_PASSWORD, "database": "legacy"}
        given = {name.upper(): str(value) for name, value in (address | secret).items()}
        return Legacy("mysql", address | secret, given)
    url = databases.fresh(migrated=False)
    return Legacy("postgresql", {"connectionString": url}, {"CONNECTION": url})


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
    await legacy.ask(TABLE[legacy.family])
    folder, mails = tmp_path / "tenant", tmp_path / "mails"
    write_folder(folder, legacy)
    async with (
        opened(database_url, TRICKLE_MAIL_FOLDER=str(mails)) as site,
        serve_http(site.auth.app, "127.0.0.1", 0) as port,
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
    await legacy.ask("DROP TABLE users")


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
