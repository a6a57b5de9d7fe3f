"""Asking the legacy store for anything but a login: one script, one execution, one effect.

Rule 1: an effect and its mark in the ledger commit together (I8), also when the outcome comes
after the caller had to be answered (I5).
Rule 2: several scripts of one flow share one deadline; the first that fails ends the flow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from services.auth.caller import Caller
from services.auth.connections import Connection
from services.auth.consequences import explanation, from_script, script_missing
from services.auth.executions import Answer
from services.auth.logs import Entry, Logs, console
from services.auth.problems import FlowEnded
from services.auth.profiles import InvalidProfile, Profile, normalise
from services.auth.shield import Shield
from shared.contracts import Action, Denied, DeniedReason, Detail, Failed, Succeeded
from shared.database import Database, Session
from shared.ledger import Ledger

LocalEffect = Callable[[Session, Any], Awaitable[None]]
"""What a succeeded script changes here, inside the transaction that marks it applied."""
_NOBODY = {DeniedReason.NOT_FOUND, DeniedReason.WRONG_PASSWORD}


@dataclass(frozen=True, slots=True)
class Turn:
    """One flow at one connection: who asked, and until when all its scripts must be done."""

    connection: Connection
    caller: Caller
    until: datetime


class Legacy:
    """Runs scripts for flows."""

    def __init__(self, shield: Shield, ledger: Ledger, database: Database, logs: Logs) -> None:
        """All shared with the rest of the replica."""
        self._shield = shield
        self._ledger = ledger
        self._database = database
        self._logs = logs

    def turn(self, connection: Connection, caller: Caller) -> Turn:
        """Begin a flow; its deadline is the connection's script budget from now."""
        return Turn(connection, caller, self._database.now() + connection.script_budget)

    async def get_user(self, turn: Turn, identifier: str) -> Profile | None:
        """The legacy user that an identifier means, or None. Raises FlowEnded, Unavailable."""
        answer = await self._ask(turn, Action.GET_USER, [identifier], None)
        outcome = answer.result.outcome
        await self._ledger.mark_applied(answer.execution_id)
        if isinstance(outcome, Denied) and outcome.reason in _NOBODY:
            return None
        self._raise_unless_succeeded(answer)
        return profile_of(turn.connection, answer.value)

    async def run(
        self,
        turn: Turn,
        action: Action,
        arguments: list[Any],
        effect: LocalEffect | None = None,
    ) -> Any:
        """What a script called back with, its effect applied. Raises FlowEnded, Unavailable."""
        answer = await self._ask(turn, action, arguments, effect)
        await self._apply(turn, answer, effect)
        self._raise_unless_succeeded(answer)
        return answer.value

    async def _ask(
        self, turn: Turn, action: Action, arguments: list[Any], effect: LocalEffect | None
    ) -> Answer:
        if action not in turn.connection.actions:
            raise FlowEnded(script_missing(action))

        async def late(answer: Answer) -> None:
            await self._apply(turn, answer, effect)

        answer = await self._shield.run(
            turn.connection,
            action,
            arguments,
            client=turn.caller.facts,
            traceparent=turn.caller.traceparent,
            late=late,
            until=turn.until,
        )
        if isinstance(answer.result.outcome, Failed):
            await self._explain(turn, answer)
        return answer

    async def _apply(self, turn: Turn, answer: Answer, effect: LocalEffect | None) -> None:
        if answer.result.attempt == 0:
            return  # it never ran, and nobody waits for its effect
        if effect is None or not isinstance(answer.result.outcome, Succeeded):
            await self._ledger.mark_applied(answer.execution_id)
            return
        async with self._database.transaction() as session:
            if await self._ledger.apply(session, answer.execution_id):
                await effect(session, answer.value)

    def _raise_unless_succeeded(self, answer: Answer) -> None:
        outcome = answer.result.outcome
        match outcome:
            case Succeeded():
                return
            case Denied() | Failed():
                raise FlowEnded(from_script(outcome))
            case never:
                assert_never(never)

    async def _explain(self, turn: Turn, answer: Answer) -> None:
        """A failure's detail, for the tenant log: what it ended is logged by the flow."""
        text = explanation(answer.result.outcome)
        await self._logs.write(
            Entry(
                type="f",
                caller=turn.caller,
                connection_id=turn.connection.connection_id,
                execution_id=answer.execution_id,
                description=f"{answer.result.action}: {text}",
                details={"error": {"message": text}} | console(answer.result),
            )
        )


def profile_of(connection: Connection, value: Any) -> Profile:
    """A script's profile, normalised. Raises FlowEnded when it can't be used."""
    try:
        return normalise(value, non_persistent=connection.non_persistent_attrs)
    except InvalidProfile as error:
        failed = Failed.of(Detail.INVALID_PROFILE, str(error))
        raise FlowEnded(from_script(failed)) from None
