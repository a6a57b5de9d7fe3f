"""`check`, the first aid of both services: one line a check, all of them, also after one failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from shared.errors import ServiceError

Look = Callable[[], Awaitable[str]]


async def examine(looks: Mapping[str, Look]) -> int:
    """Run every check; 0 when all hold, else 1."""
    results = [await _one(name, look) for name, look in looks.items()]
    return 0 if all(results) else 1


async def _one(name: str, look: Look) -> bool:
    try:
        print(f"ok      {name}: {await look()}")  # noqa: T201 - a command for a person
    except ServiceError as error:
        print(f"FAILED  {name}: {error}")  # noqa: T201
        return False
    return True
