"""Everything that persists or leaves: each function reads one kind of place, as bytes by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage

from services.standalone.http_client import call
from shared.topology import Names
from tests.processes import children

_CHUNK = 8 * 1024 * 1024
_OVERLAP = 1024


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder with its name, in pieces that overlap; what vanishes is passed over."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                with path.open("rb") as file:
                    tail, piece = path.name.encode(), file.read(_CHUNK)
                    while True:
                        yield str(path.relative_to(folder)), tail + piece
                        tail, piece = piece[-_OVERLAP:], file.read(_CHUNK)
                        if not piece:
                            break
            except OSError:
                continue


async def tables(database_url: str) -> dict[str, bytes]:
    """Every column of every row, as text, by `table.column`."""
    connection = await asyncpg.connect(database_url)
    try:
        columns = await connection.fetch(
            "SELECT c.oid::regclass::text AS name, a.attname AS attribute FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
            " AND a.attnum > 0 AND NOT a.attisdropped"
        )
        found = {}
        for name, attribute in columns:
            rows = await connection.fetch(f'SELECT "{attribute}"::text FROM {name}')  # noqa: S608
            raw = await connection.fetch(_raw(name, attribute))
            found[f"{name}.{attribute}"] = "\n".join(
                str(row[0]) for row in rows
            ).encode() + b"".join(bytes(row[0]) for row in raw)
        return found
    finally:
        await connection.close()


def _raw(table: str, column: str) -> str:
    """The bytes of a bytea column, which its text shows in hex only; of others nothing."""
    return (
        f'SELECT "{column}" FROM {table}'  # noqa: S608 - names of our own tables
        f' WHERE pg_typeof("{column}") = \'bytea\'::regtype AND "{column}" IS NOT NULL'
    )


async def metrics(*ports: int) -> dict[str, bytes]:
    """What each metrics port shows."""
    return {
        f"metrics of port {port}": str(
            (await call("GET", f"http://127.0.0.1:{port}/metrics")).body
        ).encode()
        for port in ports
    }


def processes(*roots: int) -> dict[str, bytes]:
    """Arguments and environment of processes and of everything below them."""
    found = {}
    for pid in {pid for root in roots for pid in (root, *children(root))}:
        for name in ("cmdline", "environ", "comm"):
            try:
                found[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
    return found


@asynccontextmanager
async def tapped(amqp_url: str, names: Names) -> AsyncIterator[dict[str, bytes]]:
    """Every message that passes through an exchange of ours from now on: body and properties.

    Replies only of replicas, whose names are one word: what everybody gets is nobody's orphan.
    """
    seen: dict[str, bytes] = {}

    async def keep(message: AbstractIncomingMessage) -> None:
        about = repr(message.info())
        seen[f"message {len(seen)} of {message.exchange}"] = message.body + b"\n" + about.encode()
        await message.ack()

    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for exchange in (names.requests, names.replies, names.dead, names.orphans, names.control):
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, "*" if exchange == names.replies else "#")
            await queue.consume(keep)
        yield seen
        await asyncio.sleep(0)
