"""`trickle try`: one action script through production's runner, without a broker or a database.

Exit codes: 0 succeeded, 1 denied, 2 failed, 64 usage error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop
from pydantic import TypeAdapter, ValidationError

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.pool_events import LateViolation, PoolEvent
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from services.standalone.cli import USAGE_ERROR, Parser, UsageError
from shared.contracts import Action, Denied, Failed, Violation

ARGUMENTS: Final = {
    Action.LOGIN: ("identifier", "password"),
    Action.GET_USER: ("identifier",),
    Action.CREATE: ("user",),
    Action.VERIFY: ("email",),
    Action.CHANGE_PASSWORD: ("email", "newPassword"),
    Action.CHANGE_EMAIL: ("email", "newEmail", "verified"),
    Action.DELETE: ("id",),
}
"""What precedes `callback` (C§1.1)."""
LATE_WITHIN: Final = 0.05
"""Seconds for a script to break a rule after its callback, before the verdict is printed."""
SUCCEEDED, DENIED, FAILED = 0, 1, 2
_CONFIGURATION: Final = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class Trial:
    """What to run, and how often."""

    bundle: Bundle = field(repr=False)
    action: Action
    arguments: list[Any] = field(repr=False)
    context: dict[str, Any]
    deadline: float
    repeat: int


@dataclass(frozen=True, slots=True)
class Report:
    """The run that is reported, and the times of all of them in seconds."""

    run: Run
    late: tuple[Violation, ...]
    times: list[float]


def parser() -> argparse.ArgumentParser:
    """The command line of `trickle try`."""
    made = Parser(
        prog="trickle try",
        description="Run one action script through the same runner, limits and result validation"
        " as production.",
        epilog="exit codes: 0 succeeded, 1 denied, 2 failed, 64 usage error",
    )
    made.add_argument("script", metavar="SCRIPT", type=Path, help="file with the action script")
    made.add_argument(
        "--action",
        choices=[str(a) for a in Action],
        help="default: what the file's name says, as get_user.js does; else login",
    )
    made.add_argument(
        "--args", required=True, metavar="JSON", help='\'["alice@example.com", "secret"]\''
    )
    made.add_argument("--configuration", metavar="FILE", type=Path, help="JSON object of strings")
    made.add_argument(
        "--context", metavar="JSON", help="pass a context argument, before the callback"
    )
    made.add_argument(
        "--magic-globals",
        action="store_true",
        help="offer mysql, request and their like without require, as Node 12 did",
    )
    made.add_argument("--deadline", metavar="S", type=_seconds, default=20.0)
    made.add_argument("--repeat", metavar="N", type=_count, default=1)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the trial that the command line describes."""
    # Standard output is the report's; of the pool's log only what went wrong here is of interest.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        trial = read(arguments)
    except UsageError as error:
        sys.stderr.write(f"trickle try: {error}\n")
        return USAGE_ERROR
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(perform(trial))
    lines = [json.dumps(as_json(report))] if arguments.json else as_text(report)
    sys.stdout.write("\n".join(lines) + "\n")
    return exit_code(report.run)


def read(arguments: argparse.Namespace) -> Trial:
    """The trial of a command line; everything that can be wrong is said in a sentence."""
    named = arguments.script.stem if arguments.script.stem in set(Action) else Action.LOGIN
    action = Action(arguments.action or named)
    context = _json(arguments.context, "--context", dict) if arguments.context else {}
    bundle = Bundle(
        connection_id="con_" + "0" * 16,
        revision="0" * 32,
        scripts={action: _file(arguments.script)},
        configuration=_configuration(arguments.configuration),
        with_context=arguments.context is not None,
        magic_globals=arguments.magic_globals,
    )
    values = _json(arguments.args, "--args", list)
    names = ARGUMENTS[action]
    if len(values) != len(names):
        raise UsageError(
            f"{action} takes {len(names)} argument{'s' if len(names) > 1 else ''}"
            f" ({', '.join(names)}), --args has {len(values)}"
        )
    return Trial(bundle, action, values, context, arguments.deadline, arguments.repeat)


async def perform(trial: Trial) -> Report:
    """Run the script as often as asked; the first run that did not succeed is the one reported."""
    loop = asyncio.get_running_loop()
    late: list[Violation] = []

    def observe(event: PoolEvent) -> None:
        if isinstance(event, LateViolation):
            late.append(Violation(kind=event.kind))

    reported: Run | None = None
    times: list[float] = []
    async with Pool(
        NodeCommand.installed(), limits=PoolLimits(blanks=0), observe=observe, worker="try"
    ) as pool:
        for _ in range(trial.repeat):
            done = await pool.run(
                trial.bundle,
                trial.action,
                trial.arguments,
                context=trial.context,
                deadline=loop.time() + trial.deadline,
            )
            times.append(done.ran.total_seconds())
            if reported is None or isinstance(reported.outcome, Value):
                reported = done
        await asyncio.sleep(LATE_WITHIN)
    if reported is None:
        raise UsageError("--repeat is at least 1")
    return Report(reported, tuple(late), times)


def exit_code(done: Run) -> int:
    """0 succeeded, 1 denied, 2 failed."""
    match done.outcome:
        case Value():
            return SUCCEEDED
        case Denied():
            return DENIED
        case Failed():
            return FAILED


def as_json(report: Report) -> dict[str, Any]:
    """The report as programs read it; every key is always there."""
    done = report.run
    return {
        "outcome": _outcome(done),
        "violations": [
            {"kind": str(violation.kind), "message": violation.message}
            for violation in (*done.violations, *report.late)
        ],
        "console": [line.model_dump() for line in done.console],
        "mapped": [{"asked": each.asked, "got": each.got} for each in done.mapped],
        "timings": {
            "bound_ms": _milliseconds(done.bound),
            "ran_ms": _milliseconds(done.ran),
            "repeat": _statistics(report.times),
        },
        "runner": done.runner.model_dump() if done.runner else None,
    }


def as_text(report: Report) -> Iterator[str]:
    """The report as people read it."""
    done = report.run
    outcome = {name: value for name, value in _outcome(done).items() if value is not None}
    kind, why = outcome.pop("kind"), outcome.pop("reason", None) or outcome.pop("detail", None)
    yield f"{kind}: {why}" if why else kind
    for name, value in outcome.items():
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        yield f"  {name:<8} " + text.replace("\n", "\n" + " " * 11)
    for violation in (*done.violations, *report.late):
        yield f"violation: {violation.kind} {violation.message or ''}".rstrip()
    for each in done.mapped:
        yield f"mapped: {each.asked} -> {each.got}"
    for line in done.console:
        yield f"console.{line.level}: {line.text}{' …' if line.truncated else ''}"
    yield f"ready in {_duration(done.bound.total_seconds())}, ran {_duration(done.ran.total_seconds())}"
    if len(report.times) > 1:
        shown = ", ".join(
            f"{name} {_duration(value / 1e6)}"
            for name, value in _statistics(report.times).items()
            if name.endswith("_us")
        ).replace("_us", "")
        yield f"{len(report.times)} runs: {shown}"


def _outcome(done: Run) -> dict[str, Any]:
    shown: dict[str, Any] = dict.fromkeys(("kind", "reason", "detail", "message", "code", "value"))
    match done.outcome:
        case Value(value):
            shown |= {"kind": "succeeded", "value": value}
        case Denied() as denied:
            shown |= {"kind": "denied", "reason": str(denied.reason), "message": denied.message}
            shown |= {"code": denied.code}
        case Failed() as failed:
            shown |= {"kind": str(failed.kind), "detail": str(failed.detail)}
            shown |= {"message": failed.message, "code": failed.code}
    return shown


def _statistics(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "count": len(ordered),
        "min_us": round(ordered[0] * 1e6, 1),
        "p50_us": round(statistics.median(ordered) * 1e6, 1),
        "p99_us": round(ordered[math.ceil(len(ordered) * 0.99) - 1] * 1e6, 1),
        "max_us": round(ordered[-1] * 1e6, 1),
    }


def _milliseconds(duration: timedelta) -> float:
    return round(duration / timedelta(milliseconds=1), 3)


def _duration(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error


def _configuration(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        return _CONFIGURATION.validate_json(_file(path), strict=True)
    except ValidationError as error:
        where = ", ".join(str(part) for part in error.errors()[0]["loc"]) or "the file"
        message = f"{path} must hold a JSON object whose values are strings; see {where}"
        raise UsageError(message) from None  # the cause would quote a secret


def _json(text: str, option: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} is not JSON: {error}") from None
    if not isinstance(value, kind):
        expected = "array" if kind is list else "object"
        raise UsageError(f"{option} must be a JSON {expected}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("seconds, above 0 and up to 3600")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError("a whole number, 1 to 1000000")
    return value
