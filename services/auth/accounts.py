"""Changing and deleting users: `PATCH` and `DELETE /api/v2/users` (C§1.3, C§7.4).

Legacy mode: the legacy store changes first, and our record follows in the transaction that marks
the script's execution applied. What no script can change there can't be changed here either.
"""

from __future__ import annotations

import json
from typing import Any, Final

from services.auth.caller import Caller
from services.auth.collaborators import Collaborators
from services.auth.connections import Connection
from services.auth.credentials import end_sessions, set_password
from services.auth.legacy import Turn
from services.auth.logs import Entry
from services.auth.new_users import ROOT, UserFields, check_username
from services.auth.problems import (
    EMAIL_TAKEN,
    NOT_CHANGED,
    UNKNOWN_USER,
    USERNAME_TAKEN,
    FlowEnded,
    Problem,
)
from services.auth.profiles import canonical
from services.auth.resets import Resets
from services.auth.users import User
from shared.contracts import Action
from shared.database import Session, UniqueViolation

_SYNCED: Final = frozenset({*ROOT, "username", "phone_verified"})
"""What each login of a legacy connection overwrites."""


class Accounts:
    """Changes users."""

    def __init__(self, its: Collaborators, resets: Resets) -> None:
        """`resets` knows how a password changes in the legacy store."""
        self._its = its
        self._resets = resets

    async def change(
        self, connection: Connection, user: User, given: dict[str, Any], caller: Caller
    ) -> User:
        """Apply a PATCH; null unsets. `given` was validated as `UserFields`.

        Raises FlowEnded, Unavailable.
        """
        changes = UserFields.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
        await self._judge(connection, user, changes, given)
        turn = self._its.legacy.turn(connection, caller)
        if connection.legacy:
            await self._in_legacy_store(turn, user, changes)
        elif connection.custom_database:
            await self._refuse_owned_by_others(turn, user, changes)
        password_hash = None
        if changes.password is not None and not connection.legacy:
            password_hash = await self._its.credentials.hash(changes.password)
        try:
            async with self._its.database.transaction() as session:
                await _write(session, connection, user, changes, given)
                if password_hash is not None:
                    await set_password(session, user.user_id, password_hash)
        except UniqueViolation:
            taken = EMAIL_TAKEN if changes.email is not None else USERNAME_TAKEN
            raise FlowEnded(taken) from None
        await self._log_changes(connection, user, changes, caller)
        changed = await self._its.users.get(user.user_id)
        if changes.password is not None or changes.email is not None:
            identifiers = {user.email, user.username, changes.email, changes.username}
            await self._its.guard.changed(connection.connection_id, identifiers)
        if changed is None:
            raise FlowEnded(UNKNOWN_USER)
        return changed

    async def _judge(
        self,
        connection: Connection,
        user: User,
        changes: UserFields,
        given: dict[str, Any],
    ) -> None:
        if connection.legacy and connection.root_attributes == "on_each_login":
            refused = sorted(_SYNCED & given.keys())
            if refused:
                text = f"The following user attributes cannot be updated: {', '.join(refused)}."
                raise FlowEnded(Problem(code="operation_not_supported", description=text))
        if changes.username is not None:
            check_username(connection, changes.username)
        if changes.password is not None:
            personal = [user.email, user.username, user.profile.get("name"), *changes.personal()]
            await self._its.credentials.judge(connection, changes.password, personal, user)

    async def _in_legacy_store(self, turn: Turn, user: User, changes: UserFields) -> None:
        identifier = user.email or user.username or user.legacy_id
        if changes.password is not None:
            await self._resets.in_legacy_store(turn, identifier, changes.password)
        if changes.email is None and changes.email_verified is None:
            return
        if await self._its.legacy.get_user(turn, identifier) is None:
            raise FlowEnded(NOT_CHANGED)
        email = changes.email or user.email or ""
        verified = changes.email_verified is True

        async def changed(session: Session, value: Any) -> None:
            if value is not False:
                await _set_email(session, user.user_id, email, verified)

        arguments = [user.email, email, verified]
        value = await self._its.legacy.run(turn, Action.CHANGE_EMAIL, arguments, changed)
        if value is False:
            raise FlowEnded(NOT_CHANGED)

    async def _refuse_owned_by_others(self, turn: Turn, user: User, changes: UserFields) -> None:
        """Import mode: a new name must not belong to somebody who is not migrated yet."""
        for wanted, own, taken in (
            (changes.email, user.email, EMAIL_TAKEN),
            (changes.username, user.username, USERNAME_TAKEN),
        ):
            if wanted is None or canonical(wanted) == canonical(own):
                continue
            owner = await self._its.legacy.get_user(turn, wanted)
            # The same person under the new name is no conflict.
            if owner is not None and owner.legacy_id != user.legacy_id:
                raise FlowEnded(taken)

    async def delete(self, connection: Connection | None, user: User, caller: Caller) -> None:
        """Delete, in the legacy store too where that is the authority. Raises FlowEnded."""

        async def gone(session: Session, _: Any) -> None:
            await _delete(session, user)

        if connection is not None and connection.legacy:
            turn = self._its.legacy.turn(connection, caller)
            await self._its.legacy.run(turn, Action.DELETE, [user.legacy_id], gone)
        else:
            async with self._its.database.transaction() as session:
                await gone(session, None)
        await self._log("sdu", user, caller)

    async def _log_changes(
        self, connection: Connection, user: User, changes: UserFields, caller: Caller
    ) -> None:
        for changed, kind in (
            (changes.password is not None, "scp"),
            (changes.email is not None, "sce"),
            (changes.username is not None, "scu"),
        ):
            if changed:
                await self._log(kind, user, caller)

    async def _log(self, kind: str, user: User, caller: Caller) -> None:
        await self._its.logs.write(
            Entry(
                type=kind,
                caller=caller,
                connection_id=user.connection_id,
                user_id=user.user_id,
                user_name=user.email or user.username,
            )
        )


async def _write(
    session: Session,
    connection: Connection,
    user: User,
    changes: UserFields,
    given: dict[str, Any],
) -> None:
    """Our record. Metadata is merged at its first level; null unsets (C§7.4)."""
    known = await session.fetchrow(
        "SELECT profile, user_metadata, app_metadata FROM users WHERE user_id = $1 FOR UPDATE",
        user.user_id,
    )
    if known is None:
        raise FlowEnded(UNKNOWN_USER)
    profile = _merged(json.loads(known["profile"]), changes.root(), given)
    await session.execute(
        "UPDATE users SET profile = $2, user_metadata = $3, app_metadata = $4,"
        " blocked = coalesce($5, blocked), updated_at = now() WHERE user_id = $1",
        *(user.user_id, json.dumps(profile)),
        json.dumps(_metadata(known["user_metadata"], given, "user_metadata")),
        json.dumps(_metadata(known["app_metadata"], given, "app_metadata")),
        changes.blocked,
    )
    if changes.blocked:
        await end_sessions(session, user.user_id)
    if "username" in given:
        username = None if changes.username is None else changes.username.lower()
        await session.execute(
            "UPDATE users SET username = $2, canonical_username = $3 WHERE user_id = $1",
            *(user.user_id, username, canonical(username)),
        )
    if connection.legacy:
        return  # the address was changed with the script
    if changes.email is not None:
        await _set_email(
            session, user.user_id, changes.email.lower(), changes.email_verified is True
        )
    elif changes.email_verified is not None:
        await session.execute(
            "UPDATE users SET email_verified = $2 WHERE user_id = $1",
            *(user.user_id, changes.email_verified),
        )


async def _set_email(session: Session, user_id: str, email: str, verified: bool) -> None:
    await session.execute(
        "UPDATE users SET email = $2, canonical_email = $3, email_verified = $4,"
        " updated_at = now() WHERE user_id = $1",
        *(user_id, email, canonical(email), verified),
    )


async def _delete(session: Session, user: User) -> None:
    """The user, with everything of theirs; a tombstone stays, so that a login under way ends."""
    await session.execute(
        "INSERT INTO tombstones (connection_id, legacy_id) VALUES ($1, $2)"
        " ON CONFLICT (connection_id, legacy_id) DO UPDATE SET deleted_at = now()",
        *(user.connection_id, user.legacy_id),
    )
    await session.execute(
        "DELETE FROM tickets WHERE user_id = $1 OR (connection_id = $2 AND email = $3)",
        *(user.user_id, user.connection_id, user.email),
    )
    await session.execute("DELETE FROM access_tokens WHERE user_id = $1", user.user_id)
    await session.execute("DELETE FROM users WHERE user_id = $1", user.user_id)


def _merged(
    stored: dict[str, Any], values: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    unset = {name for name in (*ROOT, "phone_verified") if name in given and given[name] is None}
    return {name: value for name, value in (stored | values).items() if name not in unset}


def _metadata(stored: str, given: dict[str, Any], name: str) -> dict[str, Any]:
    if name not in given:
        found: dict[str, Any] = json.loads(stored)
        return found
    if not given[name]:
        return {}  # {} and null clear it
    merged = json.loads(stored) | given[name]
    return {key: value for key, value in merged.items() if value is not None}
