"""Tickets: a link in a mail, or one that the Management API hands out (C§7.4).

A ticket is worth what a password is worth: only its hash is stored, it works once, and it ends.
For a user who is not migrated yet it carries what `get_user` returned, sealed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from services.auth import places
from services.auth.profiles import Profile
from shared.contracts import Sealed
from shared.database import Database, Session
from shared.sealing import KeyRing

Purpose = Literal["password_change", "email_verification"]
DEFAULT_TTL: Final = timedelta(seconds=432_000)
MAX_TTL: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket is for."""

    hash: bytes = field(repr=False)
    purpose: Purpose
    connection_id: str
    user_id: str | None
    email: str
    profile: Profile | None = field(repr=False)
    settings: dict[str, Any]

    @property
    def result_url(self) -> str | None:
        """Where the browser goes afterwards."""
        return self.settings.get("result_url")


class Tickets:
    """Makes, reads and uses up tickets."""

    def __init__(self, database: Database, ring: KeyRing, issuer: str) -> None:
        """`issuer` begins every link."""
        self._database = database
        self._ring = ring
        self._issuer = issuer

    async def issue(
        self,
        session: Session,
        purpose: Purpose,
        *,
        connection_id: str,
        email: str,
        user_id: str | None = None,
        profile: Profile | None = None,
        settings: dict[str, Any] | None = None,
        ttl: timedelta = DEFAULT_TTL,
    ) -> str:
        """A new ticket's link."""
        ticket = secrets.token_urlsafe(32)
        digest = _hash(ticket)
        sealed = None
        if profile is not None:
            plain = json.dumps(asdict(profile)).encode()
            sealed = self._ring.seal_at_rest(places.ticket(digest), plain).model_dump_json()
        await session.execute(
            "INSERT INTO tickets (ticket_hash, purpose, connection_id, user_id, email,"
            " sealed_profile, settings, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval)",
            *(digest, purpose, connection_id, user_id, email, sealed),
            *(json.dumps(settings or {}), min(ttl, MAX_TTL)),
        )
        page = "reset-password" if purpose == "password_change" else "email-verification"
        return f"{self._issuer}u/{page}?ticket={ticket}#"

    async def read(self, ticket: str, purpose: Purpose) -> Ticket | None:
        """A ticket that still works, or None."""
        row = await self._database.fetchrow(
            "SELECT * FROM tickets WHERE ticket_hash = $1 AND purpose = $2"
            " AND used_at IS NULL AND expires_at > now()",
            _hash(ticket),
            purpose,
        )
        if row is None:
            return None
        profile = None
        if row["sealed_profile"] is not None:
            sealed = Sealed.model_validate_json(row["sealed_profile"])
            plain = self._ring.open_at_rest(places.ticket(row["ticket_hash"]), sealed)
            profile = Profile(**json.loads(plain))
        return Ticket(
            hash=row["ticket_hash"],
            purpose=purpose,
            connection_id=row["connection_id"],
            user_id=row["user_id"],
            email=row["email"],
            profile=profile,
            settings=json.loads(row["settings"]),
        )

    async def use(self, session: Session, ticket: Ticket) -> bool:
        """Use it up, with every other one of its kind for that person; False: it was used up."""
        first = await session.fetchval(
            "UPDATE tickets SET used_at = now(), sealed_profile = NULL"
            " WHERE ticket_hash = $1 AND used_at IS NULL RETURNING true",
            ticket.hash,
        )
        await session.execute(
            "DELETE FROM tickets WHERE connection_id = $1 AND purpose = $2 AND email = $3"
            " AND used_at IS NULL",
            *(ticket.connection_id, ticket.purpose, ticket.email),
        )
        return bool(first)


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
