"""Let the attacks loose, one after the other, in this environment; a JSON object a line.

A program of its own (`python -m tests.hostile.campaign FOLDER [NAME...]`): it is the worker that
the scripts attack, and must not be the process that judges whether it lived.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import uvloop

from services.script_worker.bundle import Bundle
from services.script_worker.pool_events import LateViolation, PoolEvent, Retired
from services.script_worker.runs import Run
from services.script_worker.sandbox.levels import Level
from shared.contracts import Action, Denied, Failed
from shared.lifecycle import keep_memory_private
from shared.telemetry import configure_logging
from tests.hostile.arena import BAIT, NEIGHBOURS_SECRET, Arena, arena, eventually, resident
from tests.hostile.attacks import Attack, Expected, all_attacks, described

ARGUMENTS: Final = ["alice@example.com", "correct horse"]
LATE_WITHIN: Final = 15.0
CANARY: Final = "TRICKLE_CANARY"
"""An environment variable of the worker's whose value nothing may repeat."""
FORGED_EVENT: Final = "connection.deleted"
"""What a script would like the worker's log to say."""
NOTHING_ELSE: Final = Expected({})
MAX_GROWTH: Final = 64 * 1024 * 1024


def environment() -> dict[str, Any]:
    """What the worker may do here, as the kernel says."""
    lines = (line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    status = {name: value.strip() for name, value in lines}
    return {
        "uid": os.getuid(),
        "capabilities": int(status["CapEff"], 16),
        "bounding": int(status["CapBnd"], 16),
        "no_new_privs": int(status["NoNewPrivs"]),
        "seccomp": int(status["Seccomp"]),
        "writable": [place for place in ("/", "/tmp", "/dev/shm") if _writable(place)],  # noqa: S108
    }


def _writable(folder: str) -> bool:
    return os.access(folder, os.W_OK)


async def attack(place: Arena, number: int, script: Attack) -> dict[str, Any]:
    """One attack, judged."""
    bundle = Bundle(
        f"con_{number:016d}", "0" * 32, {Action.LOGIN: script.text}, place.configuration
    )
    problems: list[str] = []
    began, place.worst_tick = perf_counter(), 0.0
    run, found = await _strike(place, bundle, script, script.expects(), script.expects("or_"))
    problems += found
    told = [described(run)]
    texts = _texts(run)
    if script.strikes_twice:
        second, found = await _strike(place, bundle, script, script.expects("then_"))
        problems += [f"then {problem}" for problem in found]
        told.append(described(second))
        texts += _texts(second)
        place.end(second)
    if "next_revision_value" in script.says:
        expected = Expected({"value": script.says["next_revision_value"]})
        following = Bundle(bundle.connection_id, "1" * 32, bundle.scripts, bundle.configuration)
        third, found = await _strike(place, following, script, expected)
        problems += [f"the next revision: {problem}" for problem in found]
        place.end(third)
    place.end(run)
    problems += await place.harm()
    problems += _said_aloud(script, texts, run)
    return _line(script, problems, " · ".join(told)) | {
        "seconds": round(perf_counter() - began, 2),
        "loop_held_up_ms": round(place.worst_tick * 1000),
    }


async def _strike(
    place: Arena, bundle: Bundle, script: Attack, expected: Expected, other: Expected = NOTHING_ELSE
) -> tuple[Run, list[str]]:
    """One call, while the neighbour has one too."""
    place.events.clear()
    deadline = asyncio.get_running_loop().time() + script.deadline
    async with asyncio.TaskGroup() as calls:
        call = calls.create_task(
            place.pool.run(bundle, Action.LOGIN, ARGUMENTS, context={}, deadline=deadline)
        )
        beside = calls.create_task(place.call_neighbour())
    run = call.result()
    expected = expected.or_else(other, run)
    wanted = {key: expected.late(key) or set() for key in ("violations", "retires")}
    await eventually(
        lambda: (
            wanted["violations"] <= _violations(run, place.events)
            and wanted["retires"] <= _retired(bundle, place.events)
        ),
        LATE_WITHIN,
    )
    problems = expected.problems(
        run, _violations(run, place.events), _retired(bundle, place.events)
    )
    meanwhile = [f"meanwhile {beside.result()}"] if beside.result() else []
    return run, [*problems, *meanwhile]


def _violations(run: Run, events: list[PoolEvent]) -> set[str]:
    late = [event.kind for event in events if isinstance(event, LateViolation)]
    return {str(kind) for kind in [*late, *(broken.kind for broken in run.violations)]}


def _retired(bundle: Bundle, events: list[PoolEvent]) -> set[str]:
    return {
        str(event.reason)
        for event in events
        if isinstance(event, Retired) and event.connection_id == bundle.connection_id
    }


def _texts(run: Run) -> list[str]:
    """What of a run reaches logs and people."""
    texts = [line.text for line in run.console]
    texts += [violation.message or "" for violation in run.violations]
    if isinstance(run.outcome, Failed | Denied):
        texts += [run.outcome.message or "", run.outcome.code or ""]
    return texts


def _said_aloud(script: Attack, texts: list[str], run: Run) -> Iterator[str]:
    hidden = [*json.loads(script.says.get("hides", "[]")), *_secrets()]
    for secret in hidden:
        if any(secret in text for text in texts):
            yield f"it said aloud: {secret}"
    lines = script.says.get("console")
    if lines is not None and int(lines) != len(run.console):
        yield f"{len(run.console)} lines of console instead of {lines}"


def _secrets() -> list[str]:
    canary = os.environ.get(CANARY)
    return [BAIT, NEIGHBOURS_SECRET, *([canary] if canary else [])]


def _line(script: Attack, problems: list[str], came_to: str) -> dict[str, Any]:
    return {
        "attack": script.name,
        "what": script.says["attack"],
        "came_to": came_to,
        "verdict": "BROKE THROUGH" if problems else "held",
        "problems": problems,
    }


async def campaign(folder: Path, attacks: list[Attack]) -> AsyncIterator[dict[str, Any]]:
    """A line for each attack, and one for the worker in the end."""
    async with arena(folder) as place:
        level = (await place.pool.isolation()).level
        await place.harm()
        before = resident()
        for number, script in enumerate(attacks):
            needs = Level(script.says.get("needs", Level.RLIMITS))
            if needs.rank > level.rank:
                yield _line(script, [], "") | {"verdict": "not run", "needs": needs}
                continue
            yield await attack(place, number, script)
        growth = resident() - before
        yield {
            "level": level,
            "environment": environment(),
            "growth_mib": round(growth / 2**20, 1),
            "problems": ["the worker grew"] if growth > MAX_GROWTH else [],
        }


def main(folder: Path, names: list[str], write: Callable[[str], object]) -> None:
    """Run those of these names, or all."""
    configure_logging("info", "json")
    keep_memory_private()

    async def run() -> None:
        attacks = [each for each in all_attacks() if not names or each.name in names]
        async for line in campaign(folder, attacks):
            write(json.dumps(line) + "\n")
            sys.stdout.flush()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as made:
        main(Path(made), sys.argv[2:], sys.stdout.write)
