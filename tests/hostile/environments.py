"""Where the corpus is run: on this machine as it is, and inside a restricted pod.

Several workers share it: an attack mostly waits, for a process to start or to be gone. Each has an
arena of its own, so that what is hurt is known to be hurt by the attack that it tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from tests.hostile.attacks import all_attacks
from tests.hostile.campaign import CANARY, FORGED_EVENT
from tests.hostile.pod import NOT_POSSIBLE, ROOT, NotPossible, Pod


class Where(StrEnum):
    """An environment."""

    AS_IS = "as is"
    POD = "restricted pod"


WORKERS: Final = 3
_WITHIN: Final = 900.0
Line = dict[str, Any]


def must_run() -> bool:
    """On CI nothing may be left out."""
    return bool(os.environ.get("CI"))


def run(where: Where, names: Sequence[str] = ()) -> Iterator[Line]:
    """The campaigns' lines as they come, of those names or of all; one more for a process that did
    not live to the end.

    Raises NotPossible.
    """
    chosen = names or [attack.name for attack in all_attacks()]
    shares = [share for number in range(WORKERS) if (share := chosen[number::WORKERS])]
    told: SimpleQueue[Line | None] = SimpleQueue()

    def work(share: Sequence[str]) -> None:
        try:
            with closing(_worker(where, share)) as lines:
                for line in lines:
                    told.put(line)
        finally:
            told.put(None)

    with ThreadPoolExecutor(WORKERS) as workers:
        working = [workers.submit(work, share) for share in shares]
        for _ in shares:
            yield from iter(told.get, None)
        for each in working:
            each.result()


def _worker(where: Where, names: Sequence[str]) -> Generator[Line]:
    with tempfile.TemporaryDirectory(prefix="trickle-hostile-") as folder:
        scratch, log = Path(folder), Path(folder, "log")
        (scratch / "scratch").mkdir()
        scratch.chmod(0o755)
        command = [sys.executable, "-m", "tests.hostile.campaign", str(scratch / "scratch"), *names]
        if where is Where.POD:
            command = Pod.fetched().command(scratch / "scratch", command)
        with log.open("wb") as errors:
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, CANARY: f"canary-{os.urandom(16).hex()}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        with worker:
            try:
                assert worker.stdout is not None
                yield from map(json.loads, worker.stdout)
                code = worker.wait(timeout=_WITHIN)
            finally:
                worker.kill()
        yield from _end(code, log.read_text(errors="replace"))


def _end(code: int, log: str) -> Iterator[Line]:
    tail = log[-2000:].strip()
    if code == NOT_POSSIBLE:
        raise NotPossible(tail)
    if code != 0:
        yield {"problems": [f"the worker ended with {code}: {tail}"]}
    elif bad := [line for line in log.splitlines() if not _is_ours(line)]:
        yield {"problems": [f"its log has a line that it did not write: {bad[0][:500]}"]}


def _is_ours(line: str) -> bool:
    """A line of the log is one JSON object, and no script can write one of its own."""
    try:
        return bool(json.loads(line)["event"] != FORGED_EVENT)
    except (ValueError, TypeError, KeyError):
        return False
