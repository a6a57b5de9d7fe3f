"""auth, put together: everything is built once, in the open, and owned by a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth import metrics
from services.auth.clients import Clients
from services.auth.connections import Connections
from services.auth.executions import Executions
from services.auth.housekeeping import Housekeeping
from services.auth.http import discovery, health, management, oauth, userinfo
from services.auth.http.answers import RETRY_AFTER, api_error
from services.auth.http.state import State
from services.auth.login import Logins
from services.auth.logs import Logs
from services.auth.migrate import pending
from services.auth.passwords import Passwords
from services.auth.settings import AuthSettings
from services.auth.signing_keys import load_signing_keys
from services.auth.tokens import Tokens
from services.auth.users import Users
from shared.database import Database, open_database
from shared.errors import Misconfigured, Unavailable
from shared.ledger import Ledger
from shared.topology import Names
from shared.transport import Transport

log = structlog.get_logger(__name__)

_LOOK_EVERY: Final = 2.0
API: Final = "/api/v2"

ROUTES: Final = [
    Route("/oauth/token", oauth.token, methods=["POST"]),
    Route("/userinfo", userinfo.userinfo, methods=["GET", "POST"]),
    Route("/.well-known/openid-configuration", discovery.openid_configuration),
    Route("/.well-known/jwks.json", discovery.jwks),
    Route("/livez", health.livez),
    Route("/readyz", health.readyz),
    Route(f"{API}/connections", management.list_connections, methods=["GET"]),
    Route(f"{API}/connections", management.create_connection, methods=["POST"]),
    Route(f"{API}/connections/{{id}}", management.get_connection, methods=["GET"]),
    Route(f"{API}/connections/{{id}}", management.update_connection, methods=["PATCH"]),
    Route(f"{API}/connections/{{id}}/clients", management.list_connection_clients, methods=["GET"]),
    Route(
        f"{API}/connections/{{id}}/clients", management.update_connection_clients, methods=["PATCH"]
    ),
    Route(f"{API}/clients", management.list_clients, methods=["GET"]),
    Route(f"{API}/clients", management.create_client, methods=["POST"]),
    Route(f"{API}/clients/{{id}}", management.get_client, methods=["GET"]),
    Route(f"{API}/users-by-email", management.users_by_email, methods=["GET"]),
    Route(f"{API}/users/{{id}}", management.get_user, methods=["GET"]),
]


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

    Raises Misconfigured when migrations are missing.
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
            raise Misconfigured(text)
        ledger = await owned.enter_async_context(Ledger(database))
        passwords = await owned.enter_async_context(Passwords(settings.hash_threads))
        await transport.declare(names.base())
        users = Users(database, ledger)
        executions = Executions(
            transport=transport,
            ledger=ledger,
            database=database,
            ring=ring,
            names=names,
            replica=settings.replica,
            max_in_flight=settings.max_in_flight_per_connection,
        )
        health_watch = _Health(database, transport)
        watching = asyncio.get_running_loop().create_task(health_watch.watch(), name="health")
        owned.callback(watching.cancel)
        state = State(
            issuer=settings.issuer,
            audience=settings.audience,
            connections=Connections(database, ring, transport, names),
            clients=Clients(database),
            users=users,
            tokens=Tokens(database, await load_signing_keys(database, ring), settings.issuer),
            logins=Logins(
                users=users,
                passwords=passwords,
                executions=executions,
                logs=Logs(database),
                ledger=ledger,
                ring=ring,
            ),
            database=database,
            problems=health_watch.problems,
        )
        housekeeping = Housekeeping(
            transport=transport, names=names, ledger=ledger, database=database
        )
        yield Auth(build_app(state), state, executions, housekeeping)


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
        routes=ROUTES,
        exception_handlers={
            HTTPException: _http_error,
            Unavailable: _unavailable,
            Exception: _bug,
        },
    )
    app.state.trickle = state
    return _Observed(app)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return api_error(error.status_code, str(error.detail), headers=error.headers)


async def _unavailable(_: Request, error: Exception) -> Response:
    log.warning("request.unavailable", reason=str(error), next="answered 503")
    return api_error(503, "The service is temporarily unavailable.", headers=RETRY_AFTER)


async def _bug(_: Request, error: Exception) -> Response:
    # The class alone: an exception's text may hold what a caller sent.
    log.error("request.failed", error_class=type(error).__name__, next="answered 500")
    return api_error(500, "An internal error occurred.")


class _Observed:
    """Adds the headers of every response, and measures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        request_id = uuid4().hex

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-trickle-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        began = perf_counter()
        metrics.HTTP_IN_FLIGHT.inc()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app(scope, receive, send_with_headers)
        finally:
            metrics.HTTP_IN_FLIGHT.dec()
            labels = (_template(scope), _method(scope["method"]), f"{status // 100}xx")
            metrics.HTTP_SECONDS.labels(*labels).observe(perf_counter() - began)


def _template(scope: Scope) -> str:
    """The route's template, never the path: paths hold ids."""
    for route in ROUTES:
        if route.matches(scope)[0] is not Match.NONE:
            return route.path
    return "other"


def _method(name: Any) -> str:
    return name if name in {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"} else "other"
