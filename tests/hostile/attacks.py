"""The scripts of `tests/hostile_scripts/`, what each says of itself, and whether it came to that.

Headers, `// key: value`, in the first comment lines:
  attack             what it tries, one sentence
  needs              the isolation level below which it is not run: fs, fs+net, full
  deadline           seconds, 10 if it says nothing
  outcome, detail, reason, message (a pattern), value (JSON), came_to (JSON), violations, retires
                     what is expected of its call; `any` where the process may choose
  or_outcome, or_detail, …  another end of the first call, as good, where the machine chooses
  then_...           the same of a second call, made when the first has its effect
  next_revision_value  of the same call by the connection's next revision
  console            how many lines the console has
  hides              JSON list of texts that nothing it says may contain
`came_to` is what attempts came to, by name: an error code, `refused` (by the kernel, whatever
the code), `denied` (by the egress policy), `any`, or a list of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from tests.script_headers import headers, outcome_of, words

FOLDER: Final = Path(__file__).parents[1] / "hostile_scripts"
APPENDED: Final = Path(__file__).with_name("appended.js").read_text()
_EXPECTED: Final = (
    *("outcome", "detail", "reason", "message", "value", "came_to", "violations", "retires"),
)
_KEYS: Final = frozenset(
    {"attack", "needs", "deadline", "next_revision_value", "console", "hides"}
    | {prefix + key for key in _EXPECTED for prefix in ("", "or_", "then_")}
)
_KERNEL: Final = {
    *("EACCES", "EPERM", "ENOSYS", "EROFS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ERR_ACCESS_DENIED"),
}
_ALIASES: Final = {"refused": _KERNEL, "denied": {"EACCES", "EPERM", "ENETUNREACH"}}


@dataclass(frozen=True)
class Attack:
    """One file of the corpus."""

    path: Path

    @property
    def name(self) -> str:
        """As the command line knows it."""
        return self.path.stem

    @cached_property
    def text(self) -> str:
        """The script as it is run."""
        return f"{self.path.read_text()}\n{APPENDED}"

    @cached_property
    def says(self) -> dict[str, str]:
        """Its headers."""
        return headers(self.path.read_text(), _KEYS)

    @property
    def deadline(self) -> float:
        """Seconds."""
        return float(self.says.get("deadline", "10"))

    @property
    def strikes_twice(self) -> bool:
        """Whether there is a second call."""
        return any(key.startswith("then_") for key in self.says)

    def expects(self, prefix: str = "") -> Expected:
        """What is expected of the first call, or, by prefix, of the second."""
        return Expected(
            {key: self.says[prefix + key] for key in _EXPECTED if prefix + key in self.says}
        )


@dataclass(frozen=True)
class Expected:
    """What one call should come to."""

    says: dict[str, str]

    def or_else(self, other: Expected, run: Run) -> Expected:
        """This one, or the other if it has the run's outcome and this has not."""
        return other if outcome_of(run)["outcome"] == other.says.get("outcome") else self

    def late(self, key: str) -> set[str] | None:
        """The violations or reasons to retire; None: any."""
        header = self.says.get(key, "none")
        return None if header == "any" else words(header)

    def problems(self, run: Run, violations: set[str], retired: set[str]) -> Iterator[str]:
        """What is different, in words."""
        yield from self._outcome(run)
        for key, seen in {"violations": violations, "retires": retired}.items():
            wanted = self.late(key)
            if wanted is not None and wanted != seen and not self._own_choice(key):
                yield f"{key}: {_listed(seen)} instead of {_listed(wanted)}"

    def _own_choice(self, key: str) -> bool:
        return self.says.get("outcome") == "any" and key not in self.says

    def _outcome(self, run: Run) -> Iterator[str]:
        outcome = outcome_of(run)
        wanted = self.says.get("outcome", "succeeded")
        if wanted not in ("any", outcome["outcome"]):
            yield f"it came to {described(run)} instead of {wanted}"
        for key in ("detail", "reason"):
            if key in self.says and self.says[key] != outcome.get(key):
                yield f"{key}: {outcome.get(key)} instead of {self.says[key]}"
        if not re.search(self.says.get("message", ""), outcome.get("message") or ""):
            yield f"message: {outcome.get('message')!r} has no {self.says['message']!r}"
        value = run.outcome.value if isinstance(run.outcome, Value) else None
        if "value" in self.says and json.loads(self.says["value"]) != value:
            yield f"value: {shown(value)} instead of {self.says['value']}"
        if "came_to" in self.says:
            yield from _attempts(json.loads(self.says["came_to"]), value)


def _attempts(wanted: dict[str, str | list[str]], value: Any) -> Iterator[str]:
    came_to = value.get("came_to") if isinstance(value, dict) else None
    if not isinstance(came_to, dict) or came_to.keys() != wanted.keys():
        yield f"attempts: {shown(value)}"
        return
    for name, ends in wanted.items():
        if not _is_one_of(came_to[name], [ends] if isinstance(ends, str) else ends):
            yield f"{name}: {came_to[name]} instead of {ends}"


def _is_one_of(end: str, wanted: list[str]) -> bool:
    return any(each in (end, "any") or end in _ALIASES.get(each, ()) for each in wanted)


def described(run: Run) -> str:
    """An outcome in a line of the table."""
    outcome = outcome_of(run)
    if isinstance(run.outcome, Value):
        return f"succeeded {shown(run.outcome.value)}"
    return f"{outcome['outcome']} {outcome.get('detail') or outcome.get('reason')}"


def shown(value: Any) -> str:
    """A value, cut."""
    if isinstance(value, dict) and isinstance(value.get("came_to"), dict):
        return ", ".join(f"{name}: {end}" for name, end in value["came_to"].items())
    return json.dumps(value)[:100]


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def all_attacks() -> list[Attack]:
    """Every one, in the order of their names."""
    return [Attack(path) for path in sorted(FOLDER.glob("*.js"))]
