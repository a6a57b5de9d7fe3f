"""Local password hashes: argon2id in a bounded pool of threads.

Parameters are OWASP's minimum (19 MiB, t=2, p=1), passed explicitly: the library's own defaults
cost four to seven times as much. Hashing releases the GIL; on the event loop it would stop it.
Capacity is about 30 verifications a second and core: what waits is bounded, the rest is 503.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from types import TracebackType
from typing import Final, Self, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from services.auth import foreign_hashes, metrics
from shared.errors import Unavailable

_HASHER: Final = PasswordHasher(
    time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)
_OURS: Final = "$argon2id$v=19$m=19456,t=2,p=1$"
_WAITING_PER_THREAD: Final = 64
"""About two seconds of work: a login that waits longer has lost its client."""
T = TypeVar("T")


class Passwords:
    """Hashes and verifies; an async context manager, because it owns threads."""

    def __init__(self, threads: int | None = None) -> None:
        """As many threads as cores: more would only make each of them slower."""
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys: str | None = None

    async def __aenter__(self) -> Self:
        """Prepare the hash that unknown users are checked against."""
        self._nobodys = await self.hash(os.urandom(16).hex())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """A fresh hash in PHC string format. Raises Unavailable when too many wait."""
        return await self._in_thread("hash", lambda: _HASHER.hash(password))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is right. Raises Unavailable when too many wait."""
        return await self._in_thread("verify", lambda: _verify(password_hash, password))

    async def burn(self, password: str) -> None:
        """Spend what a verification costs, so that a missing user does not answer faster."""
        if self._nobodys is not None:
            await self.verify(self._nobodys, password)

    async def _in_thread(self, operation: str, work: Callable[[], T]) -> T:
        if self._waiting >= self._threads * _WAITING_PER_THREAD:
            raise Unavailable("too many passwords wait to be hashed")
        self._waiting += 1
        metrics.HASH_QUEUE.set(self._waiting)
        began = perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
            metrics.HASH_QUEUE.set(self._waiting)
            metrics.HASH_SECONDS.labels(operation, "argon2id").observe(perf_counter() - began)


def is_foreign(password_hash: str) -> bool:
    """Whether somebody else made this hash: it is replaced when its password is next seen."""
    return not password_hash.startswith(_OURS)


def _verify(password_hash: str, password: str) -> bool:
    if is_foreign(password_hash):
        return foreign_hashes.verify(password_hash, password)
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
