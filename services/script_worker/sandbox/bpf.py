"""Classic BPF for seccomp: a policy by syscall, assembled into instructions. Pure.

A program looks at `struct seccomp_data` (number, architecture, six 64-bit arguments) and returns
an action; what it doesn't name gets the default. Only forward jumps exist, of 255 at most, so each
syscall is a block that jumps over itself: no label is ever far away.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ALLOW: Final = 0x7FFF0000
NOTIFY: Final = 0x7FC00000
KILL_PROCESS: Final = 0x80000000
LOAD: Final = 0x20  # A = the 32-bit word at k
AND: Final = 0x54  # A &= k
JUMP_EQUAL: Final = 0x15
JUMP_GREATER_OR_EQUAL: Final = 0x35
RETURN: Final = 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
X32_BIT: Final = 0x40000000
"""Set in the numbers of x32, a second ABI of x86-64 with other tables: a way around any filter."""
MAX_INSTRUCTIONS: Final = 4096

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


@dataclass(frozen=True, slots=True)
class Check:
    """Holds when `argument & mask` is one of `among`.

    The kernel reads an `int` from the low word only, and so do we. For a pointer or a size `wide`
    asks for a high word of zero as well.
    """

    argument: int
    among: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False


@dataclass(frozen=True, slots=True)
class When:
    """Allowed when every check holds; otherwise that action, or what the next one says."""

    checks: tuple[Check, ...]
    otherwise: int | When


Rule = int | When
"""An action, or one that depends on the arguments."""


def refuse(errno: int) -> int:
    """The action that makes a syscall fail with an errno, unexecuted."""
    return 0x00050000 | errno


def assemble(
    architecture: int, rules: Mapping[int, Rule], *, default: int, refuse_x32: bool
) -> list[Instruction]:
    """The program for one architecture; another one's syscalls kill the process."""
    program: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
    ]
    if refuse_x32:
        program += [(JUMP_GREATER_OR_EQUAL, 0, 1, X32_BIT), (RETURN, 0, 0, KILL_PROCESS)]
    for number, rule in rules.items():
        block = _block(rule)
        program += [(JUMP_EQUAL, 0, len(block), number), *block]
    program.append((RETURN, 0, 0, default))
    if len(program) > MAX_INSTRUCTIONS:
        raise ValueError("the program is longer than the kernel takes")
    return program


def pack(program: Sequence[Instruction]) -> bytes:
    """As the kernel reads it: an array of `struct sock_filter`."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _block(rule: Rule) -> list[Instruction]:
    return [(RETURN, 0, 0, rule)] if isinstance(rule, int) else _conditional(rule)


def _conditional(when: When) -> list[Instruction]:
    """Check after check, then the leave, and behind it what happens otherwise."""
    tests = [test for check in when.checks for test in _tests(check)]
    length = sum(len(values) + len(load) for load, values in tests)
    block: list[Instruction] = []
    for load, values in tests:
        block += load
        for index, value in enumerate(values):
            left = len(values) - index - 1
            fails = 0 if left else length - len(block)
            block.append((JUMP_EQUAL, left, fails, value))
    return [*block, (RETURN, 0, 0, ALLOW), *_block(when.otherwise)]


def _tests(check: Check) -> list[tuple[list[Instruction], tuple[int, ...]]]:
    low = ARGUMENTS + 8 * check.argument  # both architectures are little-endian
    load: list[Instruction] = [(LOAD, 0, 0, low)]
    if check.mask != 0xFFFFFFFF:
        load.append((AND, 0, 0, check.mask))
    tests = [(load, check.among)]
    if check.wide:
        tests.append(([(LOAD, 0, 0, low + 4)], (0,)))
    return tests
