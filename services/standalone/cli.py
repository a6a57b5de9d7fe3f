"""The `trickle` command: finds the subcommand, and imports nothing else.

A subcommand is a module with `parser() -> ArgumentParser` and `run(Namespace) -> int`; it is
imported when it is chosen, so that `trickle --help` is instant.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from typing_extensions import override

USAGE_ERROR: Final = 64
"""sysexits.h; argparse's own 2 means "the script failed" here."""
NOBODY_READS: Final = 141
"""What a shell says of a program that SIGPIPE ended, as in `trickle lint … | head`."""

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    # name: (module, one line of help)
    "demo": ("services.standalone.demo", "walk through the main job, step by step"),
    "up": ("services.standalone.up", "keep both services running on this machine"),
    "try": ("services.standalone.try_script", "run one action script, as production would"),
    "lint": ("services.standalone.lint.command", "say what scripts will do, without running them"),
    "secrets": ("services.standalone.first_secrets", "make up the secrets of a new installation"),
    "import-tenant": (
        "services.standalone.tenant_folder.import_tenant",
        "apply a folder of auth0-deploy-cli",
    ),
    "export-tenant": (
        "services.standalone.tenant_folder.export_tenant",
        "write a folder for auth0-deploy-cli",
    ),
}


class UsageError(Exception):
    """The command line, or a file it names, can't be used."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose usage errors end with 64."""

    @override
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that the arguments name; its exit code is ours."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    parser = Parser(
        prog="trickle",
        description="Auth0 custom database connections, self-hosted.",
        epilog=f"commands:\n{listing}\n\n`trickle COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=tuple(COMMANDS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    command = import_module(COMMANDS[chosen.command][0])
    arguments = command.parser().parse_args(chosen.arguments)
    try:
        code = int(command.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return NOBODY_READS
    return code


def _nobody_reads() -> bool:
    """Whether the other end of our output is closed; then nothing more is written there."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(events & select.POLLERR for _, events in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


if __name__ == "__main__":
    sys.exit(main())
