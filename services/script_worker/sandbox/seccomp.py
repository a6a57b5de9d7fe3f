"""The syscalls that a runner has left, for x86-64 and aarch64, and how to give up the others.

Rule 1: what is not named here does not exist (ENOSYS): a syscall that a later kernel brings is
        refused until somebody has looked at it, and libraries fall back to what they did before.
Rule 2: one process: threads yes, another process, another program, another session no.
Rule 3: nobody else: no signal, no tracing, no shared memory, no priority but its own.
Rule 4: TCP only, outward only; where there is a supervisor (`supervisor`), it connects, and then
        UDP to the one that it connected to: no send names an address.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from typing import Final

from services.script_worker.sandbox import bpf
from services.script_worker.sandbox.bpf import ALLOW, NOTIFY, Check, Rule, When, refuse
from services.script_worker.sandbox.syscalls import NUMBERS, Machine

ARCHITECTURES: Final[dict[Machine, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_ALLOWED: Final = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range
dup dup2 dup3 fstat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
getdents64 getcwd chdir fchdir statfs fstatfs fsync fdatasync fadvise64 sendfile umask
mmap mprotect munmap mremap madvise brk mincore membarrier pkey_alloc pkey_mprotect pkey_free
futex set_robust_list get_robust_list rseq set_tid_address arch_prctl
sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min getpriority exit exit_group rt_sigaction rt_sigprocmask rt_sigreturn
rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall pause
nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times getrusage
timerfd_create timerfd_settime timerfd_gettime epoll_create epoll_create1 epoll_ctl epoll_wait
epoll_pwait epoll_pwait2 eventfd eventfd2 pipe pipe2 poll ppoll select pselect6
getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid
getsid uname sysinfo getrandom getcpu getrlimit capget
getsockname getpeername getsockopt shutdown recvfrom recvmsg
"""
_FORBIDDEN: Final = """
fork vfork execveat ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd
pidfd_send_signal tkill rt_sigqueueinfo rt_tgsigqueueinfo wait4 waitid
unshare setns mount umount2 pivot_root chroot bpf perf_event_open keyctl add_key request_key
memfd_create shmget msgget semget setrlimit capset seccomp
mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat mknod
mknodat creat truncate ftruncate fallocate chmod fchmod fchmodat fchmodat2 chown fchown lchown
fchownat utime utimes utimensat futimesat setxattr lsetxattr fsetxattr removexattr lremovexattr
fremovexattr setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
setpgid setsid setpriority ioprio_set sched_setscheduler sched_setparam sched_setattr
sched_setaffinity inotify_init inotify_init1 inotify_add_watch socketpair
bind listen accept accept4 sendmmsg recvmmsg
"""
"""EPERM rather than ENOSYS, so that a script's author reads what it is."""

_WRITING: Final = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_THREAD: Final = 0x3D0F00
"""CLONE_VM|FS|FILES|SIGHAND|THREAD|SYSVSEM|SETTLS|PARENT_SETTID|CHILD_CLEARTID: what the C
library starts a thread with; musl adds CLONE_DETACHED (0x400000), which means nothing any more."""
_IOCTLS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: not TIOCSTI, not FIOSETOWN."""
_FCNTLS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 36, 37, 38, 1032, 1034)
"""Duplicates, flags, locks, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS: not F_SETOWN or F_SETSIG,
by which a process can have any signal sent to another."""
_PRCTLS: Final = (3, 15, 16, 21, 0x53564D41)
"""GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, SET_VMA (names of mappings)."""
_FAST_OPEN: Final = 0x20000000
"""MSG_FASTOPEN: a `connect` hidden in a send."""

_SOCKET_LEVELS: Final = (1, 6)
"""SOL_SOCKET, IPPROTO_TCP."""
_IP_OPTIONS: Final = (1, 2, 10, 11)
"""IP_TOS, IP_TTL, IP_MTU_DISCOVER, IP_RECVERR: not IP_OPTIONS, whose source route leads a connected
socket's packets elsewhere, and no membership of a multicast group."""
_IPV6_OPTIONS: Final = (16, 23, 25, 26, 67)
"""IPV6_UNICAST_HOPS, _MTU_DISCOVER, _RECVERR, _V6ONLY, _TCLASS."""


def machine() -> Machine | None:
    """This machine, if there is a table for it."""
    return next((each for each in ARCHITECTURES if each == platform.machine()), None)


def program(on: Machine, pid: int, channel: int | None) -> list[bpf.Instruction]:
    """The filter of process `pid`. With a `channel`, its connects are asked for, and its exec.

    The channel is the descriptor by which it hands over its listener: a number beyond the limit of
    descriptors, so that no later one can have it.
    """
    numbers = NUMBERS[on]
    rules = {numbers[name]: rule for name, rule in _rules(pid, channel) if name in numbers}
    return bpf.assemble(
        ARCHITECTURES[on], rules, default=refuse(errno.ENOSYS), refuse_x32=on == "x86_64"
    )


def _rules(pid: int, channel: int | None) -> Iterator[tuple[str, Rule]]:
    for name in _ALLOWED.split():
        yield name, ALLOW
    for name in _FORBIDDEN.split():
        yield name, refuse(errno.EPERM)
    asked = ALLOW if channel is None else NOTIFY
    yield "connect", asked
    # Landlock leaves one program to execute. Supervised, it is executed once.
    yield "execve", asked
    yield "clone", _when(errno.EPERM, Check(0, (_THREAD, _THREAD | 0x400000)))
    yield "clone3", refuse(errno.ENOSYS)  # its flags are behind a pointer; `clone` is tried next
    yield "kill", _when(errno.EPERM, Check(0, (pid, 0)))  # 0: its own group, which is it alone
    yield "tgkill", _when(errno.EPERM, Check(0, (pid,)))
    yield "prlimit64", _when(errno.EPERM, Check(0, (0, pid)), Check(2, (0,), wide=True))
    for name, flags in (("open", 1), ("openat", 2)):
        yield name, _when(errno.EACCES, Check(flags, (os.O_RDONLY,), mask=_WRITING))
    yield "ioctl", _when(errno.ENOTTY, Check(1, _IOCTLS))
    yield "fcntl", _when(errno.EPERM, Check(1, _FCNTLS))
    yield "prctl", _when(errno.EPERM, Check(0, _PRCTLS))
    yield from _network(channel)


def _network(channel: int | None) -> Iterator[tuple[str, Rule]]:
    # TCP in both families, and neither MPTCP nor SCTP, which Landlock does not look at. The errno
    # is what name resolution takes for "no such family here", and then does without.
    internet, no_family = Check(0, (2, 10)), refuse(errno.EAFNOSUPPORT)
    udp = When((internet, Check(1, (2,), mask=0xF), Check(2, (0, 17))), no_family)
    yield (
        "socket",
        When(
            (internet, Check(1, (1,), mask=0xF), Check(2, (0, 6))),
            no_family if channel is None else udp,
        ),
    )
    # An address in a send makes a connected UDP socket an unconnected one. The filter sees that
    # `sendto` has none; `sendmsg` has it behind a pointer.
    yield (
        "sendto",
        _when(errno.EPERM, Check(3, (0,), mask=_FAST_OPEN), Check(4, (0,), wide=True)),
    )
    by_whom = () if channel is None else (Check(0, (channel,)),)
    yield "sendmsg", _when(errno.EPERM, Check(2, (0,), mask=_FAST_OPEN), *by_whom)
    yield (
        "setsockopt",
        When(
            (Check(1, _SOCKET_LEVELS),),
            When(
                (Check(1, (0,)), Check(2, _IP_OPTIONS)),
                _when(errno.EPERM, Check(1, (41,)), Check(2, _IPV6_OPTIONS)),
            ),
        ),
    )


def _when(otherwise: int, *checks: Check) -> When:
    return When(checks, refuse(otherwise))


_SET_MODE_FILTER: Final = 1
_NEW_LISTENER, _WAIT_KILLABLE = 0x8, 0x20


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(on: Machine, filters: list[bpf.Instruction], *, listen: bool) -> int:
    """Give the syscalls up, for good. With `listen` the descriptor to supervise by, else 0.

    Raises OSError. Needs no_new_privs, and only one thread may be there yet.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    packed = _Program(len(filters), bpf.pack(filters))
    flags = _NEW_LISTENER | _WAIT_KILLABLE if listen else 0
    while True:
        result: int = libc.syscall(
            ctypes.c_long(NUMBERS[on]["seccomp"]),
            ctypes.c_uint(_SET_MODE_FILTER),
            ctypes.c_uint(flags),
            ctypes.byref(packed),
        )
        if result >= 0:
            return result
        error = ctypes.get_errno()
        if error != errno.EINVAL or not flags & _WAIT_KILLABLE:
            raise OSError(error, f"seccomp: {os.strerror(error)}")
        flags &= ~_WAIT_KILLABLE  # before Linux 5.19
