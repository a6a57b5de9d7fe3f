"""Compares a folder with a server: what an import would change, in the order it would do it.

Pure; nothing here talks to anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.standalone.tenant_folder.comparing import (
    changed_configuration,
    changed_options,
    changed_scripts,
    differing,
    merged_options,
    plain,
    same,
    told,
)
from services.standalone.tenant_folder.keywords import Keywords
from services.standalone.tenant_folder.management_api import Snapshot
from services.standalone.tenant_folder.model import Client, Database, Folder, TenantEntry, Unusable
from services.standalone.tenant_folder.plan import Change, ConfigurationChange, Kind, Plan

TOP_LEVEL: Final = ("display_name", "realms", "is_domain_connection", "metadata")
_READ_ONLY: Final = {
    "client": {
        "name",
        "client_id",
        "client_secret",
        "signing_keys",
        "tenant",
        "global",
        "callback_url_template",
        "is_first_party",
        "oidc_conformant",
    },
    "connection": {
        "id",
        "name",
        "strategy",
        "enabled_clients",
        "options",
        "authentication",
        "connected_accounts",
        "show_as_button",
        *TOP_LEVEL,
    },
    "tenant": {"sandbox_versions_available"},
}
"""Never sent by an update, and not worth a word."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line decides."""

    ignore_missing_clients: bool = False
    keep_configuration: bool = False
    allow_delete: bool = False


def make_plan(folder: Folder, snapshot: Snapshot, keywords: Keywords, choices: Choices) -> Plan:
    """The plan. Raises Unusable with every problem."""
    planner = _Planner(folder, snapshot, keywords, choices)
    clients = [planner.client(one) for one in folder.clients or ()]
    connections = [planner.connection(one) for one in folder.databases or ()]
    tenant = [] if folder.tenant is None else planner.tenant(folder.tenant)
    deleted = planner.deleted() if choices.allow_delete else []
    if planner.problems:
        raise Unusable(planner.problems)
    return Plan(
        changes=(*clients, *connections, *tenant, *deleted),
        notices=(*folder.notices, *dict.fromkeys(planner.notices)),
        client_ids=planner.ids,
        keep_configuration=choices.keep_configuration,
    )


class _Planner:
    """Gathers problems and notices while it compares."""

    def __init__(
        self, folder: Folder, snapshot: Snapshot, keywords: Keywords, choices: Choices
    ) -> None:
        self.problems: list[str] = []
        self.notices: list[str] = []
        self._folder = folder
        self._snapshot = snapshot
        self._keywords = keywords
        self._choices = choices
        self._names = snapshot.client_names()
        self._planned = {one.entry.name for one in folder.clients or ()}
        self._by_id = {str(one["client_id"]): str(one["name"]) for one in snapshot.clients}
        self.ids = {name: ids[0] for name, ids in self._names.items() if len(ids) == 1}

    def client(self, client: Client) -> Change:
        """Create or update a client; keys that the file does not have stay as they are."""
        entry, name = client.entry, client.entry.name
        found = self._existing_client(client)
        body = _sendable("client", entry.given())
        if entry.given().keys() & {"custom_login_page", "custom_login_page_preview"}:
            body = {key: value for key, value in body.items() if "custom_login_page" not in key}
            self.notices.append(f"{client.place}: custom_login_page is not kept by Trickle")
        if found is None:
            fields = tuple(sorted(body))
            return Change(
                kind="client",
                name=name,
                verb="create",
                fields=fields,
                source=client,
                body={"name": name, **body},
            )
        changed = differing(found, body)
        if found.get("name") != name:  # the file names its id
            changed["name"] = name
        self.ids[name] = str(found["client_id"])
        if changed and found["client_id"] == self._snapshot.own_client_id:
            self.notices.append(f"{client.place}: it is the client of this command; left alone")
            changed = {}
        return Change(
            kind="client",
            name=name,
            verb="update" if changed else "unchanged",
            id=str(found["client_id"]),
            fields=told(found, changed),
            source=client,
            body=changed,
        )

    def _existing_client(self, client: Client) -> dict[str, Any] | None:
        name = client.entry.name
        for one in self._snapshot.clients:
            if client.entry.client_id is not None and one["client_id"] == client.entry.client_id:
                return one
        if len(self._names.get(name, ())) > 1:
            self.problems.append(
                f"{client.place}: name: the server has several clients named {name};"
                " a client_id in the file would say which"
            )
        return next((one for one in self._snapshot.clients if one["name"] == name), None)

    def connection(self, database: Database) -> Change:
        """Create or update a connection."""
        entry, name = database.entry, database.entry.name
        found = next((one for one in self._snapshot.connections if one["name"] == name), None)
        given = entry.given()
        self._unkept(database.place, _sendable("connection", given).keys())
        current: dict[str, Any] = dict(found["options"]) if found else {}
        merged = merged_options(
            current, entry.options, keep_configuration=self._choices.keep_configuration
        )
        self._settled(database, current, entry.options)
        configuration = changed_configuration(current, merged)
        self._resolved(database, configuration)
        scripts = changed_scripts(current, merged, database.templates, self._keywords)
        top: dict[str, Any] = {
            key: given[key]
            for key in TOP_LEVEL
            if key in given and (found is None or not same(given[key], found.get(key)))
        }
        fields = changed_options(current, merged) if found else tuple(sorted(merged))
        on, off = self._clients(database, found)
        differs = top or fields or scripts or configuration.differs or on or off
        return Change(
            kind="connection",
            name=name,
            verb="create" if found is None else "update" if differs else "unchanged",
            id=found["id"] if found else None,
            fields=(*sorted(top), *(f"options.{one}" for one in fields if plain(one))),
            scripts=scripts,
            configuration=configuration,
            clients_on=on,
            clients_off=off,
            source=database,
            body=top,
        )

    def _settled(
        self, database: Database, current: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> None:
        if current.get("enable_script_context") and wanted.get("enable_script_context") is False:
            self.notices.append(
                f"{database.place}: options.enable_script_context can't be switched off again"
            )

    def _resolved(self, database: Database, configuration: ConfigurationChange) -> None:
        """A value that waits for a keyword must never be sent."""
        about = {*configuration.added, *configuration.changed, *configuration.sent}
        self.problems += [
            f"{database.place}: options.configuration.{name}: its keyword has no value"
            for name in sorted(database.unresolved & about)
        ]

    def _clients(
        self, database: Database, found: Mapping[str, Any] | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which clients are switched on and off; a folder without the key says nothing."""
        if database.entry.enabled_clients is None:
            return (), ()
        wanted = set()
        for given in database.entry.enabled_clients:
            name = self._known_client(database, given)
            if name is not None:
                wanted.add(name)
        enabled = {self._named(one) for one in (found or {}).get("enabled_clients", ())}
        return tuple(sorted(wanted - enabled)), tuple(sorted(enabled - wanted))

    def _known_client(self, database: Database, given: str) -> str | None:
        """The client's name; its id where the name is not its alone."""
        ids = self._names.get(given, [])
        if len(ids) > 1:
            self.problems.append(
                f"{database.place}: enabled_clients: several clients are named {given}"
            )
        if ids or given in self._planned:
            return given
        if given in self._by_id:
            return self._named(given)
        missing = f"{database.place}: enabled_clients: there is no client named {given}"
        if self._choices.ignore_missing_clients:
            self.notices.append(f"{missing}; ignored")
        else:
            self.problems.append(f"{missing} (--ignore-missing-clients goes on without it)")
        return None

    def _named(self, client_id: str) -> str:
        name = self._by_id.get(client_id, client_id)
        return name if len(self._names.get(name, ())) == 1 else client_id

    def tenant(self, entry: TenantEntry) -> list[Change]:
        """Update what differs of the settings that the server keeps."""
        current = self._snapshot.tenant
        if current is None:
            self.notices.append(
                "tenant settings: the server has none, or they may not be read; left alone"
            )
            return []
        body = _sendable("tenant", entry.given())
        if isinstance(body.get("flags"), dict):  # first level: the other flags are kept
            body["flags"] = {**(current.get("flags") or {}), **body["flags"]}
        changed = differing(current, body)
        return [
            Change(
                kind="tenant",
                name="settings",
                verb="update" if changed else "unchanged",
                fields=told(current, changed),
                source=entry,
                body=changed,
            )
        ]

    def deleted(self) -> list[Change]:
        """What the folder does not have, of the kinds that it speaks of; connections first."""
        folder, deleted = self._folder, []
        if folder.databases is not None:
            kept = {one.entry.name for one in folder.databases} | folder.excluded_databases
            deleted += [
                Change(kind="connection", name=one["name"], verb="delete", id=one["id"])
                for one in self._snapshot.connections
                if one["name"] not in kept
            ]
        if folder.clients is not None:
            kept = {one.entry.name for one in folder.clients} | folder.excluded_clients
            ours = self._snapshot.own_client_id
            deleted += [
                Change(kind="client", name=one["name"], verb="delete", id=one["client_id"])
                for one in self._snapshot.clients
                if one["name"] not in kept and one["client_id"] != ours
            ]
        return deleted

    def _unkept(self, place: str, keys: Iterable[str]) -> None:
        if names := ", ".join(sorted(keys)):
            self.notices.append(f"{place}: not kept by this server: {names}")


def _sendable(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in _READ_ONLY[kind]}
