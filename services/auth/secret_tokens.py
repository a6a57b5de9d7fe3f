"""Random strings that are worth a login: only their hash is stored."""

from __future__ import annotations

import hashlib
import secrets


def new_secret() -> str:
    """256 random bits, fit for a URL."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is stored. A plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()
