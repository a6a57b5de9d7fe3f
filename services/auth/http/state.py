"""What the HTTP surfaces share: the domain's objects, and the tasks that outlive a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from services.auth.clients import Clients
from services.auth.connections import Connections
from services.auth.login import Logins
from services.auth.tokens import Tokens
from services.auth.users import Users
from shared.database import Database

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class State:
    """Built once by `app.open_auth`."""

    issuer: str
    audience: str
    connections: Connections
    clients: Clients
    users: Users
    tokens: Tokens
    logins: Logins
    database: Database
    problems: Callable[[], list[str]]
    """Why we are not ready; empty when we are."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    draining: bool = False

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end even if our caller is cancelled; owned here until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        await asyncio.wait({task})
        return task.result()

    async def drain(self) -> None:
        """Wait for what is still being completed."""
        while self.tasks:
            await asyncio.wait(set(self.tasks))

    async def default_directory(self) -> str | None:
        """The connection of a password grant that names none."""
        name: str | None = await self.database.fetchval("SELECT default_directory FROM tenant")
        return name


def state(http_request: Request) -> State:
    """The application's state."""
    found: State = http_request.app.state.trickle
    return found
