"""`trickle secrets FOLDER`: what an installation keeps secret, made up once, as the files of deploy/compose.yaml."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any, Final

from services.standalone.cli import Parser
from shared import broker_rights
from shared.sealing import KeyRing
from shared.topology import Names

_READABLE: Final = 0o644
"""Containers' users are others than whoever made the files: what keeps them is the folder's mode."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="trickle secrets",
        description="Make up the secrets of a new installation, as files for deploy/compose.yaml.",
    )
    made.add_argument("folder", type=Path, help="where to; it must not be there yet")
    made.add_argument("--database-host", default="database", help="default: %(default)s")
    made.add_argument("--broker-host", default="broker", help="default: %(default)s")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Make the folder and all of the files, or nothing: 1 when the folder is there."""
    folder: Path = arguments.folder
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return _tell(f"{folder} is there already, and its secrets may be in use: nothing done", 1)
    made = files(arguments.database_host, arguments.broker_host)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(_READABLE)
    return _tell(f"{folder}: {', '.join(made)}", 0)


def _tell(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


def files(database_host: str, broker_host: str) -> dict[str, str]:
    """Name to content; all passwords are fresh."""
    owner, worker, auth_broker, worker_broker = (secrets.token_urlsafe(24) for _ in range(4))
    at = f"@{database_host}:5432/trickle"
    return {
        "key-ring": KeyRing.generate(),
        "postgres-password": owner,
        "database-roles.sql": _roles(worker),
        "auth-database-url": f"postgresql://trickle:{owner}{at}",
        "worker-database-url": f"postgresql://trickle_worker_login:{worker}{at}",
        "auth-broker-url": f"amqp://auth:{auth_broker}@{broker_host}:5672/",
        "worker-broker-url": f"amqp://worker:{worker_broker}@{broker_host}:5672/",
        "rabbitmq-definitions.json": _definitions(auth=auth_broker, worker=worker_broker),
    }


def _roles(password: str) -> str:
    """What the database's owner can't make: migrations grant `trickle_worker` what a worker needs."""
    return (
        "CREATE ROLE trickle_worker NOLOGIN;\n"
        f"CREATE ROLE trickle_worker_login LOGIN PASSWORD '{password}' IN ROLE trickle_worker;\n"
    )


def _definitions(**passwords: str) -> str:
    """The whole broker at its first start: these two accounts and no other, so no `guest`."""
    names = Names()
    rights = {"auth": broker_rights.auth(names), "worker": broker_rights.worker(names)}
    return json.dumps(
        {
            "vhosts": [{"name": "/"}],
            "users": [account(user, password) for user, password in passwords.items()],
            "permissions": [
                permission
                for user, its in rights.items()
                for permission in its.definitions(user)["permissions"]
            ],
        },
        indent=2,
    )


def account(user: str, password: str) -> dict[str, Any]:
    """Salted and hashed as in https://www.rabbitmq.com/docs/passwords, so that the file holds no password."""
    salt = os.urandom(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": user,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [],
    }
