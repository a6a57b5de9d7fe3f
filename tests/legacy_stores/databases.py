"""Real databases behind old scripts, asked with their own drivers and none of the scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import bcrypt

from services.script_worker.node_command import node_of_the_wheel
from tests.people import PASSWORD
from tests.private_mariadb import PASSWORD as MARIADB_PASSWORD

MODULES: Final = Path(__file__).parents[2] / "services" / "script_worker" / "modules"
TABLE: Final = {
    "mysql": "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, nickname VARCHAR(80),"
    " email VARCHAR(254) NOT NULL, password VARCHAR(80) NOT NULL, verified INT DEFAULT 0)",
    "postgresql": "CREATE TABLE users (id serial PRIMARY KEY, nickname text, email text NOT NULL,"
    " password text NOT NULL, verified boolean NOT NULL DEFAULT false)",
}
ASK: Final = {
    "mysql": """
const db = require('mysql2/promise');
(async () => {
  const link = await db.createConnection(JSON.parse(process.argv[1]));
  const [rows] = await link.query(process.argv[2], JSON.parse(process.argv[3]));
  console.log(JSON.stringify(rows)); await link.end();
})();""",
    "postgresql": """
const { Client } = require('pg');
(async () => {
  const link = new Client(JSON.parse(process.argv[1])); await link.connect();
  let n = 0;
  const { rows } = await link.query(process.argv[2].replace(/\\?/g, () => `$${++n}`), JSON.parse(process.argv[3]));
  console.log(JSON.stringify(rows)); await link.end();
})();""",
}


@dataclass
class Legacy:
    """A legacy database: what scripts are configured with, and what stands in its one table."""

    family: str
    address: Mapping[str, Any] = field(repr=False)
    configuration: Mapping[str, str] = field(repr=False)

    @classmethod
    def in_mariadb(cls, port: int) -> Self:
        """On the server that listens there."""
        address = {"host": "127.0.0.1", "port": port, "user": "legacy"}
        secret = {"password": MARIADB_PASSWORD, "database": "legacy"}
        given = {name.upper(): str(value) for name, value in (address | secret).items()}
        return cls("mysql", address | secret, given)

    @classmethod
    def in_postgres(cls, url: str) -> Self:
        """In an empty database."""
        return cls("postgresql", {"connectionString": url}, {"CONNECTION": url})

    async def create(self) -> None:
        """Make the table."""
        await self.ask(TABLE[self.family])

    async def drop(self) -> None:
        """Drop it, and everybody in it."""
        await self.ask("DROP TABLE users")

    async def ask(self, sql: str, *values: Any) -> Any:
        """The rows of a statement; `?` stands for a value."""
        command = ["-e", ASK[self.family], json.dumps(self.address), sql, json.dumps(values)]
        process = await asyncio.create_subprocess_exec(
            node_of_the_wheel(), *command, cwd=MODULES, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
        assert 0 == process.returncode
        return json.loads(out)

    async def add(self, email: str, password: str = PASSWORD) -> None:
        """Put somebody in, as an application of old did."""
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        await self.ask(
            "INSERT INTO users (email, password, nickname) VALUES (?, ?, 'Ada')", email, hashed
        )

    async def row(self, email: str) -> dict[str, Any] | None:
        """Who has this address."""
        rows = await self.ask("SELECT * FROM users WHERE email = ?", email)
        return rows[0] if rows else None

    async def cut(self) -> None:
        """Cut every connection but this one, as a restart does."""
        if self.family == "postgresql":
            await self.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        rows = await self.ask(
            "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"
        )
        gone = "DECLARE CONTINUE HANDLER FOR 1094 BEGIN END"  # it ended by itself meanwhile
        for row in rows:
            await self.ask(f"BEGIN NOT ATOMIC {gone}; KILL {row['id']}; END")
