"""`./dev bench runner`: a warm invocation, against floors and what one would do instead.

The floor is a bare echo through a Node process over the same kind of socket. The rivals: `node
script.js` for each call, and worker_threads in one process, which share its fate and its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import uvloop

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from shared.contracts import Action
from shared.telemetry import configure_logging
from tests.benchmarks.measure import Call, Round, measure, median, percentile, spread
from tests.benchmarks.plot import Bar
from tests.benchmarks.report import Report, arguments, duration
from tests.benchmarks.stack import ARGUMENTS, BY_HAND, LOGIN, NAIVE

ECHO: Final = """
const { Socket } = require('net');
const channel = new Socket({ fd: 3, readable: true, writable: true });
channel.on('data', (chunk) => channel.write(chunk));
"""
THREADS: Final = """
const { Socket } = require('net');
const { Worker } = require('worker_threads');
const LOGIN;
const source = `const { parentPort, workerData } = require('worker_threads');
const login = LOGIN;
const run = (text) => { const [email, password] = JSON.parse(text).args;
  login(email, password, (error, profile) => parentPort.postMessage(JSON.stringify({ error, profile }))); };
if (workerData) run(workerData); else parentPort.on('message', run);`;
const channel = new Socket({ fd: 3, readable: true, writable: true });
const reply = (text) => { const body = Buffer.from('0000' + text); body.writeUInt32BE(body.length - 4); channel.write(body); };
const resident = FRESH ? null : new Worker(source, { eval: true });
if (resident) resident.on('message', reply);
channel.on('data', (chunk) => {
  const text = chunk.subarray(4).toString();
  if (resident) resident.postMessage(text);
  else new Worker(source, { eval: true, workerData: text }).on('message', reply);
});
""".replace("const LOGIN;\n", "").replace("LOGIN", LOGIN.replace("`", ""))


@asynccontextmanager
async def node(program: str) -> AsyncIterator[Call]:
    """A Node process with a program of its own on the other end of a socket pair."""
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        str(NodeCommand.installed().node),
        "-e",
        program,
        pass_fds=(theirs.fileno(),),
        preexec_fn=lambda: os.dup2(theirs.fileno(), 3),
    )
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    payload = json.dumps({"id": "x" * 16, "args": ARGUMENTS}).encode()
    frame = struct.pack(">I", len(payload)) + payload

    async def call() -> None:
        writer.write(frame)
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))

    try:
        yield call
    finally:
        writer.close()
        process.kill()
        await process.wait()


async def by_hand(script: Path) -> None:
    """`node script.js`, as one starts it by hand."""
    process = await asyncio.create_subprocess_exec(
        str(NodeCommand.installed().node), str(script), stdin=-1, stdout=-1, stderr=-3
    )
    await process.communicate(json.dumps(NAIVE).encode())


FLOOR, WARM = "bare echo through Node", "warm runner"
SEVERAL, HALF = "warm runners, 8 calls at a time", "warm runner, below half load"
RESIDENT, FRESH = "resident worker_thread", "a worker_thread a call"
HAND = "`node script.js` a call"


async def run(report: Report, chosen: argparse.Namespace) -> None:
    """Take turns, and say what came of it."""
    bundle = Bundle("con_" + "b" * 16, "0" * 32, {Action.LOGIN: LOGIN}, {})
    limits = PoolLimits(blanks=0, max_uses=10**9, max_processes_per_connection=2)
    async with AsyncExitStack() as owned:
        pool = await owned.enter_async_context(Pool(NodeCommand.installed(), limits=limits))
        loop = asyncio.get_running_loop()

        async def warm() -> None:
            await pool.run(bundle, Action.LOGIN, ARGUMENTS, context={}, deadline=loop.time() + 20)

        script = Path(owned.enter_context(tempfile.TemporaryDirectory())) / "login.js"
        script.write_text(BY_HAND)
        single: dict[str, Call] = {
            FLOOR: await owned.enter_async_context(node(ECHO)),
            WARM: warm,
            RESIDENT: await owned.enter_async_context(node(THREADS.replace("FRESH", "false"))),
            FRESH: await owned.enter_async_context(node(THREADS.replace("FRESH", "true"))),
            HAND: partial(by_hand, script),
        }
        found: dict[str, list[Round]] = {name: [] for name in (*single, SEVERAL)}
        paced: list[list[float]] = []
        pids = {"launcher": pool.launcher_pid or 0}
        await asyncio.gather(*(warm() for _ in range(8)))
        for number in range(chosen.rounds):
            report.progress(f"round {number + 1} of {chosen.rounds}")
            for name, call in single.items():
                found[name].append(await measure(call, concurrency=1, seconds=chosen.seconds))
            several = await measure(warm, concurrency=8, seconds=chosen.seconds, pids=pids)
            found[SEVERAL].append(several)
            rate = found[WARM][-1].rate / 2
            paced.append(await _paced(warm, rate, chosen.seconds))
    _report(report, found, paced)


async def _paced(call: Call, rate: float, seconds: float) -> list[float]:
    """Calls at a steady rate; each in its place, so that a late one is late for good."""
    latencies, began = [], perf_counter()
    number = 0
    while (due := began + number / rate) - began < seconds:
        number += 1
        # The loop's timers tick in milliseconds: what is nearer than that is waited for awake.
        while (left := due - perf_counter()) > 0:
            await asyncio.sleep(left - 0.002 if left > 0.003 else 0)
        before = perf_counter()
        await call()
        latencies.append(perf_counter() - before)
    return latencies


def _report(report: Report, found: dict[str, list[Round]], paced: list[list[float]]) -> None:
    floor = median([one.percentile(50) for one in found[FLOOR]])
    rows = []
    for name, rounds in found.items():
        p50s = [one.percentile(50) for one in rounds]
        p99 = median([one.percentile(99) for one in rounds])
        over = median(
            [a.percentile(50) / b.percentile(50) for a, b in zip(rounds, found[FLOOR], strict=True)]
        )
        rows.append((name, duration(median(p50s)), duration(p99), spread(p50s), f"{over:.1f}"))
    halves = [percentile(one, 50) for one in paced]
    p99 = median([percentile(one, 99) for one in paced])
    rows.append((HALF, duration(median(halves)), duration(p99), spread(halves), ""))
    report.table(("one call at a time", "p50", "p99", "spread of p50", "x floor"), rows)
    report.bars(
        "latency",
        "One call at a time, p50 (without the rivals that start something)",
        [
            Bar(
                name,
                median(values) * 1e6,
                min(values) * 1e6,
                max(values) * 1e6,
                ours=name == WARM,
            )
            for name in (FLOOR, WARM, RESIDENT)
            if (values := [one.percentile(50) for one in found[name]])
        ],
        "us",
    )
    several = found[SEVERAL]
    each = [one.cpu_per_call("client") + one.cpu_per_call("launcher") for one in several]
    ours, theirs = (
        median([one.cpu_per_call(who) for one in several]) for who in ("client", "launcher")
    )
    report.line(
        f"Eight at a time over two runners: {median([one.rate for one in several]):.0f} a second,"
        f" {ours:.0f} us of Python and {theirs:.0f} us of Node a call:"
        f" **{1e6 / median(each):.0f} invocations a second and core** (spread {spread(each)})."
    )
    report.line()
    warm = [one.percentile(50) for one in found[WARM]]
    hand = median([a.percentile(50) / b for a, b in zip(found[HAND], warm, strict=True)])
    report.table(
        ("", "measured", "target"),
        (
            ("warm, p50 over the script's own time", duration(median(warm)), "≤ 120 us"),
            ("over the bare echo", f"{median(warm) / floor:.1f}x", "≤ 4x"),
            ("p99 below half load", duration(p99), "≤ 1 ms"),
            ("invocations a second and core", f"{1e6 / median(each):.0f}", "≥ 7,000"),
            ("`node script.js` a call takes", f"{hand:.0f}x", "≥ 200x"),
        ),
    )


def main() -> int:
    """Run, print, write."""
    chosen = arguments("runner", __doc__, seconds=2).parse_args()
    configure_logging("error", "console")
    report = Report("runner", "The runner: a warm invocation", chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run(report, chosen))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
