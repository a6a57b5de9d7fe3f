"""Writes what a server holds as a folder that `a0deploy import` accepts (C§6.1, C§6.2).

Configuration never leaves the server in the clear: it is left out, or named by keywords. A folder
appears whole or not at all; in one that is there already, only our own parts are exchanged.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from services.standalone.tenant_folder import yaml_text
from services.standalone.tenant_folder.management_api import Snapshot
from services.standalone.tenant_folder.planning import TOP_LEVEL
from services.standalone.tenant_folder.reading import CLIENTS, DATABASES, TENANT, YAML
from shared.errors import ServiceError

Format = Literal["directory", "yaml"]
YAML_SCRIPTS: Final = "databases"
_PARTS: Final[dict[Format, tuple[str, ...]]] = {
    "directory": (DATABASES, CLIENTS, TENANT),
    "yaml": (YAML, YAML_SCRIPTS),
}
_CLIENT_SECRETS: Final = {"client_id", "client_secret", "signing_keys", "global", "tenant"}


class NotEmpty(ServiceError):
    """The folder holds something already."""


@dataclass(slots=True)
class Exported:
    """Files by their path in the folder, and what is worth knowing."""

    files: dict[str, str] = field(default_factory=dict, repr=False)
    notices: list[str] = field(default_factory=list)
    connections: int = 0
    clients: int = 0


def export(snapshot: Snapshot, form: Format, *, keywords: bool) -> Exported:
    """The files of a folder; nothing is written yet."""
    made = Exported()
    databases = [
        _database(one, snapshot, keywords=keywords, notices=made.notices)
        for one in sorted(snapshot.connections, key=lambda one: str(one["name"]))
    ]
    clients = _clients(snapshot, made.notices)
    made.connections, made.clients = len(databases), len(clients)
    if form == "directory":
        _as_directory(made.files, databases, clients, snapshot.tenant)
    else:
        _as_yaml(made.files, databases, clients, snapshot.tenant)
    return made


def _database(
    connection: Mapping[str, Any], snapshot: Snapshot, *, keywords: bool, notices: list[str]
) -> dict[str, Any]:
    options = dict(connection["options"])
    configuration = options.pop("configuration", None) or {}
    name = str(connection["name"])
    if configuration and keywords:
        options["configuration"] = _placeholders(name, configuration)
    elif configuration:
        notices.append(f"{name}: configuration left out: {', '.join(sorted(configuration))}")
    top = {key: connection[key] for key in TOP_LEVEL if connection.get(key)}
    return {
        "name": name,
        "strategy": "auth0",
        "is_domain_connection": bool(connection.get("is_domain_connection")),
        **top,
        "enabled_clients": _names(connection.get("enabled_clients") or (), snapshot),
        "options": dict(sorted(options.items())),
    }


def _placeholders(connection: str, configuration: Mapping[str, str]) -> dict[str, str]:
    """`##CONNECTION_KEY##` for each value; an empty text is no secret."""
    taken: set[str] = set()
    named = {}
    for key in sorted(configuration):
        if configuration[key] == "":
            named[key] = ""
            continue
        keyword = first = re.sub(r"[^A-Z0-9_]", "_", f"{connection}_{key}".upper())[:90]
        number = 2
        while keyword in taken:
            keyword, number = f"{first}_{number}", number + 1
        taken.add(keyword)
        named[key] = f"##{keyword}##"
    return named


def _names(client_ids: Any, snapshot: Snapshot) -> list[str]:
    """Names; an id where the name is not that client's alone, which the import takes too."""
    by_id = {one["client_id"]: str(one["name"]) for one in snapshot.clients}
    names = snapshot.client_names()
    return sorted(
        by_id[one] if one in by_id and len(names[by_id[one]]) == 1 else str(one)
        for one in client_ids
    )


def _clients(snapshot: Snapshot, notices: list[str]) -> list[dict[str, Any]]:
    found = []
    for name, ids in sorted(snapshot.client_names().items()):
        if ids == [snapshot.own_client_id]:
            notices.append(f"{name}: the client of this command, left out")
        elif len(ids) > 1:
            notices.append(f"{len(ids)} clients are named {name}: left out")
        else:
            one = next(one for one in snapshot.clients if one["client_id"] == ids[0])
            found.append({key: one[key] for key in sorted(one) if key not in _CLIENT_SECRETS})
    return found


def _as_directory(
    files: dict[str, str],
    databases: list[dict[str, Any]],
    clients: list[dict[str, Any]],
    tenant: dict[str, Any] | None,
) -> None:
    for database in databases:
        folder = f"{DATABASES}/{database['name']}"
        scripts = _scripts(database)
        for key, text in scripts.items():
            files[f"{folder}/{key}.js"] = text
        shown = _with_scripts(database, {key: f"./{key}.js" for key in scripts})
        files[f"{folder}/database.json"] = _json(shown)
    for client in clients:
        files[_unused(f"{CLIENTS}/{_file_name(client['name'])}", files)] = _json(client)
    if tenant:
        files[TENANT] = _json(tenant)


def _as_yaml(
    files: dict[str, str],
    databases: list[dict[str, Any]],
    clients: list[dict[str, Any]],
    tenant: dict[str, Any] | None,
) -> None:
    shown = []
    for database in databases:
        scripts = _scripts(database)
        folder = f"{YAML_SCRIPTS}/{database['name']}"
        for key, text in scripts.items():
            files[f"{folder}/{key}.js"] = text
        shown.append(_with_scripts(database, {key: f"./{folder}/{key}.js" for key in scripts}))
    document: dict[str, Any] = {"databases": shown, "clients": clients}
    files[YAML] = yaml_text.dump(document | ({"tenant": tenant} if tenant else {}))


def _scripts(database: Mapping[str, Any]) -> dict[str, str]:
    return dict(sorted((database["options"].get("customScripts") or {}).items()))


def _with_scripts(database: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    if not paths:
        return database
    return database | {"options": database["options"] | {"customScripts": paths}}


def _file_name(name: str) -> str:
    """Safe on every file system, and still readable."""
    return re.sub(r"[^\w.\- ]", "-", name).strip(". ")[:100] or "client"


def _unused(path: str, files: Mapping[str, str]) -> str:
    """Two names may become one file name, also where upper and lower case are the same."""
    taken = {one.lower() for one in files}
    candidate, number = f"{path}.json", 2
    while candidate.lower() in taken:
        candidate, number = f"{path}-{number}.json", number + 1
    return candidate


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write(made: Exported, target: Path, form: Format, *, force: bool) -> None:
    """Write the folder. Raises NotEmpty, OSError; what was there is then as it was."""
    occupied = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if occupied and (not force or not target.is_dir()):
        raise NotEmpty(f"{target} is not empty; --force exchanges the exported parts in it")
    place = target if occupied else target.absolute().parent
    place.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".trickle-export-", dir=place))
    try:
        new = draft / "new"
        for path, text in made.files.items():
            file = new / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")
        new.mkdir(exist_ok=True)
        if occupied:
            _exchange(new, draft / "old", target, form)
        else:
            new.replace(target)  # also over an empty folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _exchange(new: Path, old: Path, target: Path, form: Format) -> None:
    """Each part by two renames; others, such as `actions/`, are not ours to touch."""
    old.mkdir()
    for part in _PARTS[form]:
        there = target / part
        if there.exists() or there.is_symlink():
            there.rename(old / part)
        if (new / part).exists():
            (new / part).rename(there)
