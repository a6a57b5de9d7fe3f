"""Why a runner is ended."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from shared.contracts import Detail


class RetireReason(StrEnum):
    """Why a runner was ended; a closed set, a metric's label."""

    TIMEOUT = "timeout"
    CRASH = "crash"
    OUT_OF_MEMORY = "out_of_memory"
    VIOLATION = "violation"
    FAULT_AFTER_CALLBACK = "fault_after_callback"
    OUTPUT_FLOOD = "output_flood"
    PROTOCOL_ERROR = "protocol_error"
    BIND_ERROR = "bind_error"
    CANCELLED = "cancelled"
    USES = "uses"
    AGE = "age"
    IDLE = "idle"
    MEMORY_GROWTH = "memory_growth"
    BUSY_WHILE_IDLE = "busy_while_idle"
    REVISION_CHANGED = "revision_changed"
    EVICTED = "evicted"
    DRAIN = "drain"


DOOM: Final = {
    Detail.PROCESS_EXIT: RetireReason.CRASH,
    Detail.PROCESS_DIED: RetireReason.CRASH,
    Detail.HEAP_EXHAUSTED: RetireReason.OUT_OF_MEMORY,
    Detail.OUTPUT_FLOOD: RetireReason.OUTPUT_FLOOD,
    Detail.PROTOCOL_ERROR: RetireReason.PROTOCOL_ERROR,
    Detail.CPU_BOUND: RetireReason.TIMEOUT,
    Detail.WAITING: RetireReason.TIMEOUT,
    Detail.RUNNER_UNAVAILABLE: RetireReason.CRASH,
}
"""What a failure of its own makes of a runner."""
