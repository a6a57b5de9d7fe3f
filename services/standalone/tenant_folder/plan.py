"""What an import will change: the plan that `planning` makes, `rendering` shows and `applying` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.standalone.tenant_folder.model import Client, Database, TenantEntry

Verb = Literal["create", "update", "unchanged", "delete"]
Kind = Literal["client", "connection", "tenant"]


@dataclass(frozen=True, slots=True)
class ScriptChange:
    """One action script; the diff shows keywords and not their values."""

    key: str
    verb: Verb
    diff: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """Names of configuration values, never the values."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    """Stored and given again: whether they differ can't be known."""

    @property
    def differs(self) -> bool:
        """Whether something is certain to change."""
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one client, connection, or to the tenant's settings."""

    kind: Kind
    name: str
    verb: Verb
    id: str | None = None
    fields: tuple[str, ...] = ()
    scripts: tuple[ScriptChange, ...] = ()
    configuration: ConfigurationChange = ConfigurationChange()
    clients_on: tuple[str, ...] = ()
    clients_off: tuple[str, ...] = ()
    """Names; of a client that the folder can't name, its id."""
    source: Database | Client | TenantEntry | None = field(default=None, repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What is sent; a connection's options are merged anew when it is."""

    @property
    def writes(self) -> bool:
        """Whether anything is sent, be it without effect."""
        return self.verb != "unchanged" or bool(self.configuration.sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All changes in order, and the ids that clients have already."""

    changes: tuple[Change, ...]
    notices: tuple[str, ...]
    client_ids: Mapping[str, str]
    keep_configuration: bool = False

    @property
    def changed(self) -> tuple[Change, ...]:
        """What is certain to change."""
        return tuple(change for change in self.changes if change.verb != "unchanged")

    @property
    def writes(self) -> tuple[Change, ...]:
        """What is sent."""
        return tuple(change for change in self.changes if change.writes)
