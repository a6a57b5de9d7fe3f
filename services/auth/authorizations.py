"""What the hosted pages hand out: authorization codes, sessions, cross-origin login tickets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import structlog

from services.auth.clients import Client
from services.auth.refresh_tokens import InvalidGrant, revoke_family
from services.auth.secret_tokens import digest, new_secret
from shared.database import Database

log = structlog.get_logger(__name__)

CODE_LIFETIME: Final = timedelta(minutes=1)
SESSION_LIFETIME: Final = timedelta(days=3)
LOGIN_TICKET_LIFETIME: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a code is asked for, at `/authorize`."""

    client_id: str
    redirect_uri: str
    scope: str
    audience: str | None = None
    nonce: str | None = None
    code_challenge: str | None = field(default=None, repr=False)
    code_challenge_method: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """What a code gives."""

    user_id: str
    scope: str
    audience: str | None
    nonce: str | None
    family_id: UUID


class Authorizations:
    """Codes, sessions, login tickets."""

    def __init__(self, database: Database) -> None:
        """Every secret is stored as its hash."""
        self._database = database

    async def code(self, asked: Asked, user_id: str) -> str:
        """A code that works once, for a minute."""
        code = new_secret()
        await self._database.execute(
            "INSERT INTO authorization_codes (code_hash, client_id, user_id, redirect_uri, scope,"
            " audience, nonce, code_challenge, code_challenge_method, family_id, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11::interval)",
            *(digest(code), asked.client_id, user_id, asked.redirect_uri, asked.scope),
            *(asked.audience, asked.nonce, asked.code_challenge, asked.code_challenge_method),
            *(uuid4(), CODE_LIFETIME),
        )
        return code

    async def redeem(
        self, code: str, client: Client, redirect_uri: str | None, verifier: str | None
    ) -> Redeemed:
        """Use a code. Raises InvalidGrant; a second time ends what the first time gave."""
        async with self._database.transaction() as session:
            row = await session.fetchrow(
                "SELECT * FROM authorization_codes WHERE code_hash = $1 FOR UPDATE", digest(code)
            )
            if row is None or row["client_id"] != client.client_id:
                raise InvalidGrant
            if row["used_at"] is None:
                await session.execute(
                    "UPDATE authorization_codes SET used_at = now() WHERE code_hash = $1",
                    row["code_hash"],
                )
            else:
                await revoke_family(session, row["family_id"])
        fits = (
            row["used_at"] is None
            and row["expires_at"] > self._database.now()
            and row["redirect_uri"] == redirect_uri
            and _proves(row, client, verifier)
        )
        if not fits:
            raise InvalidGrant
        return Redeemed(
            user_id=row["user_id"],
            scope=row["scope"],
            audience=row["audience"],
            nonce=row["nonce"],
            family_id=row["family_id"],
        )

    async def start_session(self, user_id: str) -> str:
        """Somebody is logged in at the hosted pages; the cookie's value."""
        session = new_secret()
        await self._database.execute(
            "INSERT INTO sessions (session_hash, user_id, expires_at)"
            " VALUES ($1, $2, now() + $3::interval)",
            *(digest(session), user_id, SESSION_LIFETIME),
        )
        return session

    async def session_user(self, session: str | None) -> str | None:
        """Who is logged in with this cookie."""
        if not session:
            return None
        found: str | None = await self._database.fetchval(
            "SELECT user_id FROM sessions WHERE session_hash = $1 AND expires_at > now()",
            digest(session),
        )
        return found

    async def end_session(self, session: str | None) -> None:
        """Log out."""
        if session:
            await self._database.execute(
                "DELETE FROM sessions WHERE session_hash = $1", digest(session)
            )

    async def login_ticket(self, user_id: str, client_id: str) -> dict[str, str]:
        """What cross-origin authentication answers (C§7.2)."""
        ticket, verifier = new_secret(), new_secret()
        await self._database.execute(
            "INSERT INTO login_tickets (ticket_hash, user_id, client_id, verifier_hash, expires_at)"
            " VALUES ($1, $2, $3, $4, now() + $5::interval)",
            *(digest(ticket), user_id, client_id, digest(verifier), LOGIN_TICKET_LIFETIME),
        )
        return {"login_ticket": ticket, "co_id": new_secret()[:16], "co_verifier": verifier}

    async def redeem_login_ticket(
        self, ticket: str, client_id: str, verifier: str | None
    ) -> str | None:
        """Whose ticket it was, once. `verifier`: the cookie that the same browser was given."""
        row = await self._database.fetchrow(
            "DELETE FROM login_tickets WHERE ticket_hash = $1 AND client_id = $2"
            " AND expires_at > now() RETURNING user_id, verifier_hash",
            digest(ticket),
            client_id,
        )
        if row is None or verifier is None:
            return None
        same = hmac.compare_digest(row["verifier_hash"], digest(verifier))
        user_id: str = row["user_id"]
        return user_id if same else None

    async def forget_expired(self) -> None:
        """Housekeeping."""
        for table in ("authorization_codes", "sessions", "login_tickets", "refresh_tokens"):
            await self._database.execute(f"DELETE FROM {table} WHERE expires_at < now()")  # noqa: S608 - ours
        await self._database.execute(
            "DELETE FROM tickets WHERE expires_at < now() - interval '7 days'"
        )


def _proves(row: Any, client: Client, verifier: str | None) -> bool:
    """PKCE (RFC 7636); a public client has nothing else to prove itself with."""
    challenge = row["code_challenge"]
    if challenge is None:
        return client.auth_method != "none"
    if verifier is None or not 43 <= len(verifier) <= 128:
        return False
    if row["code_challenge_method"] == "S256":
        hashed = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
    return hmac.compare_digest(challenge.encode(), verifier.encode())
