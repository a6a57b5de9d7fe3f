"""The two messages on the wire, and the closed set of outcomes.

Teams that integrate over the queue build on these models: the JSON Schemas and the AsyncAPI
document in `docs/contracts/` are generated from them, and only additive changes are allowed.

Rule 1: consumers ignore fields that they don't know, so that a producer may be deployed first.
Rule 2: no password, profile or configuration value stands here in the clear; they are `Sealed`.
Rule 3: a verdict (the script said so) and a failure (it could not say) are never confused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from typing_extensions import override

from shared.egress import EgressVerdict

SCHEMA_VERSION: Final = 1
AUTH: Final = "auth"
"""The origin of our own requests; no integrator may have this name."""
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""A request or result above this is refused unread: sealed profiles end at 2 MiB (base64)."""
MAX_TEXT: Final = 4096
"""Characters of a script's message or of one console line that travel."""
MAX_CONSOLE_LINES: Final = 200
MAX_CONNECTS: Final = 64
"""Connects of one execution that travel."""

ConnectionId = Annotated[str, Field(pattern=r"^con_[A-Za-z0-9]{16}$")]
Revision = Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
"""Empty: the one that is current when the script starts."""
TraceParent = Annotated[str, Field(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Contract(BaseModel):
    """Frozen, strict in types, tolerant of the future."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", ser_json_timedelta="float", allow_inf_nan=False
    )


class Wire(Contract):
    """A message's body: encoded once, however often it is stored and sent."""

    @cached_property
    def encoded(self) -> bytes:
        """The JSON on the wire."""
        return self.model_dump_json().encode()

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A changed copy is another message: it has its own encoding."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("encoded", None)
        return copy


class Action(StrEnum):
    """What a script is asked to do; the key of `options.customScripts` (C§1.1)."""

    LOGIN = "login"
    GET_USER = "get_user"
    CREATE = "create"
    VERIFY = "verify"
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - the name of an action
    CHANGE_EMAIL = "change_email"
    DELETE = "delete"

    @property
    def idempotent(self) -> bool:
        """Whether it may run again after a lost worker (I4)."""
        return self in (Action.LOGIN, Action.GET_USER)


class Sealed(Contract):
    """AES-256-GCM ciphertext, bound to one execution and one direction (`shared.sealing`)."""

    key_id: Annotated[str, Field(min_length=1, max_length=64)]
    data: Annotated[str, Field(description="base64 of the 96-bit nonce, ciphertext and tag")]


class Binding(Wire):
    """What sealed data is bound to: it opens for exactly this and nothing else."""

    execution_id: UUID
    connection_id: ConnectionId
    revision: Revision
    action: Action
    deadline: AwareDatetime


class ClientFacts(Contract):
    """What a script may learn of the caller, in its `context` argument."""

    ip: Annotated[str, Field(max_length=64)] | None = None
    organization: dict[str, Any] | None = None


class ExecutionRequest(Binding):
    """Please run this action of this connection revision before the deadline."""

    schema_version: Literal[1] = SCHEMA_VERSION
    revision: Annotated[
        Revision,
        Field(description="absent: the current one; sealed data is then bound to an empty string"),
    ] = ""
    origin: Annotated[
        str, Field(max_length=64, description="who asks: an integrator's name; absent: auth")
    ] = AUTH
    reply_to: Annotated[
        str,
        Field(min_length=1, max_length=200, description="an integrator's begins with `<origin>.`"),
    ]
    sealed_arguments: Sealed
    requested_at: AwareDatetime
    traceparent: TraceParent | None = None
    client: ClientFacts = ClientFacts()

    @property
    def idempotent(self) -> bool:
        """Derived from the action, so that a sender can't claim otherwise (I4)."""
        return self.action.idempotent

    @model_validator(mode="after")
    def _reply_goes_to_its_origin(self) -> Self:
        if origin_of(self.reply_to) != self.origin:
            raise ValueError("reply_to belongs to somebody else than origin")
        return self


def origin_of(reply_to: str) -> str:
    """Who a reply goes to: its routing key begins with an integrator's name, and a dot."""
    name, dot, _ = reply_to.partition(".")
    return name if dot else AUTH


class DeniedReason(StrEnum):
    """Why the script said no; judged by the error's name, never by its `.code`."""

    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason, not a password
    NOT_FOUND = "not_found"
    UNAUTHORIZED = "unauthorized"
    VALIDATION = "validation"


class FailureKind(StrEnum):
    """Why there is no verdict."""

    SCRIPT_ERROR = "script_error"
    CONTRACT_VIOLATION = "contract_violation"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    EGRESS_DENIED = "egress_denied"
    TOO_LARGE = "too_large"
    CAPACITY = "capacity"
    INDETERMINATE = "indeterminate"
    MISCONFIGURED = "misconfigured"


class Detail(StrEnum):
    """The precise kind behind a failure. Each folds into one `FailureKind` (`FOLD`)."""

    CALLED_BACK_ERROR = "called_back_error"
    THREW = "threw"
    REJECTED = "rejected"
    UNCAUGHT_EXCEPTION = "uncaught_exception"
    UNHANDLED_REJECTION = "unhandled_rejection"
    CALLBACK_NEVER_CALLED = "callback_never_called"
    RESULT_NOT_SERIALIZABLE = "result_not_serializable"
    INVALID_PROFILE = "invalid_profile"
    OUTPUT_FLOOD = "output_flood"
    PROTOCOL_ERROR = "protocol_error"
    CPU_BOUND = "cpu_bound"
    WAITING = "waiting"
    DEADLINE_PASSED = "deadline_passed"
    QUEUE_EXPIRED = "queue_expired"
    GIVEN_UP = "given_up"
    PROCESS_EXIT = "process_exit"
    PROCESS_DIED = "process_died"
    POISON = "poison"
    HEAP_EXHAUSTED = "heap_exhausted"
    CONNECT_DENIED = "connect_denied"
    RESULT_TOO_LARGE = "result_too_large"
    RUNNER_UNAVAILABLE = "runner_unavailable"
    WORKER_LOST = "worker_lost"
    BIND_ERROR = "bind_error"
    NO_SUCH_SCRIPT = "no_such_script"
    UNKNOWN_REVISION = "unknown_revision"
    UNDECRYPTABLE = "undecryptable"
    UNDECODABLE = "undecodable"
    UNSUPPORTED_SCHEMA = "unsupported_schema"


FOLD: Final[dict[Detail, FailureKind]] = {
    Detail.CALLED_BACK_ERROR: FailureKind.SCRIPT_ERROR,
    Detail.THREW: FailureKind.SCRIPT_ERROR,
    Detail.REJECTED: FailureKind.SCRIPT_ERROR,
    Detail.UNCAUGHT_EXCEPTION: FailureKind.SCRIPT_ERROR,
    Detail.UNHANDLED_REJECTION: FailureKind.SCRIPT_ERROR,
    Detail.CALLBACK_NEVER_CALLED: FailureKind.CONTRACT_VIOLATION,
    Detail.RESULT_NOT_SERIALIZABLE: FailureKind.CONTRACT_VIOLATION,
    Detail.INVALID_PROFILE: FailureKind.CONTRACT_VIOLATION,
    Detail.OUTPUT_FLOOD: FailureKind.CONTRACT_VIOLATION,
    Detail.PROTOCOL_ERROR: FailureKind.CONTRACT_VIOLATION,
    Detail.CPU_BOUND: FailureKind.TIMED_OUT,
    Detail.WAITING: FailureKind.TIMED_OUT,
    Detail.DEADLINE_PASSED: FailureKind.EXPIRED,
    Detail.QUEUE_EXPIRED: FailureKind.EXPIRED,
    Detail.GIVEN_UP: FailureKind.EXPIRED,
    Detail.PROCESS_EXIT: FailureKind.CRASHED,
    Detail.PROCESS_DIED: FailureKind.CRASHED,
    Detail.POISON: FailureKind.CRASHED,
    Detail.HEAP_EXHAUSTED: FailureKind.OUT_OF_MEMORY,
    Detail.CONNECT_DENIED: FailureKind.EGRESS_DENIED,
    Detail.RESULT_TOO_LARGE: FailureKind.TOO_LARGE,
    Detail.RUNNER_UNAVAILABLE: FailureKind.CAPACITY,
    Detail.WORKER_LOST: FailureKind.INDETERMINATE,
    Detail.BIND_ERROR: FailureKind.MISCONFIGURED,
    Detail.NO_SUCH_SCRIPT: FailureKind.MISCONFIGURED,
    Detail.UNKNOWN_REVISION: FailureKind.MISCONFIGURED,
    Detail.UNDECRYPTABLE: FailureKind.MISCONFIGURED,
    Detail.UNDECODABLE: FailureKind.MISCONFIGURED,
    Detail.UNSUPPORTED_SCHEMA: FailureKind.MISCONFIGURED,
}


class Succeeded(Contract):
    """The script called back with a value; login and get_user: a profile."""

    kind: Literal["succeeded"] = "succeeded"
    sealed_value: Sealed


class Denied(Contract):
    """The script ran and said no: a null profile, or one of the three error classes (C§3.1)."""

    kind: Literal["denied"] = "denied"
    reason: DeniedReason
    code: Text | None = None
    message: Text | None = None
    user_id: Text | None = None


class Failed(Contract):
    """There is no verdict: nothing may be concluded about the user."""

    kind: Literal[
        FailureKind.SCRIPT_ERROR,
        FailureKind.CONTRACT_VIOLATION,
        FailureKind.TIMED_OUT,
        FailureKind.EXPIRED,
        FailureKind.CRASHED,
        FailureKind.OUT_OF_MEMORY,
        FailureKind.EGRESS_DENIED,
        FailureKind.TOO_LARGE,
        FailureKind.CAPACITY,
        FailureKind.INDETERMINATE,
        FailureKind.MISCONFIGURED,
    ]
    detail: Detail
    message: Text | None = None
    code: Text | None = None

    @classmethod
    def of(cls, detail: Detail, message: str | None = None, code: str | None = None) -> Failed:
        """The failure that a detail folds into; texts are cut to what may travel."""
        return cls(
            kind=FOLD[detail],
            detail=detail,
            message=message if message is None else message[:MAX_TEXT],
            code=code if code is None else code[:MAX_TEXT],
        )

    @model_validator(mode="after")
    def _kind_matches_detail(self) -> Failed:
        if FOLD[self.detail] is not self.kind:
            raise ValueError(f"detail {self.detail} belongs to {FOLD[self.detail]}")
        return self


Outcome = Annotated[Succeeded | Denied | Failed, Field(discriminator="kind")]
OUTCOME: Final[TypeAdapter[Succeeded | Denied | Failed]] = TypeAdapter(Outcome)
OUTCOME_KINDS: Final = ("succeeded", "denied", *(str(kind) for kind in FailureKind))
"""The closed label set of metrics."""


class ViolationKind(StrEnum):
    """A broken callback rule (C§4.5) that did not change the outcome."""

    CALLBACK_TWICE = "callback_twice"
    THREW_AFTER_CALLBACK = "threw_after_callback"
    REJECTED_AFTER_CALLBACK = "rejected_after_callback"
    FAULT_AFTER_CALLBACK = "fault_after_callback"
    LATE_CALLBACK = "late_callback"
    FORGED_FRAME = "forged_frame"
    EGRESS_DENIED = "egress_denied"


class Violation(Contract):
    """One violation, with what the runner knew of it."""

    kind: ViolationKind
    message: Text | None = None


class ConsoleLine(Contract):
    """One line a script wrote; passwords and configuration values are already masked."""

    level: Literal["log", "info", "warn", "error", "debug", "trace"]
    text: Text
    truncated: bool = False


class EgressConnect(Contract):
    """A connect that the script asked for. Without the full sandbox nobody sees any."""

    address: Annotated[str, Field(max_length=64, description="empty: no internet address")] = ""
    port: int = 0
    verdict: EgressVerdict


Seconds = Annotated[timedelta, Field(strict=False, ge=timedelta(0))]
"""A duration; a JSON number of seconds on the wire."""


class Timings(Contract):
    """Where the time went, in seconds."""

    queued: Seconds = timedelta(0)
    claimed: Seconds = timedelta(0)
    bound: Seconds = timedelta(0)
    ran: Seconds = timedelta(0)


class RunnerFacts(Contract):
    """Which process ran the script."""

    worker: Annotated[str, Field(max_length=128)] = ""
    pid: int = 0
    node: Annotated[str, Field(max_length=32)] = ""
    uses: int = 0
    warm: bool = False


class ExecutionResult(Binding):
    """The one outcome of an execution. Every published copy carries the same (I1)."""

    schema_version: Literal[1] = SCHEMA_VERSION
    origin: Annotated[str, Field(max_length=64)] = AUTH
    outcome: Outcome
    attempt: Annotated[int, Field(ge=0, description="0: decided without a run")]
    timings: Timings = Timings()
    violations: tuple[Violation, ...] = ()
    console: Annotated[tuple[ConsoleLine, ...], Field(max_length=MAX_CONSOLE_LINES)] = ()
    egress: Annotated[tuple[EgressConnect, ...], Field(max_length=MAX_CONNECTS)] = ()
    runner: RunnerFacts | None = None
    traceparent: TraceParent | None = None
