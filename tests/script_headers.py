"""What a script of a corpus says of itself, in its first comment lines: `// key: value`."""

from __future__ import annotations

import re
from collections.abc import Collection

from services.script_worker.runs import Run
from services.script_worker.verdicts import Value
from shared.contracts import Denied, Failed

_HEADER = re.compile(r"^// ([a-z_]+): (.*)$")


def headers(text: str, keys: Collection[str]) -> dict[str, str]:
    """The headers of these names; other comments are prose."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _HEADER.match(line)
        if match is None and not line.startswith("//"):
            break
        if match is not None and match[1] in keys:
            found[match[1]] = match[2].strip()
    return found


def words(header: str) -> set[str]:
    """The words of a header's list; `none` is an empty one."""
    return {word for word in re.split(r"[,\s]+", header) if word} - {"none"}


def outcome_of(run: Run) -> dict[str, str | None]:
    """The fields of an outcome that headers name."""
    match run.outcome:
        case Value():
            return {"outcome": "succeeded"}
        case Denied() as denied:
            return {"outcome": "denied", "reason": str(denied.reason), "message": denied.message}
        case Failed() as failed:
            return {
                "outcome": str(failed.kind),
                "detail": str(failed.detail),
                "message": failed.message,
            }
