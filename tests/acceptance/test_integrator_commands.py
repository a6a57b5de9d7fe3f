"""`python -m services.auth integrator …`, as an operator types it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.sealing import KeyRing
from shared.topology import Names
from tests.processes import system

LOGIN = "function login(email, password, callback) { callback(null); }"


@dataclass(frozen=True)
class Printed:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Console:
    """Where the commands are typed."""

    environment: dict[str, str]

    async def integrator(self, *words: str) -> Printed:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.auth", "integrator", *words),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Printed(int(process.returncode or 0), out.decode(), err.decode())

    async def listed(self) -> str:
        return (await self.integrator("list")).out


def console(database_url: str, amqp_url: str, names: Names) -> Console:
    return Console(
        {
            "PATH": os.defpath,
            "DATABASE_URL": database_url,
            "AMQP_URL": amqp_url,
            "TRICKLE_BROKER_PREFIX": names.prefix,
            "TRICKLE_KEY_RING": KeyRing.generate(),
            "TRICKLE_ISSUER": "https://login.example.com/",
            "TRICKLE_LOG_LEVEL": "warning",
        }
    )


async def test_a_key_is_shown_once_when_it_is_made_and_never_again(
    database_url: str, amqp_url: str, names: Names, tmp_path: Path
) -> None:
    typed = console(database_url, amqp_url, names)
    async with system(database_url, amqp_url, tmp_path) as its:
        its.prefix, its.ring = names.prefix, typed.environment["TRICKLE_KEY_RING"]
        await its.auth()
        shop = await its.connect("shop", LOGIN)

    added = await typed.integrator("add", "billing", "shop")
    rotated = await typed.integrator("rotate", "billing")
    first, second = (one.out.strip().partition(":") for one in (added, rotated))
    listed = await typed.listed()
    shown = await typed.integrator("definitions", "billing")

    for one in (added, rotated):
        assert (0, "the sealing key is shown this once:\n") == (one.code, one.err)
    assert [32, 32] == [len(base64.b64decode(key)) for *_, key in (first, second)]
    assert {"name": "billing", "connections": [shop], "keys": [first[0], second[0]]} == json.loads(
        listed
    )
    assert {"permissions", "topic_permissions"} <= json.loads(shown.out).keys()
    for secret in (first[2], second[2], typed.environment["TRICKLE_KEY_RING"]):
        assert secret not in listed + shown.out + shown.err + added.err + rotated.err

    revoked = await typed.integrator("revoke", "billing", first[0])
    assert (0, [second[0]]) == (revoked.code, json.loads(await typed.listed())["keys"])
    gone = await typed.integrator("revoke", "billing")
    assert (0, "") == (gone.code, await typed.listed())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("add billing nowhere", "there is no connection nowhere"),
        ("add Billing nowhere", "a name matches"),
        ("add auth nowhere", "a name matches"),
        ("rotate nobody", "there is no integrator nobody"),
        ("revoke nobody", "there is no integrator nobody"),
        ("revoke nobody nobody.1", "there is no integrator nobody"),
        ("definitions nobody", "there is no integrator nobody"),
    ],
)
async def test_what_an_operator_has_to_mend_is_one_line_and_changes_nothing(
    database_url: str, amqp_url: str, names: Names, words: str, why: str
) -> None:
    typed = console(database_url, amqp_url, names)

    told = await typed.integrator(*words.split())

    assert (78, "") == (told.code, told.out)
    assert 1 == len(told.err.splitlines()), told.err
    assert why in told.err
    assert "" == await typed.listed()


@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("", 2), ("add", 2), ("steal x", 2)])
async def test_a_command_line_that_is_none_is_told_how_one_looks(words: str, code: int) -> None:
    told = await Console({"PATH": os.defpath}).integrator(*words.split())

    assert code == told.code
    assert "usage: python -m services.auth integrator" in told.out + told.err
    assert "Traceback" not in told.err
