"""Runs a seccomp program as the kernel would: for filters of machines that we are not on.

Independent of the assembler: it knows opcodes and the layout of `struct seccomp_data`, no more,
and refuses what the kernel's verifier refuses.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

U32 = 0xFFFFFFFF


class Invalid(Exception):
    """The kernel would not have taken this program."""


def run(
    program: Sequence[tuple[int, int, int, int]],
    *,
    architecture: int,
    number: int,
    arguments: Sequence[int] = (),
) -> int:
    """The action that the program returns."""
    return _run(program, _data(architecture, number, arguments))


def _data(architecture: int, number: int, arguments: Sequence[int]) -> bytes:
    padded = [*arguments, *[0] * 6][:6]
    return struct.pack(
        "<iIQ6Q", number if number < 1 << 31 else number - (1 << 32), architecture, 0, *padded
    )


def _run(program: Sequence[tuple[int, int, int, int]], data: bytes) -> int:
    accumulator, counter = 0, 0
    if not 0 < len(program) <= 4096:
        raise Invalid("length")
    while counter < len(program):
        code, if_true, if_false, operand = program[counter]
        counter += 1
        match code:
            case 0x20:  # LD W ABS
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:  # ALU AND K
                accumulator &= operand & U32
            case 0x15:  # JMP JEQ K
                counter += if_true if accumulator == operand else if_false
            case 0x35:  # JMP JGE K
                counter += if_true if accumulator >= operand else if_false
            case 0x06:  # RET K
                return operand
            case _:
                break
    raise Invalid(f"an opcode that is not known, or the end, at {counter}")


def last_is_a_return(program: Sequence[tuple[int, int, int, int]]) -> bool:
    """The verifier asks for it."""
    return program[-1][0] == 0x06
