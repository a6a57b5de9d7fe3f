"""Run a program that ends when its owner does: `guard.py SIGNAL SECONDS SCRATCH COMMAND…`.

The owner holds the write end of our standard input. When that closes, for whatever reason, a
SIGKILL included, the program gets SIGNAL (with the prefix `group:` its whole process group does),
and the group SIGKILL after SECONDS. An owner that ends in order writes a byte first; where none
came, it died, and the folder SCRATCH (`-`: none) that it can no longer delete goes with it.
The program's pid is the first line on our standard output; its exit code becomes ours.

Standard library only and no import of ours, so that it starts in milliseconds.
"""

import os
import select
import signal
import subprocess
import sys


def main() -> int:
    """Start, announce, wait for whoever ends first."""
    number, grace, scratch, command = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4:]
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the owner decides, through our standard input
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True, restore_signals=True
    )
    print(process.pid, flush=True)
    os.close(1)
    watched, in_order = [0, wake], False
    while process.poll() is None:
        ready, _, _ = select.select(watched, [], [])
        if wake in ready:
            os.read(wake, 64)
        if 0 in ready:
            if os.read(0, 64):
                in_order = True
                continue
            code = _end(process, number, grace)
            if not in_order and scratch != "-":
                import shutil  # noqa: PLC0415 - slow to import, rarely needed

                shutil.rmtree(scratch, ignore_errors=True)
            return code
    _kill_group(process.pid)
    return _code(process.returncode)


def _end(process: "subprocess.Popen[bytes]", name: str, grace: float) -> int:
    number = getattr(signal, name.removeprefix("group:"))
    if name.startswith("group:"):
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        pass
    _kill_group(process.pid)
    return _code(process.wait())


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _code(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode


if __name__ == "__main__":
    sys.exit(main())
