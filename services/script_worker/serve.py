"""From a built worker to a consuming one, and to a clean end.

Order of the end: stop consuming, drain what is in hand, close. A second signal skips the drain:
what is in hand goes back to the broker, and the ledger knows how far it came.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import structlog

from services.script_worker.app import Worker, examine_isolation, examine_node, open_worker
from services.script_worker.settings import WorkerSettings
from shared.amqp import open_transport
from shared.errors import ServiceError
from shared.lifecycle import Stop, StoppedEarly, stop_on_signals
from shared.retry import opened
from shared.telemetry import metrics_server
from shared.tracing import traced

log = structlog.get_logger(__name__)

ENDS_WITHIN: Final = 5.0
"""Seconds for the consumers to be cancelled at the broker: two, of two seconds each at most."""


class ConsumerEnded(ServiceError):
    """The consumer ended by itself."""


async def serve(settings: WorkerSettings) -> int:
    """Consume until a signal, then drain."""
    with stop_on_signals() as stop, traced("script_worker", settings.otlp_endpoint):
        try:
            await _serve(settings, stop)
        except StoppedEarly:
            log.info("worker.stopped_early")
    log.info("worker.stopped")
    return 0


async def _serve(settings: WorkerSettings, stop: Stop) -> None:
    """Broker and database may come later than we do; alive is who waits for them, not ready."""
    worker: Worker | None = None
    # Nobody has to be there for these. Without Node we would take requests, and fail each of them.
    await examine_node(settings)
    await examine_isolation(settings)
    opening = partial(opened, within=settings.start_within, stop=stop)
    async with AsyncExitStack() as owned:
        port = await owned.enter_async_context(
            metrics_server(
                settings.metrics_host,
                settings.metrics_port,
                lambda: worker is not None and worker.ready,
                lambda: {} if worker is None else {"isolation": str(worker.isolation)},
            )
        )
        transport = await opening(
            owned,
            partial(
                open_transport,
                settings.amqp_dsn,
                client_name=settings.worker_name,
                fast=settings.broker_fast_path,
            ),
            "broker",
        )
        worker = await opening(owned, partial(open_worker, settings, transport), "database")
        log.info("worker.started", metrics_port=port)
        await work(worker, stop, settings.drain_budget.total_seconds())


async def work(worker: Worker, stop: Stop, budget: float) -> None:
    """Run the worker until it is asked to stop; a consumer that ends before is an error."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run(), name="worker")
        asked = tasks.create_task(stop.asked.wait(), name="stop")
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            asked.cancel()
            raise ConsumerEnded
        log.info("worker.draining", next="finishes what is in hand, takes nothing new")
        draining = tasks.create_task(worker.drain(budget), name="drain")
        hurried = tasks.create_task(stop.now.wait(), name="hurry")
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            # It ends by itself. Cancelled while it cancels its consumers, the client would close
            # the channel under it and every clean stop would look like a lost broker.
            await asyncio.wait(
                {running, hurried}, timeout=ENDS_WITHIN, return_when=asyncio.FIRST_COMPLETED
            )
        for task in (draining, hurried, running):
            task.cancel()
