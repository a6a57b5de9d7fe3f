"""auth, put together: everything is built once, in the open, and owned by a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth import metrics
from services.auth.accounts import Accounts
from services.auth.addresses import networks
from services.auth.authorizations import Authorizations
from services.auth.bulkhead import Bulkhead
from services.auth.clients import Clients
from services.auth.collaborators import Collaborators
from services.auth.connections import Connections
from services.auth.credentials import Credentials
from services.auth.executions import Executions
from services.auth.guard import Guard
from services.auth.housekeeping import Chore, Housekeeping
from services.auth.http import cross_origin
from services.auth.http.answers import api_error, later
from services.auth.http.cross_origin import PREFLIGHT
from services.auth.http.oauth import unavailable
from services.auth.http.patience import bounded
from services.auth.http.state import State
from services.auth.http.surface import routes
from services.auth.integrators import Integrators
from services.auth.jobs import Jobs
from services.auth.lanes import Lanes
from services.auth.legacy import Legacy
from services.auth.login import Logins
from services.auth.logs import Logs
from services.auth.mails import Mails
from services.auth.migrate import pending
from services.auth.outbox import Outbox
from services.auth.padding import Padding
from services.auth.passwords import Passwords
from services.auth.refresh_tokens import RefreshTokens
from services.auth.resets import Resets
from services.auth.resource_servers import ResourceServers
from services.auth.settings import AuthSettings
from services.auth.shield import Shield
from services.auth.signing_keys import SigningKeys
from services.auth.signup import Signups
from services.auth.tenant import Tenant
from services.auth.tickets import Tickets
from services.auth.tokens import Tokens
from services.auth.users import Users
from services.auth.verification import Verifications
from shared import tracing
from shared.database import Database, open_database
from shared.errors import SchemaMissing, Unavailable
from shared.ledger import Ledger
from shared.telemetry import known_traceparent
from shared.topology import Names
from shared.transport import Transport

log = structlog.get_logger(__name__)

_LOOK_EVERY: Final = 2.0
_ROUTES: Final = routes()


class Auth:
    """A running auth service: an ASGI application and the work beside it."""

    def __init__(
        self, app: ASGIApp, state: State, executions: Executions, housekeeping: Housekeeping
    ) -> None:
        """Made by `open_auth`."""
        self.app = app
        self.state = state
        self._executions = executions
        self._housekeeping = housekeeping

    async def run(self, started: asyncio.Event) -> None:
        """Consume replies and keep house until cancelled; sets `started` once replies can come."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._executions.serve(started), name="replies")
            tasks.create_task(self._housekeeping.run(), name="housekeeping")

    async def drain(self, budget: float) -> None:
        """Finish the logins in hand; what is not done by then is the ledger's to finish."""
        self.state.draining = True
        try:
            async with asyncio.timeout(budget):
                await self.state.drain()
        except TimeoutError:
            log.warning("drain.cut", next="other replicas apply what is decided")


@asynccontextmanager
async def open_auth(settings: AuthSettings, transport: Transport) -> AsyncIterator[Auth]:
    """Open the database and build the domain; the caller owns the transport.

    Raises SchemaMissing when migrations are missing.
    """
    ring, names = settings.ring, Names(settings.broker_prefix)
    async with AsyncExitStack() as owned:
        database = await owned.enter_async_context(
            open_database(
                settings.database_dsn, pool_size=settings.database_pool, application_name="auth"
            )
        )
        if missing := await pending(database):
            text = f"migrations are missing ({', '.join(missing)}): run `python -m services.auth migrate`"
            raise SchemaMissing(text)
        ledger = await owned.enter_async_context(Ledger(database, events=settings.events))
        passwords = await owned.enter_async_context(Passwords(settings.hash_threads))
        await transport.declare(names.base())
        await Integrators(database, ring).declare(transport, names)
        logs = Logs(database, events=settings.events)
        executions = Executions(
            transport=transport,
            ledger=ledger,
            database=database,
            ring=ring,
            names=names,
            replica=settings.replica,
            bulkhead=Bulkhead(settings.max_in_flight_per_connection),
            worker_grace=settings.worker_grace,
        )
        guard = Guard(database, ring, settings.limits)
        padding = Padding()
        shield = Shield(executions, guard)
        outbox = Outbox(database, transport, names)
        lanes = Lanes(database, transport, names, settings.own_queues)
        its = Collaborators(
            database=database,
            ring=ring,
            connections=Connections(database, ring, transport, names, lanes),
            users=Users(database, ledger, ring),
            credentials=Credentials(database, passwords),
            legacy=Legacy(shield, ledger, database, logs),
            guard=guard,
            padding=padding,
            tickets=Tickets(database, ring, settings.issuer),
            mails=Mails(database, ring, settings.post),
            logs=logs,
            tenant=settings.tenant_name,
        )
        health_watch = _Health(database, transport)
        signing_keys = SigningKeys(database, ring)
        await signing_keys.load()
        for work, name in (
            (health_watch.watch(), "health"),
            (signing_keys.watch(), "signing keys"),
        ):
            task = asyncio.get_running_loop().create_task(work, name=name)
            owned.callback(task.cancel)
        logins = Logins(
            users=its.users,
            passwords=passwords,
            shield=shield,
            guard=guard,
            padding=padding,
            logs=logs,
            ledger=ledger,
            ring=ring,
        )
        state = _state(settings, its, logins, signing_keys, health_watch.problems)
        housekeeping = Housekeeping(
            transport=transport,
            names=names,
            ledger=ledger,
            database=database,
            chores=[
                Chore("mails", timedelta(seconds=1), state.its.mails.send_due),
                Chore("lanes", timedelta(seconds=5), lanes.tend),
                Chore("jobs", timedelta(seconds=1), state.jobs.run_waiting),
                Chore("events", timedelta(seconds=1), outbox.publish_due),
                Chore("old events", timedelta(hours=1), outbox.forget_old),
                Chore("limits", timedelta(minutes=10), guard.forget_old),
                Chore("idle breakers", timedelta(minutes=1), shield.forget_idle),
                Chore("deleted", timedelta(minutes=1), its.connections.forget_deleted),
                Chore("expired", timedelta(minutes=10), state.authorizations.forget_expired),
            ],
        )
        yield Auth(build_app(state), state, executions, housekeeping)


def _state(
    settings: AuthSettings,
    its: Collaborators,
    logins: Logins,
    signing_keys: SigningKeys,
    problems: Callable[[], list[str]],
) -> State:
    database = its.database
    resets, verifications = Resets(its), Verifications(its)
    return State(
        issuer=settings.issuer,
        audience=settings.audience,
        ring=its.ring,
        its=its,
        clients=Clients(database),
        tenant=Tenant(database),
        tokens=Tokens(database, signing_keys, settings.issuer, its.logs),
        signing_keys=signing_keys,
        resource_servers=ResourceServers(database),
        refresh_tokens=RefreshTokens(database),
        authorizations=Authorizations(database),
        logins=logins,
        signups=Signups(its, verifications),
        resets=resets,
        verifications=verifications,
        accounts=Accounts(its, resets),
        jobs=Jobs(its),
        trusted_proxies=networks(settings.trusted_proxies),
        problems=problems,
    )


class _Health:
    """What /readyz says, looked up in the background so that a probe never waits."""

    def __init__(self, database: Database, transport: Transport) -> None:
        self._database = database
        self._transport = transport
        self._database_away = False

    def problems(self) -> list[str]:
        """Users already migrated can log in without a broker: only the database makes us unready."""
        return ["database"] if self._database_away else []

    async def watch(self) -> None:
        while True:
            metrics.CONNECTED.set(self._transport.connected)
            try:
                await self._database.fetchval("SELECT 1")
                self._database_away = False
            except Unavailable:
                self._database_away = True
            await asyncio.sleep(_LOOK_EVERY)


def build_app(state: State) -> ASGIApp:
    """The ASGI application: routes, errors as JSON, headers, a measurement of each request."""
    app = Starlette(
        routes=_ROUTES,
        exception_handlers={
            HTTPException: _http_error,
            Unavailable: _unavailable,
            Exception: _bug,
        },
    )
    app.state.trickle = state
    return _Observed(app, state)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return api_error(error.status_code, str(error.detail), headers=error.headers)


async def _unavailable(_: Request, error: Exception) -> Response:
    log.warning("request.unavailable", reason=str(error), next="answered 503")
    after = error.retry_after if isinstance(error, Unavailable) else None
    return api_error(503, "The service is temporarily unavailable.", headers=later(after))


async def _bug(_: Request, error: Exception) -> Response:
    # The class alone: an exception's text may hold what a caller sent.
    log.error("request.failed", error_class=type(error).__name__, next="answered 500")
    return api_error(500, "An internal error occurred.")


class _Observed:
    """Adds the headers of every response, and measures."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        template, method = _template(scope), _method(scope["method"])
        request_id = uuid4().hex
        origin = Headers(scope=scope).get("origin")
        shared = await cross_origin.headers_for(self._state, scope["path"], origin)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    *shared,
                    *([(b"connection", b"close")] if self._state.draining else []),
                    (b"x-trickle-request-id", request_id.encode()),
                    (b"x-auth0-requestid", request_id.encode()),  # what SDKs quote (C§7)
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        began = perf_counter()
        metrics.HTTP_IN_FLIGHT.inc()
        try:
            with (
                tracing.span(
                    f"{method} {template}",
                    kind="server",
                    parent=known_traceparent(Headers(scope=scope).get("traceparent")),
                ) as opened,
                structlog.contextvars.bound_contextvars(
                    request_id=request_id, **_trace(opened.traceparent)
                ),
            ):
                if cross_origin.is_preflight(scope) and shared:
                    await send_with_headers(
                        {"type": "http.response.start", "status": 204, "headers": PREFLIGHT}
                    )
                    await send_with_headers({"type": "http.response.body", "body": b""})
                    return
                if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                    refusal = api_error(400, "The URL holds NUL.", "invalid_uri")
                    await refusal(scope, receive, send_with_headers)
                    return
                await self._answered(scope, receive, send_with_headers)
                opened.note(status=status)
        finally:
            metrics.HTTP_IN_FLIGHT.dec()
            labels = (template, method, f"{status // 100}xx")
            metrics.HTTP_SECONDS.labels(*labels).observe(perf_counter() - began)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in time, or say that we could not (I11)."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with bounded(scope["path"]):
                await self._app(scope, receive, noted)
        except TimeoutError:
            if begun:
                raise
            error = Unavailable("the request took too long")
            speaks_oauth = scope["path"] in {"/oauth/token", "/co/authenticate"}
            answer = (
                unavailable(error) if speaks_oauth else await _unavailable(Request(scope), error)
            )
            await answer(scope, receive, send)


def _trace(traceparent: str | None) -> dict[str, str]:
    found = tracing.trace_id(traceparent)
    return {} if found is None else {"trace_id": found}


def _template(scope: Scope) -> str:
    """The route's template, never the path: paths hold ids."""
    for route in _ROUTES:
        if route.matches(scope)[0] is not Match.NONE:
            return route.path
    return "other"


def _method(name: Any) -> str:
    return name if name in {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"} else "other"
