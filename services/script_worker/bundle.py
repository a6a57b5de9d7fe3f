"""What a runner is bound to: one revision of one connection, decrypted, ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.contracts import Action


@dataclass(frozen=True, slots=True)
class Bundle:
    """The scripts and configuration of one connection revision; its repr shows ids only."""

    connection_id: str
    revision: str
    scripts: Mapping[Action, str] = field(repr=False)
    configuration: Mapping[str, str] = field(repr=False)
    with_context: bool = False
    magic_globals: bool = False
    """Whether `mysql`, `request` and their like are there without `require` (C§4.4)."""
    egress: tuple[str, ...] | None = None
    """`host:port` that its scripts may connect to; None: whatever the worker allows."""

    @property
    def key(self) -> tuple[str, str]:
        """What a runner belongs to for life."""
        return self.connection_id, self.revision
