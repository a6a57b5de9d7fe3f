"""`python -m services.script_worker [check]`: execute action scripts until told to stop."""

from __future__ import annotations

import argparse
import sys
from functools import partial

import structlog

from services.script_worker.check import check
from services.script_worker.serve import serve
from services.script_worker.settings import WorkerSettings
from shared.lifecycle import run
from shared.settings import read_settings, unknown_names
from shared.telemetry import configure_logging

log = structlog.get_logger(__name__)


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
    for name, remark in unknown_names(WorkerSettings).items():
        log.warning("setting.unknown", name=name, next=remark)
    return await (check if command == "check" else serve)(settings)


if __name__ == "__main__":
    sys.exit(main())
