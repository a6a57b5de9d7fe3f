"""What a tenant folder may hold, and its limits; every file is validated here, once.

Rule 1: a problem names the file and the key, never the value: values may be secrets.
Rule 2: all problems are told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from services.auth.connection_options import Options
from shared.contracts import Action
from shared.errors import ServiceError

MAX_JSON_BYTES: Final = 1024 * 1024
"""As much as the Management API takes in one request."""
MAX_YAML_BYTES: Final = 5 * 1024 * 1024
MAX_ENTRIES: Final = 1000
"""Databases, and clients, in one folder."""
SCRIPT_KEYS: Final = frozenset({str(action) for action in Action}) | {
    "change_username",
    "change_phone_number",
}
"""C§1.1; the last two are accepted and stored, and never called."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$", max_length=128)]
ShortText = Annotated[str, Field(min_length=1, max_length=255)]


class Unusable(ServiceError):
    """The folder can't be used as it is."""

    def __init__(self, problems: Iterable[str]) -> None:
        """One line a problem."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Entry(BaseModel):
    """One JSON object of a folder; what we don't know is kept, to be named."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue]

    def given(self) -> dict[str, Any]:
        """What stands in the file; null is as good as absent (C§7)."""
        return {
            name: value
            for name, value in self.model_dump(exclude_unset=True).items()
            if value is not None
        }


class DatabaseEntry(Entry):
    """A `database.json`, its scripts loaded."""

    name: Name
    strategy: Literal["auth0"] = "auth0"
    display_name: ShortText | None = None
    realms: Annotated[list[ShortText], Field(max_length=10)] | None = None
    is_domain_connection: bool | None = None
    metadata: Annotated[dict[str, ShortText], Field(max_length=10)] | None = None
    enabled_clients: Annotated[list[ShortText], Field(max_length=1000)] | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)


class ClientEntry(Entry):
    """A file of `clients/`."""

    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^<>]+$")]
    client_id: ShortText | None = None
    app_type: Literal["native", "spa", "regular_web", "non_interactive"] | None = None
    token_endpoint_auth_method: (
        Literal["none", "client_secret_post", "client_secret_basic"] | None
    ) = None
    grant_types: Annotated[list[ShortText], Field(max_length=20)] | None = None


class TenantEntry(Entry):
    """`tenant.json`."""


class ConfigFile(BaseModel):
    """The `config.json` of auth0-deploy-cli: what of it means something here (C§6.3)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    AUTH0_KEYWORD_REPLACE_MAPPINGS: dict[str, JsonValue] = Field(default_factory=dict)
    AUTH0_EXCLUDED_DATABASES: list[str] = Field(default_factory=list)
    AUTH0_EXCLUDED_CLIENTS: list[str] = Field(default_factory=list)
    AUTH0_INCLUDED_ONLY: list[str] | None = None
    AUTH0_ALLOW_DELETE: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database of a folder."""

    place: str
    entry: DatabaseEntry = field(repr=False)
    templates: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Scripts before their keywords were replaced: what may be shown."""
    unresolved: frozenset[str] = frozenset()
    """Configuration values whose keyword was not given."""

    @property
    def options(self) -> dict[str, Any]:
        """The options, scripts and configuration included."""
        return dict(self.entry.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client of a folder."""

    place: str
    entry: ClientEntry = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A whole folder; None is a kind that the folder says nothing about."""

    databases: tuple[Database, ...] | None
    clients: tuple[Client, ...] | None
    tenant: TenantEntry | None = field(default=None, repr=False)
    excluded_databases: frozenset[str] = frozenset()
    excluded_clients: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], value: Any, place: str, problems: list[str]) -> M | None:
    """The value as a model; otherwise its problems are noted, each with file and key."""
    if not isinstance(value, dict):
        problems.append(f"{place}: an object is expected")
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems += _told(error, place, "")
        return None


def check_options(options: Mapping[str, Any], place: str, problems: list[str]) -> None:
    """What the server would refuse is refused before anything is sent."""
    try:
        Options.model_validate(dict(options))
    except ValidationError as error:
        problems += _told(error, place, "options.")


def _told(error: ValidationError, place: str, prefix: str) -> list[str]:
    told = []
    for item in error.errors(include_input=False, include_url=False):
        key = prefix + ".".join(map(str, item["loc"]))
        told.append(f"{place}: {key.rstrip('.') or 'the file'}: {item['msg']}")
    return list(dict.fromkeys(told))
