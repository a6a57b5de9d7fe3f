"""`trickle import-tenant`: shows what a tenant folder would change on a server, and changes it.

Exit codes: 0 applied or nothing to do, 1 problems or refused, 64 usage error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from services.standalone.cli import USAGE_ERROR, Parser, UsageError
from services.standalone.tenant_folder.access import (
    Access,
    add_arguments,
    read_access,
)
from services.standalone.tenant_folder.applying import Applied, HalfDone, SecretsFile, apply
from services.standalone.tenant_folder.keywords import Keywords
from services.standalone.tenant_folder.management_api import ManagementApi
from services.standalone.tenant_folder.model import ConfigFile, Folder, Unusable
from services.standalone.tenant_folder.plan import Change, Plan
from services.standalone.tenant_folder.planning import Choices, make_plan
from services.standalone.tenant_folder.reading import read_config, read_folder
from services.standalone.tenant_folder.rendering import as_json, as_text
from shared.errors import ServiceError

DONE, PROBLEMS, INTERRUPTED = 0, 1, 130
_KEY: Final = re.compile(r"^[A-Za-z0-9_]{1,100}$")


def parser() -> argparse.ArgumentParser:
    """The command line of `trickle import-tenant`."""
    made = Parser(
        prog="trickle import-tenant",
        description="Read a folder of auth0-deploy-cli (directory, or a YAML export), show what it"
        " would change on a running Trickle, ask, and apply it over the Management API.",
        epilog="exit codes: 0 applied or nothing to do, 1 problems or refused, 64 usage error;"
        " docs/tenant-folders.md says the rest",
    )
    made.add_argument("folder", metavar="FOLDER", type=Path, help="directory, or a .yaml file")
    add_arguments(made)
    keywords = made.add_argument_group("keywords (##KEY## and @@KEY@@ in JSON, YAML and scripts)")
    keywords.add_argument(
        "--config", metavar="FILE", type=Path, help="config.json of auth0-deploy-cli"
    )
    keywords.add_argument(
        "--keyword",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="visible to others on this machine: not for secrets",
    )
    keywords.add_argument(
        "--keyword-from-env",
        metavar="KEY",
        action="append",
        default=[],
        help="the value of the environment variable KEY",
    )
    made.add_argument("--dry-run", action="store_true", help="stop after the plan")
    made.add_argument("--yes", action="store_true", help="apply without asking")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument(
        "--ignore-missing-clients",
        action="store_true",
        help="go on without clients of enabled_clients that nobody knows",
    )
    made.add_argument(
        "--keep-configuration",
        action="store_true",
        help="leave stored configuration values alone; only new names are written",
    )
    made.add_argument(
        "--allow-delete",
        action="store_true",
        help="delete connections (with their users) and clients that the folder does not have",
    )
    made.add_argument(
        "--client-secrets",
        metavar="FILE",
        type=Path,
        help="a new file for the secrets of created clients, which can't be had later",
    )
    return made


def run(arguments: argparse.Namespace) -> int:
    """Entry point of `trickle import-tenant`."""
    try:
        return _Import(arguments).run()
    except UsageError as error:
        _say(str(error))
        return USAGE_ERROR
    except Unusable as error:
        for problem in error.problems:
            _say(problem)
        _say(f"{len(error.problems)} problem(s); nothing was changed")
        return PROBLEMS
    except ServiceError as error:
        _say(str(error))
        return PROBLEMS
    except KeyboardInterrupt:
        _say("interrupted; running it again finishes what was begun")
        return INTERRUPTED


class _Import:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._access = read_access(arguments)
        config = ConfigFile() if arguments.config is None else read_config(arguments.config)
        self._keywords = read_keywords(arguments, config)
        self._folder = read_folder(_existing(arguments.folder), self._keywords, config)

    def run(self) -> int:
        """Plan, show, ask, apply."""
        _warn_of_plain_http(self._access)
        plan = asyncio.run(self._plan(self._folder))
        if not self._arguments.json:
            _print(*as_text(plan))
        if self._arguments.dry_run or not plan.writes:
            return self._end(plan, None)
        if not self._approved():
            self._end(plan, None)
            return PROBLEMS
        return self._apply(plan)

    async def _plan(self, folder: Folder) -> Plan:
        api = await ManagementApi.sign_in(self._access)
        snapshot = await api.snapshot(with_tenant=folder.tenant is not None)
        choices = Choices(
            ignore_missing_clients=self._arguments.ignore_missing_clients,
            keep_configuration=self._arguments.keep_configuration,
            allow_delete=self._arguments.allow_delete,
        )
        return make_plan(folder, snapshot, self._keywords, choices)

    def _approved(self) -> bool:
        if self._arguments.yes:
            return True
        if not sys.stdin.isatty():
            _say("nothing was changed: say --yes to apply this without a terminal")
            return False
        sys.stderr.write("apply? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return True
        _say("nothing was changed")
        return False

    def _apply(self, plan: Plan) -> int:
        secrets = self._secrets(plan)
        try:
            done = asyncio.run(self._applied(plan, secrets))
        except HalfDone as error:
            self._end(plan, error.applied, complete=False)
            _say(str(error))
            _say("the rest was not done; running it again goes on from here")
            return PROBLEMS
        finally:
            if secrets is not None:
                secrets.close()
        return self._end(plan, done)

    async def _applied(self, plan: Plan, secrets: SecretsFile | None) -> Applied:
        return await apply(plan, await ManagementApi.sign_in(self._access), _say, secrets)

    def _secrets(self, plan: Plan) -> SecretsFile | None:
        path = self._arguments.client_secrets
        if not any(_may_make_a_secret(one) for one in plan.changed):
            return None
        if path is None:
            _say("the secrets of created clients are not kept; --client-secrets FILE would")
            return None
        try:
            return SecretsFile(path)
        except OSError as error:
            raise UsageError(f"{path} can't be made: {error.strerror}") from error

    def _end(self, plan: Plan, applied: Applied | None, *, complete: bool = True) -> int:
        done = applied.done if applied else []
        if self._arguments.json:
            told = {"applied": applied is not None and complete, "done": done}
            _print(json.dumps(as_json(plan) | told, indent=2))
        elif applied is not None:
            _print(*done)
            if complete and not applied.differed:
                _print("no change")
        return DONE


def read_keywords(arguments: argparse.Namespace, config: ConfigFile) -> Keywords:
    """Later ones win: config file, command line, environment. Raises UsageError."""
    values: dict[str, Any] = dict(config.AUTH0_KEYWORD_REPLACE_MAPPINGS)
    for pair in arguments.keyword:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError("--keyword takes KEY=VALUE")
        values[key] = value
    for key in arguments.keyword_from_env:
        value = os.environ.get(key)  # noqa: TID251 - named on the command line
        if value is None:
            raise UsageError(f"--keyword-from-env {key}: there is no such variable")
        values[key] = value
    for key in values:
        if not _KEY.match(key):
            raise UsageError("a keyword is letters, digits and underscores, at most 100")
    return Keywords(values)


def _may_make_a_secret(change: Change) -> bool:
    """Created, or no longer public."""
    return change.kind == "client" and (
        change.verb == "create" or "token_endpoint_auth_method" in change.body
    )


def _existing(folder: Path) -> Path:
    if not folder.exists():
        raise UsageError(f"{folder} does not exist")
    return folder


def _warn_of_plain_http(access: Access) -> None:
    if access.url.startswith("http://") and not re.match(
        r"http://(localhost|127\.|\[::1\])", access.url
    ):
        _say("the secret of the management client travels unencrypted: use https://")


def _print(*lines: str) -> None:
    for line in lines:
        print(line)
    sys.stdout.flush()


def _say(text: str) -> None:
    print(f"import-tenant: {text}", file=sys.stderr, flush=True)
