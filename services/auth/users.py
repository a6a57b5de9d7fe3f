"""Users, their identities and credentials; the import, in one transaction.

Rule 1: an import's effect and its mark in the ledger commit together (I8): user, identity, hash,
metadata and log are there, or nothing is. Auth0's two phases leave half-users; we have one.
Rule 2: who loses a race to import the same person finds the winner's user and uses it.
Rule 3: hashes are read by `credentials`, and by nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.auth.connections import Connection
from services.auth.logs import Entry, write
from services.auth.profiles import Profile, canonical
from shared.database import Database, Session, UniqueViolation
from shared.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A stored user."""

    user_id: str
    connection_id: str
    legacy_id: str
    email: str | None
    username: str | None
    email_verified: bool
    blocked: bool
    created_at: datetime
    updated_at: datetime
    last_login: datetime | None
    last_ip: str | None
    logins_count: int
    profile: dict[str, Any] = field(repr=False)
    user_metadata: dict[str, Any] = field(repr=False)
    app_metadata: dict[str, Any] = field(repr=False)
    mfa_factors: list[dict[str, Any]] | None = field(repr=False)

    def public(self, connection_name: str | None = None) -> dict[str, Any]:
        """The Management API's shape (C§2.3); what is absent is omitted."""
        shape = {
            **self.profile,
            "user_id": self.user_id,
            "email": self.email,
            "email_verified": self.email_verified if self.email is not None else None,
            "username": self.username,
            "user_metadata": self.user_metadata or None,
            "app_metadata": self.app_metadata or None,
            "blocked": self.blocked or None,
            "created_at": _iso(self.created_at),
            "updated_at": _iso(self.updated_at),
            "last_login": _iso(self.last_login),
            "last_ip": self.last_ip,
            "logins_count": self.logins_count,
            "identities": [
                {
                    "connection": connection_name or self.connection_id,
                    "user_id": self.legacy_id,
                    "provider": "auth0",
                    "isSocial": False,
                }
            ],
        }
        return {name: value for name, value in shape.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """A user and, if there is one, the hash of its password."""

    user: User
    password_hash: str | None = field(repr=False)


_INSERT: Final = """
INSERT INTO users (user_id, connection_id, legacy_id, email, canonical_email, username,
                   canonical_username, email_verified, profile, user_metadata, app_metadata,
                   mfa_factors, blocked)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
_REFRESH: Final = """
UPDATE users SET email = $2, canonical_email = $3, username = $4, canonical_username = $5,
                 email_verified = $6, profile = $7, updated_at = now()
WHERE user_id = $1
"""
_LOGGED_IN: Final = """
UPDATE users SET last_login = now(), last_ip = $2, logins_count = logins_count + 1
WHERE user_id = $1 RETURNING *
"""


class Users:
    """Reads and writes users."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        """`ledger` marks effects applied in our transactions."""
        self._database = database
        self._ledger = ledger

    async def get(self, user_id: str) -> User | None:
        """By root id."""
        row = await self._database.fetchrow("SELECT * FROM users WHERE user_id = $1", user_id)
        return None if row is None else _user(row)

    async def by_email(self, email: str) -> list[User]:
        """Every user with exactly this address, in all connections (C§7.4)."""
        rows = await self._database.fetch("SELECT * FROM users WHERE email = $1", email)
        return [_user(row) for row in rows]

    async def credentials(self, connection_id: str, identifier: str) -> Found | None:
        """The user that an identifier means in a connection, with its hash."""
        row = await self._database.fetchrow(
            "SELECT u.*, c.password_hash FROM users u LEFT JOIN credentials c USING (user_id)"
            " WHERE connection_id = $1 AND (canonical_email = $2 OR canonical_username = $2)",
            connection_id,
            canonical(identifier),
        )
        return None if row is None else Found(_user(row), row["password_hash"])

    async def import_user(
        self,
        connection: Connection,
        profile: Profile,
        password_hash: str,
        execution_id: UUID,
        entry: Entry,
    ) -> User:
        """Create the user of a succeeded login, once; the winner's when there was a race."""
        try:
            async with self._database.transaction() as session:
                if await self._ledger.apply(session, execution_id):
                    await _insert(session, connection.connection_id, profile)
                    await session.execute(
                        "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)",
                        profile.user_id,
                        password_hash,
                    )
                    await write(session, entry)
        except UniqueViolation:
            # Another login imported the same person: our effect is theirs.
            await self._ledger.mark_applied(execution_id)
        return await self._winner(connection, profile)

    async def refresh(
        self, connection: Connection, profile: Profile, execution_id: UUID, entry: Entry
    ) -> User:
        """Legacy mode: create the record without a hash, or bring it up to date (C§1.3)."""
        try:
            async with self._database.transaction() as session:
                if await self._ledger.apply(session, execution_id):
                    await self._upsert(session, connection, profile)
                    await write(session, entry)
        except UniqueViolation:
            await self._ledger.mark_applied(execution_id)
        return await self._winner(connection, profile)

    async def logged_in(self, user: User, ip: str | None) -> User:
        """Note a login."""
        row = await self._database.fetchrow(_LOGGED_IN, user.user_id, ip)
        return user if row is None else _user(row)

    async def _upsert(self, session: Session, connection: Connection, profile: Profile) -> None:
        known = await session.fetchval(
            "SELECT user_id FROM users WHERE connection_id = $1 AND legacy_id = $2 FOR UPDATE",
            connection.connection_id,
            profile.legacy_id,
        )
        if known is None:
            await _insert(session, connection.connection_id, profile)
        elif connection.root_attributes == "on_each_login":
            await session.execute(
                _REFRESH,
                known,
                *(profile.email, canonical(profile.email)),
                *(profile.username, canonical(profile.username)),
                profile.email_verified,
                json.dumps(profile.root),
            )

    async def _winner(self, connection: Connection, profile: Profile) -> User:
        row = await self._database.fetchrow(
            "SELECT * FROM users WHERE connection_id = $1 AND legacy_id = $2",
            connection.connection_id,
            profile.legacy_id,
        )
        if row is None:
            raise IdentifierTaken
        return _user(row)


class IdentifierTaken(Exception):
    """Another user of the store has this id, e-mail address or username."""


async def _insert(session: Session, connection_id: str, profile: Profile) -> None:
    await session.execute(
        _INSERT,
        *(profile.user_id, connection_id, profile.legacy_id),
        *(profile.email, canonical(profile.email)),
        *(profile.username, canonical(profile.username)),
        profile.email_verified,
        *(json.dumps(profile.root), json.dumps(profile.user_metadata)),
        json.dumps(profile.app_metadata),
        None if profile.mfa_factors is None else json.dumps(profile.mfa_factors),
        profile.blocked,
    )
    await session.execute(
        "INSERT INTO identities (connection_id, legacy_id, user_id) VALUES ($1, $2, $3)",
        *(connection_id, profile.legacy_id, profile.user_id),
    )


def _user(row: Any) -> User:
    return User(
        user_id=row["user_id"],
        connection_id=row["connection_id"],
        legacy_id=row["legacy_id"],
        email=row["email"],
        username=row["username"],
        email_verified=row["email_verified"],
        blocked=row["blocked"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_login=row["last_login"],
        last_ip=row["last_ip"],
        logins_count=row["logins_count"],
        profile=json.loads(row["profile"]),
        user_metadata=json.loads(row["user_metadata"]),
        app_metadata=json.loads(row["app_metadata"]),
        mfa_factors=None if row["mfa_factors"] is None else json.loads(row["mfa_factors"]),
    )


def _iso(instant: datetime | None) -> str | None:
    """ISO 8601 with milliseconds and `Z`, as Auth0 writes it (C§2.3)."""
    return None if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
