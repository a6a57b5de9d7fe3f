"""Where the corpus is run: on this machine as it is, and inside a restricted pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tests.hostile.campaign import CANARY, FORGED_EVENT
from tests.hostile.pod import NOT_POSSIBLE, ROOT, NotPossible, Pod


class Where(StrEnum):
    """An environment."""

    AS_IS = "as is"
    POD = "restricted pod"


_WITHIN: Final = 900.0


def must_run() -> bool:
    """On CI nothing may be left out."""
    return bool(os.environ.get("CI"))


def run(where: Where, names: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The campaign's lines as they come; one more if its process did not live to the end.

    Raises NotPossible.
    """
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


def _end(code: int, log: str) -> Iterator[dict[str, Any]]:
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
