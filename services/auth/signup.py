"""Creating users: sign-up, and `POST /api/v2/users` (C§1.3).

Legacy mode: `get_user`, `create`, `login`; the legacy store keeps the user, we keep a record.
Import mode: `get_user`, to see that the legacy store has none; then the user is created here.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from services.auth.caller import Caller
from services.auth.collaborators import Collaborators
from services.auth.connections import Connection
from services.auth.guard import Limited
from services.auth.legacy import Turn, profile_of
from services.auth.logs import Entry, write
from services.auth.new_users import (
    NewUser,
    check_identifiers,
    check_sign_up,
)
from services.auth.problems import INVALID_SIGNUP, FlowEnded
from services.auth.profiles import Profile, canonical
from services.auth.users import User, insert
from services.auth.verification import Verifications
from shared.contracts import Action
from shared.database import Session, UniqueViolation


class Signups:
    """Creates users."""

    def __init__(self, its: Collaborators, verifications: Verifications) -> None:
        """`its`: the doors of this replica."""
        self._its = its
        self._verifications = verifications

    async def sign_up(self, connection: Connection, user: NewUser, caller: Caller) -> User:
        """A person creates their own account. Raises FlowEnded, Unavailable."""
        body = user.model_dump(exclude_unset=True) | {
            "password": "*****",
            "tenant": self._its.tenant,
            "client_id": caller.client_id,
            "connection": connection.name,
        }
        entry = Entry(
            type="ss",
            caller=caller,
            connection_id=connection.connection_id,
            user_name=user.identifier,
            details={"body": body},
        )
        began = asyncio.get_running_loop().time()
        try:
            await self._its.guard.sign_up(caller.ip)
            check_sign_up(connection, user)
            public = user.model_copy(
                update={"app_metadata": {}, "email_verified": None, "blocked": None}
            )
            return await self._create(connection, public, caller, entry)
        except FlowEnded as error:
            kind = error.refusal.log_type if isinstance(error, Limited) else "fs"
            failed = replace(entry, type=kind, description=error.problem.for_log)
            await self._its.logs.write(failed)
            if error.problem is INVALID_SIGNUP:  # whoever has the name, and wherever
                await self._its.padding.wait(connection, "sign_up", began, told=True)
            raise

    async def create(self, connection: Connection, user: NewUser, caller: Caller) -> User:
        """An administrator creates an account. Raises FlowEnded, Unavailable."""
        return await self._create(connection, user, caller, None)

    async def _create(
        self, connection: Connection, user: NewUser, caller: Caller, entry: Entry | None
    ) -> User:
        check_identifiers(connection, user)
        password = user.password or ""
        await self._its.credentials.judge(connection, password, user.personal())
        turn = self._its.legacy.turn(connection, caller)
        if connection.legacy:
            return await self._in_legacy_store(turn, user, entry)
        await self._refuse_known_here(connection, user)
        if connection.custom_database and await self._its.legacy.get_user(turn, user.identifier):
            raise FlowEnded(INVALID_SIGNUP)
        return await self._here(connection, user, entry, caller)

    async def _refuse_known_here(self, connection: Connection, user: NewUser) -> None:
        for identifier in (user.email, user.username):
            if await self._its.users.find(connection.connection_id, identifier) is not None:
                raise FlowEnded(INVALID_SIGNUP)

    async def _here(
        self, connection: Connection, user: NewUser, entry: Entry | None, caller: Caller
    ) -> User:
        profile = user.profile()
        password_hash = await self._its.credentials.hash(user.password or "")
        try:
            async with self._its.database.transaction() as session:
                await insert(session, connection.connection_id, profile, self._its.ring)
                await session.execute(
                    "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)",
                    profile.user_id,
                    password_hash,
                )
                await self._welcome(session, connection, profile, user, entry, caller)
        except UniqueViolation:
            raise FlowEnded(INVALID_SIGNUP) from None
        return await self._created(connection, profile)

    async def _in_legacy_store(self, turn: Turn, user: NewUser, entry: Entry | None) -> User:
        if await self._its.legacy.get_user(turn, user.identifier) is not None:
            raise FlowEnded(INVALID_SIGNUP)
        await self._its.legacy.run(turn, Action.CREATE, [self._for_script(turn, user)])
        connection, made = turn.connection, []

        async def record(session: Session, value: Any) -> None:
            profile = _with_extras(profile_of(connection, value), user)
            await _forget_stale(session, connection, profile)
            await insert(session, connection.connection_id, profile, self._its.ring)
            await self._welcome(session, connection, profile, user, entry, turn.caller)
            made.append(profile)

        value = await self._its.legacy.run(
            turn, Action.LOGIN, [user.identifier, user.password], record
        )
        return await self._created(connection, made[0] if made else profile_of(connection, value))

    def _for_script(self, turn: Turn, user: NewUser) -> dict[str, Any]:
        """C§1.5."""
        given = {
            "client_id": turn.caller.client_id,
            "tenant": self._its.tenant,
            "connection": turn.connection.name,
            "email": user.email,
            "password": user.password,
            "username": user.username,
            "user_metadata": user.user_metadata or None,
            "app_metadata": user.app_metadata or None,
            "email_verified": user.email_verified,
            **user.root(),
        }
        return {name: value for name, value in given.items() if value is not None}

    async def _welcome(
        self,
        session: Session,
        connection: Connection,
        profile: Profile,
        user: NewUser,
        entry: Entry | None,
        caller: Caller,
    ) -> None:
        """What comes with a new user, in the same transaction: a log line, perhaps a mail."""
        if entry is not None:
            await write(session, replace(entry, user_id=profile.user_id))
        wanted = user.verify_email if user.verify_email is not None else not profile.email_verified
        possible = not connection.legacy or Action.VERIFY in connection.actions
        if wanted and possible and profile.email is not None:
            await self._verifications.ask(session, connection, profile, caller)

    async def _created(self, connection: Connection, profile: Profile) -> User:
        identifiers = (profile.email, profile.username)
        await self._its.guard.changed(connection.connection_id, identifiers)
        created = await self._its.users.get(profile.user_id)
        if created is None:
            raise FlowEnded(INVALID_SIGNUP)
        return created


def _with_extras(profile: Profile, user: NewUser) -> Profile:
    """What we keep of a new user that the legacy store was told, but need not return."""
    return replace(
        profile,
        user_metadata=profile.user_metadata | user.user_metadata,
        app_metadata=profile.app_metadata | user.app_metadata,
        blocked=user.blocked is True or profile.blocked,
    )


async def _forget_stale(session: Session, connection: Connection, profile: Profile) -> None:
    """Records of users whom the legacy store no longer has: it just said that nobody had the name."""
    await session.execute(
        "DELETE FROM users WHERE connection_id = $1"
        " AND (canonical_email = $2 OR canonical_username = $3 OR legacy_id = $4)",
        *(connection.connection_id, canonical(profile.email), canonical(profile.username)),
        profile.legacy_id,
    )
