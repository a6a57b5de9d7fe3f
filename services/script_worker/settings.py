"""The script worker's settings: read once in `__main__`, handed on as values."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from services.script_worker.sandbox.levels import Level
from shared.settings import ServiceSettings


class WorkerSettings(ServiceSettings):
    """What an operator can choose. Everything else is a constant with its reason beside it."""

    concurrency: int = Field(
        default=16, ge=1, le=512, description="executions in hand at once; prefetch adds up to it"
    )
    processes_per_connection: int = Field(
        default=4, ge=1, le=64, description="Node processes that one connection may use at once"
    )
    max_processes: int = Field(
        default=32, ge=1, le=1024, description="Node processes in all, blanks included"
    )
    blanks: int = Field(
        default=2, ge=0, le=32, description="Node processes kept ready for a new connection"
    )
    memory_per_process: int = Field(
        default=384 * 1024 * 1024,
        ge=64 * 1024 * 1024,
        description="bytes a script may allocate beyond an idle Node process",
    )
    node: Path | None = Field(
        default=None, description="the Node executable; default: the one of the installed wheel"
    )
    isolation_required: Level = Field(
        default=Level.RLIMITS,
        description="the least sandbox to run scripts in (docs/security.md); with less than that"
        " the worker does not start, exit code 78",
    )
    modules: Path | None = Field(
        default=None, description="folder whose node_modules scripts may require"
    )

    @property
    def worker_name(self) -> str:
        """Names this process to the broker and the database."""
        return f"script-worker-{os.getpid()}"
