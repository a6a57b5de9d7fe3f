"""Events: what other teams may learn of us, with no secret and no profile in it.

Each is written with its fact, in one transaction or statement, and published at least once with the
same `event_id`. The routing key is the type and the connection's id, so that the broker can keep
an integrator to the connections that are its own.

The models are an API, as those of `shared.contracts` are: additive changes only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, TypeAdapter

from shared.contracts import OUTCOME_KINDS, SCHEMA_VERSION, Action, ConnectionId, Contract


class EventType(StrEnum):
    """What may have happened."""

    USER_IMPORTED = "user.imported"
    LOGIN_DENIED = "login.denied"
    EXECUTION_DECIDED = "execution.decided"


class Imported(Contract):
    """A user of the legacy store is ours from now on."""

    user_id: Annotated[str, Field(description="as in `sub` of tokens")]
    execution_id: Annotated[
        UUID | None, Field(description="null: by a new password, before the first login")
    ] = None


class LoginDenied(Contract):
    """Somebody was not who they said, as far as the password tells; nobody is named."""

    reason: Annotated[str, Field(description="the tenant log's type code, as `fp` or `fu`")]
    execution_id: Annotated[UUID | None, Field(description="null: no script was asked")] = None


class Decided(Contract):
    """An execution has its one outcome."""

    execution_id: UUID
    action: Action
    outcome: Annotated[str, Field(json_schema_extra={"enum": list(OUTCOME_KINDS)})]
    attempt: Annotated[int, Field(ge=0, description="0: decided without a run")]
    origin: Annotated[str, Field(description="who asked: auth, or an integrator")]


class Happened(Contract):
    """What all events have."""

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: Annotated[UUID, Field(description="the same in every copy: deduplicate by it")]
    occurred_at: AwareDatetime
    connection_id: ConnectionId


class UserImportedEvent(Happened):
    """A user was imported."""

    type: Literal[EventType.USER_IMPORTED]
    data: Imported


class LoginDeniedEvent(Happened):
    """A login was denied."""

    type: Literal[EventType.LOGIN_DENIED]
    data: LoginDenied


class ExecutionDecidedEvent(Happened):
    """An execution was decided."""

    type: Literal[EventType.EXECUTION_DECIDED]
    data: Decided


Event = Annotated[
    UserImportedEvent | LoginDeniedEvent | ExecutionDecidedEvent, Field(discriminator="type")
]
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(Event)


def routing_key(kind: str, connection_id: str) -> str:
    """Of an event's message."""
    return f"{kind}.{connection_id}"
