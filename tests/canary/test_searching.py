"""The search finds what is there: a secret is planted in each kind of place, in each form."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import aio_pika
import asyncpg
import pytest
from prometheus_client import Gauge

from shared.amqp import open_transport
from shared.telemetry import metrics_server
from shared.topology import Names
from tests.canary import places
from tests.canary.forms import CORE, Searcher, mint, wrapped
from tests.processes import eventually

SECRET = mint("planted")
PASSWORD = wrapped(SECRET)
FORMS = {
    "plain": PASSWORD,
    "json": json.dumps(json.dumps(PASSWORD)),
    "url": quote(PASSWORD, safe=""),
    "upper case": SECRET.upper(),
    "reversed": SECRET[::-1],
    "hex": PASSWORD.encode().hex(),
    "hex in capitals": PASSWORD.encode().hex().upper(),
    "two bytes a character": PASSWORD.encode("utf-16-le").decode("latin-1"),
    "escaped": "".join(f"\\u{ord(one):04x}" for one in SECRET),
    **{
        f"base64, {before}": base64.b64encode(f"{'x' * before}{PASSWORD}x".encode()).decode()
        for before in range(3)
    },
}


@pytest.fixture
def search() -> Searcher:
    found = Searcher()
    found.add("planted", f"{CORE}planted")
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found(search: Searcher, form: str) -> None:
    hay = b"\0 before " + FORMS[form].encode("latin-1", "replace") + b" after"

    assert 1 == len(search.found({"here": hay}))
    assert [] == search.found({"here": hay}, ["planted"])
    assert [] == search.found({"here": b"\0 before " + CORE.encode() + b" after"})


def test_files_names_of_files_and_the_seam_of_two_pieces(
    search: Searcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_CHUNK", 2048)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(b"." * 2040 + PASSWORD.encode() + b"." * 5000)
    (tmp_path / SECRET).touch()

    found = search.found(places.files(tmp_path))

    assert {"deep/log", SECRET} == {one.split(" in ")[1].split(":")[0] for one in found}


async def test_columns_of_every_type(search: Searcher, empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE TABLE t (a text, b jsonb, c bytea, d text[], e text)")
    values = (PASSWORD, json.dumps({"x": [PASSWORD]}), PASSWORD.encode(), [PASSWORD], "nothing")
    await connection.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5)", *values)
    await connection.close()

    found = search.found(await places.tables(empty_database_url))

    assert {f"planted in t.{column}" for column in "abcd"} == {one.split(":")[0] for one in found}


async def test_what_metrics_show(search: Searcher) -> None:
    Gauge(f"leak_{SECRET}", "A mistake.")
    async with metrics_server("127.0.0.1", 0, ready=lambda: True) as port:
        assert 1 == len(search.found(await places.metrics(port)))


def test_arguments_and_environments_of_processes(search: Searcher) -> None:
    command = [sys.executable, "-c", "input()"]
    for more, environment in (([SECRET], {}), ([], {"A": SECRET})):
        with subprocess.Popen([*command, *more], stdin=subprocess.PIPE, env=environment) as process:
            found = search.found(places.processes(process.pid))
            process.communicate(b"\n")
        assert 1 == len(found)


async def test_bodies_headers_and_properties_of_messages(
    search: Searcher, amqp_url: str, names: Names
) -> None:
    async with (
        open_transport(amqp_url, client_name="test") as transport,
        await aio_pika.connect(amqp_url) as connection,
    ):
        await transport.declare(names.base())
        channel = await connection.channel()
        async with places.tapped(amqp_url, names) as seen:
            for message in (
                aio_pika.Message(PASSWORD.encode()),
                aio_pika.Message(b"", headers={"x": SECRET}),
                aio_pika.Message(b"", correlation_id=SECRET),
            ):
                for name in (
                    names.requests,
                    names.replies,
                    names.dead,
                    names.orphans,
                    names.control,
                ):
                    exchange = await channel.get_exchange(name)
                    await exchange.publish(message, "word", mandatory=False)

            async def all_seen() -> bool:
                return len(seen) == 15

            await eventually(all_seen)

    assert 15 == len(search.found(seen))
