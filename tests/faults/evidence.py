"""What the database and the broker have to say in the end, and what nothing may be left of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import aio_pika

from services.standalone.http_client import call
from shared.contracts import Action
from shared.errors import Unavailable
from tests.faults.accounting import Recorded
from tests.faults.installation import MOST_PROCESSES, Installation, Replica
from tests.faults.tap import Tap

SETTLE_WITHIN: Final = 60.0
MOST_MEMORY: Final = {"auth": 400 * 2**20, "worker": 300 * 2**20}
"""Bytes; a replica of either needs a third of it when it begins."""
MOST_SESSIONS: Final = 10
"""Database sessions of one replica: its pool, and two that are being replaced."""
_IDLE_METRICS: Final = (
    "auth_script_rpc_in_flight",
    "auth_orphans_held",
    "auth_password_hash_queue_depth",
    "script_worker_leases",
    'script_worker_slots{state="busy"}',
    'script_worker_runners{state="busy"}',
)

_WITNESS: Final = """
CREATE TABLE rewritten (execution_id uuid, what text);
CREATE FUNCTION note_rewritten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rewritten VALUES (OLD.execution_id, TG_ARGV[0]);
    RETURN NEW;
END $$;
CREATE TRIGGER outcome_rewritten BEFORE UPDATE ON executions FOR EACH ROW
    WHEN (OLD.outcome IS NOT NULL AND (NEW.outcome IS DISTINCT FROM OLD.outcome
          OR NEW.result IS DISTINCT FROM OLD.result OR NEW.attempt <> OLD.attempt))
    EXECUTE FUNCTION note_rewritten('its outcome changed');
CREATE TRIGGER applied_again BEFORE UPDATE ON executions FOR EACH ROW
    WHEN (OLD.applied_at IS NOT NULL AND NEW.applied_at IS DISTINCT FROM OLD.applied_at)
    EXECUTE FUNCTION note_rewritten('it was applied again');
CREATE TRIGGER repeated BEFORE UPDATE ON executions FOR EACH ROW
    WHEN (NOT OLD.idempotent AND NEW.attempt > 1)
    EXECUTE FUNCTION note_rewritten('it was claimed again, and may not be');
"""
_APPLIED_TWICE: Final = {
    "{number} lines of the log say that execution {what} had its effect": """
        SELECT execution_id::text AS what, count(*) AS number FROM logs
        WHERE type IN ('scv', 'trickle_user_imported') AND execution_id IS NOT NULL
        GROUP BY execution_id, type HAVING count(*) > 1""",
    "{number} lines of the log say that {what} signed up": """
        SELECT user_name AS what, count(*) AS number FROM logs WHERE type = 'ss'
        GROUP BY user_name HAVING count(*) > 1""",
    "{number} mails welcome {what}": """
        SELECT recipient AS what, count(*) AS number FROM mails WHERE template = 'verify_email'
        GROUP BY recipient HAVING count(*) > 1""",
    "{number} records of the legacy user {what}": """
        SELECT connection_id || ' ' || legacy_id AS what, count(*) AS number FROM users
        GROUP BY connection_id, legacy_id HAVING count(*) > 1""",
}


async def set_witness(its: Installation) -> None:
    """Let the database itself notice a decided row that is written again."""
    await its.system.database.execute(_WITNESS)


async def recorded(its: Installation) -> dict[UUID, Recorded]:
    """The ledger."""
    rows = await its.system.database.fetch(
        "SELECT execution_id, action, state, outcome, attempt FROM executions"
    )
    return {
        row["execution_id"]: Recorded(
            Action(row["action"]), row["state"], row["outcome"], row["attempt"]
        )
        for row in rows
    }


async def rewritten(its: Installation) -> list[tuple[UUID, str]]:
    """What the witness noticed."""
    rows = await its.system.database.fetch("SELECT execution_id, what FROM rewritten")
    return [(row["execution_id"], row["what"]) for row in rows]


async def applied_twice(its: Installation) -> list[str]:
    """Effects in auth's tables that are there more than once."""
    found = []
    for text, statement in _APPLIED_TWICE.items():
        rows = await its.system.database.fetch(statement)
        found += [text.format(**row) for row in rows]
    return found


async def settled(its: Installation, tap: Tap) -> list[str]:
    """Wait until nothing is under way; what is still there after SETTLE_WITHIN."""
    left = ["nobody looked"]
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_WITHIN):
            while left:
                await asyncio.sleep(0.5)
                try:
                    left = [*await _ledger(its), *await waiting(its, tap), *await _busy(its)]
                except (Unavailable, OSError) as error:
                    left = [f"a server does not answer: {error}"]
    return left


async def _ledger(its: Installation) -> list[str]:
    counts = await its.system.counts()
    return [
        *_unless_zero(counts.undecided, "executions are claimed and not decided"),
        *_unless_zero(counts.unpublished, "outcomes are not published"),
    ]


def _unless_zero(number: int, what: str) -> list[str]:
    return [f"{number} {what}"] if number else []


async def waiting(its: Installation, tap: Tap) -> list[str]:
    """Messages in any queue; those in hand count once their consumer is gone."""
    names = its.names
    queues = [names.request_queue(realm.connection_id) for realm in its.realms]
    found = []
    async with await aio_pika.connect(its.rabbitmq.url, timeout=5) as connection:
        channel = await connection.channel()
        for name in (*queues, names.dead, names.orphans, tap.queue):
            queue = await channel.declare_queue(name, passive=True)
            number = queue.declaration_result.message_count or 0
            found += _unless_zero(number, f"messages wait in {name}")
    return found


async def _busy(its: Installation) -> list[str]:
    """What the services' own metrics say is in hand."""
    found = []
    for replica in its.replicas:
        text = str((await call("GET", replica.metrics, wait=5)).body)
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name in _IDLE_METRICS and float(value):
                found.append(f"{replica.name} says {line}")
    return found


async def bounds(its: Installation) -> list[str]:
    """What a settled installation may have at most."""
    found = []
    for replica in its.replicas:
        most = MOST_MEMORY[replica.name.partition("-")[0]]
        if replica.heaviest > most:
            found.append(f"{replica.name} had {replica.heaviest >> 20} MiB, above {most >> 20}")
    for worker in its.workers:
        number = len(await asyncio.to_thread(worker.offspring))
        if number > MOST_PROCESSES:
            found.append(f"{worker.name} has {number} processes, above {MOST_PROCESSES}")
    return found + await _sessions(its, its.replicas)


async def _sessions(its: Installation, replicas: Iterable[Replica]) -> list[str]:
    rows: list[Any] = await its.system.database.fetch(
        "SELECT count(*) AS number, count(*) FILTER (WHERE state LIKE 'idle in%'"
        " AND state_change < now() - interval '5 s') AS stuck FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    most = MOST_SESSIONS * len(list(replicas))
    number, stuck = rows[0]["number"], rows[0]["stuck"]
    return [
        *_unless_zero(stuck, "database sessions are idle in a transaction"),
        *([f"{number} database sessions, above {most}"] if number > most else []),
    ]
