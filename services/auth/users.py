"""Users, their identities and credentials; the import, in one transaction.

Rule 1: an import's effect and its mark in the ledger commit together (I8): user, identity, hash,
metadata and log are there, or nothing is. Auth0's two phases leave half-users; we have one.
Rule 2: who loses a race to import the same person finds the winner's user and uses it.
Rule 3: hashes are read by `credentials` and `password_changes`, and by nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from services.auth import places
from services.auth.connections import Connection
from services.auth.logs import Entry, beside, write
from services.auth.profiles import Profile, canonical
from services.auth.user_queries import Condition
from shared.contracts import Sealed
from shared.database import Database, Session, UniqueViolation
from shared.errors import ServiceError
from shared.execution_ids import minted_at
from shared.ledger import Ledger
from shared.sealing import KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A stored user; or, under `never_on_login`, one who is not stored at all."""

    user_id: str
    connection_id: str
    connection_name: str
    legacy_id: str
    email: str | None
    username: str | None
    email_verified: bool
    blocked: bool
    created_at: datetime
    updated_at: datetime
    last_login: datetime | None = None
    last_ip: str | None = None
    logins_count: int = 0
    last_password_reset: datetime | None = None
    migrated_at: datetime | None = None
    profile: dict[str, Any] = field(repr=False)
    user_metadata: dict[str, Any] = field(repr=False)
    app_metadata: dict[str, Any] = field(repr=False)
    has_factors: bool = False
    """Whether the legacy store said `mfa_factors`: a password alone is not enough then."""
    stored: bool = True

    def public(self, tokens: dict[str, str] | None = None) -> dict[str, Any]:
        """The Management API's shape (C§2.3); what is absent is omitted.

        `tokens`: those of the legacy store's own provider, for who may see them.
        """
        shape = {
            **self.profile,
            "user_id": self.user_id,
            "email": self.email,
            "email_verified": self.email_verified if self.email is not None else None,
            "username": self.username,
            "user_metadata": self.user_metadata or None,
            "app_metadata": self.app_metadata or None,
            "blocked": self.blocked or None,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
            "last_login": iso(self.last_login),
            "last_ip": self.last_ip,
            "logins_count": self.logins_count or None,
            "last_password_reset": iso(self.last_password_reset),
            "identities": [
                {
                    "connection": self.connection_name,
                    "user_id": self.legacy_id,
                    "provider": "auth0",
                    "isSocial": False,
                    **(tokens or {}),
                }
            ],
        }
        return {name: value for name, value in shape.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """A user and, if there is one, the hash of its password."""

    user: User
    password_hash: str | None = field(repr=False)


class IdentifierTaken(ServiceError):
    """Another user of the store has this id, e-mail address or username"""


class DeletedHere(ServiceError):
    """The user was deleted here, and does not come back"""


SELECT: Final = """
SELECT u.*, coalesce(c.name, u.connection_id) AS connection_name
FROM users u LEFT JOIN connections c USING (connection_id)
"""
_INSERT: Final = """
INSERT INTO users (user_id, connection_id, legacy_id, email, canonical_email, username,
                   canonical_username, email_verified, profile, user_metadata, app_metadata,
                   mfa_factors, blocked, migrated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $14 THEN now() END)
"""
_REFRESH: Final = """
UPDATE users SET email = $2, canonical_email = $3, username = $4, canonical_username = $5,
                 email_verified = $6, profile = $7, mfa_factors = $8, updated_at = now()
WHERE user_id = $1
"""
_LOGGED_IN: Final = f"""
WITH changed AS (
    UPDATE users SET last_login = now(), last_ip = $2, logins_count = logins_count + 1
    WHERE user_id = $1 RETURNING *
), {beside(2)}
SELECT u.*, coalesce(c.name, u.connection_id) AS connection_name
FROM changed u LEFT JOIN connections c USING (connection_id)
"""  # noqa: S608 - a constant


class Users:
    """Reads users, and writes what a login changes."""

    def __init__(self, database: Database, ledger: Ledger, ring: KeyRing) -> None:
        """`ledger` marks effects applied in our transactions; `ring` seals providers' tokens."""
        self._database = database
        self._ledger = ledger
        self._ring = ring

    async def get(self, user_id: str) -> User | None:
        """By root id."""
        row = await self._database.fetchrow(f"{SELECT} WHERE u.user_id = $1", user_id)
        return None if row is None else from_row(row)

    async def by_email(self, email: str) -> list[User]:
        """Every user with exactly this address, in all connections (C§7.4)."""
        rows = await self._database.fetch(f"{SELECT} WHERE u.email = $1 LIMIT 100", email)
        return [from_row(row) for row in rows]

    async def find(self, connection_id: str, identifier: str | None) -> User | None:
        """The user that an identifier means in a connection."""
        if identifier is None:
            return None
        found = await self.credentials(connection_id, identifier)
        return None if found is None else found.user

    async def credentials(self, connection_id: str, identifier: str) -> Found | None:
        """The user that an identifier means in a connection, with its hash."""
        row = await self._database.fetchrow(
            "SELECT u.*, coalesce(n.name, u.connection_id) AS connection_name, c.password_hash"
            " FROM users u LEFT JOIN credentials c USING (user_id)"
            " LEFT JOIN connections n USING (connection_id)"
            " WHERE connection_id = $1 AND (canonical_email = $2 OR canonical_username = $2)",
            connection_id,
            canonical(identifier),
        )
        return None if row is None else Found(from_row(row), row["password_hash"])

    async def page(
        self, where: Condition, order: str, offset: int, limit: int
    ) -> tuple[list[User], int]:
        """Users that a query means, and how many there are. `order` is one of a fixed set."""
        rows = await self._database.fetch(
            f"{SELECT} WHERE {where.sql} ORDER BY {order} OFFSET {int(offset)} LIMIT {int(limit)}",
            *where.arguments,
        )
        total = await self._database.fetchval(
            "SELECT count(*) FROM users u LEFT JOIN connections c USING (connection_id)"  # noqa: S608 - a fixed set of conditions
            f" WHERE {where.sql}",
            *where.arguments,
        )
        return [from_row(row) for row in rows], int(total)

    async def tokens(self, user: User) -> dict[str, str]:
        """What the legacy store's own provider issued, in the clear (C§2.2)."""
        sealed = await self._database.fetchval(
            "SELECT sealed_tokens FROM identities WHERE connection_id = $1 AND legacy_id = $2",
            user.connection_id,
            user.legacy_id,
        )
        if sealed is None:
            return {}
        plain = self._ring.open_at_rest(
            places.tokens(user.user_id), Sealed.model_validate_json(sealed)
        )
        found: dict[str, str] = json.loads(plain)
        return found

    async def import_user(
        self,
        connection: Connection,
        profile: Profile,
        password_hash: str,
        execution_id: UUID,
        entry: Entry,
    ) -> User:
        """Create the user of a succeeded login, once; the winner's when there was a race.

        Who is here already without a hash (the connection was in legacy mode) gets one.
        Raises IdentifierTaken, DeletedHere.
        """
        try:
            async with self._database.transaction() as session:
                if await self._ledger.apply(session, execution_id):
                    await self._refuse_deleted(session, connection, profile, execution_id)
                    known = await _known(session, connection, profile)
                    if known is None:
                        await insert(
                            session, connection.connection_id, profile, self._ring, migrated=True
                        )
                    elif not await _has_hash(session, known):
                        await _refresh(session, known, profile, self._ring)
                    await _keep_hash(session, profile.user_id, password_hash)
                    await write(session, entry)
        except UniqueViolation:
            # Another login imported the same person: our effect is theirs.
            await self._ledger.mark_applied(execution_id)
        return await self._winner(connection, profile)

    async def refresh(
        self, connection: Connection, profile: Profile, execution_id: UUID, entry: Entry
    ) -> User:
        """Legacy mode: create the record without a hash, or bring it up to date (C§1.3).

        Raises IdentifierTaken, DeletedHere.
        """
        if connection.root_attributes == "never_on_login":
            await self._ledger.mark_applied(execution_id)
            stored = await self._stored(connection, profile)
            return stored or self._transient(connection, profile)
        try:
            async with self._database.transaction() as session:
                if await self._ledger.apply(session, execution_id):
                    await self._refuse_deleted(session, connection, profile, execution_id)
                    await self._upsert(session, connection, profile)
                    await write(session, entry)
        except UniqueViolation:
            await self._ledger.mark_applied(execution_id)
        return await self._winner(connection, profile)

    async def logged_in(self, user: User, entry: Entry) -> User:
        """Note the login of a stored user, and write its line."""
        row = await self._database.fetchrow(
            _LOGGED_IN, user.user_id, entry.caller.ip, *entry.values()
        )
        return user if row is None else from_row(row)

    async def replace_hash(self, user_id: str, known: str, ours: str) -> None:
        """A hash that somebody else made has served: ours takes its place, if nobody was faster."""
        await self._database.execute(
            "UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2",
            *(user_id, known, ours),
        )

    async def _upsert(self, session: Session, connection: Connection, profile: Profile) -> None:
        known = await _known(session, connection, profile)
        if known is None:
            await insert(session, connection.connection_id, profile, self._ring)
            return
        if connection.root_attributes == "on_each_login":
            await _refresh(session, known, profile, self._ring)
        # The legacy store is the authority: a hash of another time must not come back to life
        # when import is switched on again.
        await session.execute("DELETE FROM credentials WHERE user_id = $1", known)

    async def _refuse_deleted(
        self, session: Session, connection: Connection, profile: Profile, execution_id: UUID
    ) -> None:
        """A login that began before its user was deleted must not bring them back."""
        deleted_at = await session.fetchval(
            "SELECT deleted_at FROM tombstones WHERE connection_id = $1 AND legacy_id = $2",
            connection.connection_id,
            profile.legacy_id,
        )
        if deleted_at is None:
            return
        if minted_at(execution_id) <= deleted_at or not connection.reimport_deleted_users:
            raise DeletedHere
        await session.execute(
            "DELETE FROM tombstones WHERE connection_id = $1 AND legacy_id = $2",
            connection.connection_id,
            profile.legacy_id,
        )

    async def _stored(self, connection: Connection, profile: Profile) -> User | None:
        row = await self._database.fetchrow(
            f"{SELECT} WHERE u.connection_id = $1 AND u.legacy_id = $2",
            connection.connection_id,
            profile.legacy_id,
        )
        return None if row is None else from_row(row)

    async def _winner(self, connection: Connection, profile: Profile) -> User:
        found = await self._stored(connection, profile)
        if found is None:
            raise IdentifierTaken
        # Factors count from the login that brought them, kept or not.
        has_factors = found.has_factors or bool(profile.mfa_factors)
        return replace(found, profile=found.profile | profile.transient, has_factors=has_factors)

    def _transient(self, connection: Connection, profile: Profile) -> User:
        now = self._database.now()
        return User(
            user_id=profile.user_id,
            connection_id=connection.connection_id,
            connection_name=connection.name,
            legacy_id=profile.legacy_id,
            email=profile.email,
            username=profile.username,
            email_verified=profile.email_verified,
            blocked=profile.blocked,
            created_at=now,
            updated_at=now,
            profile=profile.root | profile.transient,
            user_metadata=profile.user_metadata,
            app_metadata=profile.app_metadata,
            has_factors=bool(profile.mfa_factors),
            stored=False,
        )


async def insert(
    session: Session,
    connection_id: str,
    profile: Profile,
    ring: KeyRing,
    *,
    migrated: bool = False,
) -> None:
    """A new user and its identity. Raises UniqueViolation."""
    await session.execute(
        _INSERT,
        *(profile.user_id, connection_id, profile.legacy_id),
        *(profile.email, canonical(profile.email)),
        *(profile.username, canonical(profile.username)),
        profile.email_verified,
        *(json.dumps(profile.root), json.dumps(profile.user_metadata)),
        json.dumps(profile.app_metadata),
        _sealed_factors(profile, ring),
        profile.blocked,
        migrated,
    )
    sealed = None
    if profile.tokens:
        plain = json.dumps(profile.tokens).encode()
        sealed = ring.seal_at_rest(places.tokens(profile.user_id), plain).model_dump_json()
    await session.execute(
        "INSERT INTO identities (connection_id, legacy_id, user_id, sealed_tokens)"
        " VALUES ($1, $2, $3, $4)",
        *(connection_id, profile.legacy_id, profile.user_id, sealed),
    )


async def _known(session: Session, connection: Connection, profile: Profile) -> str | None:
    found: str | None = await session.fetchval(
        "SELECT user_id FROM users WHERE connection_id = $1 AND legacy_id = $2 FOR UPDATE",
        connection.connection_id,
        profile.legacy_id,
    )
    return found


async def _has_hash(session: Session, user_id: str) -> bool:
    return bool(await session.fetchval("SELECT true FROM credentials WHERE user_id = $1", user_id))


async def _refresh(session: Session, user_id: str, profile: Profile, ring: KeyRing) -> None:
    await session.execute(
        _REFRESH,
        user_id,
        *(profile.email, canonical(profile.email)),
        *(profile.username, canonical(profile.username)),
        profile.email_verified,
        json.dumps(profile.root),
        _sealed_factors(profile, ring),
    )


async def _keep_hash(session: Session, user_id: str, password_hash: str) -> None:
    """The hash of an import; one that is there already was set later, and stays."""
    await session.execute(
        "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        user_id,
        password_hash,
    )


def _sealed_factors(profile: Profile, ring: KeyRing) -> str | None:
    """A TOTP secret is worth a password."""
    if not profile.mfa_factors:
        return None
    plain = json.dumps(profile.mfa_factors).encode()
    return ring.seal_at_rest(places.factors(profile.user_id), plain).model_dump_json()


def from_row(row: Any) -> User:
    """A user from `SELECT`'s columns."""
    return User(
        user_id=row["user_id"],
        connection_id=row["connection_id"],
        connection_name=row["connection_name"],
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
        last_password_reset=row["last_password_reset"],
        migrated_at=row["migrated_at"],
        profile=json.loads(row["profile"]),
        user_metadata=json.loads(row["user_metadata"]),
        app_metadata=json.loads(row["app_metadata"]),
        has_factors=row["mfa_factors"] is not None,
    )


def iso(instant: datetime | None) -> str | None:
    """ISO 8601 with milliseconds and `Z`, as Auth0 writes it (C§2.3)."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
