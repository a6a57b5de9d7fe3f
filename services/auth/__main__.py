"""`python -m services.auth [check|migrate]`: answer logins until told to stop."""

from __future__ import annotations

import argparse
import sys
from functools import partial

import structlog

from services.auth.check import check
from services.auth.migrate import migrate
from services.auth.serve import serve
from services.auth.settings import AuthSettings
from shared.lifecycle import run
from shared.settings import read_settings, unknown_names
from shared.telemetry import configure_logging

log = structlog.get_logger(__name__)


def main() -> int:
    """Parse the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m services.auth",
        description="Answer logins. Settings come from the environment: docs/settings.md.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "check", "migrate"),
        default="serve",
        help="check: look at settings, database and broker, say what is wrong, and exit;"
        " migrate: apply what the database lacks, and exit",
    )
    arguments = parser.parse_args()
    return run(partial(_main, arguments.command), "auth")


async def _main(command: str) -> int:
    settings = read_settings(AuthSettings)
    configure_logging(settings.log_level, settings.log_format)
    for name in unknown_names(AuthSettings):
        log.warning("setting.unknown", name=name, next="it is ignored")
    if command == "migrate":
        applied = await migrate(settings.database_dsn)
        log.info("database.migrated", applied=applied)
        return 0
    return await (check if command == "check" else serve)(settings)


if __name__ == "__main__":
    sys.exit(main())
