"""What a script can and can't do, tried from inside a real runner; stand-ins are on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.script_worker.bundle import Bundle
from services.script_worker.egress import Egress, EgressRules
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from services.script_worker.pool_events import Connected, PoolEvent
from services.script_worker.runs import Run
from services.script_worker.sandbox.levels import Level
from services.script_worker.verdicts import Value
from shared.contracts import MAX_CONNECTS, Action, Detail, Failed, ViolationKind
from shared.egress import Destination, EgressVerdict
from tests.servers import missing

ROOT = Path(__file__).parents[2]
SOON = 20.0
PROBES = """
async function login(email, password, callback) {
  const fs = require('fs'), net = require('net'), os = require('os');
  const { execSync, fork } = require('child_process');
  const told = {};
  const code = (error) => error.code || error.message;
  const attempt = async (name, work) => {
    try { told[name] = (await work()) ?? 'worked'; } catch (error) { told[name] = code(error); }
  };
  const emits = (emitter, good) => new Promise((resolve, reject) => {
    emitter.on(good, () => resolve('worked'));
    emitter.on('error', reject);
  });
  const { secret, folder, unix, worker } = configuration;
  await attempt('read a file', () => fs.readFileSync(secret, 'utf8'));
  await attempt('read it through /proc/self/root', () => fs.readFileSync(`/proc/self/root${secret}`));
  await attempt("read the worker's environment", () => fs.readFileSync(`/proc/${worker}/environ`, 'utf8'));
  await attempt("read the launcher's", () => fs.readFileSync(`/proc/${process.ppid}/environ`, 'utf8'));
  await attempt('read its own', () => fs.readFileSync('/proc/self/environ', 'utf8').includes('PATH'));
  await attempt('list a folder', () => fs.readdirSync(folder).length);
  await attempt('write a file', () => fs.writeFileSync(`${folder}/x`, 'x'));
  await attempt('make a folder', () => fs.mkdirSync(`${folder}/y`));
  await attempt('link', () => fs.symlinkSync(secret, `${folder}/z`));
  await attempt('remove', () => fs.unlinkSync(secret));
  await attempt('change the mode', () => fs.chmodSync(secret, 0o777));
  await attempt('write a module', () => fs.writeFileSync(`${configuration.modules}/lodash/index.js`, ''));
  await attempt('run a program', () => execSync('/bin/true'));
  await attempt('run Node again', () => emits(fork('/dev/null'), 'spawn'));
  await attempt('signal the worker', () => process.kill(Number(worker), 0));
  await attempt('signal the launcher', () => process.kill(process.ppid, 0));
  await attempt('signal itself', () => process.kill(process.pid, 0));
  await attempt('listen', () => emits(net.createServer().listen(0, '127.0.0.1'), 'listening'));
  await attempt('a unix socket', () => emits(net.connect(unix), 'connect'));
  await attempt('an abstract one', () => emits(net.connect('\\0' + unix), 'connect'));
  await attempt('udp', () => new Promise((resolve, reject) => {
    const socket = require('dgram').createSocket('udp4');
    socket.on('error', reject);
    socket.send('x', 9, '127.0.0.1', (error) => (error ? reject(error) : resolve('worked')));
  }));
  await attempt('load a foreign addon', () => process.dlopen({ exports: {} }, `${folder}/x.node`));
  await attempt('a native module', async () => (await require('bcrypt').hash('x', 4)).length);
  await attempt('memory', () => process.memoryUsage().rss > 0);
  await attempt('cores', () => os.cpus().length > 0);
  await attempt('time zones', () => new Date(0).toLocaleString('de', { timeZone: 'Asia/Tokyo' }) !== '');
  await attempt('certificates', () => require('tls').rootCertificates.length > 10);
  callback(null, { user_id: 1, told });
}
"""
SPELLINGS = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.66", "localhost"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::1", "0.0.0.0", "::"),  # noqa: S104 - where to connect
)
CONNECTS = """
function login(email, password, callback) {
  const [host, port, onward] = password.split(' ');
  const socket = require('net').connect(Number(port), host);
  socket.on('connect', () => socket.write('hello'));
  socket.on('data', (data) => { socket.destroy(); callback(null, { user_id: String(data) }); });
  socket.on('error', (error) => {
    if (onward) callback(null, { user_id: 'all the same' });
    else callback(error);
  });
}
"""


@dataclass
class Town:
    """A pool, and a service on loopback that greets back."""

    pool: Pool
    port: int
    came: list[str] = field(default_factory=list)
    events: list[PoolEvent] = field(default_factory=list)

    async def login(
        self, script: str, password: str = "x", *, egress: list[str] | None = None, **more: str
    ) -> Run:
        bundle = Bundle(
            "con_0000000000000001",
            f"{hash((script, tuple(egress or ()))) & 0xFFFF:032x}",
            {Action.LOGIN: script},
            more,
            egress=None if egress is None else tuple(egress),
        )
        deadline = asyncio.get_running_loop().time() + SOON
        return await self.pool.run(
            bundle, Action.LOGIN, ["alice", password], context={}, deadline=deadline
        )


@asynccontextmanager
async def town(rules: EgressRules | None = None, host: str = "127.0.0.1") -> AsyncIterator[Town]:
    came: list[str] = []
    events: list[PoolEvent] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(str(writer.get_extra_info("peername")))
        if await reader.read(100):
            writer.write(b"welcome")
        writer.close()

    async with await asyncio.start_server(greet, host, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Pool(
            NodeCommand.installed(),
            limits=PoolLimits(blanks=0),
            observe=events.append,
            egress=Egress(rules),
        ) as pool:
            if (await pool.isolation()).level is not Level.FULL:
                missing("the full sandbox", RuntimeError(str(await pool.isolation())))
            yield Town(pool, port, came, events)


def value(run: Run) -> Any:
    assert isinstance(run.outcome, Value), run
    return run.outcome.value


async def test_a_script_reaches_nothing_of_the_machine_and_all_that_it_needs(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    (tmp_path / "x.node").write_bytes(b"")
    unix = str(tmp_path / "socket")
    async with town() as its, await asyncio.start_unix_server(lambda *_: None, unix):
        modules = NodeCommand.installed().modules / "node_modules"
        run = await its.login(
            PROBES,
            secret=str(secret),
            folder=str(tmp_path),
            unix=unix,
            worker=str(os.getpid()),
            modules=str(modules),
        )
        told = value(run)["told"]

    works = {
        "signal itself": True, "a native module": 60, "memory": True,
        "cores": True, "time zones": True, "certificates": True, "read its own": True,
    }  # fmt: skip
    refused = {name: code for name, code in told.items() if name not in works}
    assert works == {name: told[name] for name in works}
    assert "hunter2" not in json.dumps(told)
    assert {
        "read a file": "EACCES",
        "read it through /proc/self/root": "EACCES",
        "read the worker's environment": "EACCES",
        "read the launcher's": "EACCES",
        "list a folder": "EACCES",
        "write a file": "EACCES",
        "make a folder": "EPERM",
        "link": "EPERM",
        "remove": "EPERM",
        "change the mode": "EPERM",
        "write a module": "EACCES",
        "run a program": "EPERM",
        "run Node again": "EPERM",
        "signal the worker": "EPERM",
        "signal the launcher": "EPERM",
        "listen": "EPERM",
        "a unix socket": "EAFNOSUPPORT",
        "an abstract one": "EAFNOSUPPORT",
        "udp": "EPERM",
        "load a foreign addon": "ERR_DLOPEN_FAILED",
    } == refused
    assert {"secret", "x.node", "socket"} == set(os.listdir(tmp_path))  # noqa: PTH208
    assert "hunter2" == secret.read_text()


async def test_what_is_not_refused_is_connected_and_noted() -> None:
    async with town() as its:
        plain = await its.login(CONNECTS, f"127.0.0.1 {its.port}")
        mapped = await its.login(CONNECTS, f"::ffff:127.0.0.1 {its.port}")

    assert ["welcome", "welcome"] == [value(run)["user_id"] for run in (plain, mapped)]
    assert [EgressVerdict.ALLOWED] == [each.verdict for each in plain.egress]
    assert [("127.0.0.1", its.port)] == [(each.address, each.port) for each in plain.egress]
    assert () == plain.violations == mapped.violations
    assert 2 == len(its.came)


@pytest.mark.parametrize(
    "written",
    SPELLINGS,
)
async def test_our_own_services_are_refused_however_they_are_written(written: str) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        rules = EgressRules(own=(Destination("127.0.0.1", port),))
        async with town(rules) as its:
            run = await its.login(CONNECTS, f"{written} {port}")

    assert isinstance(run.outcome, Failed)
    assert Detail.CONNECT_DENIED == run.outcome.detail
    assert "EACCES" in (run.outcome.message or "")
    assert {ViolationKind.EGRESS_DENIED} == {broken.kind for broken in run.violations}
    assert EgressVerdict.ALLOWED not in {each.verdict for each in run.egress}


async def test_a_refused_connect_that_the_script_survives_is_a_violation_and_no_failure() -> None:
    async with town(EgressRules(refused=("127.0.0.0/8",))) as its:
        run = await its.login(CONNECTS, f"127.0.0.1 {its.port} onward")

    assert "all the same" == value(run)["user_id"]
    assert [ViolationKind.EGRESS_DENIED] == [broken.kind for broken in run.violations]
    assert [EgressVerdict.REFUSED_NETWORK] == [each.verdict for each in run.egress]
    assert [] == its.came


async def test_a_connection_reaches_what_it_lists_and_nothing_else() -> None:
    async with town(host="127.0.0.1") as its, town() as other:
        listed = [f"localhost:{its.port}"]
        run = await its.login(CONNECTS, f"127.0.0.1 {its.port}", egress=listed)
        again = await its.login(CONNECTS, f"127.0.0.1 {its.port}", egress=listed)
        elsewhere = await its.login(CONNECTS, f"127.0.0.1 {other.port}", egress=listed)

    assert ["welcome"] * 2 == [value(each)["user_id"] for each in (run, again)]
    assert isinstance(elsewhere.outcome, Failed)
    assert [EgressVerdict.NOT_LISTED] == [each.verdict for each in elsewhere.egress]
    assert [] == other.came


async def test_one_connections_list_is_no_others() -> None:
    async with town(EgressRules(open=False)) as its:
        listed = await its.login(
            CONNECTS, f"127.0.0.1 {its.port}", egress=[f"127.0.0.1:{its.port}"]
        )
        other = await its.login(CONNECTS + "\n", f"127.0.0.1 {its.port}")

    assert "welcome" == value(listed)["user_id"]
    assert [EgressVerdict.NOT_LISTED] == [each.verdict for each in other.egress]


async def test_a_refused_port_of_nobody_is_reported_as_node_does() -> None:
    async with town() as its:
        run = await its.login(CONNECTS, "127.0.0.1 1")

    assert isinstance(run.outcome, Failed)
    assert Detail.CALLED_BACK_ERROR == run.outcome.detail
    assert "ECONNREFUSED" in (run.outcome.message or "")
    assert () == run.violations


async def test_a_script_that_connects_without_end_fills_no_log() -> None:
    script = """function login(email, password, callback) {
      let left = 100;
      const next = () => (left-- ? require('net').connect(1, '127.0.0.1').on('error', next)
        : callback(null, { user_id: 1 }));
      next();
    }"""
    async with town() as its:
        with capture_logs() as lines:
            run = await its.login(script)

    assert 1 == value(run)["user_id"]
    assert MAX_CONNECTS == len(run.egress)
    assert MAX_CONNECTS == len([line for line in lines if line["event"] == "egress.connect"])


async def test_a_flood_of_connects_is_counted_and_costs_the_worker_a_few_messages() -> None:
    script = """function login(email, password, callback) {
      let left = 2000;
      const next = (error) => (left-- ? require('net').connect(1, '127.0.0.1').on('error', next)
        : callback(error));
      next();
    }"""
    async with town(EgressRules(refused=("127.0.0.0/8",))) as its:
        run = await its.login(script)
        connects = [each for each in its.events if isinstance(each, Connected)]
        async with asyncio.timeout(SOON):
            while sum(each.times for each in connects) < 2000:
                await asyncio.sleep(0.01)  # the rest is told when the process has ended
                connects = [each for each in its.events if isinstance(each, Connected)]

    assert isinstance(run.outcome, Failed)
    assert Detail.CONNECT_DENIED == run.outcome.detail
    assert MAX_CONNECTS == len(run.egress)
    assert 2000 == sum(each.times for each in connects)
    assert len(connects) < 80


async def test_a_lost_launcher_is_replaced_by_one_that_confines_as_well(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    script = """function login(email, password, callback) {
      callback(null, { user_id: require('fs').readFileSync(configuration.secret, 'utf8') });
    }"""
    async with town() as its:
        before = await its.login(script, secret=str(secret))
        assert its.pool.launcher_pid is not None
        os.kill(its.pool.launcher_pid, 9)
        while its.pool.launcher_pid is not None:
            await asyncio.sleep(0.01)
        after = await its.login(script, secret=str(secret))

    assert [Detail.THREW] * 2 == [
        run.outcome.detail for run in (before, after) if isinstance(run.outcome, Failed)
    ]


LEVEL = """
import asyncio, sys
from services.script_worker.node_command import NodeCommand
from services.script_worker.spawner import Spawner
from dataclasses import replace

async def main():
    order = NodeCommand.installed().order()
    spawner = Spawner(replace(order, ports=(443,)) if sys.argv[1:] else order)
    print((await spawner.isolation()).level)
    await spawner.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("missing", "ports", "level"),
    [
        ([], False, "full"),
        (["listener"], False, "fs"),
        (["listener"], True, "fs+net"),
        (["landlock"], False, "rlimits"),
        (["seccomp"], True, "rlimits"),
        (["landlock", "seccomp"], False, "rlimits"),
    ],
)
async def test_a_kernel_that_has_less_gives_the_level_that_it_can(
    missing: list[str], ports: bool, level: str
) -> None:
    command = [sys.executable, "-m", "tests.less_kernel", *missing, "--"]
    command += [sys.executable, "-c", LEVEL, *(["ports"] if ports else [])]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()

    assert 0 == process.returncode
    assert level == output.decode().strip()


async def test_a_worker_that_isolates_less_than_is_required_does_not_start() -> None:
    settings = {
        "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "AMQP_URL": "amqp://127.0.0.1:1",
        "TRICKLE_KEY_RING": "k1:" + "A" * 43 + "=",
        "TRICKLE_ISOLATION_REQUIRED": "full",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.less_kernel", "landlock", "--"),
        *(sys.executable, "-m", "services.script_worker"),
        cwd=ROOT, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()

    assert 78 == process.returncode, output
    assert b"TRICKLE_ISOLATION_REQUIRED" in errors
    assert b"docs/security.md" in errors
