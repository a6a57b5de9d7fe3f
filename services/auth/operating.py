"""What an operator does by hand, once or now and then: `init`, `key-ring`, `reseal`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from services.auth.bootstrap import create_management_client
from services.auth.clients import API_SCOPES
from services.auth.locks import Lock
from services.auth.migrate import migrate
from services.auth.resealing import reseal
from services.auth.settings import AuthSettings
from services.auth.signing_keys import SigningKeys
from shared.database import open_database
from shared.errors import Misconfigured
from shared.sealing import KeyRing

_HAS_ONE: Final = "SELECT client_id FROM clients WHERE api_scopes @> $1 ORDER BY created_at LIMIT 1"


def new_key_ring(key_id: str) -> str:
    """A ring of one fresh key, for a first installation."""
    return KeyRing.generate(key_id)


def ring_with_another(ring: str, key_id: str = "") -> str:
    """The ring with a fresh key behind: it opens what others will seal, and seals nothing yet.

    Without a `key_id` the fresh key gets the first free of k1, k2, …

    Raises Misconfigured when the ring has a key of that name already.
    """
    taken = {entry.partition(":")[0].strip() for entry in ring.split(",")}
    free = (f"k{number}" for number in range(1, len(taken) + 2) if f"k{number}" not in taken)
    longer = f"{ring.strip()},{KeyRing.generate(key_id or next(free))}"
    KeyRing.parse(longer)
    return longer


def promoted_ring(ring: str) -> str:
    """The ring with its last key in front: that key seals, the others still open.

    For when every process has the key: what is sealed under one that a process lacks, it can't open.
    """
    *others, last = ring.strip().split(",")
    return ",".join([last, *others])


def keep_ring(ring: str, path: Path) -> None:
    """Write the ring to a file, whole or not at all. Whoever may read a file of that name still may.

    Raises Misconfigured when the file holds what the ring lacks, or can't be written.
    """
    file = path.resolve()  # a link stays one
    try:
        before = file.stat() if file.exists() else None
        if before and not _entries(file.read_text(errors="replace")) <= _entries(ring):
            raise Misconfigured(
                f"{path} holds something that would be lost: nothing is written. A new ring needs a"
                " new file; for another key TRICKLE_KEY_RING must be the ring in that file"
            )
        descriptor, name = mkstemp(dir=file.parent, prefix=f".{file.name}.")
        fresh = Path(name)
        try:
            with os.fdopen(descriptor, "w") as written:
                if before:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                    os.fchmod(descriptor, before.st_mode & 0o777)
                written.write(f"{ring}\n")
                written.flush()
                os.fsync(descriptor)
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)  # there is none once it has become the file
    except OSError as error:
        raise Misconfigured(f"{path} can't be written: {error.strerror}") from None


def _entries(ring: str) -> set[str]:
    return {entry for part in ring.split(",") if (entry := part.strip())}


async def init(settings: AuthSettings, *, another: bool = False) -> int:
    """Migrate, make a signing key, and create the first management client; print its secret once.

    Repeating it changes nothing and exits with 1, unless `another` client is asked for; so does the
    second of two at the same time.
    """
    _tell(f"migrations applied: {', '.join(await migrate(settings.database_dsn)) or 'none'}")
    async with open_database(settings.database_dsn, pool_size=1) as database:
        keys = SigningKeys(database, settings.ring)
        await keys.load()
        _tell(f"signing key: {keys.current.kid}")
        async with database.transaction() as session:
            # Until the client is committed: whoever starts at the same time must see it.
            await session.execute("SELECT pg_advisory_xact_lock($1)", Lock.FIRST_CLIENT)
            known = await session.fetchval(_HAS_ONE, list(API_SCOPES))
            if known is not None and not another:
                _tell(f"there is a management client already: {known}; --another makes one more")
                return 1
            client = await create_management_client(settings.database_dsn)
    _tell("the client's secret is shown this once:")
    print(json.dumps(client | {"audience": settings.audience, "issuer": settings.issuer}, indent=2))  # noqa: T201 - a command for a person
    return 0


async def reseal_all(settings: AuthSettings) -> int:
    """Seal everything under the current key; 0 when no other key is needed any more."""
    async with open_database(settings.database_dsn, pool_size=1) as database:
        done = await reseal(database, settings.ring)
    lost = 0
    for place, counted in done.items():
        lost += counted.lost
        left = f", {counted.lost} could not be opened" if counted.lost else ""
        _tell(f"{place}: {counted.afresh} sealed afresh{left}")
    if lost:
        raise Misconfigured(f"{lost} values are sealed under keys that the ring lacks")
    _tell(
        f"nothing at rest needs another key than {settings.ring.current!r}. Requests in flight may,"
        " for a minute: then take the others out of the ring."
    )
    return 0


def _tell(text: str) -> None:
    """To standard error, so that standard output holds the secret alone."""
    print(text, file=sys.stderr)  # noqa: T201 - a command for a person
