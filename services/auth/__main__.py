"""`python -m services.auth [COMMAND]`: answer logins until told to stop, or help an operator."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from services.auth import integrator_commands
from services.auth.check import check
from services.auth.migrate import migrate
from services.auth.operating import (
    init,
    keep_ring,
    new_key_ring,
    promoted_ring,
    reseal_all,
    ring_with_another,
)
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
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="answer logins until told to stop (the default)")
    commands.add_parser("check", help="look at settings, database and broker; say what is wrong")
    commands.add_parser("migrate", help="apply what the database lacks, and exit")
    first = commands.add_parser(
        "init", help="migrate, make a signing key and the first management client, once"
    )
    first.add_argument("--another", action="store_true", help="one more management client")
    ring = commands.add_parser(
        "key-ring", help="print a key ring: a new one, or what follows the one in force"
    )
    ring.add_argument(
        "what",
        choices=("new", "add", "promote"),
        help="add: with a fresh key behind, which opens; promote: with the last key in front, which seals",
    )
    ring.add_argument(
        "--id", default="", help="the fresh key's id; default: the first free of k1, k2, …"
    )
    ring.add_argument(
        "--output",
        type=Path,
        help="a file to write the ring to, whole or not at all, where the one in force may stand;"
        " default: standard output",
    )
    commands.add_parser("reseal", help="seal what is stored under the ring's current key")
    integrator_commands.add_arguments(commands)
    arguments = parser.parse_args()
    return run(partial(_main, arguments), "auth")


async def _main(arguments: argparse.Namespace) -> int:
    if arguments.command == "key-ring" and arguments.what == "new":
        return _hand_over(new_key_ring(arguments.id or "k1"), arguments.output)
    settings = read_settings(AuthSettings)
    configure_logging(settings.log_level, settings.log_format)
    for name, remark in unknown_names(AuthSettings).items():
        log.warning("setting.unknown", name=name, next=remark)
    commands: dict[str, Callable[[AuthSettings], Awaitable[int]]] = {
        "check": check,
        "migrate": _migrate,
        "init": partial(init, another=getattr(arguments, "another", False)),
        "key-ring": partial(_next_ring, arguments=arguments),
        "reseal": reseal_all,
        "integrator": partial(integrator_commands.integrator, arguments=arguments),
    }
    return await commands.get(arguments.command or "serve", serve)(settings)


async def _migrate(settings: AuthSettings) -> int:
    applied = await migrate(settings.database_dsn)
    log.info("database.migrated", applied=applied)
    return 0


async def _next_ring(settings: AuthSettings, *, arguments: argparse.Namespace) -> int:
    ring = settings.key_ring.get_secret_value()
    following = (
        ring_with_another(ring, arguments.id) if arguments.what == "add" else promoted_ring(ring)
    )
    return _hand_over(following, arguments.output)


def _hand_over(ring: str, output: Path | None) -> int:
    if output is None:
        print(ring)  # noqa: T201 - a command for a person
    else:
        keep_ring(ring, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
