"""Which server to talk to, and as whom: from the command line, a file, or two variables.

The secret is never an argument: those are visible to everybody on the machine.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from services.standalone.cli import UsageError

CLIENT_ID: Final = "TRICKLE_MANAGEMENT_CLIENT_ID"
CLIENT_SECRET: Final = "TRICKLE_MANAGEMENT_CLIENT_SECRET"  # noqa: S105 - a variable's name
_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """Where the Management API is, and a client that may use it."""

    url: str
    client_id: str
    client_secret: SecretStr = field(repr=False)


class _Management(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr


class _Credentials(BaseModel):
    """What `trickle up --json` writes."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    auth_url: str | None = None
    management: _Management


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--url` and `--credentials`."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--url", metavar="URL", help="where auth answers; default: from --credentials"
    )
    group.add_argument(
        "--credentials",
        metavar="FILE",
        type=Path,
        help=f"JSON as `trickle up --json` writes it; without it, {CLIENT_ID} and {CLIENT_SECRET}",
    )


def read_access(arguments: argparse.Namespace) -> Access:
    """Who we are and where to go. Raises UsageError."""
    found: _Credentials | None = None
    if arguments.credentials is not None:
        found = _file(arguments.credentials)
    url = arguments.url or (found.auth_url if found else None)
    if not url:
        raise UsageError("--url is needed, or --credentials with an auth_url")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("--url must begin with http:// or https:// and name a host")
    management = found.management if found else _environment()
    return Access(url.rstrip("/"), management.client_id, management.client_secret)


def _file(path: Path) -> _Credentials:
    try:
        with path.open("rb") as file:
            return _Credentials.model_validate_json(file.read(_MAX_BYTES))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"])) or "the file"
        raise UsageError(f"{path} is not what `trickle up --json` writes; see {where}") from None


def _environment() -> _Management:
    values = [os.environ.get(name) for name in (CLIENT_ID, CLIENT_SECRET)]  # noqa: TID251 - a command's own input
    if not all(values):
        raise UsageError(f"--credentials FILE is needed, or {CLIENT_ID} and {CLIENT_SECRET}")
    return _Management(client_id=values[0] or "", client_secret=SecretStr(values[1] or ""))
