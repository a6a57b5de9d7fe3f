"""Hashing, in real threads."""

from __future__ import annotations

from services.auth import metrics
from services.auth.passwords import Passwords


async def test_no_hash_waits_once_all_are_made() -> None:
    async with Passwords(threads=1) as passwords:
        hashed = await passwords.hash("secret")

        assert await passwords.verify(hashed, "secret")
        assert 0 == metrics.HASH_QUEUE._value.get()
