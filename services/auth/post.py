"""Where mails go: read by the settings, obeyed by the outbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Post:
    """Where mails go: a server, a folder, or nowhere yet."""

    sender: str
    server: str | None = field(default=None, repr=False)
    folder: Path | None = None
