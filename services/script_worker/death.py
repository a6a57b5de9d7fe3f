"""What a runner died of, by what is left of it. Pure."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Final

from services.script_worker.node_command import NodeCommand
from shared.contracts import Detail, Failed

THREAD_MIB: Final = 530
"""What each thread of Node's reserves; nearly all of it is never touched, and counts all the same."""
_OUT_OF_MEMORY: Final = re.compile(
    rb"heap out of memory|Fatal (?:process|JavaScript) out of memory|std::bad_alloc", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What is known when nothing more will be heard."""

    asked_to_exit: int | None
    """The code with which its script called `process.exit`."""
    reaped: bool
    exit_code: int | None
    """As the launcher told it, negative: the signal. None: there is no launcher any more."""
    output: bytes | bytearray
    last_words: str
    """The end of the output, for a person; not yet redacted."""

    def failure(self, command: NodeCommand) -> Failed:
        """What becomes of the call in hand."""
        if self.asked_to_exit is not None:
            return Failed.of(
                Detail.PROCESS_EXIT, f"the script called process.exit({self.asked_to_exit})"
            )
        if _OUT_OF_MEMORY.search(self.output):
            heap, data = command.heap_mib, command.data_bytes >> 20
            return Failed.of(
                Detail.HEAP_EXHAUSTED,
                f"the script ran out of memory (heap limit {heap} MiB; {data} MiB in all, and"
                f" a worker thread alone takes {THREAD_MIB})",
            )
        said = f": {self.last_words}" if self.last_words else ""
        return Failed.of(Detail.PROCESS_DIED, self._end() + said)

    def _end(self) -> str:
        if not self.reaped:
            return "the process closed its control channel"
        if self.exit_code is None:
            return "the launcher was lost"
        if self.exit_code < 0:
            return f"the process died by {_signal_name(-self.exit_code)}"
        return f"the process ended with code {self.exit_code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
