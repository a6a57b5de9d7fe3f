"""`python -m services.script_worker [check]`: execute action scripts until told to stop.

Order of the end: stop consuming, drain what is in hand, close. A second signal skips the drain:
what is in hand goes back to the broker, and the ledger knows how far it came.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from functools import partial

import structlog

from services.script_worker.app import Worker, open_worker
from services.script_worker.check import check
from services.script_worker.settings import WorkerSettings
from shared.amqp import open_transport
from shared.errors import ServiceError
from shared.lifecycle import Stop, run, stop_on_signals
from shared.settings import read_settings, unknown_names
from shared.telemetry import configure_logging, metrics_server

log = structlog.get_logger(__name__)


class ConsumerEnded(ServiceError):
    """The consumer ended by itself."""


async def serve(settings: WorkerSettings) -> int:
    """Consume until a signal, then drain."""
    with stop_on_signals() as stop:
        async with AsyncExitStack() as owned:
            transport = await owned.enter_async_context(
                open_transport(settings.amqp_dsn, client_name=settings.worker_name)
            )
            worker = await owned.enter_async_context(open_worker(settings, transport))
            port = await owned.enter_async_context(
                metrics_server(
                    settings.metrics_host, settings.metrics_port, lambda: worker.ready
                )
            )
            log.info("worker.started", metrics_port=port)
            await work(worker, stop, settings.drain_budget.total_seconds())
    log.info("worker.stopped")
    return 0


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
        for task in (draining, hurried, running):
            task.cancel()


def main() -> int:
    """Parse the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m services.script_worker",
        description="Execute action scripts. Settings come from the environment: docs/settings.md.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "check"),
        default="serve",
        help="check: look at settings, database, broker and Node, say what is wrong, and exit",
    )
    arguments = parser.parse_args()
    return run(partial(_main, arguments.command), "script_worker")


async def _main(command: str) -> int:
    settings = read_settings(WorkerSettings)
    configure_logging(settings.log_level, settings.log_format)
    for name in unknown_names(WorkerSettings):
        log.warning("setting.unknown", name=name, next="it is ignored")
    return await (check if command == "check" else serve)(settings)


if __name__ == "__main__":
    sys.exit(main())
