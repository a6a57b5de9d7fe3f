"""From a built auth to an answering one, and to a clean end.

Order of the end: not ready, a while for balancers to notice, no new requests, finish what is in
hand (imports included), stop consuming, close. A second signal does not wait.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from functools import partial

import structlog

from services.auth.app import Auth, open_auth
from services.auth.settings import AuthSettings
from shared.amqp import open_transport
from shared.errors import ServiceError
from shared.http_server import listening, serve_http
from shared.lifecycle import Stop, StoppedEarly, stop_on_signals
from shared.retry import opened
from shared.telemetry import metrics_server
from shared.tracing import traced

log = structlog.get_logger(__name__)


class BackgroundEnded(ServiceError):
    """The reply consumer or the housekeeping ended by itself."""


async def serve(settings: AuthSettings) -> int:
    """Serve until a signal, then drain."""
    with stop_on_signals() as stop, traced("auth", settings.otlp_endpoint):
        try:
            await _serve(settings, stop)
        except StoppedEarly:
            log.info("auth.stopped_early")
    log.info("auth.stopped")
    return 0


async def _serve(settings: AuthSettings, stop: Stop) -> None:
    """Broker and database may come later than we do; alive is who waits for them, not ready."""
    auth: Auth | None = None

    def ready() -> bool:
        return auth is not None and not auth.state.draining and not auth.state.problems()

    opening = partial(opened, within=settings.start_within, stop=stop)
    async with AsyncExitStack() as owned:
        at = owned.enter_context(listening(settings.host, settings.port, "TRICKLE_PORT"))
        await owned.enter_async_context(
            metrics_server(settings.metrics_host, settings.metrics_port, ready)
        )
        transport = await opening(
            owned,
            partial(
                open_transport,
                settings.amqp_dsn,
                client_name="auth",
                fast=settings.broker_fast_path,
            ),
            "broker",
        )
        auth = await opening(owned, partial(open_auth, settings, transport), "database")
        await answer(auth, at, stop, settings)


async def answer(auth: Auth, at: socket.socket, stop: Stop, settings: AuthSettings) -> None:
    """Serve at this socket once replies can come, until asked to stop; then finish what is in hand."""
    budget = settings.drain_budget.total_seconds()
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        background = tasks.create_task(auth.run(started), name="background")
        asked = tasks.create_task(stop.asked.wait(), name="stop")
        await started.wait()
        async with serve_http(auth.app, at, drain=budget) as port:
            log.info("auth.started", port=port, issuer=settings.issuer)
            await asyncio.wait({background, asked}, return_when=asyncio.FIRST_COMPLETED)
            if background.done():
                raise BackgroundEnded
            await leave(auth, stop, settings.shutdown_delay.total_seconds())
            log.info("auth.draining", next="finishes the logins in hand")
        draining = tasks.create_task(auth.drain(budget), name="drain")
        hurried = tasks.create_task(stop.now.wait(), name="hurry")
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurried, background):
            task.cancel()


async def leave(auth: Auth, stop: Stop, delay: float) -> None:
    """Say that we are going, and answer on until the balancers have noticed.

    Each answer from here on closes its connection, so that nobody sends into one that we close.
    """
    auth.state.draining = True
    log.info("auth.leaving", delay=delay, next="not ready any more, answers on")
    with suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await stop.now.wait()
