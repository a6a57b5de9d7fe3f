"""`trickle export-tenant`: writes what a server holds as a folder of auth0-deploy-cli.

Exit codes: 0 written, 1 problems, 64 usage error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from services.standalone.cli import USAGE_ERROR, Parser, UsageError
from services.standalone.tenant_folder.access import (
    Access,
    add_arguments,
    read_access,
)
from services.standalone.tenant_folder.exporting import Exported, export, write
from services.standalone.tenant_folder.management_api import ManagementApi, Snapshot
from shared.errors import ServiceError

DONE, PROBLEMS, INTERRUPTED = 0, 1, 130


def parser() -> argparse.ArgumentParser:
    """The command line of `trickle export-tenant`."""
    made = Parser(
        prog="trickle export-tenant",
        description="Write connections, their scripts, clients and tenant settings of a running"
        " Trickle as a folder that auth0-deploy-cli and `trickle import-tenant` read.",
        epilog="exit codes: 0 written, 1 problems, 64 usage error;"
        " docs/tenant-folders.md says the rest",
    )
    made.add_argument("folder", metavar="FOLDER", type=Path, help="absent or empty, or --force")
    add_arguments(made)
    made.add_argument("--format", choices=("directory", "yaml"), default="directory")
    made.add_argument(
        "--keywords",
        action="store_true",
        help="write ##CONNECTION_KEY## for each configuration value, which is left out otherwise",
    )
    made.add_argument(
        "--force", action="store_true", help="exchange the exported parts of a folder in use"
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Entry point of `trickle export-tenant`."""
    try:
        access = read_access(arguments)
        made = export(asyncio.run(_read(access)), arguments.format, keywords=arguments.keywords)
        write(made, arguments.folder, arguments.format, force=arguments.force)
    except UsageError as error:
        _say(str(error))
        return USAGE_ERROR
    except ServiceError as error:
        _say(str(error))
        return PROBLEMS
    except OSError as error:
        _say(f"{arguments.folder} can't be written: {error.strerror}; what was there is as it was")
        return PROBLEMS
    except KeyboardInterrupt:
        return INTERRUPTED
    _tell(made, arguments)
    return DONE


async def _read(access: Access) -> Snapshot:
    return await (await ManagementApi.sign_in(access)).snapshot(with_tenant=True)


def _tell(made: Exported, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps({"files": sorted(made.files), "notices": made.notices}, indent=2))
        return
    for notice in made.notices:
        _say(notice)
    print(f"{arguments.folder}: {made.connections} connections, {made.clients} clients")


def _say(text: str) -> None:
    print(f"export-tenant: {text}", file=sys.stderr, flush=True)
