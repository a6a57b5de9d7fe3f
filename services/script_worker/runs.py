"""What a run came to, told so that no secret of its connection or its caller is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.script_worker.frames import Broken, Log, Mapped, Result
from services.script_worker.node_process import Answer
from services.script_worker.redaction import Redactor
from services.script_worker.verdicts import Value, Verdict, for_want_of_egress, verdict
from shared.contracts import (
    MAX_TEXT,
    Action,
    ConsoleLine,
    Denied,
    Detail,
    EgressConnect,
    Failed,
    RunnerFacts,
    Violation,
)
from shared.egress import EgressVerdict


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to. Texts are redacted; `outcome`'s value is not, it gets sealed."""

    outcome: Verdict
    violations: tuple[Violation, ...] = ()
    console: tuple[ConsoleLine, ...] = ()
    bound: timedelta = timedelta(0)
    ran: timedelta = timedelta(0)
    runner: RunnerFacts | None = None
    egress: tuple[EgressConnect, ...] = ()
    mapped: tuple[Mapped, ...] = ()
    """Modules that the runner's scripts asked for and got otherwise, so far."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a process answered; `bound` and `ran` in seconds. Nothing in it is redacted yet."""

    answer: Answer
    bound: float = 0.0
    ran: float = 0.0
    runner: RunnerFacts | None = None
    mapped: tuple[Mapped, ...] = ()

    def told(self, action: Action, redactor: Callable[[Any], Redactor]) -> Run:
        """As others may see it. `redactor` is made for a profile, and only if there is any text."""
        answer, outcome = self.answer, self._outcome(action)
        bound, ran = timedelta(seconds=self.bound), timedelta(seconds=self.ran)
        egress = tuple(
            EgressConnect(address=each.address, port=each.port, verdict=each.verdict)
            for each in answer.connects
        )
        if isinstance(outcome, Value) and not answer.violations and not answer.console:
            return Run(outcome, (), (), bound, ran, self.runner, egress, self.mapped)
        redact = redactor(outcome.value if isinstance(outcome, Value) else None)
        return Run(
            outcome=_redacted(outcome, redact),
            violations=tuple(_violation(broken, redact) for broken in answer.violations),
            console=tuple(_console_line(line, redact) for line in answer.console),
            bound=bound,
            ran=ran,
            runner=self.runner,
            egress=egress,
            mapped=self.mapped,
        )

    def _outcome(self, action: Action) -> Verdict:
        answer = self.answer
        if answer.failure is None and isinstance(answer.frame, Result):
            outcome = verdict(action, answer.frame)
        else:
            outcome = answer.failure or Failed.of(Detail.PROTOCOL_ERROR)
        refused = [each for each in answer.connects if each.verdict is not EgressVerdict.ALLOWED]
        if refused and isinstance(outcome, Failed):
            first = refused[0]
            outcome = for_want_of_egress(outcome, f"connect to {first.to}: {first.verdict}")
        return outcome


def _redacted(outcome: Verdict, redact: Redactor) -> Verdict:
    if isinstance(outcome, Value):
        return outcome
    texts = {"message": outcome.message, "code": outcome.code}
    if isinstance(outcome, Denied):
        texts["user_id"] = outcome.user_id
    return outcome.model_copy(
        update={name: _clean(text, redact) for name, text in texts.items() if text is not None}
    )


def _clean(text: str, redact: Redactor) -> str:
    return redact(text, truncated=len(text) >= MAX_TEXT)[:MAX_TEXT]


def _violation(broken: Broken, redact: Redactor) -> Violation:
    message = None if broken.message is None else _clean(broken.message, redact)
    return Violation(kind=broken.kind, message=message)


def _console_line(line: Log, redact: Redactor) -> ConsoleLine:
    text = redact.line(line.text, truncated=line.truncated)
    return ConsoleLine(
        level=line.level, text=text[:MAX_TEXT], truncated=line.truncated or len(text) > MAX_TEXT
    )
