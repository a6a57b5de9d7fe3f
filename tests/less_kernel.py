"""Run a program as on a kernel that has less: `python -m tests.less_kernel MISSING... -- COMMAND`.

MISSING: `landlock` (no such syscall), `listener` (no supervised filters), `seccomp` (no filters).
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from services.script_worker.sandbox import bpf, seccomp
from services.script_worker.sandbox.bpf import ALLOW, Check, Rule, When, refuse
from services.script_worker.sandbox.syscalls import NUMBERS, Machine

CREATE_RULESET = 444
NEW_LISTENER = 0x8


def main(missing: list[str], command: list[str]) -> None:
    machine = seccomp.machine()
    if machine is None:
        raise SystemExit("no table for this machine")
    rules = _rules(machine, missing)
    program = bpf.assemble(seccomp.ARCHITECTURES[machine], rules, default=ALLOW, refuse_x32=False)
    if ctypes.CDLL(None).prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise SystemExit("no_new_privs")
    seccomp.install(machine, program, listen=False)
    os.execv(command[0], command)  # noqa: S606 - a shell is what we avoid


def _rules(machine: Machine, missing: list[str]) -> dict[int, Rule]:
    rules: dict[int, Rule] = {}
    if "landlock" in missing:
        rules[CREATE_RULESET] = refuse(errno.ENOSYS)
    if "listener" in missing:
        check = Check(1, (0,), mask=NEW_LISTENER)
        rules[NUMBERS[machine]["seccomp"]] = When((check,), refuse(errno.EBUSY))
    if "seccomp" in missing:
        rules[NUMBERS[machine]["seccomp"]] = refuse(errno.ENOSYS)
    return rules


if __name__ == "__main__":
    split = sys.argv.index("--")
    main(sys.argv[1:split], sys.argv[split + 1 :])
