"""The corpus `tests/action_scripts/`, one behaviour a file, through real processes.

What a file expects stands in its first comment lines, `// key: value`: outcome, detail, reason,
message (a part of it), value, violations, retires; what it is run with: action, args, configuration,
context, deadline.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool
from services.script_worker.pool_events import LateViolation, PoolEvent, Retired
from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared.contracts import Action
from tests.script_headers import headers, outcome_of, words

CORPUS = sorted(Path(__file__).parents[1].joinpath("action_scripts").glob("*.js"))
LATE_WITHIN = 0.15
"""Seconds in which a script of the corpus has broken its rule after the callback."""
KEYS = frozenset(
    {"outcome", "detail", "reason", "message", "value", "violations", "retires"}
    | {"action", "args", "configuration", "context", "deadline"}
)


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def says(self) -> dict[str, str]:
        return headers(self.text, KEYS)

    def json(self, key: str, default: Any) -> Any:
        return json.loads(self.says[key]) if key in self.says else default

    def words(self, key: str) -> set[str]:
        return words(self.says.get(key, ""))

    @property
    def action(self) -> Action:
        return Action(self.says.get("action", "login"))

    @property
    def connection_id(self) -> str:
        return f"con_{CORPUS.index(self.path):016d}"

    @property
    def bundle(self) -> Bundle:
        return Bundle(
            self.connection_id,
            "0" * 32,
            {self.action: self.text},
            self.json("configuration", {}),
            with_context="context" in self.says,
        )


@dataclass
class Seen:
    """What the pool told of one case."""

    run: Run
    events: list[Retired | LateViolation]

    @property
    def violations(self) -> set[str]:
        late = [event.kind for event in self.events if isinstance(event, LateViolation)]
        return {str(kind) for kind in [*late, *(broken.kind for broken in self.run.violations)]}


@dataclass
class Stage:
    """One pool for the whole corpus; each script is a connection of its own on it."""

    pool: Pool
    events: list[PoolEvent]

    async def perform(self, case: Case) -> Seen:
        # The deadline under test is the script's: a cold start under load is not its fault.
        deadline = asyncio.get_running_loop().time() + case.json("deadline", 10)
        run = await self.pool.run(
            case.bundle,
            case.action,
            case.json("args", ["alice@example.com", "correct horse"]),
            context=case.json("context", {}),
            deadline=deadline,
        )
        if case.words("violations") or case.words("retires"):
            await asyncio.sleep(LATE_WITHIN)
        told = [one for one in self.events if isinstance(one, Retired | LateViolation)]
        return Seen(run, [one for one in told if one.connection_id == case.connection_id])


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    events: list[PoolEvent] = []
    async with Pool(NodeCommand.installed(), observe=events.append) as pool:
        yield Stage(pool, events)
        pids = pool.pids()
    assert not any(map(exists, pids))


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) >= 50


@pytest.mark.parametrize("case", [*map(Case, CORPUS)], ids=lambda case: case.path.stem)
async def test_a_script_comes_to_what_it_says(stage: Stage, case: Case) -> None:
    seen = await stage.perform(case)

    outcome = outcome_of(seen.run)
    expected = {key: case.says[key] for key in ("outcome", "detail", "reason") if key in case.says}
    assert {key: outcome.get(key) for key in expected} == expected, seen.run
    assert case.says.get("message", "") in (outcome.get("message") or "")
    if "value" in case.says:
        assert isinstance(seen.run.outcome, Value)
        assert case.json("value", None) == seen.run.outcome.value
    assert seen.violations == case.words("violations")
    retired = {str(event.reason) for event in seen.events if isinstance(event, Retired)}
    assert retired == case.words("retires")
