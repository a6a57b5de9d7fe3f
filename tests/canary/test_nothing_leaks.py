"""Marked secrets on every path of whole processes, then a search of all that persists or leaves.

Where a secret belongs it is allowed by kind and place, and nowhere else:
hash        an imported hash is what `credentials` keeps
provider    the legacy provider's token, for callers with `read:user_idp_tokens`
metadata    what an application keeps in a user's metadata
misplaced   a secret in a field that is none: its sender is answered with it, and the tenant's own
            administrator reads in the tenant log what was asked; no service logs it
stranger    what somebody else put into a message is in that message
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.standalone.guarded import Guarded
from tests.canary import over_http, paths, places
from tests.canary.installation import (
    Installation,
    Marked,
    MarkedPostgres,
    MarkedRabbitMQ,
    cores_allowed,
    installed,
)
from tests.servers import started

PERSISTED = ("hash", "metadata", "misplaced")
TABLES = {
    "credentials.password_hash": ["hash"],
    "users.user_metadata": ["metadata"],
    "tenant.settings": ["misplaced"],
    "logs.details": ["misplaced"],
    "logs.user_id": ["misplaced"],
    "logs.user_name": ["misplaced"],
    "logs.description": ["misplaced"],
}
BROKER_SETTINGS = "rabbitmq.conf"
"""Where this test told the broker its user's password."""


@pytest.fixture(scope="module")
def marked() -> Marked:
    return Marked()


@pytest.fixture(scope="module")
def postgres(marked: Marked) -> Iterator[MarkedPostgres]:
    server = MarkedPostgres(marked.core("setting"))
    with started(server.start, server.close, "Postgres"):
        yield server


@pytest.fixture(scope="module")
def broker(marked: Marked) -> Iterator[MarkedRabbitMQ]:
    server = MarkedRabbitMQ(marked.core("setting"))
    with started(server.start, server.close, "RabbitMQ"):
        yield server


@asynccontextmanager
async def running(
    postgres: MarkedPostgres, broker: MarkedRabbitMQ, marked: Marked, folder: Path, *flags: str
) -> AsyncIterator[tuple[Installation, Guarded]]:
    """auth, a worker and a connection."""
    with cores_allowed():
        async with installed(postgres, broker, folder, marked, flags) as its:
            await paths.introduce(its)
            yield its, await its.worker()


async def everything(its: Installation) -> list[str]:
    """What was found where it does not belong."""
    search = its.marked.search
    await its.database.execute("CHECKPOINT")
    tables = await places.tables(its.database_url)
    return [
        *search.found(places.files(its.folder / "logs")),
        *(
            one
            for name, content in tables.items()
            for one in search.found({name: content}, TABLES.get(name, ()))
        ),
        *search.found(places.files(its.postgres_folder / "cluster"), PERSISTED),
        *search.found({"Postgres's log": (its.postgres_folder / "log").read_bytes()}),
        *search.found(
            (one for one in places.files(its.broker_folder) if one[0] != BROKER_SETTINGS),
            ["stranger"],
        ),
        *search.found(its.messages, ["stranger"]),
        *search.found(its.answers, ["misplaced", "provider", "metadata"]),
        *search.found({"the mails": b"".join(its.mailer.mails)}, ["ticket"]),
        *search.found(await places.metrics(*await its.listening())),
        *search.found(places.processes(*(process.pid for process in its.running))),
    ]


def cores() -> list[Path]:
    """Where a process of ours would leave one."""
    return [path for path in Path.cwd().glob("core*") if path.is_file()]


@pytest.mark.timeout(400)
async def test_no_secret_is_anywhere(
    postgres: MarkedPostgres, broker: MarkedRabbitMQ, marked: Marked, tmp_path: Path
) -> None:
    """Success, denial, errors of scripts, flows, the Management API, bad requests, strangers."""
    async with running(postgres, broker, marked, tmp_path) as (its, _):
        granted = await paths.logins(its, ("fine", "twice", "later"))
        refused = await paths.logins(its, paths.DENIED + paths.FAILED + paths.ODD)
        await over_http.people(its)
        await over_http.management(its)
        await over_http.imports(its)
        await over_http.requests_that_fail(its)
        await over_http.fields_of_every_operation(its)
        await paths.strangers(its)

        found = await everything(its)

    assert {200} == set(granted.values())
    assert {403} == set(refused.values())
    assert [] == found


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_no_secret_outlives_a_crash(
    postgres: MarkedPostgres, broker: MarkedRabbitMQ, marked: Marked, tmp_path: Path
) -> None:
    """Runners that exit, abort, spin and eat memory; a worker and auth that are killed, or dump core."""
    before = cores()
    async with running(postgres, broker, marked, tmp_path, "-X", "dev") as (its, worker):
        refused = await paths.logins(its, paths.CRASHED + paths.SLOW)
        await paths.killed_workers(its, await paths.without_a_worker(its, worker))
        await paths.killed_auth(its)

        found = await everything(its)

    assert {403} == set(refused.values())
    assert before == cores()
    assert [] == found
