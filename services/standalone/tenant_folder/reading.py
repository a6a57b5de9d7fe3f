"""Reads a folder from disk: the directory format (C§6.1) or a YAML export (C§6.2).

Rule: nothing outside the folder is read. A script's path that leaves it, also by a symbolic link,
is a problem; everything that can be found wrong is found before the first complaint is made.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from services.auth.connection_options import MAX_SCRIPT_BYTES
from services.standalone.tenant_folder import yaml_text
from services.standalone.tenant_folder.keywords import Keywords, left_in
from services.standalone.tenant_folder.model import (
    MAX_ENTRIES,
    MAX_JSON_BYTES,
    MAX_YAML_BYTES,
    SCRIPT_KEYS,
    Client,
    ClientEntry,
    ConfigFile,
    Database,
    DatabaseEntry,
    Folder,
    TenantEntry,
    Unusable,
    check_options,
    validated,
)

DATABASES: Final = "database-connections"
CLIENTS: Final = "clients"
TENANT: Final = "tenant.json"
YAML: Final = "tenant.yaml"
_YAML_KINDS: Final = {"databases", "clients", "tenant"}


def read_folder(path: Path, keywords: Keywords, config: ConfigFile) -> Folder:
    """The folder. Raises Unusable with every problem."""
    if path.is_dir() and not (path / YAML).is_file():
        reader = _Reader(path, keywords)
        folder = _directory(reader)
    elif path.is_dir() and ((path / DATABASES).is_dir() or (path / CLIENTS).is_dir()):
        raise Unusable([f"{path}: both formats are here; name the {YAML} to have that one"])
    else:
        file = path / YAML if path.is_dir() else path
        reader = _Reader(file.parent, keywords)
        folder = _yaml(reader, file)
    _no_twins(folder, reader.problems)
    if reader.problems:
        raise Unusable(reader.problems)
    return _chosen(replace(folder, notices=tuple(reader.notices)), config)


def read_config(path: Path) -> ConfigFile:
    """A `config.json`. Raises Unusable."""
    reader = _Reader(path.parent, Keywords())
    value = reader.json(path)
    config = None if reader.problems else validated(ConfigFile, value, path.name, reader.problems)
    if config is None:
        raise Unusable(reader.problems)
    return config


class _Reader:
    """Reads files below one root and remembers what was wrong."""

    def __init__(self, root: Path, keywords: Keywords) -> None:
        self.root = root.resolve()
        self.keywords = keywords
        self.problems: list[str] = []
        self.notices: list[str] = []

    def place(self, path: Path) -> str:
        """How a file is called in messages."""
        try:
            return path.absolute().relative_to(self.root).as_posix()
        except ValueError:
            return path.name

    def template(self, path: Path, limit: int) -> str | None:
        """A file's text as it stands there."""
        try:
            return self._read(path, limit)
        except UnicodeDecodeError:
            self.problems.append(f"{self.place(path)}: not UTF-8 text")
        except OSError as error:
            self.problems.append(f"{self.place(path)}: can't be read: {error.strerror}")
        except (ValueError, RuntimeError) as error:
            self.problems.append(f"{self.place(path)}: {error}")
        return None

    def _read(self, path: Path, limit: int) -> str:
        real = path.resolve()
        if not real.is_relative_to(self.root):
            raise ValueError("leaves the folder; only files inside it are read")
        if real.exists() and not real.is_file():
            raise ValueError("is not a regular file")
        with real.open("rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise ValueError(f"is above {limit} bytes")
        if b"\0" in raw:
            raise ValueError("holds a zero byte")
        return raw.decode("utf-8-sig")

    def json(self, path: Path) -> Any:
        """A JSON file, its keywords replaced; None when there is a problem."""
        text = self.template(path, MAX_JSON_BYTES)
        if text is None:
            return None
        try:
            return json.loads(self.keywords.replace(text), parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            self.problems.append(f"{self.place(path)}: not JSON ({where}, keywords replaced)")
        except (ValueError, RecursionError):
            self.problems.append(f"{self.place(path)}: not JSON")
        return None

    def scripts(self, wanted: Any, folder: Path, place: str) -> dict[str, str]:
        """Scripts by key as they stand in their files; unknown keys are named and skipped."""
        if not isinstance(wanted, dict):
            self.problems.append(f"{place}: options.customScripts: an object is expected")
            return {}
        found = {}
        for key, path in wanted.items():
            if key not in SCRIPT_KEYS:
                self.notices.append(
                    f"{place}: options.customScripts.{str(key)[:40]}: no such action script, skipped"
                )
            elif not isinstance(path, str) or not path or "\0" in path:
                self.problems.append(f"{place}: options.customScripts.{key}: a path is expected")
            elif (text := self.template(folder / path, MAX_SCRIPT_BYTES)) is not None:
                found[key] = text
        return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _directory(reader: _Reader) -> Folder:
    root = reader.root
    databases, clients = root / DATABASES, root / CLIENTS
    if not any(one.exists() for one in (databases, clients, root / TENANT)):
        reader.problems.append(
            f"there is no {DATABASES}/, {CLIENTS}/, {TENANT} or {YAML}: not a tenant folder"
        )
        return Folder(databases=None, clients=None)
    others = sorted(one.name for one in root.iterdir() if one.is_dir() and one.name[0] != ".")
    _unread(reader, [name for name in others if name not in (DATABASES, CLIENTS)])
    tenant = reader.json(root / TENANT) if (root / TENANT).exists() else None
    return Folder(
        databases=_directory_databases(reader, databases) if databases.is_dir() else None,
        clients=_directory_clients(reader, clients) if clients.is_dir() else None,
        tenant=None if tenant is None else _tenant(reader, tenant, TENANT),
    )


def _directory_databases(reader: _Reader, folder: Path) -> tuple[Database, ...]:
    found = []
    for one in _listed(reader, folder, lambda path: path.is_dir()):
        file = one / "database.json"
        if not file.exists():
            reader.notices.append(f"{reader.place(one)}: no database.json, skipped")
            continue
        value = reader.json(file)
        if value is not None:
            found.append(_database(reader, value, reader.place(file), one))
    return tuple(one for one in found if one is not None)


def _directory_clients(reader: _Reader, folder: Path) -> tuple[Client, ...]:
    found = []
    for file in _listed(reader, folder, lambda path: path.suffix == ".json"):
        value = reader.json(file)
        if value is not None:
            found.append(_client(reader, value, reader.place(file)))
    return tuple(one for one in found if one is not None)


def _listed(reader: _Reader, folder: Path, wanted: Any) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if wanted(path))
    if len(found) > MAX_ENTRIES:
        reader.problems.append(f"{reader.place(folder)}: above {MAX_ENTRIES} entries")
    return found[:MAX_ENTRIES]


def _yaml(reader: _Reader, file: Path) -> Folder:
    nothing = Folder(databases=None, clients=None)
    text = reader.template(file, MAX_YAML_BYTES)
    if text is None:
        return nothing
    place = reader.place(file)
    try:
        value = yaml_text.load(reader.keywords.replace(text))
    except yaml_text.BadYaml as error:
        reader.problems.append(f"{place}: {error}")
        return nothing
    if not isinstance(value, dict) or not _YAML_KINDS & value.keys():
        reader.problems.append(f"{place}: none of the keys databases, clients, tenant")
        return nothing
    _unread(
        reader, [str(key)[:40] for key, item in value.items() if item and key not in _YAML_KINDS]
    )
    tenant = value.get("tenant")
    return Folder(
        databases=_yaml_list(reader, value, "databases", place),
        clients=_yaml_list(reader, value, "clients", place),
        tenant=None if not tenant else _tenant(reader, tenant, f"{place}: tenant"),
    )


def _yaml_list(reader: _Reader, value: dict[str, Any], kind: str, place: str) -> Any:
    items = value.get(kind)
    if items is None:
        return None
    if not isinstance(items, list) or len(items) > MAX_ENTRIES:
        reader.problems.append(f"{place}: {kind}: a list of at most {MAX_ENTRIES} is expected")
        return ()
    found: list[Database | Client | None] = []
    for number, item in enumerate(items):
        where = f"{place}: {kind}[{number}]"
        if kind == "databases":
            found.append(_database(reader, item, where, reader.root))
        else:
            found.append(_client(reader, item, where))
    return tuple(one for one in found if one is not None)


def _database(reader: _Reader, value: Any, place: str, folder: Path) -> Database | None:
    if not isinstance(value, dict) or not isinstance(value.get("options") or {}, dict):
        reader.problems.append(f"{place}: an object with options is expected")
        return None
    options = dict(value.get("options") or {})
    legacy = value.get("customScripts")
    wanted = legacy if legacy is not None else options.get("customScripts")
    templates: dict[str, str] = {}
    if wanted is not None:
        templates = reader.scripts(wanted, folder, place)
        options["customScripts"] = {
            key: reader.keywords.replace(text) for key, text in templates.items()
        }
    check_options(options, place, reader.problems)
    rest = {name: item for name, item in value.items() if name != "customScripts"}
    entry = validated(DatabaseEntry, rest | {"options": options}, place, reader.problems)
    if entry is None:
        return None
    _conflicts(reader, entry, place)
    return Database(
        place=place,
        entry=entry,
        templates=templates,
        unresolved=_unresolved(reader, entry, place),
    )


def _unresolved(reader: _Reader, entry: DatabaseEntry, place: str) -> frozenset[str]:
    """Configuration that waits for a keyword; in other places a keyword left over is only named."""
    values = entry.options.get("configuration")
    configuration = values if isinstance(values, dict) else {}
    rest = {name: item for name, item in entry.options.items() if name != "configuration"}
    for name in left_in(json.dumps(rest)):
        reader.notices.append(f"{place}: no value for the keyword {name}; it stays as it is")
    return frozenset(name for name, value in configuration.items() if left_in(str(value)))


def _conflicts(reader: _Reader, entry: DatabaseEntry, place: str) -> None:
    options = entry.options
    if options.get("attributes") and (
        options.get("requires_username") or options.get("validation")
    ):
        reader.notices.append(
            f"{place}: options.attributes conflicts with requires_username and validation:"
            " Auth0 takes one or the other; here requires_username and validation act"
        )
    older = sorted(
        name for name in options if name == "passwordPolicy" or name.startswith("password_")
    )
    if options.get("password_options") and older != ["password_options"]:
        others = ", ".join(name for name in older if name != "password_options")
        reader.notices.append(f"{place}: options.password_options conflicts with {others}")


def _client(reader: _Reader, value: Any, place: str) -> Client | None:
    entry = validated(ClientEntry, value, place, reader.problems)
    return None if entry is None else Client(place=place, entry=entry)


def _tenant(reader: _Reader, value: Any, place: str) -> TenantEntry | None:
    return validated(TenantEntry, value, place, reader.problems)


def _unread(reader: _Reader, names: list[str]) -> None:
    if names:
        reader.notices.append(f"not read, Trickle has no such thing: {', '.join(names)}")


def _no_twins(folder: Folder, problems: list[str]) -> None:
    for things in (folder.databases or (), folder.clients or ()):
        seen: dict[str, str] = {}
        for one in things:
            name = one.entry.name
            if name in seen:
                problems.append(f"{one.place}: name: {name} stands in {seen[name]} too")
            seen.setdefault(name, one.place)


def _chosen(folder: Folder, config: ConfigFile) -> Folder:
    """Without what the configuration excludes."""
    only, notices = config.AUTH0_INCLUDED_ONLY, list(folder.notices)
    if config.AUTH0_ALLOW_DELETE:
        notices.append("AUTH0_ALLOW_DELETE is not followed; --allow-delete on the command line is")
    no_databases, no_clients = (
        frozenset(config.AUTH0_EXCLUDED_DATABASES),
        frozenset(config.AUTH0_EXCLUDED_CLIENTS),
    )
    databases, clients, tenant = folder.databases, folder.clients, folder.tenant
    if databases is not None:
        databases = tuple(one for one in databases if one.entry.name not in no_databases)
    if clients is not None:
        clients = tuple(one for one in clients if one.entry.name not in no_clients)
    if only is not None:
        databases = databases if "databases" in only else None
        clients = clients if "clients" in only else None
        tenant = tenant if "tenant" in only else None
    return Folder(
        databases=databases,
        clients=clients,
        tenant=tenant,
        excluded_databases=no_databases,
        excluded_clients=no_clients,
        notices=tuple(notices),
    )
