"""A steady load of logins over real HTTP, through a balancer that asks for readiness."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from time import perf_counter

import httpx

from services.auth.clients import REALM_GRANT
from shared.beside import beside

_numbers = count(1)
LOOK_EVERY = 0.2


@dataclass(slots=True)
class Logins:
    """What came of some logins: how many by status (0: no answer), and seconds by kind."""

    statuses: Counter[int] = field(default_factory=Counter)
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    lost: list[str] = field(default_factory=list)
    """Why those with no answer have none."""

    def note(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        (self.refused if status == 503 else self.taken).append(seconds)


class Load:
    """Clients of an installation with any number of replicas."""

    def __init__(self, http: httpx.AsyncClient, client_id: str, replicas: Sequence[str]) -> None:
        """Made by `loaded`."""
        self._http = http
        self._client_id = client_id
        self._ready: list[str] = []
        self._replicas = replicas
        self._turns = cycle(range(1_000_000))

    async def login(self, realm: str, found: Logins) -> None:
        body = {
            "grant_type": REALM_GRANT,
            "client_id": self._client_id,
            "username": f"user{next(_numbers)}@example.com",
            "password": "pw",
            "realm": realm,
        }
        before, status = perf_counter(), 0
        try:
            url = self._ready[next(self._turns) % len(self._ready)]
            status = (await self._http.post(f"{url}/oauth/token", json=body)).status_code
        except (httpx.HTTPError, ZeroDivisionError) as error:  # or nobody was ready
            found.lost.append(type(error).__name__)
        found.note(status, perf_counter() - before)

    async def offer(
        self,
        realm: str,
        rate: float,
        *,
        seconds: float = 3600,
        until: asyncio.Event | None = None,
        at_least: int = 0,
    ) -> Logins:
        """An open loop: arrivals, `rate` a second, do not wait for answers.

        `until` is heeded only once `at_least` have arrived: what it waits for may be over sooner
        on a fast machine than a test needs to have seen anything.
        """
        found, end, arrived = Logins(), perf_counter() + seconds, 0
        async with asyncio.TaskGroup() as logins:
            while perf_counter() < end and (arrived < at_least or not (until and until.is_set())):
                arrived += 1
                logins.create_task(self.login(realm, found))
                await asyncio.sleep(random.uniform(0.5, 1.5) / rate)  # noqa: S311 - arrivals
        return found

    async def balance(self) -> None:
        """Send nothing to who is not ready, as of the last look."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Ask each replica whether it is ready."""
        replicas = self._replicas
        looks = await asyncio.gather(*map(self._looks_ready, replicas))
        if replicas is self._replicas:  # else some were forgotten meanwhile
            self._ready = [one for one, ready in zip(replicas, looks, strict=True) if ready]

    def forget(self, url: str) -> None:
        """Send nothing to a replica any more, whatever it says."""
        self._replicas = [one for one in self._replicas if one != url]
        self._ready = [one for one in self._ready if one != url]

    async def _looks_ready(self, url: str) -> bool:
        try:
            return (await self._http.get(f"{url}/readyz", timeout=5)).status_code == 200
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def loaded(client_id: str, *replicas: str) -> AsyncIterator[Load]:
    """Clients, with a balancer between them and the replicas' URLs."""
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    async with httpx.AsyncClient(timeout=40, limits=limits) as http:
        load = Load(http, client_id, replicas)
        await load.look()
        async with beside(load.balance(), "balancer"):
            yield load
