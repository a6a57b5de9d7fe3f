"""The one module that reads the environment, once, in `__main__`; handed on as values.

Every name begins with `TRICKLE_`, but `DATABASE_URL` and `AMQP_URL`, which other tools know too.
All problems are reported at once, and none of them shows a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import Misconfigured
from shared.sealing import KeyRing

PREFIX: Final = "TRICKLE_"
OF_ONE_SERVICE: Final = frozenset(
    PREFIX + name
    for name in (
        "BLANKS",
        "CONCURRENCY",
        "DATABASE_POOL",
        "EGRESS_ALLOW",
        "EGRESS_DEFAULT",
        "EGRESS_PORTS",
        "EGRESS_REFUSE",
        "EGRESS_TO_OWN_DATABASE",
        "FAILURES_PER_ADDRESS",
        "HASH_THREADS",
        "HOST",
        "ISOLATION_REQUIRED",
        "ISSUER",
        "MAIL_FOLDER",
        "MAIL_FROM",
        "MAX_IN_FLIGHT_PER_CONNECTION",
        "MAX_PROCESSES",
        "MEMORY_PER_PROCESS",
        "MODULES",
        "NODE",
        "OWN_QUEUES",
        "PORT",
        "PROCESSES_PER_CONNECTION",
        "RESETS_PER_ADDRESS",
        "SHUTDOWN_DELAY",
        "SIGN_UPS_PER_ADDRESS",
        "SMTP_URL",
        "TENANT",
        "TRUSTED_PROXIES",
        "UNLIMITED_ADDRESSES",
        "WORKER_GRACE",
    )
)
"""What one service has and the other does not: both may be given the same environment."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:\d{1,5})?\Z")


def _seconds(value: object) -> object:
    """`30` is thirty seconds; pydantic reads the rest (`PT30S`, `00:00:30`)."""
    if isinstance(value, str):
        with suppress(ValueError, OverflowError):
            return timedelta(seconds=float(value))
    return value


Budget = Annotated[timedelta, BeforeValidator(_seconds)]
"""A duration; in the environment a number of seconds."""


class ServiceSettings(BaseSettings):
    """What both services need."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix=PREFIX,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    secrets_dir: Path | None = Field(
        default=None,
        description="a folder with one file a setting, named like its variable: for secrets, which"
        " then stand in no process's environment; a variable wins over a file",
    )
    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL", description="PostgreSQL 15 or later, postgresql://…"
    )
    amqp_url: SecretStr | None = Field(
        default=None,
        validation_alias="AMQP_URL",
        description="RabbitMQ, amqp:// or amqps://; required unless both services share a process",
    )
    key_ring: SecretStr = Field(
        description="`id:base64 of 32 bytes`, comma-separated; the first seals, all open"
    )
    broker_prefix: str = Field(
        default="trickle",
        pattern=r"^[a-z0-9._-]{1,64}$",
        description="begins the name of every exchange and queue",
    )
    broker_fast_path: bool = Field(
        default=True,
        description="publish and consume by our own code below the broker's client, for a third"
        " of the CPU; off: the client does everything",
    )
    events: bool = Field(
        default=False,
        description="tell integrators what happened (`trickle.events`); the same for both services",
    )
    metrics_host: str = Field(default="127.0.0.1", description="where /metrics is served")
    metrics_port: int = Field(default=9090, ge=0, le=65535, description="0: a free one")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least level that is written"
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="console: for a person's eyes"
    )
    start_within: Budget = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        description="how long a starting service waits for the broker and the migrated database",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@]+$",
        description="an OpenTelemetry collector's OTLP/HTTP base URL, e.g. `http://collector:4318`;"
        " nothing is traced without one",
    )
    drain_budget: Budget = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="how long a stopping service waits for what is in hand: a script's deadline"
        " of 20 s, and 10 s to publish and ack",
    )

    @field_validator("database_url")
    @classmethod
    def _database_url_is_one(cls, value: SecretStr) -> SecretStr:
        return url_of(value, "postgresql", "postgres")

    @field_validator("amqp_url")
    @classmethod
    def _amqp_url_is_one(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else url_of(value, "amqp", "amqps")

    @field_validator("key_ring")
    @classmethod
    def _key_ring_parses(cls, value: SecretStr) -> SecretStr:
        try:
            KeyRing.parse(value.get_secret_value())
        except Misconfigured as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def ring(self) -> KeyRing:
        """The key ring."""
        return KeyRing.parse(self.key_ring.get_secret_value())

    @property
    def database_dsn(self) -> str:
        """The database URL in the clear: it holds a password, so it is never logged."""
        return self.database_url.get_secret_value()

    @property
    def amqp_dsn(self) -> str:
        """The broker's URL in the clear. Raises Misconfigured when there is none."""
        if self.amqp_url is None:
            raise Misconfigured("AMQP_URL is not set")
        return self.amqp_url.get_secret_value()


def url_of(value: SecretStr, *schemes: str) -> SecretStr:
    """A URL that its driver will be able to read. Raises ValueError, which shows nothing of it.

    Drivers quote what they can't read: of `amqp://user:pass/word@host`, the password.
    """
    try:
        parts = urlsplit(value.get_secret_value())
    except ValueError:
        parts = urlsplit("")
    hosts = parts.netloc.rpartition("@")[2].split(",")  # libpq's URLs may name several
    usable = parts.scheme in schemes and bool(parts.netloc or parts.query)
    if not usable or "@" in parts.path + parts.fragment or not all(map(_HOST.match, hosts)):
        kinds = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(
            f"must begin with {kinds} and a host; in user and password, what has a meaning in URLs"
            " is written %2F, %40 and so on"
        )
    return value


S = TypeVar("S", bound=ServiceSettings)


def read_settings(kind: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Read and validate; raises Misconfigured with every problem, one a line.

    `environment` replaces the process's own, for services that share a process.
    """
    try:
        if environment is None:
            return kind(_secrets_dir=_secrets_folder())
        return kind(**_values(kind, environment))
    except ValidationError as error:
        problems = [f"  {env_name(kind, item['loc'])}: {item['msg']}" for item in error.errors()]
        raise Misconfigured("\n".join(["the settings are not usable:", *problems])) from None


def _secrets_folder() -> Path | None:
    given = os.environ.get(f"{PREFIX}SECRETS_DIR")
    if not given:
        return None
    if not Path(given).is_dir():
        raise Misconfigured(f"{PREFIX}SECRETS_DIR: there is no folder {given}")
    return Path(given)


def unknown_names(kind: type[ServiceSettings]) -> dict[str, str]:
    """Variables, and files of secrets, with our prefix that mean nothing: misspelt, or outdated.

    Each with what to say of it. The other service's are known, and pass in silence.
    """
    known = OF_ONE_SERVICE | {env_name(kind, (name,)) for name in kind.model_fields}
    folder = _secrets_folder()
    files = {file.name for file in folder.iterdir()} if folder else set()
    given = files | set(os.environ)
    unknown = sorted(name for name in given if name.startswith(PREFIX) and name not in known)
    return {name: _ignored(name, known) for name in unknown}


def _ignored(name: str, known: Iterable[str]) -> str:
    """Compared without the prefix, by which all names would resemble each other."""
    words = [other.removeprefix(PREFIX) for other in known if other.startswith(PREFIX)]
    close = get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.8)
    return f"it is ignored: is {PREFIX}{close[0]} meant?" if close else "it is ignored"


def _values(kind: type[ServiceSettings], environment: Mapping[str, str]) -> dict[str, Any]:
    names = {name: env_name(kind, (name,)) for name in kind.model_fields}
    return {name: environment[env] for name, env in names.items() if env in environment}


def env_name(kind: type[ServiceSettings], place: tuple[int | str, ...]) -> str:
    """The environment variable behind a field."""
    name = str(place[0]) if place else "settings"
    field = kind.model_fields.get(name)
    if field is None:
        return name
    alias = field.validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()
