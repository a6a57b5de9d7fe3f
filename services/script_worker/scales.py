"""What runners cost: memory, and time of a processor that no call is charged for.

Reading a process's PSS takes the kernel about a millisecond, on our loop, so a few are read at a
time, in turn. RSS would count shared text once for each and overstate it fourfold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container
from typing import Final

from services.script_worker.accounting import cpu_seconds, pss
from services.script_worker.node_process import NodeProcess

SAMPLED: Final = 4
"""Processes that are weighed at a time."""
BUSY_WHILE_IDLE: Final = 0.2
"""Of a core, by a runner that nobody asks anything: a script left threads or timers at work that
no call is charged for. An honest one uses next to nothing between calls."""


class Scales:
    """The latest weight of each process."""

    def __init__(self) -> None:
        """Nothing is weighed yet."""
        self._pss: dict[NodeProcess, int] = {}
        self._cpu: dict[NodeProcess, tuple[float, float]] = {}
        """When a process was weighed last, and the CPU time that it had used by then."""

    def weigh(
        self, alive: Collection[NodeProcess], idle: Container[NodeProcess]
    ) -> set[NodeProcess]:
        """Weigh the next few; those of them that were busy while they were idle."""
        due = [process for process in alive if process not in self._pss]
        if not due:
            due, self._pss = [*alive], {}
        busy = set()
        for process in due[:SAMPLED]:
            self._pss[process] = pss(process.pid)
            if self._burns(process) and process in idle:
                busy.add(process)
        return busy

    def heavier_than(self, most: int) -> list[NodeProcess]:
        """Those with a PSS of more bytes than that."""
        return [process for process, pss in self._pss.items() if pss > most]

    @property
    def mean(self) -> float:
        """Bytes of PSS of one of those that were weighed; 0 if none was."""
        return sum(self._pss.values()) / len(self._pss) if self._pss else 0.0

    def forget(self, process: NodeProcess) -> None:
        """It is gone."""
        self._pss.pop(process, None)
        self._cpu.pop(process, None)

    def _burns(self, process: NodeProcess) -> bool:
        """Whether it was asked nothing since it was weighed last, and busy all the same."""
        now, used = asyncio.get_running_loop().time(), cpu_seconds(process.pid)
        since, before = self._cpu.get(process, (now, used))
        self._cpu[process] = (now, used)
        return process.used <= since and used - before > BUSY_WHILE_IDLE * (now - since) > 0
