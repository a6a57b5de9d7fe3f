"""How much of the sandbox a machine gives: a closed, ordered set, and what each is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """From the least to the most; each holds what the ones before it hold."""

    RLIMITS = "rlimits"
    """An empty environment, limits, no new privileges; besides, whatever piece was to be had."""
    FS = "fs"
    """And no file but Node's own, no other process or program, no signal, TCP only."""
    FS_NET = "fs+net"
    """And TCP to the ports only that the operator lists."""
    FULL = "full"
    """And every connect is judged by its address, and made by the launcher."""

    @property
    def rank(self) -> int:
        """Comparable: more is more."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Means of the kernel that are put to use."""

    landlock: bool = False
    ports: bool = False
    """Landlock bounds the ports, because nobody judges addresses."""
    seccomp: bool = False
    supervised: bool = False

    def names(self) -> list[str]:
        """For a person."""
        return [name for name in ("landlock", "ports", "seccomp", "supervised") if self.has(name)]

    def has(self, name: str) -> bool:
        """Whether a piece is among them."""
        return bool(getattr(self, name))


LADDER: Final = (
    (Level.FULL, Pieces(landlock=True, seccomp=True, supervised=True)),
    (Level.FS_NET, Pieces(landlock=True, ports=True, seccomp=True)),
    (Level.FS, Pieces(landlock=True, seccomp=True)),
    (Level.RLIMITS, Pieces(seccomp=True)),
    (Level.RLIMITS, Pieces(landlock=True)),
    (Level.RLIMITS, Pieces()),
)
"""Tried from the top; the first of which everything works is the one."""
