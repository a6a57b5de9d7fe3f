"""Broken rules: product code with one thing changed, and the check that has to notice.

A mutant changes the code object of the real function, so that every caller meets it. Its text is
looked for in the function's source: when the code moves on, the mutant has to follow, and a test
says so.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

from services.auth import housekeeping
from services.auth.executions import Executions
from services.auth.housekeeping import Housekeeping
from services.script_worker.consumer import Consumer
from services.script_worker.execution import _Execution
from services.script_worker.leases import Leases
from shared import execution_states
from shared.ledger import Ledger
from tests.simulation import scenes
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenes import Scene


@dataclass(frozen=True, slots=True)
class Change:
    """One edit of one function."""

    where: Callable[..., Any]
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is broken, where, and what its violations begin with."""

    what: str
    expected: str
    changes: tuple[Change, ...]
    scene: Callable[[VirtualLoop], Scene] | None = None
    """Where it shows, if thousands of seeds may pass before it does."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block, the product has it."""
        with ExitStack() as undo:
            for change in self.changes:
                undo.enter_context(_changed(change))
            yield

    @property
    def places(self) -> str:
        """The functions that it changes."""
        return ", ".join(
            f"`{one.where.__module__.split('.')[-1]}.{one.where.__qualname__}`"
            for one in self.changes
        )


@contextmanager
def _changed(change: Change) -> Iterator[None]:
    function = inspect.unwrap(change.where)
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(change.old) != 1:
        raise AssertionError(
            f"the mutant's text stands {source.count(change.old)} times in"
            f" {function.__qualname__}: {change.old!r}"
        )
    names: dict[str, Any] = {}
    code = compile(source.replace(change.old, change.new), f"<mutant {function.__name__}>", "exec")
    # The decorator stays as it is: only the code object underneath is exchanged.
    exec(code, dict(function.__globals__), names)  # noqa: S102 - our own source
    mutated = inspect.unwrap(names[function.__name__])
    real, function.__code__ = function.__code__, mutated.__code__
    try:
        yield
    finally:
        function.__code__ = real


def _mutant(
    what: str,
    expected: str,
    where: Callable[..., Any],
    old: str,
    new: str,
    scene: Callable[[VirtualLoop], Scene] | None = None,
) -> Mutant:
    return Mutant(what, expected, (Change(where, old, new),), scene)


MUTANTS: Final = (
    # -- the rules of the ledger ---------------------------------------------------------------
    _mutant(
        "the fence is off: an earlier claim may write the outcome", "I1",
        execution_states.may_record,
        "state is State.CLAIMED and attempt == claimed_attempt", "state is State.CLAIMED",
        scenes.paused_in_its_script,
    ),
    _mutant(
        "the deadline is not checked in the claim", "I3",
        execution_states.may_claim, "if deadline_passed:", "if False:",
    ),
    _mutant(
        "what may not be repeated is claimed again", "I4",
        execution_states.may_claim, "lease_dead and idempotent and", "lease_dead and",
    ),
    _mutant(
        "a claim does not look at the lease", "I9",
        execution_states.may_claim, "State.CLAIMED and lease_dead and", "State.CLAIMED and",
    ),
    _mutant(
        '"it never ran" is written over a claim', "I5",
        execution_states.may_decide_unrun,
        "state is State.NONE", "state in (State.NONE, State.CLAIMED)",
    ),
    _mutant(
        "the reaper does not look at the lease", "I3",
        execution_states.may_decide_lost, "lease_dead and not", "not",
    ),
    # -- the worker ----------------------------------------------------------------------------
    _mutant(
        "a result is published before it is recorded", "I2",
        _Execution._decide_by_running,
        "if not await self._from_ledger(lambda: self._its.ledger.record(result), LEDGER_GRACE):",
        "await self._publish(result)\n    if not await self._from_ledger("
        "lambda: self._its.ledger.record(result), LEDGER_GRACE):",
    ),
    _mutant(
        "the outcome is not recorded at all", "I2",
        _Execution._decide_by_running,
        "if not await self._from_ledger(lambda: self._its.ledger.record(result), LEDGER_GRACE):",
        "if False:",
    ),
    _mutant(
        "an outcome that was refused is published all the same", "I",
        _Execution._decide_by_running,
        'log.warning("outcome.discarded", next="the ledger\'s outcome is published instead")\n'
        "        return None",
        "return result",
    ),
    _mutant(
        "a request is acked without waiting for its result's confirm", "I2",
        _Execution._publish, "    raise\n", "    return\n",
    ),
    _mutant(
        "a request is acked when it arrives",
        "I2",
        Consumer._settle,
        "try:",
        "delivery.ack()\n    try:",
    ),
    _mutant(
        "a request that finds a decided row is acked without a publish", "I2",
        _Execution.settle, "row.published or row.result is None", "True",
    ),
    _mutant(
        "a claim counts from when we heard of it", "I3",
        _Execution._decide_by_running,
        "deadline = asked +", "asked = self._loop.time()\n    deadline = asked +",
        scenes.paused_past_the_deadline,
    ),
    _mutant(
        "a start does not look at the lease once more", "I3",
        Leases.hold, "if held.good_until <= asyncio.get_running_loop().time():", "if False:",
        scenes.paused_past_the_lease,
    ),
    _mutant(
        "a copy is taken for a claim that was never heard of", "I4",
        Ledger._claim_existing, "and (row.execution_id, row.attempt) not in self._granted", "",
    ),
    _mutant(
        "a lease that was lost does not end its execution", "I9",
        Leases._lose, "held.task.cancel()", "pass", scenes.cut_off_from_the_ledger,
    ),
    _mutant(
        "leases are not renewed", "I9",
        Leases._renew, "if not asked:", "if asked or not asked:",
    ),
    _mutant(
        "a worker does not give up a lease that it can't renew", "I9",
        Leases._give_up_overdue, "if held.good_until < horizon:", "if False:",
        scenes.cut_off_from_the_ledger,
    ),
    _mutant(
        "a draining worker acks what it does not take", "I2",
        Consumer._give_back, "delivery.requeue()", "delivery.ack()",
        scenes.drained_when_it_arrives,
    ),
    _mutant(
        "a hurried drain acks what it breaks off", "I2",
        Consumer._settle,
        "delivery.requeue()  # the ledger knows how far it came", "delivery.ack()",
    ),
    _mutant(
        "a request that nobody could settle is acked", "I2",
        Consumer._settle, "case Settlement.REQUEUE:\n            delivery.requeue()",
        "case Settlement.REQUEUE:\n            delivery.ack()",
    ),
    # -- auth ----------------------------------------------------------------------------------
    _mutant(
        "giving up leaves no tombstone", "answer",
        Executions._give_up,
        "request = pending.request",
        "request = pending.request\n    return self._open(_unrun(request, Detail.GIVEN_UP))",
    ),
    _mutant(
        "the ledger's outcome is not told at the deadline", "answer",
        Executions._give_up, "if row.result is not None:", "if False:",
    ),
    _mutant(
        "who can't be published again is sent away without a tombstone", "I5",
        Executions._withdraw,
        "row = await self._last_word(pending)", "raise refused",
    ),
    _mutant(
        "an outcome that comes late has no effect", "I5",
        Executions._follow_up,
        "if late is not None and self._followers is not None:", "if False:",
    ),
    _mutant(
        "who could not ask the ledger is not followed", "I5",
        Executions._last_word, "self._follow_up(pending)", "pass",
        scenes.silent_when_it_is_sent,
    ),
    _mutant(
        "an orphan is marked while its replica may still want it", "I8",
        Housekeeping._adopt,
        "await asyncio.sleep(max(waited_for.total_seconds(), 0))", "pass",
        scenes.told_while_its_replica_was_cut_off,
    ),
    _mutant(
        "orphans are dropped", "I7",
        Housekeeping._adopt,
        "first = await self._ledger.mark_applied(result.execution_id)", "first = True",
    ),
    _mutant("there is no outbox", "I7", Housekeeping._publish_again, "if not due:", "if True:"),
    _mutant(
        "the outbox marks what was not confirmed", "I7",
        Housekeeping._publish, "return None", "return execution_id",
    ),
    _mutant(
        "there is no reaper", "liveness",
        Housekeeping._reap, "await self._ledger.reap(BATCH)", "0",
    ),
    _mutant(
        "dead letters are dropped", "I6",
        Housekeeping._bury,
        "body = delivery.message.body", "return delivery.ack()\n    body = b''",
    ),
    _mutant(
        "dead letters are consumed and kept", "liveness",
        Housekeeping._bury, "delivery.ack()", "pass",
    ),
    _mutant(
        "housekeeping ends when the ledger is away", "a bug",
        housekeeping._every, "except Unavailable as error:", "except ZeroDivisionError as error:",
    ),
)  # fmt: skip
