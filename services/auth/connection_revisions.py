"""Revisions of a connection: its scripts, and its configuration, sealed.

Rule 1: a revision is named by a keyed hash of its content; a change makes a new one, and an old one
is never rewritten.
Rule 2: configuration is sealed at rest, afresh on each write, and is write-only: it reads back as
ciphertext. Ciphertext sent back verbatim means "unchanged" (C§6.4).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Final

from services.auth import places
from services.auth.connection_options import Options
from shared.contracts import Sealed
from shared.database import Session
from shared.sealing import KeyRing

_CIPHERTEXT: Final = "tr1."
_SEALED_NOTHING: Final = 40
"""Characters of base64 of a nonce and a tag alone."""


class ConnectionRevisions:
    """Writes them."""

    def __init__(self, ring: KeyRing) -> None:
        """`ring` seals, and keys the hash."""
        self._ring = ring

    async def write(
        self, session: Session, connection_id: str, options: dict[str, Any], stored: dict[str, Any]
    ) -> tuple[str, dict[str, Any], Options]:
        known = Options.model_validate(options)
        plain = {
            name: self._plaintext(connection_id, name, value, stored)
            for name, value in known.configuration.items()
        }
        revision = self._revision(known, plain)
        sealed = {
            name: self._ring.seal_at_rest(
                places.configuration(connection_id, name), value.encode()
            ).model_dump()
            for name, value in plain.items()
        }
        await session.execute(
            "INSERT INTO connection_revisions (connection_id, revision, scripts, configuration,"
            " with_context, magic_globals, egress) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT (connection_id, revision) DO UPDATE SET configuration = excluded.configuration",
            connection_id,
            revision,
            json.dumps(known.customScripts),
            json.dumps(sealed),
            known.enable_script_context,
            known.magic_globals,
            None if known.egress_allow is None else json.dumps(known.egress_allow),
        )
        public = {
            name: value
            for name, value in options.items()
            if name not in {"customScripts", "configuration", "bareConfiguration"}
        }
        return revision, public, known

    def _plaintext(self, connection_id: str, name: str, value: str, stored: dict[str, Any]) -> str:
        """What a value sent to us means: our own ciphertext back is "unchanged" (C§6.4)."""
        if name in stored:
            sealed = Sealed.model_validate(stored[name])
            if hmac.compare_digest(value.encode(), ciphertext(sealed).encode()):
                return self._ring.open_at_rest(
                    places.configuration(connection_id, name), sealed
                ).decode()
        return value

    def _revision(self, known: Options, configuration: dict[str, str]) -> str:
        parts: list[Any] = [known.customScripts, configuration, known.enable_script_context]
        if known.magic_globals:
            parts.append("magic_globals")
        if known.egress_allow is not None:
            parts.append({"egress_allow": known.egress_allow})
        content = json.dumps(parts, sort_keys=True).encode()
        key = self._ring.keyed_hash_key("revision")
        return hmac.new(key, content, hashlib.sha256).hexdigest()[:32]


def ciphertext(sealed: Sealed) -> str:
    if len(sealed.data) == _SEALED_NOTHING:
        return ""  # an empty value is no secret, and stays empty (C§7.4)
    return f"{_CIPHERTEXT}{sealed.key_id}.{sealed.data}"
