"""A machine of our own, as far as names go: a name server, and a resolv.conf that names it.

`python -m tests.own_resolver inside MODE` runs one script there that resolves and connects by name,
and prints what became of it; `command(scratch, MODE)` is how to get inside: namespaces of its own for
mounts and network, by real means where we are root, else in a user namespace.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import struct
import sys
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from services.script_worker.bundle import Bundle
from services.script_worker.node_command import NodeCommand
from services.script_worker.pool import Pool, PoolLimits
from shared.contracts import Action
from tests import servers
from tests.hostile.pod import (
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    NEW,
    NEW_USER,
    NOT_POSSIBLE,
    call,
    loopback_up,
    map_ids,
)

ADDRESS: Final = "127.0.0.53"
_A, _AAAA, _SRV = 1, 28, 33
_WITHIN: Final = 60.0
_SCRIPT: Final = """
async function login(email, password, callback) {
  const dns = require('dns').promises;
  const told = {};
  const attempt = async (name, work) => {
    try { told[name] = await work(); } catch (error) { told[name] = error.code || error.message; }
  };
  await attempt('lookup', async () => (await dns.lookup('db.example.test')).address);
  await attempt('many', async () =>
    (await dns.lookup('many.example.test', { all: true })).map((each) => each.address).sort());
  await attempt('nobody', () => dns.lookup('nobody.example.test'));
  await attempt('resolve4', () => dns.resolve4('db.example.test'));
  await attempt('resolveSrv', () => dns.resolveSrv('_mongodb._tcp.example.test'));
  await attempt('postgres', async () => {
    const { user, port, database } = configuration;
    const { Client } = require('pg');
    const client = new Client({ host: 'db.example.test', port, user, database, password });
    await client.connect();
    const { rows } = await client.query("SELECT 'met' AS met");
    await client.end();
    return rows[0].met;
  });
  callback(null, { user_id: 1, told });
}
"""


def _name(dotted: str) -> bytes:
    labels = dotted.encode().split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


_RECORDS: Final[dict[tuple[bytes, int], list[bytes]]] = {
    (_name("db.example.test"), _A): [IPv4Address("127.0.0.1").packed],
    (_name("many.example.test"), _A): [
        IPv4Address("127.0.0.1").packed,
        IPv4Address("192.0.2.7").packed,
    ],
    (_name("many.example.test"), _AAAA): [IPv6Address("2001:db8::7").packed],
    (_name("_mongodb._tcp.example.test"), _SRV): [
        struct.pack("!HHH", 0, 5, 27017) + _name("db.example.test")
    ],
}


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers from `_RECORDS` (RFC 1035), over UDP and, unless it is one that doesn't, over TCP.

    Mode "truncated": what it says over UDP is cut short, so that one has to ask again over TCP.
    """

    mode: str
    asked: Counter[str] = field(default_factory=Counter)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.asked["udp"] += 1
        self._transport.sendto(self._answer(data, truncated=self.mode == "truncated"), addr)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions over TCP, each with its length before it, until there are no more."""
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                self.asked["tcp"] += 1
                answer = self._answer(await reader.readexactly(length), truncated=False)
                writer.write(struct.pack("!H", len(answer)) + answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    def _answer(self, question: bytes, *, truncated: bool) -> bytes:
        end = question.index(b"\0", 12) + 1
        name = question[12:end].lower()
        (kind,) = struct.unpack_from("!H", question, end)
        known = {each for each, _ in _RECORDS}
        records = [] if truncated else _RECORDS.get((name, kind), [])
        flags = 0x8180 | (0x0200 if truncated else 0) | (0 if name in known else 3)
        header = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        answers = [struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for data in records]
        return header + question[12 : end + 4] + b"".join(answers)


def command(scratch: Path, mode: str) -> list[str]:
    """Runs the script on a machine of its own; it ends with `NOT_POSSIBLE` where there is none."""
    return [sys.executable, "-m", "tests.own_resolver", "enter", str(scratch), mode]


def enter(scratch: Path, mode: str) -> None:
    """Go there, and run this module's `inside`. Raises OSError."""
    ids = os.geteuid(), os.getegid()
    call("unshare", NEW["NS"] | NEW["NET"] | (0 if ids[0] == 0 else NEW_USER))
    if ids[0] != 0:
        map_ids(*ids)
    call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    ours = scratch / "resolv.conf"
    ours.write_text(f"nameserver {ADDRESS}\n")
    call("mount", bytes(ours), b"/etc/resolv.conf", None, ctypes.c_ulong(MS_BIND), None)
    loopback_up()
    if ids[0] != 0:  # port 53 is root's
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    program = [sys.executable, "-m", "tests.own_resolver", "inside", mode]
    os.execv(program[0], program)  # noqa: S606 - a shell is what we avoid


async def inside(mode: str, database_url: str) -> dict[str, Any]:
    """What a script makes of names here, and what the name server was asked."""
    loop = asyncio.get_running_loop()
    server = NameServer(mode)
    await loop.create_datagram_endpoint(lambda: server, local_addr=(ADDRESS, 53))
    if mode != "udp":
        await asyncio.start_server(server.converse, ADDRESS, 53)
    database = urlsplit(database_url)
    options = {
        "user": str(database.username),
        "port": str(database.port),
        "database": database.path[1:],
    }
    bundle = Bundle("con_0000000000000001", "1" * 32, {Action.LOGIN: _SCRIPT}, options)
    async with Pool(NodeCommand.installed(), limits=PoolLimits(blanks=0)) as pool:
        level = (await pool.isolation()).level
        run = await pool.run(
            bundle,
            Action.LOGIN,
            ["ada@example.com", str(database.password)],
            context={},
            deadline=loop.time() + _WITHIN,
        )
    return {
        "level": level.value,
        "outcome": getattr(run.outcome, "value", repr(run.outcome)),
        "violations": [broken.kind.value for broken in run.violations],
        "egress": sorted({(each.address, each.port, each.verdict.value) for each in run.egress}),
        "port": database.port,
        "asked": server.asked,
    }


def main(verb: str, *arguments: str) -> int:
    if verb == "enter":
        try:
            enter(Path(arguments[0]), arguments[1])
        except OSError as error:
            sys.stderr.write(f"no namespaces here: {error}\n")
            return NOT_POSSIBLE
    with servers.postgres() as databases:
        came_to = asyncio.run(inside(arguments[0], databases.url))
    sys.stdout.write(json.dumps(came_to) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
