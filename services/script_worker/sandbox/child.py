"""From a fork to another program: what a child is left with."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
from contextlib import suppress
from typing import Final, NoReturn

from services.script_worker.sandbox.confinement import Confinement, limit

ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LANG": "C.UTF-8"}
ONE_BY_ONE: Final = {"RES_OPTIONS": "single-request"}
"""The C library then sends one question at a time: the syscall that sends two takes addresses."""
NAMES_OVER_TCP: Final = {"RES_OPTIONS": "use-vc"}
"""The C library's resolver and Node's then ask over TCP: there is no UDP without a supervisor."""
PR_SET_PDEATHSIG: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    if _libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def die_with(parent: int, signum: int) -> None:
    """Ask the kernel for a signal when the parent ends; it may have ended before we asked."""
    prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(0)


def become(
    argv: list[str],
    output: int,
    control: int,
    launcher: int,
    confinement: Confinement | None,
    channel: socket.socket | None,
) -> NoReturn:
    """The child's side of the fork: never returns, never runs the launcher's own code again."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        _reset_signals()
        _arrange(output, control)
        os.umask(0o077)
        os.chdir("/")
        die_with(launcher, signal.SIGKILL)
        if confinement is None:
            limit()
        else:
            confinement.apply(channel)
        os.closerange(4, 4096)  # a second lock: all of ours close at exec anyway
        os.execve(argv[0], argv, ENVIRONMENT | _names(confinement))  # noqa: S606 - a shell is what we avoid
    except BaseException as error:  # noqa: BLE001 - the next statement ends the process
        with suppress(OSError):
            os.write(2, f"cannot start {argv[0]}: {error}\n".encode())
    os._exit(127)


def _names(confinement: Confinement | None) -> dict[str, str]:
    if confinement is None or not confinement.pieces.seccomp:
        return {}
    return ONE_BY_ONE if confinement.pieces.supervised else NAMES_OVER_TCP


def _arrange(output: int, control: int) -> None:
    """Three descriptors and the channel; all the others of ours close at exec."""
    # Moved out of the way first: a received descriptor may itself be number 0 to 3.
    output = fcntl.fcntl(output, fcntl.F_DUPFD_CLOEXEC, 10)
    control = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, 10)
    null = fcntl.fcntl(os.open(os.devnull, os.O_RDONLY), fcntl.F_DUPFD_CLOEXEC, 10)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(control, 3)


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGXFSZ}:
        with suppress(OSError, ValueError):  # the C library keeps two for itself
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
