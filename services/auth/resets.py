"""Forgotten passwords: the mail, and the page behind its link (C§1.3).

Whoever asks is told the same, at once, whether the user is known, unknown or not migrated yet, and
whether the legacy store is up: the work is done after the answer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from services.auth.caller import Caller
from services.auth.collaborators import Collaborators
from services.auth.connections import Connection
from services.auth.credentials import end_sessions, set_password
from services.auth.guard import Limited
from services.auth.legacy import Turn
from services.auth.logs import USER_IMPORTED, Entry, write
from services.auth.problems import NOT_CHANGED, FlowEnded
from services.auth.profiles import Profile
from services.auth.tickets import DEFAULT_TTL, Ticket
from services.auth.users import User, insert
from services.auth.verification import EXPIRED, SAID_FALSE
from shared.contracts import Action
from shared.database import Session, UniqueViolation
from shared.errors import Unavailable
from shared.events import EventType

log = structlog.get_logger(__name__)


class _Changed(BaseModel):
    """What `change_password` may call back with, beside true (C§1.4)."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    last_password_reset: datetime | None = None
    email_verified: bool | None = None


class Resets:
    """Asks for new passwords, and takes them."""

    def __init__(self, its: Collaborators) -> None:
        """`its`: the doors of this replica."""
        self._its = its

    async def admit(self, connection: Connection, email: str, caller: Caller) -> None:
        """May somebody ask for one more mail from there? Raises Limited, Unavailable."""
        try:
            await self._its.guard.reset(caller.ip)
        except Limited as error:
            kind, text = error.refusal.log_type, error.problem.for_log
            await self._its.logs.step(kind, connection, None, email, caller, text)
            raise

    async def forgot(self, connection: Connection, email: str, caller: Caller) -> None:
        """Send the mail if there is somebody to send it to. Never raises: nobody is told."""
        try:
            user_id = await self._send(connection, email, caller)
        except (FlowEnded, Unavailable) as error:
            text = error.problem.for_log if isinstance(error, FlowEnded) else str(error)
            await self._its.logs.step("fcpr", connection, None, email, caller, text)
            return
        said = None if user_id else "nobody has this address; no mail was sent"
        kind = "scpr" if user_id else "fcpr"
        await self._its.logs.step(kind, connection, user_id, email, caller, said)

    async def _send(self, connection: Connection, email: str, caller: Caller) -> str | None:
        user, profile = await self._whose(connection, email, caller)
        somebody = user or profile
        if somebody is None or somebody.email is None:
            return None
        async with self._its.database.transaction() as session:
            link = await self._its.tickets.issue(
                session,
                "password_change",
                connection_id=connection.connection_id,
                email=somebody.email,
                user_id=None if user is None else user.user_id,
                profile=None if user is not None else profile,
                settings={"client_id": caller.client_id},
            )
            await self._its.mails.write(
                session,
                somebody.email,  # the address that the store has, never the one that was typed
                "reset_password",
                url=link,
                application=connection.display_name,
                until=self._its.database.now() + DEFAULT_TTL,
            )
        return somebody.user_id

    async def _whose(
        self, connection: Connection, email: str, caller: Caller
    ) -> tuple[User | None, Profile | None]:
        if not connection.legacy:
            user = await self._its.users.find(connection.connection_id, email)
            if user is not None or not connection.custom_database:
                return user, None
        turn = self._its.legacy.turn(connection, caller)
        return None, await self._its.legacy.get_user(turn, email)

    async def ticket(
        self,
        connection: Connection,
        user: User | None,
        email: str,
        *,
        caller: Caller,
        settings: dict[str, Any],
        ttl: timedelta,
    ) -> str:
        """A link for somebody else to deliver. Raises FlowEnded, Unavailable."""
        profile = None
        if user is None:
            user, profile = await self._whose(connection, email, caller)
        if user is None and profile is None:
            raise FlowEnded(EXPIRED)
        async with self._its.database.transaction() as session:
            return await self._its.tickets.issue(
                session,
                "password_change",
                connection_id=connection.connection_id,
                email=email if user is None else user.email or email,
                user_id=None if user is None else user.user_id,
                profile=profile,
                settings=settings,
                ttl=ttl,
            )

    async def read(self, text: str) -> tuple[Ticket, Connection] | None:
        """What a link is for, or None when it works no more."""
        ticket = await self._its.tickets.read(text, "password_change")
        if ticket is None:
            return None
        connection = await self._its.connections.get(ticket.connection_id)
        return None if connection is None else (ticket, connection)

    async def confirm(self, text: str, password: str, caller: Caller) -> Ticket:
        """The page was filled in. Raises FlowEnded, Unavailable; the link works until it did."""
        found = await self.read(text)
        if found is None:
            raise FlowEnded(EXPIRED)
        ticket, connection = found
        try:
            warning = await self._change(ticket, connection, password, caller)
        except FlowEnded as error:
            await self._its.logs.step(
                "fcp", connection, ticket.user_id, ticket.email, caller, error.problem.for_log
            )
            raise
        await self._its.logs.step("scp", connection, ticket.user_id, ticket.email, caller, warning)
        user = await self._its.users.find(connection.connection_id, ticket.email)
        identifiers = {ticket.email} if user is None else {ticket.email, user.email, user.username}
        await self._its.guard.changed(connection.connection_id, identifiers)
        return ticket

    async def _change(
        self, ticket: Ticket, connection: Connection, password: str, caller: Caller
    ) -> str | None:
        user = None if ticket.user_id is None else await self._its.users.get(ticket.user_id)
        if user is None:  # migrated meanwhile, perhaps
            user = await self._its.users.find(connection.connection_id, ticket.email)
        await self._its.credentials.judge(connection, password, [ticket.email], user)
        if connection.legacy:
            turn = self._its.legacy.turn(connection, caller)
            return await self.in_legacy_store(turn, ticket.email, password, ticket)
        password_hash = await self._its.credentials.hash(password)
        try:
            await self._here(connection, ticket, user, password_hash, caller)
        except UniqueViolation:  # migrated this very moment: the link still works
            raise FlowEnded(EXPIRED) from None
        return None

    async def _here(
        self,
        connection: Connection,
        ticket: Ticket,
        user: User | None,
        password_hash: str,
        caller: Caller,
    ) -> None:
        verified = bool(ticket.settings.get("mark_email_as_verified"))
        async with self._its.database.transaction() as session:
            if not await self._its.tickets.use(session, ticket):
                raise FlowEnded(EXPIRED)
            user_id = user.user_id if user else None
            if user_id is None:
                if ticket.profile is None:
                    raise FlowEnded(EXPIRED)  # the user was deleted meanwhile
                user_id = await self._import(session, connection, ticket.profile, caller)
            await set_password(session, user_id, password_hash)
            if verified:
                await session.execute(
                    "UPDATE users SET email_verified = true WHERE user_id = $1", user_id
                )

    async def _import(
        self, session: Session, connection: Connection, profile: Profile, caller: Caller
    ) -> str:
        """Forgot it before the first login: created from `get_user` with the new password."""
        await insert(
            session, connection.connection_id, profile.lowered(), self._its.ring, migrated=True
        )
        entry = Entry(
            type=USER_IMPORTED,
            caller=caller,
            connection_id=connection.connection_id,
            user_id=profile.user_id,
            user_name=profile.email,
            description="created with a new password, before the first login",
            event=self._its.logs.told(EventType.USER_IMPORTED),
        )
        await write(session, entry)
        return profile.user_id

    async def in_legacy_store(
        self, turn: Turn, email: str, password: str, ticket: Ticket | None = None
    ) -> str | None:
        """`get_user`, then `change_password`; a warning for the log. Raises FlowEnded."""
        profile = await self._its.legacy.get_user(turn, email)
        if profile is None:
            raise FlowEnded(NOT_CHANGED)

        async def changed(session: Session, value: Any) -> None:
            if ticket is not None:
                await self._its.tickets.use(session, ticket)
            await _note(session, profile.user_id, value)

        arguments = [email, password]
        value = await self._its.legacy.run(turn, Action.CHANGE_PASSWORD, arguments, changed)
        return SAID_FALSE if value is False else None


async def _note(session: Session, user_id: str, value: Any) -> None:
    """Bring our record up to date with a password that the legacy store has changed."""
    try:
        said = _Changed.model_validate(value) if isinstance(value, dict) else _Changed()
    except ValidationError:
        said = _Changed()
    await session.execute(
        "UPDATE users SET last_password_reset = coalesce($2, now()), updated_at = now(),"
        " email_verified = email_verified OR $3 WHERE user_id = $1",
        *(user_id, said.last_password_reset, said.email_verified is True),
    )
    # A hash of another time must not come back to life when import is switched on again.
    await session.execute("DELETE FROM credentials WHERE user_id = $1", user_id)
    await end_sessions(session, user_id)
