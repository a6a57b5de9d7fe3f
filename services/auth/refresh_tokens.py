"""Refresh tokens: rotated with each use, and a family ends when one of it is used again.

Reuse means that two parties hold the same token, and nobody can tell which of them stole it
(RFC 9700, section 4.14.2). A client may allow a leeway for answers that got lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import structlog

from services.auth.clients import Client
from services.auth.secret_tokens import digest, new_secret
from shared.database import Database, Session

log = structlog.get_logger(__name__)

LIFETIME: Final = timedelta(days=30)


class InvalidGrant(Exception):
    """The token or code is not one of ours, not this client's, used up, or over."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a refresh token gives: whose, how far, and the token that replaces it."""

    user_id: str
    scope: str
    audience: str | None
    token: str | None


class RefreshTokens:
    """Issues, rotates and revokes."""

    def __init__(self, database: Database) -> None:
        """Every step is one transaction."""
        self._database = database

    async def issue(
        self,
        client: Client,
        user_id: str,
        scope: str,
        audience: str | None,
        family_id: UUID | None = None,
    ) -> str:
        """The first token of a family."""
        token = new_secret()
        async with self._database.transaction() as session:
            expires_at = self._database.now() + client.refresh_lifetime
            family = family_id or uuid4()
            await _insert(session, token, family, client, (user_id, scope, audience, expires_at))
        return token

    async def renew(self, token: str, client: Client) -> Renewed:
        """Use a token. Raises InvalidGrant; used a second time, it ends its family."""
        async with self._database.transaction() as session:
            row = await session.fetchrow(
                "SELECT *, rotated_at <= clock_timestamp() - $2::interval AS reused FROM refresh_tokens"
                " WHERE token_hash = $1 AND expires_at > now() FOR UPDATE",
                digest(token),
                client.refresh_leeway,
            )
            if row is None or row["client_id"] != client.client_id or row["revoked_at"]:
                raise InvalidGrant
            if not row["reused"]:
                return await self._rotated(session, row, client)
            await revoke_family(session, row["family_id"])
        log.warning("refresh_token.reused", client_id=client.client_id, next="its family is over")
        raise InvalidGrant

    async def _rotated(self, session: Session, row: Any, client: Client) -> Renewed:
        successor = None
        if client.rotates_refresh_tokens:
            successor = new_secret()
            granted = (row["user_id"], row["scope"], row["audience"], row["expires_at"])
            await _insert(session, successor, row["family_id"], client, granted)
            await session.execute(
                "UPDATE refresh_tokens SET rotated_at = coalesce(rotated_at, clock_timestamp())"
                " WHERE token_hash = $1",
                row["token_hash"],
            )
        return Renewed(row["user_id"], row["scope"], row["audience"], successor)

    async def revoke(self, token: str, client: Client) -> None:
        """End a token's family (RFC 7009); an unknown token is no error there."""
        async with self._database.transaction() as session:
            family = await session.fetchval(
                "SELECT family_id FROM refresh_tokens WHERE token_hash = $1 AND client_id = $2",
                digest(token),
                client.client_id,
            )
            if family is not None:
                await revoke_family(session, family)


async def revoke_family(session: Session, family_id: UUID) -> None:
    """Whoever holds a token of this family is out."""
    await session.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE family_id = $1 AND revoked_at IS NULL",
        family_id,
    )


async def _insert(
    session: Session,
    token: str,
    family_id: UUID,
    client: Client,
    granted: tuple[str, str, str | None, datetime],
) -> None:
    user_id, scope, audience, expires_at = granted
    await session.execute(
        "INSERT INTO refresh_tokens (token_hash, family_id, client_id, user_id, scope, audience,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        *(digest(token), family_id, client.client_id, user_id, scope, audience, expires_at),
    )
