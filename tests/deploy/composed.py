"""What deploy/compose.yaml says of a service, and the broker and database that it brings along, on loopback.

Their images can't be had without a registry, so these are a private Postgres and RabbitMQ, started
as the images would be: the owner's password and the script of the first start, rabbitmq.conf.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import yaml

from services.standalone import cli
from services.standalone.embedded_postgres import EmbeddedPostgres
from services.standalone.private_rabbitmq import PrivateRabbitMQ
from tests.deploy.chart import ROOT

FILE: Final = ROOT / "deploy" / "compose.yaml"
HERE: Final = "127.0.0.1"


def composed() -> dict[str, Any]:
    """The file."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


@dataclass(frozen=True, slots=True)
class Composed:
    """The file, its secrets, and what serves behind them."""

    compose: dict[str, Any]
    secrets: Path
    rabbitmq: PrivateRabbitMQ

    @property
    def owner(self) -> str:
        """auth's URL of the database."""
        return (self.secrets / "auth-database-url").read_text()

    def files(self, service: str) -> dict[str, Path]:
        """A service's secrets: name under /run/secrets to file."""
        given = self.compose["services"][service]["secrets"]
        named = self.compose["secrets"]
        return {
            each["target"]: self.secrets / Path(named[each["source"]]["file"]).name
            for each in given
        }

    def environment(self, service: str, issuer: str, port: int, metrics: int) -> dict[str, str]:
        """What it is told; addresses, which a container has to itself, are replaced."""
        said = self.compose["services"][service]["environment"]
        told = {name: value for name, value in said.items() if value is not None}
        told |= {"TRICKLE_METRICS_HOST": HERE, "TRICKLE_METRICS_PORT": str(metrics)}
        if "TRICKLE_ISSUER" in told:
            told |= {"TRICKLE_ISSUER": issuer, "TRICKLE_HOST": HERE, "TRICKLE_PORT": str(port)}
        return told


@asynccontextmanager
async def stores(folder: Path) -> AsyncIterator[Composed]:
    """Both servers as at their first start, with secrets made up for this time."""
    secrets = folder / "secrets"
    cli.main(["secrets", str(secrets), "--database-host", HERE, "--broker-host", HERE])
    configuration = (ROOT / "deploy" / "rabbitmq.conf").read_text()
    configuration = configuration.replace("/run/secrets/", f"{secrets}/")
    postgres = EmbeddedPostgres()
    rabbitmq = PrivateRabbitMQ(configuration=configuration)
    try:
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(rabbitmq.start))
        await _as_the_image_does(postgres, secrets)
        for name, port in (("database", postgres.port), ("broker", rabbitmq.port)):
            for file in secrets.glob(f"*-{name}-url"):
                file.write_text(re.sub(r":(5432|5672)/", f":{port}/", file.read_text()))
        yield Composed(composed(), secrets, rabbitmq)
    finally:
        await asyncio.to_thread(rabbitmq.close)
        await asyncio.to_thread(postgres.close)


async def _as_the_image_does(postgres: EmbeddedPostgres, secrets: Path) -> None:
    """The owner's password, the database, the script."""
    password = (secrets / "postgres-password").read_text()
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"ALTER ROLE trickle PASSWORD '{password}'")
        await connection.execute("CREATE DATABASE trickle")
        await connection.execute((secrets / "database-roles.sql").read_text())
    finally:
        await connection.close()
