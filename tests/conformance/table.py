"""The table of calls in `docs/auth0-compatibility.md`: what a run saw, and nothing else.

A run compares; with `TRICKLE_WRITE_CONFORMANCE=1` it writes the rows of the clients that it ran.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "auth0-compatibility.md"
_BEGIN: Final = "<!-- conformance: begin -->\n"
_END: Final = "<!-- conformance: end -->\n"
_HEAD: Final = "| client | call | passed |\n|---|---|---|\n"


def agrees(calls: list[dict[str, Any]]) -> bool:
    """Whether the document says of these calls' client what the run saw."""
    client = str(calls[0]["client"])
    seen = [_row(call) for call in calls]
    before, rows, after = _read()
    if os.environ.get("TRICKLE_WRITE_CONFORMANCE"):  # noqa: TID251 - a switch of the test run
        kept = [row for row in rows if _series(row) != _series(seen[0])]
        table = "".join(sorted(kept, key=_series) + seen)
        DOCUMENT.write_text(f"{before}{_BEGIN}{_HEAD}{table}{_END}{after}", encoding="utf-8")
        return True
    return seen == [row for row in rows if row.startswith(f"| {client} |")]


def _row(call: dict[str, Any]) -> str:
    passed = "yes" if call["problem"] is None else f"no: {call['problem']}".replace("|", "\\|")
    return f"| {call['client']} | {call['call']} | {passed} |\n"


def _series(row: str) -> str:
    """A client and its major version: what a newer release's rows replace."""
    return re.sub(r"(\d+)\.[\d.]+", r"\1", row.split("|")[1].strip())


def _read() -> tuple[str, list[str], str]:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(_BEGIN)
    table, _, after = rest.partition(_END)
    return before, table.removeprefix(_HEAD).splitlines(keepends=True), after
