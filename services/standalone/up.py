"""`./dev up`: both services stay up until Ctrl-C, or until one of them ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from services.standalone.stack import Stack, open_stack
from shared.errors import ServiceError


async def up(json_file: Path | None) -> int:
    """Start, describe, wait, stop; the exit code is 1 when a service ended by itself."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    starting = asyncio.create_task(_serve(json_file, stopped))  # noqa: TID251 - owned here
    stopping = asyncio.create_task(stopped.wait())  # noqa: TID251 - owned here
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done() and not stopped.is_set():
            starting.cancel()
        return await starting
    finally:
        stopping.cancel()
        if json_file is not None:
            json_file.unlink(missing_ok=True)


async def _serve(json_file: Path | None, stopped: asyncio.Event) -> int:
    async with open_stack(rabbitmq="auto", say=_say) as stack:
        _describe(stack)
        if json_file is not None:
            _write(json_file, stack)
        waiting = asyncio.ensure_future(stopped.wait())  # noqa: TID251 - awaited below
        await asyncio.wait({waiting, stack.ended}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if stack.ended.done():
            _say(f"{stack.ended.result()}; stopping the rest")
            return 1
        _say("stopping: finishing what is in hand (Ctrl-C again does not hurry it)")
    _say("stopped")
    return 0


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
    _say(f"management client  {stack.management['client_id']}")
    _say(f"  its secret       {stack.management['client_secret']}")
    _say("Ctrl-C stops everything that was started here.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this program talks to a person


def run(json_file: Path | None) -> int:
    """Entry point of `trickle up`."""
    try:
        return asyncio.run(up(json_file))
    except ServiceError as error:
        _say(f"up: {error}")
        return 1
