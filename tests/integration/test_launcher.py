"""The launcher: what a child starts with, and that nothing is left of anything."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import services.script_worker.launcher as launcher_module
from services.script_worker.sandbox.egress import Grant
from services.script_worker.spawner import Child, NotSpawned, Spawner

SOON = 10.0
FACTS = """
import json, os, resource, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
umask = os.umask(0)
sys.stdout.write(json.dumps({
    "environment": dict(os.environ), "cwd": os.getcwd(), "umask": umask,
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "session": os.getsid(0) == os.getpid(), "no_new_privs": status["NoNewPrivs"].strip(),
    "ignored": int(status["SigIgn"], 16), "blocked": int(status["SigBlk"], 16),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "size": resource.getrlimit(resource.RLIMIT_FSIZE),
    "stdin": os.readlink("/proc/self/fd/0"), "channel": os.read(3, 5).decode(),
}))
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
async def spawner() -> AsyncIterator[Spawner]:
    spawner = Spawner()
    yield spawner
    await spawner.close()


class Spawned:
    """A child with the other ends of its descriptors."""

    def __init__(self) -> None:
        self.output, self._writer = os.pipe2(os.O_CLOEXEC)
        self.control, self._theirs = socket.socketpair()
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.child: Child | None = None

    async def start(self, spawner: Spawner, *argv: str) -> Spawned:
        try:
            self.child = await spawner.spawn(
                argv,
                output=self._writer,
                control=self._theirs.fileno(),
                exited=self.ended.set_result,
            )
        finally:
            os.close(self._writer)
            self._theirs.close()
        return self

    async def end(self) -> int | None:
        async with asyncio.timeout(SOON):
            return await self.ended

    def read(self) -> bytes:
        with os.fdopen(self.output, "rb") as output:
            self.control.close()
            return output.read()


async def python(spawner: Spawner, code: str) -> Spawned:
    return await Spawned().start(spawner, sys.executable, "-I", "-S", "-c", code)


def state_of(pid: int) -> str | None:
    """One letter of /proc, None if it is gone. A zombie is its parent's to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


async def eventually(condition: Callable[[], bool]) -> bool:
    """Polled, because what ends here is nobody's child that could be waited for."""
    try:
        async with asyncio.timeout(SOON):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True


async def gone(pid: int) -> bool:
    """Whether the process ends soon. A zombie has ended: it is its parent's to reap."""
    return await eventually(lambda: state_of(pid) in (None, "Z"))


def descriptors(pid: int | None) -> int:
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


def zombies(parent: int | None) -> int:
    stats = (read(entry / "stat") for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sum(f") Z {parent} " in stat for stat in stats)


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


async def test_a_child_starts_with_nothing_but_its_three_descriptors_and_the_channel(
    spawner: Spawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICKLE_SECRET", "hunter2")
    spawned = Spawned()
    spawned.control.send(b"hello")
    await spawned.start(spawner, sys.executable, "-I", "-S", "-c", FACTS)
    code = await spawned.end()
    facts: dict[str, Any] = json.loads(spawned.read())

    assert code == 0
    assert launcher_module.ENVIRONMENT.keys() >= facts["environment"].keys() - {"LC_CTYPE"}
    # One more is the directory that lists them.
    assert facts["descriptors"][:4] == [0, 1, 2, 3]
    assert len(facts["descriptors"]) == 5
    assert (
        facts["cwd"],
        facts["umask"],
        facts["session"],
        facts["no_new_privs"],
    ) == ("/", 0o077, True, "1")
    assert [0, 0] == facts["core"] == facts["size"]
    assert facts["files"] == [256, 256]
    assert (facts["stdin"], facts["channel"]) == ("/dev/null", "hello")
    assert facts["blocked"] == 0
    assert facts["ignored"] & 1 << (signal.SIGXFSZ - 1)


async def test_exit_codes_and_signals_are_reported(spawner: Spawner) -> None:
    exited = await python(spawner, "raise SystemExit(7)")
    killed = await python(spawner, "import os; os.kill(os.getpid(), 9)")
    missing = await Spawned().start(spawner, "/nonexistent/node")

    assert await exited.end() == 7
    assert await killed.end() == -9
    assert await missing.end() == 127
    assert b"cannot start /nonexistent/node" in missing.read()


async def test_a_daemon_in_a_session_of_its_own_dies_with_its_runner(spawner: Spawner) -> None:
    spawned = await python(
        spawner,
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.write(3, str(os.getpid()).encode()); time.sleep(600)\n"
        "    os._exit(0)\n"
        "time.sleep(600)\n",
    )
    daemon = int(await asyncio.get_running_loop().run_in_executor(None, spawned.control.recv, 64))
    assert spawned.child is not None
    spawned.child.kill()

    assert await spawned.end() == -9
    assert await gone(daemon)


async def test_many_children_leave_no_zombie_and_no_descriptor(spawner: Spawner) -> None:
    first = await python(spawner, "pass")
    await first.end()
    first.read()
    ours, its = descriptors(os.getpid()), descriptors(spawner.launcher_pid)
    for _ in range(5):
        batch = [await Spawned().start(spawner, "/bin/true") for _ in range(10)]
        for spawned in batch:
            assert await spawned.end() == 0
            spawned.read()

    assert ours == descriptors(os.getpid())
    # It looks through /proc for strays after a death, and holds one more while it does.
    assert await eventually(lambda: descriptors(spawner.launcher_pid) <= its)
    assert await eventually(lambda: zombies(spawner.launcher_pid) == 0)


async def test_a_cancelled_spawn_leaves_no_process(spawner: Spawner) -> None:
    spawned = Spawned()
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(spawned.start(spawner, "/bin/sleep", "600"))
        await asyncio.sleep(0)  # the request is on its way
        starting.cancel()

    assert await spawned.end() == -9


async def test_a_lost_launcher_takes_its_children_along_and_is_replaced(spawner: Spawner) -> None:
    first = await Spawned().start(spawner, "/bin/sleep", "600")
    assert spawner.launcher_pid is not None
    assert first.child is not None
    os.kill(spawner.launcher_pid, signal.SIGKILL)

    assert None is await first.end()
    assert await gone(first.child.pid)
    second = await Spawned().start(spawner, "/bin/true")
    assert await second.end() == 0


async def test_closing_ends_every_process_and_the_launcher(spawner: Spawner) -> None:
    running = [await Spawned().start(spawner, "/bin/sleep", "600") for _ in range(3)]
    launcher = spawner.launcher_pid
    await spawner.close()

    assert [await spawned.end() for spawned in running] == [None] * 3
    assert launcher is not None
    assert state_of(launcher) is None
    for spawned in running:
        assert spawned.child is not None
        assert state_of(spawned.child.pid) is None
    with pytest.raises(NotSpawned):
        await Spawned().start(spawner, "/bin/true")


async def test_a_launcher_that_is_behind_loses_no_grant(spawner: Spawner) -> None:
    spawned = await Spawned().start(spawner, "/bin/sleep", "600")
    launcher, loop = spawner.launcher_pid, asyncio.get_running_loop()
    assert launcher is not None
    assert spawned.child is not None
    os.kill(launcher, signal.SIGSTOP)
    grants = [
        asyncio.create_task(spawner.grant(spawned.child, Grant(), loop.time() + SOON))
        for _ in range(1000)
    ]
    await asyncio.sleep(0)
    with pytest.raises(NotSpawned):
        await spawner.grant(spawned.child, Grant(), loop.time() + 0.1)
    waiting = [grant for grant in grants if not grant.done()]
    os.kill(launcher, signal.SIGCONT)
    await asyncio.gather(*grants)

    assert waiting


async def test_a_grant_that_waits_for_a_launcher_that_is_lost_ends(spawner: Spawner) -> None:
    spawned = await Spawned().start(spawner, "/bin/sleep", "600")
    launcher, loop = spawner.launcher_pid, asyncio.get_running_loop()
    assert launcher is not None
    assert spawned.child is not None
    os.kill(launcher, signal.SIGSTOP)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as grants:
        for _ in range(1000):
            grants.create_task(spawner.grant(spawned.child, Grant(), loop.time() + 2 * SOON))
        await asyncio.sleep(0)
        os.kill(launcher, signal.SIGKILL)


@contextmanager
def raw() -> Iterator[tuple[socket.socket, int, int]]:
    """A launcher's socket, its pid, and a descriptor for its children."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SOON)
    null = os.open(os.devnull, os.O_RDWR)
    with (
        subprocess.Popen(
            launcher_module.command(theirs.fileno(), os.getpid()),
            pass_fds=[theirs.fileno()],
        ) as process,
        ours,
    ):
        theirs.close()
        yield ours, process.pid, null
        os.close(null)
        ours.close()

        assert process.wait(timeout=SOON) == 0


def heard(ours: socket.socket) -> dict[str, Any]:
    """The launcher's next message."""
    packet, pidfds, _, _ = socket.recv_fds(ours, 4096, 1)
    for each in pidfds:
        os.close(each)
    message: dict[str, Any] = json.loads(packet)
    return message


def test_a_worker_that_does_not_listen_holds_the_launcher_up_with_nothing() -> None:
    """It serves requests, and what it had to say is said in order, with nothing missing."""
    number = 300
    with raw() as (ours, _, null):
        reader, writer = os.pipe()
        for token in range(number):
            message = json.dumps({"spawn": token, "argv": ["/bin/echo", "served"]}).encode()
            socket.send_fds(ours, [message], [null if token < number - 1 else writer, null])
        os.close(writer)
        readable, _, _ = select.select([reader], [], [], SOON)
        assert [reader] == readable
        os.close(reader)
        messages = [heard(ours) for _ in range(2 * number)]
    spawned = {each["pid"]: each["spawned"] for each in messages if "spawned" in each}

    assert list(range(number)) == list(spawned.values())
    assert spawned.keys() == {each["exited"] for each in messages if "exited" in each}


def test_a_launcher_without_descriptors_refuses_and_lives_on() -> None:
    with raw() as (ours, launcher, null):

        def spawn(*argv: str) -> dict[str, Any]:
            message = json.dumps({"spawn": 1, "argv": argv}).encode()
            socket.send_fds(ours, [message], [null, null])
            return heard(ours)

        pid = spawn("/bin/sleep", "600")["pid"]
        _, most = resource.prlimit(launcher, resource.RLIMIT_NOFILE)
        told = []
        for limit in range(4, 16):  # so that each thing that it opens is once one too many
            resource.prlimit(launcher, resource.RLIMIT_NOFILE, (limit, most))
            told.append(spawn("/bin/true"))
            if "spawned" in told[-1]:
                assert "exited" in heard(ours)
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, (4, most))
        os.kill(pid, signal.SIGKILL)  # a death looks through /proc

        assert {"exited": pid, "code": -9} == heard(ours)
        assert {"refused", "spawned"} <= {name for message in told for name in message}
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, (most, most))
        assert "spawned" in spawn("/bin/true")
        assert "exited" in heard(ours)


def test_garbage_is_refused_and_the_next_request_served() -> None:
    with raw() as (ours, _, null):
        for garbage in [b"\xff\0", b"[]", b"null", b'{"spawn": 1}', b"[" * 60_000]:
            ours.send(garbage)
            assert "refused" in json.loads(ours.recv(4096))
        for argv in [[], "ls", [1], ["a\0b"], {"a": 1}]:
            message = json.dumps({"spawn": 2, "argv": argv}).encode()
            socket.send_fds(ours, [message], [null, null])
            assert json.loads(ours.recv(4096))["refused"] == 2
        request = json.dumps({"spawn": 3, "argv": ["/bin/true"]}).encode()
        socket.send_fds(ours, [request], [null] * 5)
        assert "two descriptors" in json.loads(ours.recv(4096))["why"]
        socket.send_fds(ours, [request], [null, null])
        assert json.loads(ours.recv(4096))["spawned"] == 3
        assert json.loads(ours.recv(4096))["code"] == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_when_the_worker_dies_nothing_is_left(how: signal.Signals) -> None:
    """Not even what left its session: the launcher outlives the worker just long enough."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    async with asyncio.timeout(SOON):
        pids = json.loads(await worker.stdout.readline())
    assert len(pids) == 3
    worker.send_signal(how)
    await worker.wait()

    assert [await gone(pid) for pid in pids] == [True] * 3


WORKER = """
import asyncio, json, os, socket, sys
from services.script_worker.spawner import Spawner

DAEMON = '''
import os, time
if os.fork() == 0:
    os.setsid()
    os.write(3, str(os.getpid()).encode())
time.sleep(600)
'''

async def main():
    spawner = Spawner()
    ours, theirs = socket.socketpair()
    child = await spawner.spawn(
        [sys.executable, "-I", "-S", "-c", DAEMON],
        output=2, control=theirs.fileno(), exited=lambda code: None,
    )
    daemon = int(ours.recv(64))
    print(json.dumps([spawner.launcher_pid, child.pid, daemon]), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
