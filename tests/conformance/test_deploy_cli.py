"""auth0-deploy-cli against Trickle: import, export, import again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.node_command import node_of_the_wheel
from tests.conformance import table
from tests.conformance.server import PASSWORD, Served
from tests.legacy_store import scripts

CLIENT: Mapping[str, Any] = {
    "name": "Shop",
    "app_type": "regular_web",
    "callbacks": ["https://app.example/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
}


def database(name: str, **options: Any) -> dict[str, Any]:
    return {
        "name": name,
        "strategy": "auth0",
        "realms": [name],
        "is_domain_connection": False,
        "enabled_clients": ["app", "Shop"],
        "options": {
            "enabledDatabaseCustomization": True,
            "requires_username": False,
            "strategy_version": 2,
            "passwordPolicy": "fair",
            "brute_force_protection": True,
            "configuration": {"LEGACY_URL": "##LEGACY_URL##"},
            "customScripts": {action: f"./{action}.js" for action in scripts()},
            **options,
        },
    }


def write_folder(folder: Path) -> None:
    """A tenant as deploy-cli keeps it: two connections with all seven scripts, and a client."""
    for name, import_mode in (("old-users", False), ("moving-users", True)):
        place = folder / "database-connections" / name
        place.mkdir(parents=True)
        content = json.dumps(database(name, import_mode=import_mode), indent=2)
        (place / "database.json").write_text(content)
        for action, text in scripts().items():
            (place / f"{action}.js").write_text(text)
    (folder / "clients").mkdir()
    (folder / "clients" / "Shop.json").write_text(json.dumps(CLIENT))


async def a0deploy(server: Served, node_clients: Path, *arguments: str | Path) -> None:
    program = node_clients / "node_modules" / "auth0-deploy-cli" / "lib" / "index.js"
    environment = {
        "AUTH0_DOMAIN": server.domain,
        "AUTH0_CLIENT_ID": server.site.management["client_id"],
        "AUTH0_CLIENT_SECRET": server.site.management["client_secret"],
        "AUTH0_ALLOW_DELETE": "false",
        "AUTH0_INCLUDED_ONLY": json.dumps(["clients", "databases"]),
        "AUTH0_KEYWORD_REPLACE_MAPPINGS": json.dumps({"LEGACY_URL": server.store.url}),
    }
    command = [node_of_the_wheel(), program, *arguments]
    code, out, err = await server.run(command, environment)
    assert 0 == code, out[-3000:] + err[-3000:]


async def seen(server: Served) -> dict[str, Any]:
    """Both connections with their revisions, and the client, as anybody reads them."""
    found = {}
    for name in ("old-users", "moving-users"):
        listed = (await server.site.manage("GET", f"connections?name={name}")).json()
        answer = await server.site.manage("GET", f"connections/{listed[0]['id']}")
        found[name] = answer.json() | {"revision": answer.headers["x-trickle-revision"]}
        # Sealed afresh by each write, as at Auth0; the revision tells whether it means the same.
        found[name]["options"]["configuration"] = set(found[name]["options"]["configuration"])
    clients = (await server.site.manage("GET", "clients?per_page=100")).json()
    found["Shop"] = next(one for one in clients if one["name"] == "Shop")
    return found


@pytest.mark.timeout(300)  # the CLI has pauses of its own
async def test_a_folder_is_imported_exported_and_imported_again(
    server: Served, node_clients: Path, tmp_path: Path
) -> None:
    source, exported = tmp_path / "source", tmp_path / "exported"
    await asyncio.to_thread(write_folder, source)
    exported.mkdir()

    await a0deploy(server, node_clients, "import", "-i", source)
    first = await seen(server)

    assert set(scripts()) == set(first["old-users"]["options"]["customScripts"])
    assert {server.site.client_id, first["Shop"]["client_id"]} == set(
        first["moving-users"]["enabled_clients"]
    )
    for name in ("old-users", "moving-users"):
        address = f"{name}@example.com"
        await server.store.add(address, PASSWORD)
        assert 200 == (await server.site.login(PASSWORD, address, realm=name)).status_code

    await a0deploy(server, node_clients, "export", "--format", "directory", "-o", exported)

    for action, text in scripts().items():
        place = exported / "database-connections" / "moving-users" / f"{action}.js"
        assert text == place.read_text()

    server.requests.seen.clear()
    await a0deploy(server, node_clients, "import", "-i", exported)

    assert any(method == "PATCH" for method, _ in server.requests.seen), "it writes all the same"
    assert first == await seen(server)
    assert (
        200
        == (
            await server.site.login(PASSWORD, "old-users@example.com", realm="old-users")
        ).status_code
    )
    calls = ("import", "export", "import of the export: no change")
    package = node_clients / "node_modules" / "auth0-deploy-cli" / "package.json"
    client = f"auth0-deploy-cli {json.loads(package.read_text())['version']}"
    assert table.agrees([{"client": client, "call": call, "problem": None} for call in calls])
