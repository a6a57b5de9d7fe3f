"""Tenant folders against a real auth over HTTP: import, import again, change, export."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.auth.app import open_auth
from services.auth.bootstrap import create_management_client
from services.auth.settings import AuthSettings
from services.standalone import cli
from services.standalone.http_client import call
from services.standalone.tenant_folder.access import Access
from services.standalone.tenant_folder.management_api import ManagementApi
from shared.beside import beside
from shared.contracts import Action
from shared.database import Database, open_database
from shared.inprocess import InProcessBroker
from shared.sealing import KeyRing
from shared.settings import read_settings
from tests.serving import served

ISSUER = "https://auth.example/"
SECRET = "postgres://shop:s3cret-value@legacy/users"
MAPPINGS = {"LEGACY_URL": SECRET, "HOSTS": ["a", "b"], "TABLE": "customers"}
KEYS = sorted(str(action) for action in Action)


@dataclass
class Tenant:
    """A running auth, a folder, and what the last command printed."""

    url: str
    credentials: Path
    folder: Path
    config: Path
    database: Database
    api: ManagementApi
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""
    exit_codes: list[int] = field(default_factory=list)

    async def trickle(self, *arguments: Any) -> int:
        """Run the command as a shell would, in a thread: it has a loop of its own."""
        self.capture.readouterr()
        code = await asyncio.to_thread(cli.main, [str(one) for one in arguments])
        self.out, self.err = self.capture.readouterr()
        return code

    async def load(self, *more: Any, folder: Path | None = None) -> int:
        return await self.trickle(
            "import-tenant",
            folder or self.folder,
            "--credentials",
            self.credentials,
            "--config",
            self.config,
            *more,
        )

    async def dump(self, target: Path, *more: Any) -> int:
        return await self.trickle("export-tenant", target, "--credentials", self.credentials, *more)

    async def connection(self, name: str) -> dict[str, Any]:
        found = (await self.api.send("GET", f"connections?name={name}")).body
        return dict(found[0]) if found else {}


def write_folder(root: Path) -> None:
    """Two connections with all seven scripts, two clients."""
    for name in ("shop", "staff"):
        folder = root / "database-connections" / name
        folder.mkdir(parents=True)
        for key in KEYS:
            text = (
                f"function {key}() {{\n  // ##TABLE##, @@HOSTS@@\n"
                f"  arguments[arguments.length - 1](null, '{name}');\n}}\n"
            )
            (folder / f"{key}.js").write_text(text)
        database = {
            "name": name,
            "strategy": "auth0",
            "realms": [name],
            "enabled_clients": ["My SPA", "Back office"] if name == "shop" else ["Back office"],
            "options": {
                "enabledDatabaseCustomization": True,
                "import_mode": name == "shop",
                "passwordPolicy": "good",
                "strategy_version": 2,
                "brute_force_protection": True,
                "customScripts": {key: f"./{key}.js" for key in KEYS},
                **({"configuration": {"URL": "##LEGACY_URL##"}} if name == "shop" else {}),
            },
        }
        (folder / "database.json").write_text(json.dumps(database))
    clients = root / "clients"
    clients.mkdir()
    spa = {"name": "My SPA", "app_type": "spa", "token_endpoint_auth_method": "none"}
    (clients / "My SPA.json").write_text(json.dumps(spa))
    (clients / "Back office.json").write_text(json.dumps({"name": "Back office"}))


@pytest.fixture
async def tenant(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Tenant]:
    environment = {
        "DATABASE_URL": database_url,
        "TRICKLE_KEY_RING": KeyRing.generate(),
        "TRICKLE_ISSUER": ISSUER,
    }
    settings = read_settings(AuthSettings, environment)
    async with AsyncExitStack() as owned:
        database = await owned.enter_async_context(
            open_database(database_url, pool_size=1, application_name="test")
        )
        transport = InProcessBroker().transport("auth")
        auth = await owned.enter_async_context(open_auth(settings, transport))
        started = asyncio.Event()
        await owned.enter_async_context(beside(auth.run(started), "auth"))
        await started.wait()
        port = await owned.enter_async_context(served(auth.app))
        url = f"http://127.0.0.1:{port}"
        management = await create_management_client(database_url)
        credentials, config = tmp_path / "up.json", tmp_path / "config.json"
        credentials.write_text(json.dumps({"auth_url": url, "management": management}))
        config.write_text(json.dumps({"AUTH0_KEYWORD_REPLACE_MAPPINGS": MAPPINGS}))
        folder = tmp_path / "folder"
        write_folder(folder)
        api = await ManagementApi.sign_in(
            Access(url, management["client_id"], SecretStr(management["client_secret"]))
        )
        yield Tenant(url, credentials, folder, config, database, api, capsys)


async def test_a_folder_is_imported_and_a_second_time_nothing_changes(tenant: Tenant) -> None:
    first = await tenant.load("--yes")
    assert 0 == first, tenant.err
    assert "created connection shop" in tenant.out
    shop, staff = await tenant.connection("shop"), await tenant.connection("staff")
    revisions = await tenant.database.fetch("SELECT current_revision FROM connections ORDER BY 1")

    second = await tenant.load("--yes")

    assert 0 == second, tenant.err
    assert "no change" in tenant.out
    assert "created" not in tenant.out
    assert "updated" not in tenant.out
    assert revisions == await tenant.database.fetch(
        "SELECT current_revision FROM connections ORDER BY 1"
    )
    assert KEYS == sorted(shop["options"]["customScripts"])
    assert '// customers, ["a", "b"]' in shop["options"]["customScripts"]["login"]
    assert (2, 1) == (len(shop["enabled_clients"]), len(staff["enabled_clients"]))
    assert "URL" in shop["options"]["configuration"]


async def test_no_secret_is_ever_printed(tenant: Tenant) -> None:
    script = tenant.folder / "database-connections/staff/login.js"
    script.write_text("function login(a, b, callback) {\n  connect('##LEGACY_URL##');\n}\n")
    told = ""
    for mapping in (SECRET, "another-s3cret"):
        changed = {"AUTH0_KEYWORD_REPLACE_MAPPINGS": MAPPINGS | {"LEGACY_URL": mapping}}
        tenant.config.write_text(json.dumps(changed))
        assert 0 == await tenant.load("--yes"), tenant.err
        told += tenant.out + tenant.err

    assert "s3cret" not in told
    assert "only the value of a keyword differs" in tenant.out
    assert "another-s3cret" in str(await tenant.connection("staff"))


async def test_one_changed_script_is_all_that_the_plan_shows(tenant: Tenant) -> None:
    await tenant.load("--yes")
    script = tenant.folder / "database-connections/staff/get_user.js"
    script.write_text(script.read_text().replace("'staff'", "'nobody'"))

    code = await tenant.load("--dry-run", "--json")
    plan = json.loads(tenant.out)

    assert 0 == code
    changed = [one for one in plan["changes"] if one["verb"] != "unchanged"]
    assert [("connection", "staff")] == [(one["kind"], one["name"]) for one in changed]
    assert [] == changed[0]["fields"]
    assert [("get_user", "update")] == [(one["key"], one["verb"]) for one in changed[0]["scripts"]]
    lines = [line for line in changed[0]["scripts"][0]["diff"] if line[:1] in "+-"][2:]
    assert [
        "-  arguments[arguments.length - 1](null, 'staff');",
        "+  arguments[arguments.length - 1](null, 'nobody');",
    ] == lines
    assert 0 == await tenant.load("--yes")
    assert "updated connection staff" in tenant.out
    assert "nobody" in (await tenant.connection("staff"))["options"]["customScripts"]["get_user"]


async def test_other_options_and_stored_secrets_survive_an_import(tenant: Tenant) -> None:
    """C§6.4: the server's options are merged, its ciphertext goes back as it came."""
    await tenant.load("--yes")
    shop = await tenant.connection("shop")
    path = f"connections/{shop['id']}"
    await tenant.api.send("PATCH", path, {"options": shop["options"] | {"theirs": [1]}})
    revision = "SELECT current_revision FROM connections WHERE name = 'shop'"
    before = await tenant.database.fetchval(revision)
    file = tenant.folder / "database-connections/shop/database.json"
    database = json.loads(file.read_text())
    del database["options"]["configuration"]
    database["options"]["disable_signup"] = True
    file.write_text(json.dumps(database))

    assert 0 == await tenant.load("--yes"), tenant.err

    options = (await tenant.connection("shop"))["options"]
    assert ([1], True, True) == (
        options["theirs"],
        options["disable_signup"],
        "URL" in options["configuration"],
    )
    assert before == await tenant.database.fetchval(revision)
    assert "options.disable_signup: true" in tenant.out


@pytest.mark.parametrize("form", ["directory", "yaml"])
async def test_an_export_is_imported_without_a_change(
    tenant: Tenant, tmp_path: Path, form: str
) -> None:
    await tenant.load("--yes")
    target = tmp_path / "exported"

    assert 0 == await tenant.dump(target, "--format", form), tenant.err
    assert "URL" in tenant.err
    assert 1 == await tenant.dump(target, "--format", form)
    assert "--force" in tenant.err
    assert 0 == await tenant.dump(target, "--format", form, "--force"), tenant.err
    code = await tenant.load("--dry-run", folder=target)

    assert 0 == code, tenant.err
    assert "no change\n" in tenant.out
    everything = "".join(one.read_text() for one in target.rglob("*") if one.is_file())
    assert "s3cret" not in everything
    assert "tr1." not in everything
    assert [] == list(target.glob(".trickle-export-*"))


async def test_an_exported_keyword_asks_for_its_value(tenant: Tenant, tmp_path: Path) -> None:
    await tenant.load("--yes")
    target = tmp_path / "exported"

    await tenant.dump(target, "--keywords")
    without = await tenant.load("--yes", folder=target)
    problem = tenant.err
    kept = await tenant.load("--yes", "--keep-configuration", folder=target)
    kept_out = tenant.out
    given = await tenant.load("--dry-run", "--keyword", "SHOP_URL=x", folder=target)

    assert (1, 0, 0) == (without, kept, given)
    assert "options.configuration.URL: its keyword has no value" in problem
    assert kept_out.endswith("no change\n")
    assert "1 configuration value will be written again" in tenant.out


async def test_without_a_terminal_and_without_yes_nothing_happens(tenant: Tenant) -> None:
    refused = await tenant.load()

    assert 1 == refused
    assert "--yes" in tenant.err
    assert {} == await tenant.connection("shop")


async def test_an_unknown_client_stops_everything_before_it_begins(tenant: Tenant) -> None:
    file = tenant.folder / "database-connections/staff/database.json"
    database = json.loads(file.read_text())
    file.write_text(json.dumps(database | {"enabled_clients": ["Nobody", "Back office"]}))

    refused = await tenant.load("--yes")
    why = tenant.err
    untouched = await tenant.connection("shop")
    ignored = await tenant.load("--yes", "--ignore-missing-clients")

    assert (1, 0) == (refused, ignored)
    assert "staff/database.json: enabled_clients: there is no client named Nobody" in why
    assert {} == untouched
    assert 1 == len((await tenant.connection("staff"))["enabled_clients"])


async def test_clients_and_settings_change_and_what_is_gone_is_deleted_on_request(
    tenant: Tenant, tmp_path: Path
) -> None:
    await tenant.load("--yes")
    callbacks = {"name": "Back office", "callbacks": ["https://office.example/cb"]}
    (tenant.folder / "clients/Back office.json").write_text(json.dumps(callbacks))
    settings = {"friendly_name": "Shop", "flags": {"enable_public_signup_user_exists_error": True}}
    (tenant.folder / "tenant.json").write_text(json.dumps(settings))
    (tenant.folder / "clients/My SPA.json").unlink()
    database = tenant.folder / "database-connections/shop/database.json"
    database.write_text(database.read_text().replace('"My SPA", ', ""))
    shutil.rmtree(tenant.folder / "database-connections/staff")

    plain = await tenant.load("--yes")
    updated = tenant.out
    staff = await tenant.connection("staff")
    deleting = await tenant.load("--yes", "--allow-delete")
    deleted = tenant.out
    again = await tenant.load("--yes", "--allow-delete")

    assert (0, 0, 0) == (plain, deleting, again), tenant.err
    assert "updated client Back office\nupdated connection shop\nupdated tenant settings" in updated
    assert "staff" == staff["name"]
    assert "deleted connection staff\ndeleted client My SPA" in deleted
    assert "no change" in tenant.out
    assert {} == await tenant.connection("staff")
    target = tmp_path / "exported"
    assert 0 == await tenant.dump(target), tenant.err
    assert settings == json.loads((target / "tenant.json").read_text())
    exported = json.loads((target / "clients/Back office.json").read_text())
    assert callbacks["callbacks"] == exported["callbacks"]


async def test_the_secrets_of_created_clients_are_kept_on_request(
    tenant: Tenant, tmp_path: Path
) -> None:
    kept = tmp_path / "secrets.json"

    assert 0 == await tenant.load("--yes", "--client-secrets", kept), tenant.err

    secrets = json.loads(kept.read_text())
    assert ["Back office"] == list(secrets)
    assert 0o600 == kept.stat().st_mode & 0o777
    assert secrets["Back office"]["client_secret"] not in tenant.out + tenant.err


async def test_a_server_that_is_not_there_or_says_no_is_told_plainly(tenant: Tenant) -> None:
    nobody = await tenant.load("--yes", "--url", "http://127.0.0.1:9")
    unreachable = tenant.err
    tenant.credentials.write_text(
        json.dumps({"auth_url": tenant.url, "management": {"client_id": "x", "client_secret": "y"}})
    )
    denied = await tenant.load("--yes")

    assert (1, 1) == (nobody, denied)
    assert "can't be reached" in unreachable
    assert "sign-in: 401" in tenant.err
    assert 404 == (await call("GET", f"{tenant.url}/nowhere")).status
