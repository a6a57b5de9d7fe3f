"""What Node has to be able to open: itself, its libraries, and what name resolution reads."""

from __future__ import annotations

import os
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

_SYSTEM: Final = (
    # Names and services of the network, time zones, certificates; never /etc/ssl/private.
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/localtime", "/usr/share/zoneinfo"),
    *("/etc/ssl/openssl.cnf", "/etc/ssl/certs", "/usr/lib/ssl/openssl.cnf", "/etc/pki/tls/certs"),
    *("/usr/share/ca-certificates", "/etc/ca-certificates/extracted"),
    # What `os.cpus()` and `os.freemem()` are made from.
    *("/proc/cpuinfo", "/proc/stat", "/proc/meminfo", "/proc/loadavg", "/proc/uptime"),
    *("/sys/devices/system/cpu", "/sys/fs/cgroup"),
    *("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"),
)
_LOADED_LATE: Final = ("libnss_*.so*", "libresolv.so*", "libgcc_s.so*", "libstdc++.so*")
"""What the C library opens when it needs it, and what native modules link to."""
_LISTING_WITHIN: Final = 10.0


def system_files() -> tuple[str, ...]:
    """Files and directories, whether they exist or not."""
    return _SYSTEM


def interpreter_of(binary: str) -> str | None:
    """The dynamic loader that an ELF program asks for; None: it is static, or no ELF."""
    with Path(binary).open("rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":
            return None
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        for index in range(count):
            file.seek(offset + index * size)
            kind, _, place, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == 3:  # PT_INTERP
                file.seek(place)
                return file.read(length).rstrip(b"\0").decode()
    return None


def libraries_of(binary: str, loader: str) -> tuple[str, ...]:
    """The shared libraries of a program, as its own loader finds them, and those loaded late."""
    done = subprocess.run(  # noqa: S603 - the loader that the trusted program names
        [loader, "--list", binary],
        capture_output=True,
        text=True,
        env={},
        cwd="/",
        timeout=_LISTING_WITHIN,
        check=False,
    )
    words = (word for line in done.stdout.splitlines() for word in line.split())
    found = {word for word in words if word.startswith("/")}
    late = {
        str(path)
        for folder in sorted({os.path.dirname(library) for library in found})  # noqa: PTH120
        for pattern in _LOADED_LATE
        for path in Path(folder).glob(pattern)
    }
    return tuple(sorted(found | late))


def program_files(binary: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of a program is executed, and what it reads: itself and its loader, its libraries."""
    loader = None
    with suppress(OSError, struct.error):
        loader = interpreter_of(binary)
    if loader is None:
        return (binary,), ()
    try:
        libraries = libraries_of(binary, loader)
    except (OSError, subprocess.SubprocessError):
        libraries = ()
    if not libraries:  # a loader that can't list: all libraries then, and nothing else
        libraries = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
    return (binary, loader), libraries
