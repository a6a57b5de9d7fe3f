"""Landlock: files, TCP ports and scopes that a process gives up for good, unprivileged.

Best effort by ABI: what this kernel doesn't know is left out; the levels are probed, not read off
a version (`levels`). Source: Documentation/userspace-api/landlock.rst of the kernel.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | 0x4000 | 0x8000
_ALL_FILES: Final = ((1, 0x1FFF), (2, 0x2000), (3, 0x4000), (5, 0x8000))
"""Rights by the ABI that brought them: the first thirteen, REFER, TRUNCATE, IOCTL_DEV."""
BIND_TCP, CONNECT_TCP = 1, 2
_NET_ABI, _SCOPE_ABI = 4, 6
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_PATH_BENEATH, _NET_PORT = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Files:
    """What may be opened; nothing may be written. Held as descriptors, opened ahead."""

    beneath: tuple[tuple[int, int], ...] = ()
    """Descriptor and rights."""

    @classmethod
    def opened(cls, *, execute: Iterable[str], read: Iterable[str]) -> Files:
        """Open what exists of these; a directory stands for all that is beneath it."""
        opened: list[tuple[int, int]] = []
        for rights, paths in ((EXECUTE | READ_FILE, execute), (READ_FILE | READ_DIR, read)):
            for path in paths:
                with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    opened.append((os.open(path, os.O_PATH | os.O_CLOEXEC), rights))
        return cls(tuple(opened))

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor, _ in self.beneath:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What is left to a process."""

    files: Files = field(default_factory=Files)
    ports: tuple[int, ...] | None = ()
    """TCP ports that may be connected to; None: any. Nothing may be bound."""


def abi() -> int:
    """The kernel's version of Landlock, 0 without one."""
    version: int = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, version)


def restrict(ruleset: Ruleset) -> None:
    """Give everything else up. Raises OSError, and then nothing is given up.

    Runs in the child: its own /proc/self is among the rules, and a rule names a directory, not a
    path. Opened in the launcher it would be the launcher's.
    """
    version = abi()
    handled = sum(right for since, right in _ALL_FILES if version >= since)
    net = 0
    if version >= _NET_ABI:
        net = BIND_TCP if ruleset.ports is None else BIND_TCP | CONNECT_TCP
    scopes = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPE_ABI else 0
    size = 8 if version < _NET_ABI else 16 if version < _SCOPE_ABI else 24
    attributes = struct.pack("=QQQ", handled, net, scopes)[:size]
    rules = _call(_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        own = os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
        for descriptor, rights in (*ruleset.files.beneath, (own, READ_FILE | READ_DIR)):
            _allow_beneath(rules, descriptor, rights & handled)
        os.close(own)
        for port in ruleset.ports or () if net else ():
            _call(
                _ADD,
                ctypes.c_int(rules),
                ctypes.c_int(_NET_PORT),
                struct.pack("=QQ", CONNECT_TCP, port),
                ctypes.c_uint(0),
            )
        _call(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint(0))
    finally:
        os.close(rules)


def _allow_beneath(rules: int, descriptor: int, rights: int) -> None:
    if not _is_directory(descriptor):
        rights &= _OF_FILES
    beneath = struct.pack("=Qi", rights, descriptor)
    _call(_ADD, ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), beneath, ctypes.c_uint(0))


def _is_directory(descriptor: int) -> bool:
    return os.fstat(descriptor).st_mode & 0o170000 == 0o040000


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock: {os.strerror(ctypes.get_errno())}")
    return result
