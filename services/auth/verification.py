"""E-mail verification: the mail, and what its link does (C§1.3).

Legacy mode: `verify` is told; the stored profile changes with the next login only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.auth.caller import Caller
from services.auth.collaborators import Collaborators
from services.auth.connections import Connection
from services.auth.problems import UNKNOWN_USER, FlowEnded, Problem
from services.auth.profiles import Profile
from services.auth.tickets import DEFAULT_TTL, Ticket
from services.auth.users import User
from shared.contracts import Action
from shared.database import Session

EXPIRED = Problem(code="access_expired", description="This link has expired, or was used already.")
SAID_FALSE = "the script called back with false; nothing was undone"
"""The MySQL templates say so on success (C§1.4)."""


class Verifications:
    """Asks for verification, and takes it."""

    def __init__(self, its: Collaborators) -> None:
        """`its`: the doors of this replica."""
        self._its = its

    async def ask(
        self, session: Session, connection: Connection, profile: Profile | User, caller: Caller
    ) -> None:
        """Send the mail, inside the caller's transaction."""
        assert profile.email is not None  # noqa: S101 - callers see to it
        link = await self._its.tickets.issue(
            session,
            "email_verification",
            connection_id=connection.connection_id,
            email=profile.email,
            user_id=profile.user_id,
            settings={"client_id": caller.client_id},
        )
        await self._its.mails.write(
            session,
            profile.email,
            "verify_email",
            url=link,
            application=connection.display_name,
            until=self._its.database.now() + DEFAULT_TTL,
        )

    async def send(self, connection: Connection, user: User, caller: Caller) -> None:
        """Send the mail again. Raises FlowEnded for a user without an address."""
        if user.email is None:
            raise FlowEnded(UNKNOWN_USER)
        async with self._its.database.transaction() as session:
            await self.ask(session, connection, user, caller)
        await self._its.logs.step("svr", connection, user.user_id, user.email, caller, None)

    async def ticket(self, user: User, settings: dict[str, Any], ttl: timedelta) -> str:
        """A link for somebody else to deliver."""
        async with self._its.database.transaction() as session:
            return await self._its.tickets.issue(
                session,
                "email_verification",
                connection_id=user.connection_id,
                email=user.email or "",
                user_id=user.user_id,
                settings=settings,
                ttl=ttl,
            )

    async def confirm(self, text: str, caller: Caller) -> Ticket:
        """The link was followed. Raises FlowEnded, Unavailable."""
        ticket = await self._its.tickets.read(text, "email_verification")
        connection = None
        if ticket is not None:
            connection = await self._its.connections.get(ticket.connection_id)
        if ticket is None or connection is None:
            raise FlowEnded(EXPIRED)
        said = None
        try:
            if connection.legacy:
                said = await self._tell_legacy(connection, ticket, caller)
            else:
                await self._note_here(ticket)
        except FlowEnded as error:
            text = error.problem.for_log
            await self._its.logs.step("fv", connection, ticket.user_id, ticket.email, caller, text)
            raise
        warning = SAID_FALSE if said is False else None
        await self._its.logs.step("sv", connection, ticket.user_id, ticket.email, caller, warning)
        return ticket

    async def _tell_legacy(self, connection: Connection, ticket: Ticket, caller: Caller) -> Any:
        async def used(session: Session, _: Any) -> None:
            await self._its.tickets.use(session, ticket)

        turn = self._its.legacy.turn(connection, caller)
        return await self._its.legacy.run(turn, Action.VERIFY, [ticket.email], used)

    async def _note_here(self, ticket: Ticket) -> None:
        async with self._its.database.transaction() as session:
            if not await self._its.tickets.use(session, ticket):
                raise FlowEnded(EXPIRED)
            # Only the address that the mail went to: it may have been changed since.
            known = await session.fetchval(
                "UPDATE users SET email_verified = true, updated_at = now()"
                " WHERE user_id = $1 AND email = $2 RETURNING true",
                ticket.user_id,
                ticket.email,
            )
            if not known:
                raise FlowEnded(EXPIRED)
