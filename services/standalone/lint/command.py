"""`trickle lint`: reads scripts, lets Node find, prints by file.

Exit codes: 0 nothing at or above the threshold, 1 something, 64 usage error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.auth.connection_options import MAX_SCRIPT_BYTES
from services.script_worker.node_command import NodeCommand, node_of_the_wheel
from services.standalone.cli import USAGE_ERROR, Parser, UsageError
from services.standalone.lint.rules import ORDER, RULES, Severity
from shared.contracts import Action

MAX_SCRIPTS: Final = 1000
WITHIN: Final = 60.0
EXCERPT: Final = 100
NAMED: Final = 5
_HERE: Final = Path(__file__).parent


class Finding(BaseModel):
    """One place in a script."""

    model_config = ConfigDict(extra="forbid")

    rule: str
    line: Annotated[int, Field(ge=1)]
    column: Annotated[int, Field(ge=1)]
    message: Annotated[str, Field(max_length=2000)]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A script and what it is for."""

    path: Path
    action: Action
    text: str = field(repr=False)


_FOUND: Final = TypeAdapter(list[list[Finding]])


def parser() -> argparse.ArgumentParser:
    """The command line of `trickle lint`."""
    made = Parser(
        prog="trickle lint",
        description="Say what action scripts will do here, without running them: what is mapped"
        " and shimmed, what leaks, what never calls back. docs/lint.md lists the rules.",
    )
    made.add_argument(
        "paths", metavar="SCRIPT", nargs="+", type=Path, help="a script, or a folder of scripts"
    )
    made.add_argument(
        "--action",
        type=Action,
        choices=list(Action),
        metavar="ACTION",
        help=f"of a file whose name does not say it: {', '.join(Action)}",
    )
    made.add_argument(
        "--fail-on",
        choices=("error", "warning", "never"),
        default="error",
        help="what makes the exit code 1 (default: error)",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Entry point of `trickle lint`."""
    try:
        scripts = gather(arguments.paths, arguments.action)
        found = list(zip(scripts, findings(scripts), strict=True))
    except UsageError as error:
        parser().exit(USAGE_ERROR, f"trickle lint: {error}\n")
    if left := passed_over(arguments.paths, scripts):
        names = ", ".join(map(str, left[:NAMED])) + (", …" if len(left) > NAMED else "")
        print(f"trickle lint: not read, named like no action: {names}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        for line in as_text(found):
            print(line)
    grave = {"error": {"error"}, "warning": {"error", "warning"}, "never": set()}
    counted = grave[arguments.fail_on]
    return int(any(one.severity in counted for _, listed in found for one in listed))


def gather(paths: Sequence[Path], action: Action | None) -> list[ScriptFile]:
    """All that is to be read. Raises UsageError."""
    scripts = [one for path in paths for one in read(path, action, asked=True)]
    if len(scripts) > MAX_SCRIPTS:
        raise UsageError(f"{len(scripts)} scripts are more than {MAX_SCRIPTS}")
    return scripts


def read(path: Path, action: Action | None, *, asked: bool) -> Iterator[ScriptFile]:
    """The scripts of a file or a folder. Raises UsageError."""
    if path.is_dir():
        for inner in sorted(path.rglob("*.js")):
            if "node_modules" not in inner.parts:
                yield from read(inner, action, asked=False)
        return
    named = next((one for one in Action if one.value == path.stem), None)
    chosen = action or named
    if chosen is not None:
        yield ScriptFile(path, chosen, _text(path))
    elif asked:
        _text(path)  # a file that is not there needs no action
        raise UsageError(f"{path}: which action is it? The name does not say; use --action")


def passed_over(paths: Sequence[Path], scripts: Sequence[ScriptFile]) -> list[Path]:
    """What lies beside the scripts and is none by its name: perhaps it was meant to be one."""
    taken = {one.path for one in scripts}
    inner = (file for path in paths if path.is_dir() for file in path.rglob("*.js"))
    return sorted(file for file in inner if "node_modules" not in file.parts and file not in taken)


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_SCRIPT_BYTES + 1)
        if len(raw) > MAX_SCRIPT_BYTES:
            raise UsageError(f"{path}: a script has at most {MAX_SCRIPT_BYTES} bytes")
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from None


def findings(scripts: Sequence[ScriptFile]) -> list[list[Finding]]:
    """What is found in each script. Raises UsageError when Node can't be asked."""
    given = {
        "modules": str(NodeCommand.installed().modules),
        "scripts": [{"action": one.action, "text": one.text} for one in scripts],
    }
    try:
        done = subprocess.run(
            [str(node_of_the_wheel()), str(_HERE / "main.mjs")],
            input=json.dumps(given),
            capture_output=True,
            encoding="utf-8",
            timeout=WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"Node can't be asked: {error}") from None
    try:
        return _FOUND.validate_json(done.stdout)
    except ValidationError:
        raise UsageError(f"Node did not answer: {done.stderr.strip()[-500:]}") from None


def as_text(found: Sequence[tuple[ScriptFile, list[Finding]]]) -> Iterator[str]:
    """By file, as a person reads it."""
    count: Counter[Severity] = Counter()
    for script, listed in found:
        if listed:
            yield f"{script.path}  ({script.action})"
        for one in listed:
            count[one.severity] += 1
            place = f"{one.line}:{one.column}"
            yield f"  {place:>7}  {one.severity:<7}  {one.rule:<21}  {_printable(one.message)}"
            yield f"  {'':>7}  {'':<7}  {'':<21}  {RULES[one.rule].advice}"
            if one.rule == "syntax-error":
                yield from excerpt(script.text, one)
        if listed:
            yield ""
    total = ", ".join(f"{count[one]} {one}{'s' if one != 'info' else ''}" for one in ORDER)
    yield f"{len(found)} scripts: {total}"


def excerpt(text: str, finding: Finding) -> Iterator[str]:
    """The line of a finding, and a caret below its column."""
    lines = text.split("\n")
    line = lines[finding.line - 1] if finding.line <= len(lines) else ""
    start = max(0, finding.column - 1 - EXCERPT // 2)
    yield f"  {'':>7}  | {_printable(line[start : start + EXCERPT])}"
    yield f"  {'':>7}  | {'^':>{finding.column - start}}"


def _printable(text: str) -> str:
    """A script has no say over the terminal."""
    return "".join(one if one.isprintable() else " " for one in text)


def as_json(found: Sequence[tuple[ScriptFile, list[Finding]]]) -> dict[str, object]:
    """The same, for a program."""
    return {
        "scripts": [
            {
                "path": str(script.path),
                "action": script.action,
                "findings": [
                    one.model_dump() | {"severity": one.severity, "advice": RULES[one.rule].advice}
                    for one in listed
                ],
            }
            for script, listed in found
        ]
    }
