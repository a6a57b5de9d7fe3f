"""What the kernel counts of a process, by /proc; 0 of one that is gone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> int:
    """Proportional memory in bytes. Costs about a millisecond."""
    return _kilobytes(pid, "smaps_rollup", "Pss") * 1024


def data_used(pid: int) -> int:
    """What RLIMIT_DATA counts."""
    return _kilobytes(pid, "status", "VmData") * 1024


def cpu_seconds(pid: int) -> float:
    """What all its threads have used so far."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(stat[11]) + int(stat[12])) / _TICKS


def busy_nanoseconds(pid: int) -> int:
    """Time of the main thread on a CPU or waiting for one."""
    try:
        run, wait, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0
    return int(run) + int(wait)


def _kilobytes(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
