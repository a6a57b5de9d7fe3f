"""What the HTTP surfaces share: the domain's objects, and the tasks that outlive a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog
from starlette.requests import Request

from services.auth.accounts import Accounts
from services.auth.addresses import Networks, caller_address, parsed
from services.auth.authorizations import Authorizations
from services.auth.caller import Caller
from services.auth.clients import Client, Clients
from services.auth.collaborators import Collaborators
from services.auth.connections import Connection
from services.auth.consequences import UNAVAILABLE
from services.auth.http.patience import extended
from services.auth.jobs import Jobs
from services.auth.login import LoginAnswer, LoginRequest, Logins, Refused
from services.auth.refresh_tokens import RefreshTokens
from services.auth.resets import Resets
from services.auth.resource_servers import ResourceServers
from services.auth.signing_keys import SigningKeys
from services.auth.signup import Signups
from services.auth.tenant import Tenant
from services.auth.tokens import Tokens
from services.auth.verification import Verifications
from shared import tracing
from shared.errors import Unavailable
from shared.sealing import KeyRing
from shared.telemetry import child_traceparent

log = structlog.get_logger(__name__)

T = TypeVar("T")
AFTER_BUDGET: Final = timedelta(seconds=1)
"""What may pass between the scripts' deadline and the answer: `executions.MARGIN`, and as much to
take in what it came to."""
LONGEST_BUDGET: Final = timedelta(seconds=20)
"""Of any connection's scripts."""
MAX_BEHIND: Final = 1000
"""Work that goes on after its answer; more is refused before it is begun."""


@dataclass(slots=True, kw_only=True)
class State:
    """Built once by `app.open_auth`."""

    issuer: str
    audience: str
    ring: KeyRing
    its: Collaborators
    clients: Clients
    tenant: Tenant
    tokens: Tokens
    signing_keys: SigningKeys
    resource_servers: ResourceServers
    refresh_tokens: RefreshTokens
    authorizations: Authorizations
    logins: Logins
    signups: Signups
    resets: Resets
    verifications: Verifications
    accounts: Accounts
    jobs: Jobs
    trusted_proxies: Networks = ()
    """Whose `X-Forwarded-For` is believed."""
    proxy_noticed: bool = False
    problems: Callable[[], list[str]]
    """Why we are not ready; empty when we are."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    draining: bool = False

    async def complete(self, work: Coroutine[Any, Any, T], connection: Connection | None) -> T:
        """Run to the end even if our caller is cancelled; owned here until it ends.

        Raises Unavailable a little after the deadline of the connection's scripts, whatever holds
        the work up (I11): it goes on without its caller.
        """
        budget = LONGEST_BUDGET if connection is None else connection.script_budget
        return await self._within(work, budget + AFTER_BUDGET)

    async def log_in(self, login: LoginRequest) -> LoginAnswer:
        """The same for a login, whose connection may want an answer sooner; never raises."""
        connection = login.connection
        within = connection.soft_deadline or connection.script_budget + AFTER_BUDGET
        try:
            return await self._within(self.logins.login(login), within)
        except Unavailable:
            return Refused(UNAVAILABLE)

    async def _within(self, work: Coroutine[Any, Any, T], within: timedelta) -> T:
        extended(within)
        task = self._begin(work)
        await asyncio.wait({task}, timeout=within.total_seconds())
        if not task.done():
            raise Unavailable("no answer was known in time; the work goes on")
        return task.result()

    def after_the_answer(self, work: Coroutine[Any, Any, None]) -> None:
        """Run behind the answer, so that nobody can tell by its time what was done.

        Raises Unavailable when too much is waiting.
        """
        if len(self.tasks) >= MAX_BEHIND:
            work.close()
            raise Unavailable("too much work is waiting")
        self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def drain(self) -> None:
        """Wait for what is still being completed."""
        while self.tasks:
            await asyncio.wait(set(self.tasks))


def state(http_request: Request) -> State:
    """The application's state."""
    found: State = http_request.app.state.trickle
    return found


def caller(
    http_request: Request, client: Client | None = None, *, authenticated: bool = False
) -> Caller:
    """Who asks, and from where.

    A confidential client that has just proved to be itself, and that is set to be trusted with it,
    may speak for the address of its own caller (C§7).
    """
    app = state(http_request)
    peer = http_request.client.host if http_request.client else None
    forwarded = http_request.headers.getlist("x-forwarded-for")
    ip = caller_address(peer, forwarded, app.trusted_proxies)
    if forwarded and not app.trusted_proxies and not app.proxy_noticed:
        app.proxy_noticed = True
        log.warning("proxy.not_trusted", next="its address counts as everybody's who comes by it")
    named = http_request.headers.get("auth0-forwarded-for")
    if named and authenticated and client is not None and client.speaks_for_addresses:
        address = parsed(named.partition(",")[0])
        ip = ip if address is None else str(address)
    return Caller(
        client_id=None if client is None else client.client_id,
        ip=ip,
        user_agent=http_request.headers.get("user-agent", "")[:512] or None,
        traceparent=tracing.current() or child_traceparent(http_request.headers.get("traceparent")),
    )
