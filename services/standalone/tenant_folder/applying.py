"""Applies a plan over the Management API, one change after the other (C§6.4).

Each step can be repeated: what failed half-way is finished by running the import again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from services.standalone.http_client import Answer
from services.standalone.tenant_folder.comparing import merged_options, same
from services.standalone.tenant_folder.management_api import REVISION
from services.standalone.tenant_folder.model import Database
from services.standalone.tenant_folder.plan import Change, Plan
from shared.errors import ServiceError

Say = Callable[[str], None]
_PAST: Final = {"create": "created", "update": "updated", "delete": "deleted"}


class Api(Protocol):
    """Where requests go: `ManagementApi`."""

    async def send(self, method: str, path: str, body: Any = None) -> Answer:
        """One call below /api/v2/. Raises ServiceError."""
        ...


@dataclass(slots=True)
class Applied:
    """What was done, one line each, and whether any of it made a difference."""

    done: list[str] = field(default_factory=list)
    differed: bool = False


class HalfDone(ServiceError):
    """The server refused a step; the ones before it were done."""

    def __init__(self, applied: Applied, why: str) -> None:
        """`applied`: what stands on the server now."""
        self.applied = applied
        super().__init__(why)


class SecretsFile:
    """Where the secrets of new clients go: they are told once and nowhere stored."""

    def __init__(self, path: Path) -> None:
        """Opened before anything is created, readable by the owner alone. Raises OSError."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._secrets: dict[str, dict[str, str]] = {}

    def add(self, client: dict[str, Any]) -> None:
        """Written at once: the next step may fail."""
        self._secrets[client["name"]] = {
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
        }
        self._file.seek(0)
        json.dump(self._secrets, self._file, indent=2)
        self._file.write("\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def apply(plan: Plan, api: Api, say: Say, secrets: SecretsFile | None = None) -> Applied:
    """Apply. Raises HalfDone."""
    run = _Run(plan, api, secrets)
    for change in plan.writes:
        say(f"{change.kind} {change.name} …")
        try:
            await run.change(change)
        except ServiceError as error:
            raise HalfDone(run.applied, f"{change.kind} {change.name}: {error}") from error
    return run.applied


class _Run:
    """One application of a plan: the ids it learns and what it did."""

    def __init__(self, plan: Plan, api: Api, secrets: SecretsFile | None) -> None:
        self.applied = Applied()
        self._plan = plan
        self._api = api
        self._ids = dict(plan.client_ids)
        self._secrets = secrets

    async def change(self, change: Change) -> None:
        if change.verb == "delete":
            await self._api.send("DELETE", f"{change.kind}s/{quote(str(change.id), safe='')}")
        elif change.kind == "client":
            await self._client(change)
        elif change.kind == "tenant":
            answer = await self._api.send("PATCH", "tenants/settings", dict(change.body))
            self._unkept(change, answer)
        elif isinstance(change.source, Database):
            await self._connection(change, change.source)
        if change.verb != "unchanged":
            self._note(f"{_PAST[change.verb]} {change.kind} {change.name}", differed=True)

    async def _client(self, change: Change) -> None:
        if change.id is not None:
            answer = await self._api.send("PATCH", f"clients/{change.id}", dict(change.body))
        else:
            answer = await self._api.send("POST", "clients", dict(change.body))
            self._ids[change.name] = answer.body["client_id"]
        self._unkept(change, answer)
        if self._secrets is not None and "client_secret" in answer.body:
            self._secrets.add(answer.body)

    def _unkept(self, change: Change, answer: Answer) -> None:
        """What the server answers is what it kept; the rest would be sent again each time."""
        names = [key for key, value in change.body.items() if not same(value, answer.body.get(key))]
        if names:
            told = (
                f"{change.kind} {change.name}: not kept by the server: {', '.join(sorted(names))}"
            )
            self._note(told, differed=False)

    async def _connection(self, change: Change, database: Database) -> None:
        """Clients go by a request of their own, as the CLI sends them."""
        connection_id = change.id
        if connection_id is None:
            body = {"name": change.name, "strategy": "auth0", "options": database.options}
            made = (await self._api.send("POST", "connections", body | dict(change.body))).body
            connection_id = str(made["id"])
        elif change.body or _touches_options(change):
            await self._update(change, connection_id, database)
        status = [(name, True) for name in change.clients_on]
        status += [(name, False) for name in change.clients_off]
        if status:
            listed = [{"client_id": self._ids.get(one, one), "status": on} for one, on in status]
            await self._api.send("PATCH", f"connections/{connection_id}/clients", listed)

    async def _update(self, change: Change, connection_id: str, database: Database) -> None:
        """Read again first: what somebody changed since the plan is kept, ciphertext included."""
        path = f"connections/{connection_id}"
        before = await self._api.send("GET", path)
        body = dict(change.body)
        if _touches_options(change):
            body["options"] = merged_options(
                before.body["options"],
                database.options,
                keep_configuration=self._plan.keep_configuration,
            )
        after = await self._api.send("PATCH", path, body)
        if change.verb == "unchanged":
            self._sent_again(change, before, after)

    def _sent_again(self, change: Change, before: Answer, after: Answer) -> None:
        """Say whether it made a difference, where the server tells."""
        names = ", ".join(change.configuration.sent)
        was, now = before.headers.get(REVISION), after.headers.get(REVISION)
        what = f"connection {change.name}: configuration {names} written again"
        if was is None or now is None:
            self._note(f"{what}; the server does not tell whether it differed", differed=False)
        elif was != now:
            self._note(f"{what}: it differed", differed=True)

    def _note(self, line: str, *, differed: bool) -> None:
        self.applied.done.append(line)
        self.applied.differed |= differed


def _touches_options(change: Change) -> bool:
    return bool(
        change.scripts
        or change.configuration.differs
        or change.configuration.sent
        or any(one.startswith("options.") for one in change.fields)
    )
