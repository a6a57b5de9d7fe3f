"""The legacy shield: every call of a legacy store passes its connection's circuit breaker.

While it is open a call ends at once, with `Unavailable`, and costs the broker, the workers and the
legacy store nothing. Users who are kept here never come this far.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from services.auth import metrics
from services.auth.breaker import DEFAULT, Breaker, Report, State, Wait
from services.auth.connections import Connection
from services.auth.consequences import refusal
from services.auth.executions import Answer, Effect, Executions
from services.auth.guard import Guard
from shared.contracts import Action, ClientFacts, Denied, Failed, Succeeded
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

PROBE_MARGIN: Final = 5.0
"""Seconds beyond a script's budget after which a probe counts as lost."""
IDLE: Final = 600.0
"""Seconds without a call after which a breaker is forgotten: who is deleted, disabled or deserted
is no outage. Far above what a breaker remembers, and what it stays open for."""
_NUMBERS: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class BreakerOpen(Unavailable):
    """The legacy store is being left alone."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        """`seconds`: until it is worth asking again."""
        super().__init__(
            f"the circuit breaker of {connection.connection_id} is open",
            retry_after=timedelta(seconds=seconds),
        )


@dataclass(slots=True)
class _Watched:
    label: str
    of: tuple[str, str]
    """Connection and revision."""
    breaker: Breaker
    asked: float


class Shield:
    """`Executions`, behind a breaker for each connection."""

    def __init__(self, executions: Executions, guard: Guard) -> None:
        """`executions` runs what is let through; `guard` keeps the connections' budgets."""
        self.policy = DEFAULT
        self._executions = executions
        self._guard = guard
        self._breakers: dict[str, _Watched] = {}
        """By name, as the gauge: who takes a deleted connection's name takes its place."""

    async def run(
        self,
        connection: Connection,
        action: Action,
        arguments: list[Any],
        *,
        client: ClientFacts | None = None,
        traceparent: str | None = None,
        late: Effect | None = None,
        until: datetime | None = None,
        charged: bool = False,
    ) -> Answer:
        """As `Executions.run`; raises BreakerOpen too, which is an Unavailable, and Limited.

        `charged`: the connection's budget was charged for it already.
        """
        watched = self._of(connection)
        breaker = watched.breaker
        if not charged:
            self.check(connection)
            await self._guard.call(connection)
        now = asyncio.get_running_loop().time
        budget = connection.script_budget.total_seconds()
        before = breaker.state
        asked = breaker.ask(now(), budget + PROBE_MARGIN)
        self._changed(connection, before, watched)
        if isinstance(asked, Wait):
            raise BreakerOpen(connection, asked.seconds)
        report = Report.NOTHING
        try:
            answer = await self._executions.run(
                connection,
                action,
                arguments,
                client=client,
                traceparent=traceparent,
                late=late,
                until=until,
            )
            report = said(answer, connection)
        finally:
            before = breaker.state
            breaker.report(asked, report, hash(str(arguments[:1])), now())
            self._changed(connection, before, watched)
        return answer

    def check(self, connection: Connection) -> None:
        """Raises BreakerOpen where `run` would, and changes nothing."""
        left = self._of(connection).breaker.left(asyncio.get_running_loop().time())
        if left:
            raise BreakerOpen(connection, left)

    def state(self, connection: Connection) -> State:
        """What the breaker of a connection does now."""
        return self._of(connection).breaker.state

    async def forget_idle(self) -> None:
        """Housekeeping: breakers that nobody asks any more, and their series."""
        now = asyncio.get_running_loop().time()
        for name, watched in list(self._breakers.items()):
            if now - watched.asked >= IDLE and not watched.breaker.left(now):
                del self._breakers[name]
                self._publish(watched.label)

    def _of(self, connection: Connection) -> _Watched:
        """A new revision may have mended it: it starts closed."""
        now = asyncio.get_running_loop().time()
        of = connection.connection_id, connection.revision
        watched = self._breakers.get(connection.name)
        if watched is None or watched.of != of:
            label = metrics.connection_label(connection.name)
            watched = _Watched(label, of, Breaker(self.policy), now)
            self._breakers[connection.name] = watched
            self._publish(label)
        watched.asked = now
        return watched

    def _changed(self, connection: Connection, before: State, watched: _Watched) -> None:
        state = watched.breaker.state
        if state is before:
            return
        # Not a label asked for anew: one may have come free since, and the gauge would stay behind.
        metrics.BREAKER_CHANGES.labels(watched.label, str(state)).inc()
        self._publish(watched.label)
        log.warning(
            "breaker.changed",
            connection_id=connection.connection_id,
            was=str(before),
            state=str(state),
        )

    def _publish(self, label: str) -> None:
        """The highest, where several connections share a label: none may hide another's outage."""
        states = [
            _NUMBERS[watched.breaker.state]
            for watched in self._breakers.values()
            if watched.label == label
        ]
        if states:
            metrics.BREAKER_STATE.labels(label).set(max(states))
        else:
            metrics.BREAKER_STATE.remove_by_labels({"connection": label})


def said(answer: Answer, connection: Connection) -> Report:
    """What an outcome says about the legacy store (the table of `consequences`)."""
    match answer.result.outcome:
        case Succeeded() | Denied():
            return Report.ANSWERED
        case Failed() as failed:
            trips = refusal(failed, connection).trips_breaker
            return Report.FAILED if trips else Report.NOTHING
