"""Jobs: verification mails, and users in bulk with the hashes they have (C§7.4).

Any replica takes a waiting job; one that dies leaves it to the next, and a user who is there
already is not made twice.
"""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from pydantic import Field, ValidationError

from services.auth import places
from services.auth.caller import NOBODY
from services.auth.collaborators import Collaborators
from services.auth.connections import Connection
from services.auth.foreign_hashes import stored_form
from services.auth.logs import Entry
from services.auth.masking import masked
from services.auth.new_users import NewUser
from services.auth.profiles import canonical
from services.auth.users import insert
from shared.contracts import Sealed
from shared.database import Session, UniqueViolation

log = structlog.get_logger(__name__)

MAX_IMPORT_BYTES: Final = 500 * 1024
_CLAIM: Final = timedelta(minutes=2)
_ALPHABET: Final = string.ascii_letters + string.digits


class ImportedUser(NewUser):
    """One user of a bulk import."""

    password_hash: str | None = Field(default=None, max_length=4096, repr=False)
    custom_password_hash: dict[str, Any] | None = Field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Why a user was not imported."""

    code: str
    message: str


class Jobs:
    """Keeps and runs jobs."""

    def __init__(self, its: Collaborators) -> None:
        """`its`: the doors of this replica."""
        self._its = its

    async def verification_email(self) -> dict[str, Any]:
        """Note that a mail was put into the outbox: that is the whole job."""
        job_id = _id()
        await self._its.database.execute(
            "INSERT INTO jobs (job_id, type, status) VALUES ($1, 'verification_email', 'completed')",
            job_id,
        )
        return await self._shape(job_id) | {"status": "pending"}  # as Auth0 answers first (C§7.4)

    async def users_import(
        self,
        connection: Connection,
        users: list[Any],
        *,
        upsert: bool,
        external_id: str | None,
    ) -> dict[str, Any]:
        """Keep an import until a replica runs it."""
        job_id = _id()
        sealed = self._its.ring.seal_at_rest(places.job(job_id), json.dumps(users).encode())
        await self._its.database.execute(
            "INSERT INTO jobs (job_id, type, status, connection_id, external_id, upsert,"
            " sealed_users) VALUES ($1, 'users_import', 'pending', $2, $3, $4, $5)",
            *(job_id, connection.connection_id, external_id, upsert, sealed.model_dump_json()),
        )
        return await self._shape(job_id)

    async def get(self, job_id: str) -> dict[str, Any] | None:
        """One job."""
        return await self._shape(job_id) or None

    async def errors(self, job_id: str) -> list[Any] | None:
        """Who could not be imported, and why; None for an unknown job."""
        found = await self._its.database.fetchval(
            "SELECT errors FROM jobs WHERE job_id = $1", job_id
        )
        return None if found is None else list(json.loads(found))

    async def _shape(self, job_id: str) -> dict[str, Any]:
        row = await self._its.database.fetchrow(
            "SELECT j.*, c.name FROM jobs j LEFT JOIN connections c USING (connection_id)"
            " WHERE job_id = $1",
            job_id,
        )
        if row is None:
            return {}
        shape = {
            "type": row["type"],
            "status": row["status"],
            "created_at": row["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "id": job_id,
            "connection_id": row["connection_id"],
            "connection": row["name"],
            "external_id": row["external_id"],
            "summary": None if row["summary"] is None else json.loads(row["summary"]),
        }
        return {name: value for name, value in shape.items() if value is not None}

    async def run_waiting(self) -> bool:
        """Run one waiting job, if there is one. Raises Unavailable."""
        row = await self._its.database.fetchrow(
            "UPDATE jobs SET status = 'processing', claimed_until = now() + $1::interval"
            " WHERE job_id = (SELECT job_id FROM jobs WHERE status IN ('pending', 'processing')"
            "  AND coalesce(claimed_until, now()) <= now() ORDER BY created_at LIMIT 1"
            "  FOR UPDATE SKIP LOCKED) RETURNING *",
            _CLAIM,
        )
        if row is None:
            return False
        connection = await self._its.connections.get(row["connection_id"])
        if connection is None:
            await self._finish(row, {"total": 0}, [], status="failed")
            return True
        sealed = Sealed.model_validate_json(row["sealed_users"])
        users = json.loads(self._its.ring.open_at_rest(places.job(row["job_id"]), sealed))
        await self._import(row, connection, users)
        return True

    async def _import(self, row: Any, connection: Connection, users: list[Any]) -> None:
        summary = {"failed": 0, "updated": 0, "inserted": 0, "total": len(users)}
        errors = []
        for number, given in enumerate(users):
            came_to = await self._one(connection, given, upsert=row["upsert"])
            if isinstance(came_to, str):
                summary[came_to] += 1
            else:
                summary["failed"] += 1
                wrong = {"code": came_to.code, "message": came_to.message}
                errors.append(
                    {"user": masked(given) if isinstance(given, dict) else {}, "errors": [wrong]}
                )
            if number % 50 == 49:
                await self._its.database.execute(
                    "UPDATE jobs SET claimed_until = now() + $2::interval WHERE job_id = $1",
                    *(row["job_id"], _CLAIM),
                )
        await self._finish(row, summary, errors)

    async def _finish(
        self, row: Any, summary: dict[str, int], errors: list[Any], status: str = "completed"
    ) -> None:
        await self._its.database.execute(
            "UPDATE jobs SET status = $2, summary = $3, errors = $4, sealed_users = NULL"
            " WHERE job_id = $1",
            *(
                row["job_id"],
                status,
                json.dumps(summary),
                json.dumps(errors).replace("\\u0000", ""),
            ),
        )
        kind = "sui" if status == "completed" else "fui"
        text = f"{summary.get('inserted', 0)} inserted, {len(errors)} failed"
        entry = Entry(
            type=kind, caller=NOBODY, connection_id=row["connection_id"], description=text
        )
        await self._its.logs.write(entry)
        log.info("users.imported", job_id=row["job_id"], **summary)

    async def _one(self, connection: Connection, given: Any, *, upsert: bool) -> str | _Wrong:
        """`inserted`, `updated`, or what is wrong."""
        try:
            user = ImportedUser.model_validate(given)
            password_hash = stored_form(user.password_hash, user.custom_password_hash)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "user"
            return _Wrong("INVALID_FORMAT", f"{where}: {first['msg']}")
        except ValueError as error:
            return _Wrong("INVALID_FORMAT", f"password_hash: {error}")
        if not user.identifier:
            return _Wrong("MISSING_EMAIL", "an email, username or phone_number is needed")
        try:
            async with self._its.database.transaction() as session:
                return await self._store(session, connection, user, password_hash, upsert=upsert)
        except UniqueViolation:
            return _Wrong("DUPLICATED_USER", "Another user has the same id, email or username")

    async def _store(
        self,
        session: Session,
        connection: Connection,
        user: ImportedUser,
        password_hash: str | None,
        *,
        upsert: bool,
    ) -> str | _Wrong:
        profile = user.profile()
        known = await session.fetchval(
            "SELECT user_id FROM users WHERE connection_id = $1"
            " AND (canonical_email = $2 OR canonical_username = $3) FOR UPDATE",
            *(connection.connection_id, canonical(profile.email), canonical(profile.username)),
        )
        if known is None:
            await insert(session, connection.connection_id, profile, self._its.ring, migrated=True)
        elif not upsert:
            text = "The user already exist and upsert parameter is false"
            return _Wrong("DUPLICATED_USER", text)
        else:
            await session.execute(
                "UPDATE users SET profile = profile || $2::jsonb,"
                " user_metadata = user_metadata || $3::jsonb,"
                " app_metadata = app_metadata || $4::jsonb, updated_at = now()"
                " WHERE user_id = $1",
                *(known, json.dumps(user.root()), json.dumps(user.user_metadata)),
                json.dumps(user.app_metadata),
            )
        if password_hash is not None:
            # Who has a password keeps it: it is newer than any export.
            await session.execute(
                "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)"
                " ON CONFLICT DO NOTHING",
                *(known or profile.user_id, password_hash),
            )
        return "inserted" if known is None else "updated"


def read_users(raw: bytes) -> list[Any]:
    """The file of an import. Raises ValueError."""
    if len(raw) > MAX_IMPORT_BYTES:
        raise ValueError(f"the file is above {MAX_IMPORT_BYTES} bytes")
    try:
        users = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("the file is not JSON") from None
    if not isinstance(users, list):
        raise ValueError("the file must hold an array of users")  # noqa: TRY004 - a file's content
    return users


def _id() -> str:
    return "job_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
