"""Local passwords: stored, replaced and remembered, with what else a new one ends.

A new password ends every session and refresh token of its user: whoever had the old one is out.
"""

from __future__ import annotations

from collections.abc import Collection

from services.auth.connections import Connection
from services.auth.password_policy import USED_BEFORE, objection
from services.auth.passwords import Passwords
from services.auth.problems import FlowEnded
from services.auth.users import User
from shared.database import Database, Session


class Credentials:
    """Judges and stores new passwords."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        """`passwords` owns the threads that hash."""
        self._database = database
        self._passwords = passwords

    async def judge(
        self,
        connection: Connection,
        password: str,
        personal: Collection[str | None],
        user: User | None = None,
    ) -> None:
        """Raise FlowEnded unless the connection's policy takes this new password."""
        problem = objection(password, connection.passwords, personal)
        if problem is not None:
            raise FlowEnded(problem)
        history = connection.passwords.password_history
        if user is None or not history.enable or connection.legacy:
            return
        rows = await self._database.fetch(
            "SELECT password_hash FROM credentials WHERE user_id = $1 UNION ALL"
            " (SELECT password_hash FROM password_history WHERE user_id = $1"
            "  ORDER BY replaced_at DESC LIMIT $2)",
            user.user_id,
            history.size,
        )
        for row in rows:
            if await self._passwords.verify(row["password_hash"], password):
                raise FlowEnded(USED_BEFORE)

    async def hash(self, password: str) -> str:
        """A hash to store. Raises Unavailable when too many wait."""
        return await self._passwords.hash(password)


async def set_password(session: Session, user_id: str, password_hash: str) -> None:
    """Store a hash; the one before goes into the history."""
    await session.execute(
        "INSERT INTO password_history (user_id, password_hash, replaced_at)"
        " SELECT user_id, password_hash, clock_timestamp() FROM credentials WHERE user_id = $1",
        user_id,
    )
    await session.execute(
        "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)"
        " ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash,"
        " changed_at = now()",
        user_id,
        password_hash,
    )
    await session.execute(
        "UPDATE users SET last_password_reset = now(), updated_at = now() WHERE user_id = $1",
        user_id,
    )
    await end_sessions(session, user_id)


async def end_sessions(session: Session, user_id: str) -> None:
    """Whoever is logged in as this user is not any more."""
    await session.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL",
        user_id,
    )
    for table in ("sessions", "access_tokens", "login_tickets", "authorization_codes"):
        await session.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)  # noqa: S608 - ours
