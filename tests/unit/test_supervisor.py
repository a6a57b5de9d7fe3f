"""The launcher's supervisor, against children that do what no honest program does."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.script_worker.sandbox import seccomp
from services.script_worker.sandbox.child import prctl
from services.script_worker.sandbox.confinement import Confinement, Order, policy_of
from services.script_worker.sandbox.egress import (
    Endpoint,
    Grant,
    Policy,
    SocketAddress,
    Verdict,
)
from services.script_worker.sandbox.landlock import Files
from services.script_worker.sandbox.levels import Pieces
from services.script_worker.sandbox.supervisor import (
    MAX_PENDING,
    MAX_REFUSED_TOLD,
    Supervisor,
)
from services.script_worker.sandbox.syscalls import NUMBERS
from services.script_worker.sandbox.watching import Watch
from shared.lifecycle import PR_SET_DUMPABLE
from tests.servers import missing

WITHIN = 30.0
NOWHERE = 2**64 - 16
"""An address that no file offset can hold, as `/proc/<pid>/mem` would need one."""


def _descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names


class Told:
    """Verdicts, as the worker would hear of them."""

    def __init__(self) -> None:
        self.messages = 0
        self.times: Counter[Verdict] = Counter()

    def __call__(self, _pid: int, _to: SocketAddress | None, verdict: Verdict, times: int) -> None:
        self.messages += 1
        self.times[verdict] += times


def _supervisor(watch: Watch, heard: Told | None = None) -> Supervisor:
    machine = seccomp.machine()
    if machine is None:
        missing("a table of syscalls", OSError("another machine"))
    return Supervisor(watch, Policy(), NUMBERS[machine]["connect"], heard or Told())


def _outcome(
    does: Callable[[], int],
    meanwhile: Callable[[Supervisor], None] = lambda _: None,
    *,
    grant: Grant | None = None,
    heard: Told | None = None,
) -> int:
    """What a supervised child's `does` returns; `meanwhile` is called here, again and again."""
    watch, told = Watch(), bytearray()
    supervisor = _supervisor(watch, heard)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        number = 255
        try:
            # As after an exec, whatever a test before this one made of our process.
            prctl(PR_SET_DUMPABLE, 1)
            Confinement(Pieces(seccomp=True, supervised=True), Files()).apply(theirs)
            number = does()
        finally:
            os.write(writer, bytes([number]))
            os._exit(0)
    os.close(writer)
    theirs.close()
    supervisor.grant(child, grant or Grant())
    supervisor.adopt(child, ours)
    watch.add(reader, lambda _: told.extend(os.read(reader, 1) or b"\xff"))
    until = time.monotonic() + WITHIN
    try:
        while not told and time.monotonic() < until:
            watch.handle(watch.wait(50))
            meanwhile(supervisor)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        supervisor.dismiss(child)
        os.close(reader)
    return told[0]


def _errno_of_connect(descriptor: int, address: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.connect(descriptor, ctypes.c_void_p(address), 16)
    return ctypes.get_errno()


@contextmanager
def _full() -> Iterator[tuple[socket.socket, int]]:
    """A port that takes no connection until somebody accepts: the next one is under way."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        first.connect(("127.0.0.1", port))
        second.settimeout(0)
        second.connect_ex(("127.0.0.1", port))
        yield listening, port


def _refusals(times: int, port: int) -> int:
    """How many connects to a port are refused by the supervisor."""
    refused = 0
    for _ in range(times):
        with socket.socket() as asking:
            refused += asking.connect_ex(("127.0.0.1", port)) == errno.EACCES
    return refused


def test_refused_connects_are_told_some_times_and_counted_beyond() -> None:
    heard = Told()

    assert 200 == _outcome(lambda: _refusals(200, 1), grant=Grant(open=False), heard=heard)
    assert {Verdict.NOT_LISTED: 200} == heard.times
    assert MAX_REFUSED_TOLD + 1 == heard.messages


def test_connects_under_way_have_a_bound_and_those_beyond_are_refused() -> None:
    heard = Told()
    with _full() as (_, port):

        def connect() -> int:
            for _ in range(MAX_PENDING):
                threading.Thread(target=_refusals, args=(1, port), daemon=True).start()
            refused = 0
            for _ in range(100):
                time.sleep(0.01)  # the supervisor may be asked by this thread before those
                refused += _refusals(1, port)
            return refused > 50

        assert _outcome(connect, heard=heard)
    assert MAX_PENDING == heard.times[Verdict.ALLOWED]


def test_while_it_is_paused_who_asks_waits_and_nothing_is_told() -> None:
    heard, rounds, told_while_paused = Told(), 0, 0

    def meanwhile(supervisor: Supervisor) -> None:
        nonlocal rounds, told_while_paused
        rounds += 1
        if rounds == 1:
            supervisor.pause()
        elif rounds == 10:
            told_while_paused = heard.messages
            supervisor.resume()

    assert 3 == _outcome(lambda: _refusals(3, 1), meanwhile, grant=Grant(open=False), heard=heard)
    assert 0 == told_while_paused
    assert {Verdict.NOT_LISTED: 3} == heard.times


def test_a_connect_to_what_is_no_memory_is_refused_and_ends_nobody_else() -> None:
    def connect() -> int:
        with socket.socket() as asking:
            return _errno_of_connect(asking.fileno(), NOWHERE)

    assert errno.EACCES == _outcome(connect)


def test_a_descriptor_that_is_closed_while_its_connect_is_under_way_ends_nobody_else() -> None:
    began = time.monotonic()
    with _full() as (listening, port):
        listening.settimeout(0)

        def connect() -> int:
            asking, seen = socket.socket(), list[int]()
            descriptor = asking.detach()
            address = ctypes.create_string_buffer(
                b"\x02\x00" + port.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + bytes(8), 16
            )
            place = ctypes.addressof(address)
            waiting = threading.Thread(
                target=lambda: seen.append(_errno_of_connect(descriptor, place))
            )
            waiting.start()
            time.sleep(0.3)
            os.close(descriptor)
            waiting.join()
            return seen[0]

        def accept(_: Supervisor) -> None:
            if time.monotonic() - began > 1:
                try:
                    listening.accept()[0].close()
                except BlockingIOError:
                    return

        assert errno.ENOENT == _outcome(connect, accept)


def test_what_a_child_sent_before_it_died_is_closed_with_it() -> None:
    watch = Watch()
    supervisor = _supervisor(watch)
    before = _descriptors()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor.adopt(4_000_000, ours)
    with theirs:
        socket.send_fds(theirs, [b"listener"], [0])
    events = watch.wait(0)  # seen together with its death, which is handled first
    supervisor.dismiss(4_000_000)
    watch.handle(events)

    assert before == _descriptors()


def test_a_service_that_is_named_by_this_machine_s_other_address_is_refused_at_loopback_too() -> (
    None
):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as routed:
        try:
            routed.connect(("192.0.2.1", 9))  # sends nothing
        except OSError as error:
            missing("an address but loopback", error)
        other = routed.getsockname()[0]
    loopback = Endpoint.of("127.0.0.1", 5432)

    def verdict(order: Order) -> Verdict:
        return policy_of(order).judge(loopback, Grant(), local=True)

    assert Verdict.OWN_SERVICE == verdict(Order("/node", own=((other, 5432),)))
    assert Verdict.ALLOWED == verdict(Order("/node", own=(("203.0.113.7", 5432),)))
    assert Verdict.ALLOWED == verdict(Order("/node", own=((other, 5432),), shared=((other, 5432),)))
