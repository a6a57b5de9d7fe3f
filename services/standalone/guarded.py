"""A child program under a guard, as the rest of the standalone package starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from shared.errors import Unavailable

_GUARD: Final = Path(__file__).with_name("guard.py")


class Guarded:
    """A running program that ends with us, however we end. Thread-safe; `stop` may repeat."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stop_signal: str = "SIGTERM",
        grace: float = 10.0,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Start it. Output goes to the file `log`, or to our standard error.

        `scratch` is deleted should we die; otherwise it is ours to delete.
        """
        self._grace = grace
        self._lock = threading.Lock()
        output: IO[bytes] | None = log.open("ab") if log is not None else None
        try:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_GUARD)),
                    *(stop_signal, str(grace), str(scratch or "-"), *command),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()
        assert self._guard.stdout is not None  # noqa: S101 - a pipe was asked for
        with self._guard.stdout as announced:
            line = announced.readline()
        if not line:
            self._guard.wait()
            raise Unavailable(f"{command[0]} could not be started")
        self.pid = int(line)

    @property
    def returncode(self) -> int | None:
        """The program's exit code, None while it runs; 128 + n when signal n ended it."""
        return self._guard.poll()

    def wait(self) -> int:
        """Block until the program has ended."""
        return self._guard.wait()

    def stop(self) -> None:
        """Ask it to end, kill its group after the grace, wait until it is gone."""
        with self._lock:
            if self._guard.stdin is not None and not self._guard.stdin.closed:
                with suppress(BrokenPipeError):  # it has ended by itself
                    self._guard.stdin.write(b".")
                    self._guard.stdin.flush()
                with suppress(BrokenPipeError):
                    self._guard.stdin.close()
        try:
            self._guard.wait(self._grace + 5)
        except subprocess.TimeoutExpired:
            self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself; fine if it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self._guard.wait()
