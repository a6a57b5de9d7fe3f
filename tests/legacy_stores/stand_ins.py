"""Stores that can't be started here: programs that speak the protocol, and obey the test."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import bcrypt
import trustme

from services.script_worker.node_command import node_of_the_wheel

FOLDER: Final = Path(__file__).parent
SECRET: Final = "l3gacy-s3cret"
WITHIN: Final = 20.0
_SALT: Final = 16

USERS: Final = """
CREATE TABLE dbo.Users (
  Id INTEGER PRIMARY KEY AUTOINCREMENT, Nickname nvarchar(80),
  Email nvarchar(254) NOT NULL UNIQUE COLLATE NOCASE, Password nvarchar(80) NOT NULL,
  Verified bit NOT NULL DEFAULT 0
);
"""
MEMBERSHIP: Final = """
CREATE TABLE dbo.Applications (ApplicationId uniqueidentifier, ApplicationName nvarchar(235));
INSERT INTO dbo.Applications VALUES (NEWID(), '/');
CREATE TABLE dbo.Users (
  UserId uniqueidentifier PRIMARY KEY, ApplicationId uniqueidentifier NOT NULL,
  UserName nvarchar(50) NOT NULL COLLATE NOCASE, IsAnonymous bit, LastActivityDate datetime
);
CREATE TABLE dbo.Memberships (
  UserId uniqueidentifier PRIMARY KEY, ApplicationId uniqueidentifier NOT NULL,
  Email nvarchar(256) COLLATE NOCASE, Password nvarchar(128) NOT NULL, PasswordFormat int NOT NULL,
  PasswordSalt nvarchar(128) NOT NULL, IsApproved bit NOT NULL, CreateDate datetime NOT NULL,
  LastPasswordChangedDate datetime
);
"""
SIMPLE_MEMBERSHIP: Final = """
CREATE TABLE dbo.UserProfile (
  UserId INTEGER PRIMARY KEY AUTOINCREMENT, UserName nvarchar(56) NOT NULL UNIQUE COLLATE NOCASE
);
CREATE TABLE dbo.webpages_Membership (
  UserId int PRIMARY KEY, CreateDate datetime, IsConfirmed bit DEFAULT 0,
  Password nvarchar(128) NOT NULL, PasswordChangedDate datetime, PasswordSalt nvarchar(128) NOT NULL
);
"""


def bcrypted(password: str) -> str:
    """As most of these stores keep it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@dataclass
class Program:
    """A stand-in that runs: lines of JSON in, lines of JSON out."""

    port: int
    _process: asyncio.subprocess.Process

    async def ask(self, **command: Any) -> Any:
        """Have it do something, beside the protocol."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await _line(self._process)


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN):
        return json.loads(await process.stdout.readline())


@asynccontextmanager
async def running(program: str, *arguments: str) -> AsyncIterator[Program]:
    """A stand-in until the block ends."""
    process = await asyncio.create_subprocess_exec(
        node_of_the_wheel(),
        "--disable-warning=ExperimentalWarning",
        FOLDER / program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(await _line(process), process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(WITHIN):
            await process.wait()


@dataclass
class MongoDB:
    """A collection `users`."""

    program: Program

    @property
    def configuration(self) -> Mapping[str, str]:
        """What scripts are configured with."""
        where = f"127.0.0.1:{self.program.port}/legacy?auto_reconnect=true&poolSize=5"
        return {"MONGO_URL": f"mongodb://legacy:{SECRET}@{where}"}

    async def add(self, email: str, password: str) -> None:
        """Put somebody in."""
        document = {"email": email, "nickname": "Ada", "password": bcrypted(password)}
        await self.program.ask(insert="users", documents=[document])

    async def cut(self) -> None:
        """Cut every connection, as a restart does."""
        await self.program.ask(cut=True)


@dataclass
class SQLServer:
    """Tables of one kind."""

    program: Program
    tables: str = field(repr=False)

    @property
    def configuration(self) -> Mapping[str, str]:
        """What scripts are configured with."""
        port = str(self.program.port)
        return {"SQL_SERVER": "127.0.0.1", "SQL_PORT": port, "SQL_PASSWORD": SECRET}

    async def create(self) -> None:
        """Make the tables."""
        await self.program.ask(script=self.tables)

    async def add(self, email: str, password: str) -> None:
        """Put somebody in, with the hash that belongs to the tables."""
        salt = os.urandom(_SALT)
        if self.tables == MEMBERSHIP:
            hashed = hashlib.sha1(salt + password.encode("utf-16-le")).digest()  # noqa: S324 - theirs
            values = {"email": email, "hash": _text(hashed), "salt": _text(salt)}
            await self._insert(
                "dbo.Users (UserId, ApplicationId, UserName)"
                " SELECT NEWID(), ApplicationId, @email FROM dbo.Applications",
                values,
            )
            await self._insert(
                "dbo.Memberships SELECT UserId, ApplicationId, @email, @hash, 1, @salt, 1,"
                " GETDATE(), NULL FROM dbo.Users WHERE UserName = @email",
                values,
            )
        elif self.tables == SIMPLE_MEMBERSHIP:
            key = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 1000, 32)
            values = {"email": email, "hash": _text(b"\0" + salt + key)}
            await self._insert("dbo.UserProfile (UserName) VALUES (@email)", values)
            await self._insert(
                "dbo.webpages_Membership SELECT UserId, GETDATE(), 1, @hash, NULL, ''"
                " FROM dbo.UserProfile WHERE UserName = @email",
                values,
            )
        else:
            values = {"email": email, "hash": bcrypted(password)}
            columns = "dbo.Users (Email, Nickname, Password)"
            await self._insert(f"{columns} VALUES (@email, 'Ada', @hash)", values)

    async def cut(self) -> None:
        """Cut every connection, as a restart does."""
        await self.program.ask(cut=True)

    async def _insert(self, what: str, values: dict[str, str]) -> None:
        used = {name: value for name, value in values.items() if f"@{name}" in what}
        await self.program.ask(sql=f"INSERT INTO {what}", values=used)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


@asynccontextmanager
async def mongodb() -> AsyncIterator[MongoDB]:
    """A stand-in for MongoDB, empty."""
    async with running("mongodb.mjs", SECRET) as program:
        yield MongoDB(program)


@asynccontextmanager
async def sqlserver(tables: str, folder: Path) -> AsyncIterator[SQLServer]:
    """A stand-in for SQL Server with empty tables; `folder` keeps its certificate."""
    certificate = folder / "server.pem"
    issued = trustme.CA().issue_cert("sql.example")
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    async with running("sqlserver.mjs", SECRET, str(certificate)) as program:
        store = SQLServer(program, tables)
        await store.create()
        yield store
