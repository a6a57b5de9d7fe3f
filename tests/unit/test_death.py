"""What a runner died of is told from its exit, its output and its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.script_worker.death import Death
from services.script_worker.node_command import MIB, NodeCommand
from shared.contracts import Detail

COMMAND = NodeCommand(
    node=Path("node"), harness=Path("main.mjs"), modules=Path("m"), data_bytes=96 * MIB, heap_mib=64
)


def death(
    *,
    asked_to_exit: int | None = None,
    reaped: bool = True,
    exit_code: int | None = 0,
    output: bytes = b"",
) -> tuple[Detail, str]:
    remains = Death(
        asked_to_exit=asked_to_exit,
        reaped=reaped,
        exit_code=exit_code,
        output=output,
        last_words=output.decode(),
    )
    failure = remains.failure(COMMAND)
    return failure.detail, str(failure.message)


@pytest.mark.parametrize(
    ("reaped", "exit_code", "output", "message"),
    [
        (True, 7, b"", "the process ended with code 7"),
        (True, 7, b"adieu", "the process ended with code 7: adieu"),
        (True, -9, b"", "the process died by SIGKILL"),
        (True, -99, b"", "the process died by signal 99"),
        (True, None, b"", "the launcher was lost"),
        (False, None, b"adieu", "the process closed its control channel: adieu"),
    ],
)
def test_a_death_says_how_it_came_and_the_last_words(
    reaped: bool, exit_code: int | None, output: bytes, message: str
) -> None:
    assert (Detail.PROCESS_DIED, message) == death(
        reaped=reaped, exit_code=exit_code, output=output
    )


def test_the_scripts_own_exit_is_named_whatever_else_is_known() -> None:
    exited = death(asked_to_exit=3, exit_code=-9, output=b"heap out of memory")

    assert (Detail.PROCESS_EXIT, "the script called process.exit(3)") == exited


@pytest.mark.parametrize(
    "output",
    [
        b"FATAL ERROR: Reached heap limit - JavaScript heap out of memory",
        b"Fatal process out of memory: Zone",
        b"terminate called after throwing an instance of 'std::bad_alloc'",
    ],
)
def test_memory_that_is_used_up_is_told_with_both_limits(output: bytes) -> None:
    detail, message = death(exit_code=-6, output=output)

    assert detail is Detail.HEAP_EXHAUSTED
    assert "heap limit 64 MiB; 96 MiB in all" in message
