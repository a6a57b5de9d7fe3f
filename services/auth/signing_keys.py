"""The keys that sign tokens: RS256, in the database, the private half sealed at rest.

One is current; older ones stay in the JWKS so that tokens signed by them still verify.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

from joserfc.jwk import KeySet, RSAKey

from shared.contracts import Sealed
from shared.database import Database
from shared.errors import Misconfigured
from shared.sealing import KeyRing

ALGORITHM: Final = "RS256"
_BITS: Final = 2048
_LOCK: Final = 7402


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The current key, and the public set to verify with."""

    current: RSAKey
    verifying: KeySet

    @property
    def jwks(self) -> dict[str, Any]:
        """The published set (RFC 7517)."""
        return {"keys": [key.as_dict(private=False) for key in self.verifying.keys]}


async def load_signing_keys(database: Database, ring: KeyRing) -> SigningKeys:
    """Load the keys; the first replica to start makes the first one. Raises Misconfigured."""
    async with database.transaction() as session:
        await session.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        rows = await session.fetch("SELECT * FROM signing_keys ORDER BY created_at DESC")
        if not rows:
            key = await asyncio.to_thread(_generate)
            sealed = ring.seal_at_rest(_place(key), json.dumps(key.as_dict(private=True)).encode())
            await session.execute(
                "INSERT INTO signing_keys (kid, sealed_key, public_key, current)"
                " VALUES ($1, $2, $3, true)",
                key.kid,
                sealed.model_dump_json(),
                json.dumps(key.as_dict(private=False)),
            )
            return SigningKeys(key, KeySet([key]))
    keys: list[Any] = [RSAKey.import_key(json.loads(row["public_key"])) for row in rows]
    current = next((row for row in rows if row["current"]), None)
    if current is None:
        raise Misconfigured("no signing key is current")
    public = RSAKey.import_key(json.loads(current["public_key"]))
    opened = ring.open_at_rest(_place(public), Sealed.model_validate_json(current["sealed_key"]))
    return SigningKeys(RSAKey.import_key(json.loads(opened)), KeySet(keys))


def _generate() -> RSAKey:
    return RSAKey.generate_key(_BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)


def _place(key: RSAKey) -> str:
    return f"signing_key/{key.kid}"
