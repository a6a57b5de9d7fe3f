"""The keys that sign tokens: RS256, in the database, the private half sealed at rest.

One is current, one is next: it stands in the JWKS before it signs, so that no verifier meets a
key that it has not seen. After a rotation the former key still verifies, until it is revoked.
Every replica looks again every few seconds, and at once for a key that it doesn't know.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import NameOID
from joserfc.jwk import KeySet, RSAKey

from services.auth import places
from services.auth.locks import Lock
from shared.contracts import Sealed
from shared.database import Database, Session
from shared.errors import Misconfigured, ServiceError, Unavailable, Unsealable
from shared.sealing import KeyRing

log = structlog.get_logger(__name__)

ALGORITHM: Final = "RS256"
_BITS: Final = 2048
_LOOK_EVERY: Final = 10.0
_CERTIFIED_FOR: Final = timedelta(days=3650)


class NotRevocable(ServiceError):
    """Only a key that was rotated out can be revoked"""


@dataclass(frozen=True, slots=True)
class Keys:
    """What the database held when we last looked."""

    current: RSAKey
    verifying: KeySet
    rows: tuple[dict[str, Any], ...]


class SigningKeys:
    """The current key, and the public set to verify with."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        """`load` must be awaited once."""
        self._database = database
        self._ring = ring
        self._keys: Keys | None = None

    @property
    def current(self) -> RSAKey:
        """What signs."""
        return self._held.current

    @property
    def verifying(self) -> KeySet:
        """What verifies: next, current and previous keys."""
        return self._held.verifying

    @property
    def jwks(self) -> dict[str, Any]:
        """The published set (RFC 7517), with certificates for verifiers that want them (C§7.3)."""
        return {
            "keys": [
                json.loads(row["public_key"]) | _certified(row["certificate"])
                for row in self._held.rows
                if row["state"] != "revoked"
            ]
        }

    @property
    def _held(self) -> Keys:
        if self._keys is None:
            raise Misconfigured("the signing keys are not loaded")
        return self._keys

    async def load(self) -> None:
        """Read the keys; the first replica to start makes the first two. Raises Misconfigured."""
        async with self._database.transaction() as session:
            await session.execute("SELECT pg_advisory_xact_lock($1)", Lock.SIGNING_KEYS)
            rows = await self._rows(session)
            for state in ("current", "next"):
                if not any(row["state"] == state for row in rows):
                    await self._insert(session, state)
            rows = await self._rows(session)
        self._keys = self._opened(rows)

    async def look(self) -> str | None:
        """The id of the current key, which opens; None before the first. Raises Misconfigured."""
        async with self._database.connection() as session:
            rows = await self._rows(session)
        return str(self._opened(rows).current.kid) if rows else None

    async def watch(self) -> None:
        """Follow rotations that other replicas make, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                async with self._database.connection() as session:
                    rows = await self._rows(session)
                if rows != list(self._held.rows):
                    self._keys = self._opened(rows)
                    log.info("signing_keys.changed", current=self.current.kid)
            except Unavailable:
                continue  # what we hold still signs and verifies

    async def rotate(self) -> dict[str, str]:
        """The next key signs from now on, and a new next one is published."""
        async with self._database.transaction() as session:
            await session.execute("SELECT pg_advisory_xact_lock($1)", Lock.SIGNING_KEYS)
            for before, after in (("current", "previous"), ("next", "current")):
                await session.execute(
                    "UPDATE signing_keys SET state = $2, changed_at = now() WHERE state = $1",
                    *(before, after),
                )
            await self._insert(session, "next")
            rows = await self._rows(session)
        self._keys = self._opened(rows)
        log.info("signing_keys.rotated", current=self.current.kid)
        return {"kid": str(self.current.kid), "cert": _row(rows, "current")["certificate"] or ""}

    async def revoke(self, kid: str) -> dict[str, str] | None:
        """A previous key verifies no more; None when there is no such key. Raises NotRevocable."""
        async with self._database.transaction() as session:
            state = await session.fetchval(
                "SELECT state FROM signing_keys WHERE kid = $1 FOR UPDATE", kid
            )
            if state is None:
                return None
            if state in {"current", "next"}:
                raise NotRevocable
            await session.execute(
                "UPDATE signing_keys SET state = 'revoked', changed_at = now(), sealed_key = '{}'"
                " WHERE kid = $1",
                kid,
            )
            rows = await self._rows(session)
        self._keys = self._opened(rows)
        return {"kid": kid}

    def listed(self) -> list[dict[str, Any]]:
        """The Management API's view."""
        return [
            {
                "kid": row["kid"],
                "cert": row["certificate"] or "",
                "current": row["state"] == "current",
                "next": row["state"] == "next",
                "previous": row["state"] == "previous",
                "revoked": row["state"] == "revoked",
                "current_since": row["changed_at"].isoformat(),
            }
            for row in self._held.rows
        ]

    async def _rows(self, session: Session) -> list[dict[str, Any]]:
        rows = await session.fetch("SELECT * FROM signing_keys ORDER BY created_at DESC LIMIT 50")
        return [dict(row) for row in rows]

    async def _insert(self, session: Session, state: str) -> None:
        key = await asyncio.to_thread(_generate)
        private = json.dumps(key.as_dict(private=True)).encode()
        await session.execute(
            "INSERT INTO signing_keys (kid, sealed_key, public_key, state, certificate)"
            " VALUES ($1, $2, $3, $4, $5)",
            key.kid,
            self._ring.seal_at_rest(places.signing_key(str(key.kid)), private).model_dump_json(),
            json.dumps(key.as_dict(private=False)),
            state,
            _certificate(key),
        )

    def _opened(self, rows: list[dict[str, Any]]) -> Keys:
        current = _row(rows, "current")
        sealed = Sealed.model_validate_json(current["sealed_key"])
        try:
            opened = self._ring.open_at_rest(places.signing_key(current["kid"]), sealed)
        except Unsealable:
            raise Misconfigured(
                f"TRICKLE_KEY_RING does not open the signing key {current['kid']}: that was sealed"
                f" under another ring's key {sealed.key_id!r}"
            ) from None
        verifying: list[Any] = [
            RSAKey.import_key(json.loads(row["public_key"]))
            for row in rows
            if row["state"] != "revoked"
        ]
        return Keys(RSAKey.import_key(json.loads(opened)), KeySet(verifying), tuple(rows))


def _row(rows: list[dict[str, Any]], state: str) -> dict[str, Any]:
    found = next((row for row in rows if row["state"] == state), None)
    if found is None:
        raise Misconfigured(f"no signing key is {state}")
    return found


def _generate() -> RSAKey:
    return RSAKey.generate_key(_BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)


def _certificate(key: RSAKey) -> str:
    """A certificate that the key signs itself: some verifiers read keys only from those."""
    private = key.private_key
    if not isinstance(private, RSAPrivateKey):
        raise Misconfigured("a signing key has no private half")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trickle")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _CERTIFIED_FOR)
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _certified(certificate: str | None) -> dict[str, Any]:
    """`x5c` and `x5t` (RFC 7517, sections 4.7 and 4.8)."""
    if not certificate:
        return {}
    der = x509.load_pem_x509_certificate(certificate.encode()).public_bytes(
        serialization.Encoding.DER
    )
    # SHA-1 because the RFC says so; nothing rests on it.
    thumb = hashlib.sha1(der, usedforsecurity=False).digest()
    return {
        "x5c": [base64.b64encode(der).decode()],
        "x5t": base64.urlsafe_b64encode(thumb).decode().rstrip("="),
    }
