"""Connections: identity sources with their action scripts, as the Management API keeps them.

`options` is replaced wholesale by an update (C§7.4). Scripts and configuration are kept apart, as
revisions (`connection_revisions`).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from services.auth import metrics
from services.auth.connection_options import (
    ALWAYS,
    DEFAULTS,
    STORED_ONLY,
    Options,
    username_length,
)
from services.auth.connection_revisions import ConnectionRevisions, ciphertext
from services.auth.default_scripts import DEFAULT_SCRIPTS
from services.auth.lanes import Lanes
from services.auth.password_policy import PasswordOptions
from shared.contracts import Action, Sealed
from shared.database import Database, Session, UniqueViolation
from shared.errors import ServiceError, Unavailable
from shared.sealing import KeyRing
from shared.topology import Names, lane_of
from shared.transport import Message, Transport

log = structlog.get_logger(__name__)

CONTROL_WITHIN: Final = timedelta(seconds=2)


class NameTaken(ServiceError):
    """A connection with the same name already exists"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection as the rest of auth sees it; `options` is the public view."""

    connection_id: str
    name: str
    display_name: str | None
    revision: str
    actions: frozenset[Action]
    custom_database: bool
    import_mode: bool
    script_budget: timedelta
    worker_concurrency: int
    lane: int | None
    """None: it has a request queue of its own."""
    moving: bool
    """Its requests may still go to another queue (`lanes`)."""
    root_attributes: str
    non_persistent_attrs: frozenset[str]
    failures_as_503: bool
    show_script_messages: bool
    ignore_mfa_factors: bool
    disable_signup: bool
    requires_username: bool
    username_length: tuple[int, int]
    passwords: PasswordOptions
    soft_deadline: timedelta | None
    reimport_deleted_users: bool
    brute_force_protection: bool
    lockout_attempts: int | None
    """Of the legacy store; none: it locks nobody out."""
    lockout_seconds: float
    calls_per_second: float
    negative_cache_seconds: float
    enabled_clients: frozenset[str]
    realms: tuple[str, ...]
    is_domain_connection: bool
    metadata: Mapping[str, Any]
    options: Mapping[str, Any] = field(repr=False)

    @property
    def legacy(self) -> bool:
        """Whether the legacy store is the authority: our own scripts on, import off (C§1.1)."""
        return self.custom_database and not self.import_mode

    def public(self) -> dict[str, Any]:
        """The Management API's shape (C§7.4)."""
        shape = {
            "id": self.connection_id,
            "name": self.name,
            "strategy": "auth0",
            "options": dict(self.options),
            "is_domain_connection": self.is_domain_connection,
            "realms": list(self.realms),
            "enabled_clients": sorted(self.enabled_clients),
            "authentication": {"active": True},
            "connected_accounts": {"active": False},
            "metadata": dict(self.metadata),
        }
        return shape if self.display_name is None else shape | {"display_name": self.display_name}


_COLUMNS: Final = """
SELECT c.*, r.scripts, r.configuration, r.with_context,
       coalesce((SELECT array_agg(client_id) FROM connection_clients e
                 WHERE e.connection_id = c.connection_id), '{}') AS enabled_clients
FROM connections c JOIN connection_revisions r
  ON r.connection_id = c.connection_id AND r.revision = c.current_revision
"""


class Connections:
    """Reads and writes connections; tells the broker and the workers of changes."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        transport: Transport,
        names: Names,
        lanes: Lanes | None = None,
    ) -> None:
        """`transport` declares a connection's queue when it is created, not per request.

        `lanes` says who shares one; none: nobody.
        """
        self._lanes = lanes
        self._database = database
        self._revisions = ConnectionRevisions(ring)
        self._transport = transport
        self._names = names
        self._cache = _Cache()

    async def get(self, connection_id: str) -> Connection | None:
        """By id."""
        return await self._read("WHERE c.connection_id = $1", connection_id)

    async def by_name(self, name: str) -> Connection | None:
        """By name, or realm; cached for moments, because every login asks."""
        cached = self._cache.get(name)
        if cached is not None:
            return cached
        found = await self._read("WHERE c.name = $1 OR $1 = ANY(c.realms)", name)
        if found is not None:
            self._cache.put(name, found)
        return found

    async def first_for(self, client_id: str) -> Connection | None:
        """The oldest connection that a client may use."""
        return await self._read(
            "WHERE c.connection_id = (SELECT connection_id FROM connection_clients"
            " JOIN connections USING (connection_id) WHERE client_id = $1"
            " ORDER BY created_at, connection_id LIMIT 1)",
            client_id,
        )

    async def page(
        self, *, name: str | None, offset: int, limit: int
    ) -> tuple[list[Connection], int]:
        """One page in the order of creation, and how many there are in all."""
        rows = await self._database.fetch(
            f"{_COLUMNS} WHERE $1::text IS NULL OR c.name = $1"
            " ORDER BY c.created_at, c.connection_id OFFSET $2 LIMIT $3",
            name,
            offset,
            limit,
        )
        total = await self._database.fetchval(
            "SELECT count(*) FROM connections WHERE $1::text IS NULL OR name = $1", name
        )
        return [self._connection(dict(row)) for row in rows], int(total)

    async def create(
        self,
        *,
        name: str,
        options: dict[str, Any],
        display_name: str | None = None,
        enabled_clients: tuple[str, ...] = (),
        realms: tuple[str, ...] | None = None,
        is_domain_connection: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> Connection:
        """Create, with Auth0's defaults for what is missing. Raises NameTaken, Unavailable."""
        connection_id = "con_" + _random(16)
        merged = {**DEFAULTS, **ALWAYS, **options}
        if merged.get("enabledDatabaseCustomization") and "customScripts" not in merged:
            merged["customScripts"] = dict(DEFAULT_SCRIPTS)
        # The queue first: a connection without one would fail its first login.
        shares = self._lanes is not None and await self._lanes.for_new()
        lane = lane_of(connection_id) if shares else None
        await self._transport.declare(self._names.connection(connection_id, lane))
        try:
            async with self._database.transaction() as session:
                revision, public, known = await self._revisions.write(
                    session, connection_id, merged, {}
                )
                await session.execute(
                    "INSERT INTO connections (connection_id, name, display_name, options, realms,"
                    " is_domain_connection, metadata, current_revision, script_budget_ms,"
                    " worker_concurrency, lane) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                    *(
                        connection_id,
                        name,
                        display_name,
                        json.dumps(public),
                        list(realms or (name,)),
                    ),
                    *(is_domain_connection, json.dumps(metadata or {}), revision),
                    *(int(known.script_timeout_seconds * 1000), known.worker_concurrency, lane),
                )
                await _enable(session, connection_id, dict.fromkeys(enabled_clients, True))
        except UniqueViolation:
            await self._forget(connection_id, lane)
            raise NameTaken from None
        return await self._changed(connection_id)

    async def update(self, connection: Connection, changes: dict[str, Any]) -> Connection:
        """Apply a PATCH: what is given replaces what was there. Raises Unavailable."""
        async with self._database.transaction() as session:
            row = await session.fetchrow(
                "SELECT r.configuration, r.with_context FROM connections c"
                " JOIN connection_revisions r ON r.connection_id = c.connection_id"
                " AND r.revision = c.current_revision WHERE c.connection_id = $1 FOR UPDATE OF c",
                connection.connection_id,
            )
            if row is not None and "options" in changes:
                await self._replace_options(session, connection, dict(row), changes["options"])
            for column in ("display_name", "realms", "is_domain_connection", "metadata"):
                if column in changes:
                    value = changes[column]
                    await session.execute(
                        f"UPDATE connections SET {column} = $2, updated_at = now()"  # noqa: S608 - a fixed set
                        " WHERE connection_id = $1",
                        connection.connection_id,
                        json.dumps(value) if column == "metadata" else value,
                    )
            if "enabled_clients" in changes:
                wanted = set(changes["enabled_clients"])
                status = {
                    client: client in wanted for client in connection.enabled_clients | wanted
                }
                await _enable(session, connection.connection_id, status)
        return await self._changed(connection.connection_id)

    async def delete(self, connection: Connection) -> datetime:
        """Delete a connection and all its users (C§7.4); when that was."""
        async with self._database.transaction() as session:
            await session.execute(
                "DELETE FROM users WHERE connection_id = $1", connection.connection_id
            )
            await session.execute(
                "DELETE FROM connections WHERE connection_id = $1", connection.connection_id
            )
        self._cache.clear()
        # After the commit: what is still in the queue finds no revision, and says so.
        try:
            await self._forget(connection.connection_id, connection.lane)
        except Unavailable:
            log.warning("queue.not_deleted", next="it stays empty and expires by policy")
        return self._database.now()

    async def forget_deleted(self) -> None:
        """Housekeeping: the series of connections that any replica deleted. Raises Unavailable."""
        labelled = metrics.labelled_connections()
        rows = await self._database.fetch(
            "SELECT name FROM connections WHERE name = ANY($1::text[])", list(labelled)
        )
        for name in labelled - {row["name"] for row in rows}:
            metrics.forget_connection(name)

    async def _forget(self, connection_id: str, lane: int | None) -> None:
        """Its queue, or its part in one."""
        if lane is not None:
            await self._transport.unbind(self._names.binding(connection_id, lane))
        await self._transport.delete_queue(self._names.request_queue(connection_id))

    async def enable_clients(self, connection: Connection, status: dict[str, bool]) -> None:
        """Enable and disable clients (C§7.4)."""
        async with self._database.transaction() as session:
            await _enable(session, connection.connection_id, status)
        await self._changed(connection.connection_id)

    async def _replace_options(
        self, session: Session, connection: Connection, row: dict[str, Any], options: dict[str, Any]
    ) -> None:
        merged = {**ALWAYS, **options}
        if row["with_context"]:  # documented as not switchable off again (C§1.2)
            merged["enable_script_context"] = True
        stored = json.loads(row["configuration"])
        revision, public, known = await self._revisions.write(
            session, connection.connection_id, merged, stored
        )
        await session.execute(
            "UPDATE connections SET options = $2, current_revision = $3, script_budget_ms = $4,"
            " worker_concurrency = $5, updated_at = now() WHERE connection_id = $1",
            connection.connection_id,
            json.dumps(public),
            revision,
            int(known.script_timeout_seconds * 1000),
            known.worker_concurrency,
        )

    async def _read(self, where: str, argument: str) -> Connection | None:
        row = await self._database.fetchrow(f"{_COLUMNS} {where} LIMIT 1", argument)
        return None if row is None else self._connection(dict(row))

    async def _changed(self, connection_id: str) -> Connection:
        self._cache.clear()
        connection = await self.get(connection_id)
        if connection is None:
            raise Unavailable(f"connection {connection_id} vanished while it was written")
        message = Message(
            body=json.dumps({"connection_id": connection_id}).encode(),
            type="trickle.connection.changed",
            correlation_id=connection_id,
        )
        try:
            await self._transport.publish(self._names.control, "", message, within=CONTROL_WITHIN)
        except Unavailable:
            log.info("control.unheard", next="workers look at the table every few seconds")
        return connection

    def _connection(self, row: dict[str, Any]) -> Connection:
        options = json.loads(row["options"])
        known = Options.model_validate(options)
        scripts = json.loads(row["scripts"])
        configuration = {
            name: ciphertext(Sealed.model_validate(sealed))
            for name, sealed in json.loads(row["configuration"]).items()
        }
        if scripts:
            options["customScripts"] = scripts
        if configuration:
            options["configuration"] = configuration
        return Connection(
            connection_id=row["connection_id"],
            name=row["name"],
            display_name=row["display_name"],
            revision=row["current_revision"],
            actions=frozenset(Action(key) for key in scripts if key not in STORED_ONLY),
            custom_database=known.enabledDatabaseCustomization,
            import_mode=known.import_mode,
            script_budget=timedelta(milliseconds=row["script_budget_ms"]),
            worker_concurrency=row["worker_concurrency"],
            lane=row["lane"],
            moving=row["leaving"] is not None,
            root_attributes=known.set_user_root_attributes,
            non_persistent_attrs=frozenset(known.non_persistent_attrs),
            failures_as_503=known.failures_as_503,
            show_script_messages=known.show_script_messages,
            ignore_mfa_factors=known.ignore_mfa_factors,
            disable_signup=known.disable_signup,
            requires_username=known.requires_username,
            username_length=username_length(known),
            passwords=PasswordOptions.model_validate(known.model_dump()),
            soft_deadline=None
            if known.soft_deadline_seconds is None
            else timedelta(seconds=known.soft_deadline_seconds),
            reimport_deleted_users=known.reimport_deleted_users,
            brute_force_protection=known.brute_force_protection,
            lockout_attempts=known.legacy_lockout_attempts,
            lockout_seconds=known.legacy_lockout_seconds,
            calls_per_second=known.legacy_calls_per_second,
            negative_cache_seconds=known.negative_cache_seconds,
            enabled_clients=frozenset(row["enabled_clients"]),
            realms=tuple(row["realms"]),
            is_domain_connection=row["is_domain_connection"],
            metadata=json.loads(row["metadata"]),
            options=options,
        )


class _Cache:
    """Connections by name for SECONDS: another replica's change is seen that late."""

    SECONDS: Final = 2.0

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, Connection]] = {}

    def get(self, name: str) -> Connection | None:
        until, connection = self._held.get(name, (0.0, None))
        return connection if until > _now() else None

    def put(self, name: str, connection: Connection) -> None:
        if len(self._held) > 10_000:
            self._held.clear()
        self._held[name] = (_now() + self.SECONDS, connection)

    def clear(self) -> None:
        self._held.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _enable(session: Session, connection_id: str, status: dict[str, bool]) -> None:
    on = [client for client, enabled in status.items() if enabled]
    off = [client for client, enabled in status.items() if not enabled]
    await session.execute(
        "INSERT INTO connection_clients SELECT $1, client_id FROM clients"
        " WHERE client_id = ANY($2::text[]) ON CONFLICT DO NOTHING",
        connection_id,
        on,
    )
    await session.execute(
        "DELETE FROM connection_clients WHERE connection_id = $1 AND client_id = ANY($2::text[])",
        connection_id,
        off,
    )


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))
