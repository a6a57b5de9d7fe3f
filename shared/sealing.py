"""Sealing: AES-256-GCM under a key ring, so that the broker and the ledger never hold a secret.

Rule 1: sealed data is bound to its execution id, connection, revision, action, deadline and
direction (they are the associated data); under any other it does not open.
Rule 2: each direction has its own key, derived from a ring key by HKDF-SHA256 (RFC 5869), so a
result can't be replayed as a request.
Rule 3: new data is sealed under the current key; old data opens under the key it names, so a key
can be rotated without downtime. Rotate before 2^32 messages (NIST SP 800-38D, random nonces).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic_core import PydanticSerializationError, to_json

from shared.contracts import Binding, Sealed
from shared.errors import Misconfigured, Unsealable

_NONCE_BYTES: Final = 12  # NIST SP 800-38D, section 8.2.2: random 96-bit nonces
_KEY_BYTES: Final = 32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Direction(StrEnum):
    """What a key is for. A new use gets a new direction, never a shared key."""

    ARGUMENTS = "arguments"
    VALUE = "value"
    AT_REST = "at_rest"


class KeyRing:
    """The keys that open sealed data; the current one also seals.

    The ring lives in auth and in the worker's Python process; no key of it ever enters the
    launcher or a runner.
    """

    def __init__(self, current: str, keys: Mapping[str, bytes]) -> None:
        """`keys` maps key ids to 32 random bytes; `current` names the one to seal with."""
        if current not in keys:
            raise Misconfigured("the key ring has no current key")
        if any(len(key) != _KEY_BYTES for key in keys.values()):
            raise Misconfigured(f"each key of the ring must be {_KEY_BYTES} bytes")
        self.current = current
        self._keys = dict(keys)
        self._cipher = lru_cache(maxsize=256)(self._derive)

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read `id:base64,id:base64`; the first is the current one. Raises Misconfigured."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(filter(None, (part.strip() for part in text.split(",")))):
            key_id, separator, encoded = entry.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not (key_id and separator and len(key) == _KEY_BYTES) or key_id in keys:
                raise Misconfigured(
                    f"entry {number + 1} of the key ring is not `id:base64 of {_KEY_BYTES} bytes`,"
                    " or repeats an id"
                )
            keys[key_id] = key
        if not keys:
            raise Misconfigured("the key ring is empty")
        return cls(next(iter(keys)), keys)

    @staticmethod
    def generate(key_id: str = "k1") -> str:
        """A fresh ring of one random key, in the form that `parse` reads."""
        return f"{key_id}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode()}"

    def __repr__(self) -> str:
        """Key ids only."""
        return f"KeyRing(current={self.current!r}, ids={sorted(self._keys)})"

    def seal(self, direction: Direction, binding: Binding, plaintext: bytes) -> Sealed:
        """Encrypt for exactly this execution and direction."""
        return self._encrypt(direction, _associated(direction, binding), plaintext)

    def open(self, direction: Direction, binding: Binding, sealed: Sealed) -> bytes:
        """Decrypt; raises Unsealable unless it was sealed for exactly this."""
        return self._decrypt(direction, _associated(direction, binding), sealed)

    def seal_at_rest(self, context: str, plaintext: bytes) -> Sealed:
        """Encrypt a stored secret, bound to where it is stored (`context`). Fresh on each call."""
        return self._encrypt(Direction.AT_REST, f"at_rest\0{context}".encode(), plaintext)

    def open_at_rest(self, context: str, sealed: Sealed) -> bytes:
        """Decrypt a stored secret; raises Unsealable when it was stored elsewhere."""
        return self._decrypt(Direction.AT_REST, f"at_rest\0{context}".encode(), sealed)

    def keyed_hash_key(self, purpose: str) -> bytes:
        """A key for HMACs that must not be computable without the ring (current key only)."""
        return _hkdf(self._keys[self.current], f"trickle/1/hmac/{purpose}")

    def _derive(self, key_id: str, direction: Direction) -> AESGCM:
        try:
            key = self._keys[key_id]
        except KeyError:
            raise Unsealable("sealed under a key that is not in the ring") from None
        return AESGCM(_hkdf(key, f"trickle/1/{direction}"))

    def _encrypt(self, direction: Direction, associated: bytes, plaintext: bytes) -> Sealed:
        nonce = os.urandom(_NONCE_BYTES)
        data = nonce + self._cipher(self.current, direction).encrypt(nonce, plaintext, associated)
        return Sealed(key_id=self.current, data=base64.b64encode(data).decode("ascii"))

    def _decrypt(self, direction: Direction, associated: bytes, sealed: Sealed) -> bytes:
        try:
            data = base64.b64decode(sealed.data, validate=True)
            nonce, body = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            return self._cipher(sealed.key_id, direction).decrypt(nonce, body, associated)
        except (InvalidTag, ValueError):
            raise Unsealable from None


def seal_json(ring: KeyRing, direction: Direction, binding: Binding, value: Any) -> Sealed:
    """Seal a JSON value."""
    try:
        plaintext = to_json(value)
    except PydanticSerializationError:  # a lone surrogate, which JSON can only escape
        plaintext = json.dumps(value, separators=(",", ":")).encode()
    return ring.seal(direction, binding, plaintext)


def _hkdf(key: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info.encode()).derive(key)


def _associated(direction: Direction, binding: Binding) -> bytes:
    # Microseconds since the epoch, not text: one instant has many ISO spellings.
    deadline = (binding.deadline - _EPOCH) // _MICROSECOND
    parts = (
        direction,
        str(binding.execution_id),
        binding.connection_id,
        binding.revision,
        binding.action,
        str(deadline),
    )
    return "\0".join(parts).encode()  # no part can hold a NUL: patterns and enums forbid it


_MICROSECOND: Final = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC) - _EPOCH
