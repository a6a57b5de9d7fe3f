"""The filter of syscalls, of both machines, run instruction by instruction."""

from __future__ import annotations

import errno
import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.script_worker.sandbox import bpf, seccomp
from services.script_worker.sandbox.bpf import ALLOW, KILL_PROCESS, NOTIFY, Check, When, refuse
from services.script_worker.sandbox.syscalls import NUMBERS, Machine
from tests.bpf_machine import last_is_a_return, run
from tests.servers import missing

PID = 4711
BOTH: tuple[Machine, ...] = ("x86_64", "aarch64")
CHANNEL = 300
PROGRAMS = {machine: seccomp.program(machine, PID, CHANNEL) for machine in BOTH}
EPERM, EACCES, ENOSYS = refuse(errno.EPERM), refuse(errno.EACCES), refuse(errno.ENOSYS)
NO_FAMILY = refuse(errno.EAFNOSUPPORT)
POINTER = 0x7F00_0000_1000


def verdict(machine: Machine, name: str, *arguments: int) -> int:
    return run(
        PROGRAMS[machine],
        architecture=seccomp.ARCHITECTURES[machine],
        number=NUMBERS[machine][name],
        arguments=arguments,
    )


@pytest.mark.parametrize("machine", BOTH)
@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("read", (0,), ALLOW),
        ("futex", (), ALLOW),
        ("mmap", (), ALLOW),
        ("connect", (5, POINTER, 16), NOTIFY),
        ("execve", (POINTER,), NOTIFY),
        ("execveat", (), EPERM),
        ("ptrace", (), EPERM),
        ("pidfd_getfd", (), EPERM),
        ("process_vm_readv", (), EPERM),
        ("bind", (), EPERM),
        ("listen", (), EPERM),
        ("socketpair", (), EPERM),
        ("sendmmsg", (), EPERM),
        ("shmget", (), EPERM),
        ("fchmodat", (), EPERM),
        ("unlinkat", (), EPERM),
        ("clone3", (), ENOSYS),
        # A thread of glibc's, of musl's, a fork, a vfork, a thread in a namespace of its own.
        ("clone", (0x3D0F00,), ALLOW),
        ("clone", (0x7D0F00,), ALLOW),
        ("clone", (17,), EPERM),
        ("clone", (0x4111,), EPERM),
        ("clone", (0x3D0F00 | 0x10000000,), EPERM),
        ("kill", (PID,), ALLOW),
        ("kill", (0,), ALLOW),
        ("kill", (1,), EPERM),
        ("kill", (-1 & 0xFFFFFFFF,), EPERM),
        ("kill", (-PID & 0xFFFFFFFF,), EPERM),
        ("tgkill", (PID, PID + 1), ALLOW),
        ("tgkill", (PID + 1, PID + 1), EPERM),
        ("prlimit64", (0, 7, 0, POINTER), ALLOW),
        ("prlimit64", (0, 7, POINTER, 0), EPERM),
        ("prlimit64", (0, 7, 1 << 32, 0), EPERM),
        ("prlimit64", (PID + 1, 7, 0, POINTER), EPERM),
        ("openat", (0, POINTER, os.O_RDONLY | os.O_CLOEXEC), ALLOW),
        ("openat", (0, POINTER, os.O_WRONLY), EACCES),
        ("openat", (0, POINTER, os.O_RDWR), EACCES),
        ("openat", (0, POINTER, os.O_CREAT), EACCES),
        ("openat", (0, POINTER, os.O_TRUNC), EACCES),
        ("ioctl", (1, 0x5421), ALLOW),
        ("ioctl", (1, 0x5412), refuse(errno.ENOTTY)),  # TIOCSTI
        ("ioctl", (1, 0x8901), refuse(errno.ENOTTY)),  # FIOSETOWN
        ("fcntl", (1, 4), ALLOW),
        ("fcntl", (1, 8), EPERM),  # F_SETOWN
        ("fcntl", (1, 15), EPERM),  # F_SETOWN_EX
        ("fcntl", (1, 10), EPERM),  # F_SETSIG
        ("prctl", (15,), ALLOW),
        ("prctl", (1,), EPERM),  # PR_SET_PDEATHSIG
        ("prctl", (4,), EPERM),  # PR_SET_DUMPABLE
        ("prctl", (0x59616D61,), EPERM),  # PR_SET_PTRACER
        ("socket", (2, 1, 0), ALLOW),
        ("socket", (10, 1 | 0o4000 | 0o2000000, 6), ALLOW),
        ("socket", (2, 2, 0), ALLOW),  # UDP: its connects are asked for
        ("socket", (10, 2 | 0o4000, 17), ALLOW),
        ("socket", (2, 2, 136), NO_FAMILY),  # UDP-Lite
        ("socket", (2, 2, 1), NO_FAMILY),  # ping
        ("socket", (2, 3, 1), NO_FAMILY),  # raw
        ("socket", (2, 1, 262), NO_FAMILY),  # MPTCP
        ("socket", (2, 1, 132), NO_FAMILY),  # SCTP
        ("socket", (1, 1, 0), NO_FAMILY),  # UNIX
        ("socket", (16, 3, 0), NO_FAMILY),  # netlink
        ("socket", (40, 1, 0), NO_FAMILY),  # vsock
        ("sendto", (5, POINTER, 9, 0, 0, 0), ALLOW),
        ("sendto", (5, POINTER, 9, 0, POINTER, 16), EPERM),
        ("sendto", (5, POINTER, 9, 0, 1 << 32, 16), EPERM),
        ("sendto", (5, POINTER, 9, 0x20000000, 0, 0), EPERM),  # MSG_FASTOPEN
        ("sendmsg", (5, POINTER, 0x4000), EPERM),
        ("sendmsg", (CHANNEL, POINTER, 0), ALLOW),
        ("sendmsg", (CHANNEL, POINTER, 0x20000000), EPERM),
        ("setsockopt", (5, 1, 9, POINTER, 4), ALLOW),  # SO_KEEPALIVE
        ("setsockopt", (5, 6, 4, POINTER, 4), ALLOW),  # TCP_KEEPIDLE
        ("setsockopt", (5, 0, 1, POINTER, 4), ALLOW),  # IP_TOS
        ("setsockopt", (5, 0, 11, POINTER, 4), ALLOW),  # IP_RECVERR
        ("setsockopt", (5, 0, 4, POINTER, 40), EPERM),  # IP_OPTIONS: a source route
        ("setsockopt", (5, 0, 35, POINTER, 12), EPERM),  # IP_ADD_MEMBERSHIP
        ("setsockopt", (5, 41, 26, POINTER, 4), ALLOW),  # IPV6_V6ONLY
        ("setsockopt", (5, 41, 57, POINTER, 40), EPERM),  # IPV6_RTHDR
        ("setsockopt", (5, 41, 20, POINTER, 20), EPERM),  # IPV6_ADD_MEMBERSHIP
        ("setsockopt", (5, 17, 100, POINTER, 4), EPERM),  # UDP_ENCAP
    ],
)
def test_a_syscall_is_judged_by_its_number_and_arguments(
    machine: Machine, name: str, arguments: tuple[int, ...], action: int
) -> None:
    assert action == verdict(machine, name, *arguments)


@pytest.mark.parametrize("machine", BOTH)
@given(number=st.integers(0, 0x3FFFFFFF))
def test_a_syscall_that_nobody_named_does_not_exist(machine: Machine, number: int) -> None:
    if number in NUMBERS[machine].values():
        return
    architecture = seccomp.ARCHITECTURES[machine]
    action = run(PROGRAMS[machine], architecture=architecture, number=number)
    assert ENOSYS == action


@given(architecture=st.integers(0, 0xFFFFFFFF), number=st.integers(0, 500))
def test_another_architecture_is_killed_whatever_it_asks_for(
    architecture: int, number: int
) -> None:
    for machine in BOTH:
        if architecture != seccomp.ARCHITECTURES[machine]:
            action = run(PROGRAMS[machine], architecture=architecture, number=number)
            assert KILL_PROCESS == action


@given(number=st.integers(0, 0x3FFFFFFF))
def test_the_x32_numbers_of_x86_64_are_no_way_around(number: int) -> None:
    action = run(
        PROGRAMS["x86_64"],
        architecture=seccomp.ARCHITECTURES["x86_64"],
        number=number | bpf.X32_BIT,
    )
    assert KILL_PROCESS == action


@given(
    high=st.integers(0, 0xFFFFFFFF),
    low=st.integers(0, 0xFFFFFFFF),
    values=st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=20, unique=True),
    mask=st.sampled_from([0xFFFFFFFF, 0xF, 0x20000000]),
    wide=st.booleans(),
)
def test_an_assembled_check_means_what_it_says(
    high: int, low: int, values: list[int], mask: int, wide: bool
) -> None:
    check = Check(3, tuple(values), mask=mask, wide=wide)
    rule = When((Check(0, (7,)), check), otherwise=EPERM)
    program = bpf.assemble(1, {9: rule, 10: ALLOW}, default=ENOSYS, refuse_x32=False)
    expected = (low & mask) in values and (not wide or high == 0)

    action = run(program, architecture=1, number=9, arguments=(7, 0, 0, high << 32 | low))
    assert (ALLOW if expected else EPERM) == action
    assert EPERM == run(program, architecture=1, number=9, arguments=(8, 0, 0, values[0]))
    assert ALLOW == run(program, architecture=1, number=10)


@pytest.mark.parametrize("machine", BOTH)
def test_a_program_fits_what_the_kernel_takes(machine: Machine) -> None:
    program = PROGRAMS[machine]
    assert last_is_a_return(program)
    assert len(program) <= bpf.MAX_INSTRUCTIONS
    assert 8 * len(program) == len(bpf.pack(program))


def test_what_is_called_forbidden_is_no_allowed_one_and_both_machines_know_it() -> None:
    allowed, forbidden = set(seccomp._ALLOWED.split()), set(seccomp._FORBIDDEN.split())
    known = NUMBERS["x86_64"].keys() | NUMBERS["aarch64"].keys()
    assert set() == allowed & forbidden
    assert set() == (allowed | forbidden) - known


@pytest.mark.parametrize("machine", sorted({"aarch64", seccomp.machine() or "aarch64"}))
def test_the_numbers_are_those_of_the_kernels_headers(machine: Machine) -> None:
    """This machine's table and the generic one, which is aarch64's; headers of any version."""
    headers = {"x86_64": "asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
    asked = "\n".join(f"@{name} __NR_{name}" for name in NUMBERS[machine])
    source = (
        "#define __BITS_PER_LONG 64\n#define __ARCH_WANT_SET_GET_RLIMIT\n"
        "#define __ARCH_WANT_TIME32_SYSCALLS\n#define __ARCH_WANT_RENAMEAT\n"
        f"#define __ARCH_WANT_SYS_CLONE3\n#include <{headers[machine]}>\n{asked}\n"
    )
    try:
        done = subprocess.run(
            ["/usr/bin/cc", "-E", "-P", "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        missing("a C compiler with the kernel's headers", error)
    found = {
        name: int(number) for name, number in re.findall(r"@(\w+) (\d+)\s*$", done.stdout, re.M)
    }
    assert len(found) > 100
    assert found == {name: NUMBERS[machine][name] for name in found}
