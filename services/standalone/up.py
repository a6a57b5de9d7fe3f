"""`./dev up`: both services stay up until Ctrl-C, or until one of them ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from services.standalone.cli import Parser
from services.standalone.stack import Stack, open_stack
from shared.errors import ServiceError
from shared.lifecycle import Stop, stop_on_signals


async def up(json_file: Path | None) -> int:
    """Start, describe, wait, stop; 1 when a service ended by itself, 130 when interrupted early."""
    with stop_on_signals() as stop:
        serving = asyncio.get_running_loop().create_task(_serve(json_file, stop))
        asked = asyncio.get_running_loop().create_task(stop.asked.wait())
        try:
            await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
            return await serving
        finally:
            asked.cancel()
            if json_file is not None:
                json_file.unlink(missing_ok=True)


async def _serve(json_file: Path | None, stop: Stop) -> int:
    async with open_stack(rabbitmq="auto", say=_say) as stack:
        _describe(stack)
        if json_file is not None:
            _write(json_file, stack)
        asked = asyncio.get_running_loop().create_task(stop.asked.wait())
        waited: set[asyncio.Future[Any]] = {asked, stack.ended}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        died = stack.ended.result() if stack.ended.done() and not stop.asked.is_set() else None
        _say(f"{died}; stopping the rest" if died else "stopping: finishing what is in hand")
    _say("stopped")
    return 1 if died else 0


def _write(json_file: Path, stack: Stack) -> None:
    """Atomically, and readable by the owner alone: it holds a client's secret."""
    draft = json_file.with_name(f".{json_file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(stack.described(), file, indent=2)
        file.write("\n")
    draft.replace(json_file)


def _describe(stack: Stack) -> None:
    _say(f"auth      {stack.auth_url}")
    _say(f"metrics   {stack.metrics['auth']}  {stack.metrics['script_worker']}")
    _say(f"database  {stack.database_url}")
    _say(f"broker    {stack.amqp_url or 'in-process; not durable, for a look only'}")
    _say(f"mails     {stack.mails} (or set TRICKLE_SMTP_URL)")
    _say(f"management client  {stack.management['client_id']}")
    _say(f"  its secret       {stack.management['client_secret']}")
    _say("Ctrl-C stops everything that was started here.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line of `trickle up`."""
    described = Parser(
        prog="trickle up",
        description="Keep both services running until Ctrl-C, on RabbitMQ if one can be had."
        " DATABASE_URL and AMQP_URL name servers to use instead of private ones.",
    )
    described.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write URLs, credentials and pids there once ready",
    )
    return described


def run(arguments: argparse.Namespace) -> int:
    """Entry point of `trickle up`."""
    try:
        return asyncio.run(up(arguments.json))
    except ServiceError as error:
        _say(f"up: {error}")
        return 1
