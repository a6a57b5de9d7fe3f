"""A broken legacy store is left alone; what it denied is not asked again; denials look alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from services.auth import metrics
from services.auth.breaker import DEFAULT, Policy
from services.auth.caller import Caller
from services.auth.legacy import profile_of
from services.auth.problems import FlowEnded
from shared.contracts import (
    Action,
    Binding,
    Denied,
    DeniedReason,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
    Outcome,
    Succeeded,
)
from shared.database import Session
from shared.errors import Unavailable
from shared.ledger import Granted, Ledger
from shared.sealing import Direction, seal_json
from shared.topology import Names
from shared.transport import Delivery
from tests.processes import eventually
from tests.servers import Databases
from tests.site import LOGIN, PASSWORD, Site, opened, without_worker

GET_USER = """function getUser(email, callback) {
  callback(null, { user_id: 'NAME|' + email, email: email });
}"""
CHANGE_PASSWORD = "function changePassword(email, password, callback) { callback(null, true); }"
SIGNUP = {"email": "new@example.com", "password": "Correct horse 43"}


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    found = databases.fresh()
    yield found
    databases.drop(found)


@pytest.fixture(scope="module")
async def site(url: str) -> AsyncIterator[Site]:
    async with opened(url) as made:
        yield made


@pytest.fixture
def name() -> str:
    return f"shop-{uuid4().hex[:8]}"


async def connect(site: Site, name: str, **options: Any) -> None:
    scripts = {
        "login": LOGIN.replace("user_id: 7", f"user_id: '{name}|' + email"),
        "get_user": GET_USER.replace("NAME", name),
        "change_password": CHANGE_PASSWORD,
    }
    await site.connect(name, **({"customScripts": scripts} | options))


async def runs(site: Site, name: str) -> int:
    return int(
        await site.database.fetchval(
            "SELECT count(*) FROM executions JOIN connections USING (connection_id)"
            " WHERE name = $1",
            name,
        )
    )


@pytest.fixture
def stays_open(site: Site) -> Iterator[None]:
    """Breakers of connections that are made now stay open for longer than a test takes."""
    shield = site.auth.state.its.legacy._shield
    shield.policy = Policy(open_for=600.0)
    yield
    shield.policy = DEFAULT


async def outage(site: Site, name: str) -> None:
    for number in range(5):
        answer = await site.login("outage", f"user{number}@example.com", realm=name)
        assert 403 == answer.status_code, answer.text


@pytest.mark.usefixtures("stays_open")
async def test_an_open_breaker_says_come_back_later_and_asks_nobody(site: Site, name: str) -> None:
    await connect(site, name)
    await outage(site, name)
    asked = await runs(site, name)
    answer = await site.login("x", realm=name)
    signup = await site.http.post(
        "/dbconnections/signup", json=SIGNUP | {"client_id": site.client_id, "connection": name}
    )

    assert (503, "temporarily_unavailable") == (answer.status_code, answer.json()["error"])
    assert 1 <= int(answer.headers["retry-after"]) <= 90
    assert (503, "temporarily_unavailable") == (signup.status_code, signup.json()["code"])
    assert asked == await runs(site, name)


@pytest.mark.usefixtures("stays_open")
async def test_users_already_migrated_don_t_notice(site: Site, name: str) -> None:
    await connect(site, name)
    assert 200 == (await site.login(PASSWORD, realm=name)).status_code
    await outage(site, name)

    assert 200 == (await site.login(PASSWORD, realm=name)).status_code
    wrong = await site.login("x", realm=name)
    assert (403, "invalid_grant") == (wrong.status_code, wrong.json()["error"])
    assert 503 == (await site.login(PASSWORD, "other@example.com", realm=name)).status_code


async def test_it_closes_when_the_store_is_back(site: Site, name: str) -> None:
    await connect(site, name)
    await outage(site, name)

    async def imported() -> bool:
        return (await site.login(PASSWORD, "back@example.com", realm=name)).status_code == 200

    await eventually(imported)
    assert 403 == (await site.login("x", "other@example.com", realm=name)).status_code


@pytest.mark.usefixtures("stays_open")
async def test_another_connection_s_breaker_stays_closed(site: Site, name: str) -> None:
    await connect(site, name)
    await connect(site, f"{name}-b")
    await outage(site, name)

    assert 200 == (await site.login(PASSWORD, realm=f"{name}-b")).status_code


async def test_a_deleted_connection_s_series_go_with_it_and_others_stay(
    site: Site, name: str
) -> None:
    names = name, f"{name}-b"
    for each in names:
        await connect(site, each)
        await outage(site, each)
        await site.login("wrong", "nobody@example.com", realm=each)
    assert set(names) <= _series("connection").keys()
    kept = _series("connection")[names[1]]

    [gone] = (await site.manage("GET", f"connections?name={name}")).json()
    await site.manage("DELETE", f"connections/{gone['id']}")
    await site.auth.state.its.connections.forget_deleted()

    assert name not in _series("connection")
    assert kept == _series("connection")[names[1]]
    assert name not in metrics.labelled_connections()


def _series(label: str) -> dict[str, set[str]]:
    """The names of metrics by the values of a label."""
    found: dict[str, set[str]] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if label in sample.labels:
                found.setdefault(sample.labels[label], set()).add(sample.name)
    return found


async def test_a_denial_is_remembered_for_that_password_alone(site: Site, name: str) -> None:
    await connect(site, name)
    answers = [await site.login("wrong", realm=name) for _ in range(2)]
    assert 1 == await runs(site, name)

    assert [403, 403] == [answer.status_code for answer in answers]
    assert answers[0].json() == answers[1].json()
    await site.login("wrong too", realm=name)
    assert 2 == await runs(site, name)
    assert 200 == (await site.login(PASSWORD, realm=name)).status_code


async def test_a_failure_is_not_remembered(site: Site, name: str) -> None:
    await connect(site, name)
    for _ in range(2):
        await site.login("outage", realm=name)

    assert 2 == await runs(site, name)


async def test_a_new_password_voids_what_was_denied(site: Site, name: str) -> None:
    await connect(site, name, import_mode=False)
    assert 200 == (await site.login(PASSWORD, realm=name)).status_code
    await site.login("wrong", realm=name)
    user = f"auth0|{name}|ada@example.com"
    changed = await site.manage(
        "PATCH", f"users/{user}", {"password": "Another horse 42", "connection": name}
    )
    assert 200 == changed.status_code, changed.text

    before = await runs(site, name)
    await site.login("wrong", realm=name)
    assert before + 1 == await runs(site, name)


async def test_nothing_is_remembered_where_it_is_switched_off(site: Site, name: str) -> None:
    await connect(site, name, negative_cache_seconds=0)
    for _ in range(2):
        await site.login("wrong", realm=name)

    assert 2 == await runs(site, name)


async def test_denials_differ_in_nothing(site: Site, name: str) -> None:
    login = LOGIN.replace("user_id: 7", f"user_id: '{name}|' + email").replace(
        "if (password ===",
        "if (/^nobody/.test(email)) return callback(null);\n  if (password ===",
        1,
    )
    await connect(site, name, customScripts={"login": login})
    await site.login(PASSWORD, "moved@example.com", realm=name)
    denials = [
        await site.login("wrong", who, realm=name)
        for who in ("moved@example.com", "ada@example.com", "nobody@example.com", "ada@example.com")
    ]

    assert {"invalid_grant"} == {answer.json()["error"] for answer in denials}
    assert 1 == len({_shape(answer) for answer in denials})


def _shape(answer: httpx.Response) -> tuple[Any, ...]:
    varied = {"x-trickle-request-id", "x-auth0-requestid"}
    fixed = sorted((k, v) for k, v in answer.headers.items() if k not in varied)
    return answer.status_code, answer.text, tuple(fixed), len(answer.headers)


async def test_a_denial_after_the_answer_costs_the_budget_and_a_failure_does_not(
    database_url: str,
) -> None:
    """The store counts a wrong password whether its caller was still there or not."""
    async with without_worker(database_url) as site, Ledger(site.database) as ledger:
        made = await site.connect(script_timeout_seconds=0.5)
        requests = await _requests(site, made["id"])
        for outcome, counted in (
            (Failed.of(Detail.THREW, "ECONNREFUSED"), 0),
            (Denied(reason=DeniedReason.WRONG_PASSWORD, user_id="7"), 1),
        ):
            login = asyncio.create_task(site.login("wrong"))
            request = await requests.get()
            assert isinstance(await ledger.claim(request, uuid4()), Granted)
            assert "access_denied" == (await login).json()["error"]
            assert [0.0] == await _levels(site)

            assert await ledger.record(_decided(request, outcome))
            await eventually(partial(_applied, site, request.execution_id))
            await eventually(partial(_is_counted, site, counted))


async def test_a_late_effect_that_fails_ends_no_replica(database_url: str) -> None:
    """Whoever signs up late may find the name taken by then, or have a profile of no use."""
    async with without_worker(database_url) as site, Ledger(site.database) as ledger:
        made = await site.connect(script_timeout_seconds=0.5)
        its, requests = site.auth.state.its, await _requests(site, made["id"])
        connection = await its.connections.get(made["id"])
        assert connection is not None
        tried = asyncio.Event()

        async def record(_: Session, value: Any) -> None:
            tried.set()
            profile_of(connection, value)

        turn = its.legacy.turn(connection, Caller())
        flow = asyncio.create_task(its.legacy.run(turn, Action.LOGIN, ["ada", "x"], record))
        request = await requests.get()
        assert isinstance(await ledger.claim(request, uuid4()), Granted)
        with pytest.raises(FlowEnded):
            await flow
        sealed = seal_json(site.auth.state.ring, Direction.VALUE, request, {"no": "user_id"})
        assert await ledger.record(_decided(request, Succeeded(sealed_value=sealed)))
        await tried.wait()

        login = asyncio.create_task(site.login("x"))
        await requests.get()
        assert 403 == (await login).status_code


async def test_a_ledger_that_is_away_at_the_deadline_costs_no_late_effect(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller can't be told what became of it; what was claimed has its effect all the same."""
    async with without_worker(database_url) as site, Ledger(site.database) as ledger:
        made = await site.connect(script_timeout_seconds=0.5)
        requests = await _requests(site, made["id"])

        async def away(*_: Any, **__: Any) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(Ledger, "decide", away)
        login = asyncio.create_task(site.login("x"))
        request = await requests.get()
        assert isinstance(await ledger.claim(request, uuid4()), Granted)
        assert 503 == (await login).status_code
        profile = {"user_id": "7", "email": "ada@example.com"}
        sealed = seal_json(site.auth.state.ring, Direction.VALUE, request, profile)
        assert await ledger.record(_decided(request, Succeeded(sealed_value=sealed)))

        await eventually(partial(_applied, site, request.execution_id))
        # They are moved, and have not logged in.
        (user,) = await site.database.fetch("SELECT user_id, logins_count FROM users")
        assert ("auth0|7", 0) == tuple(user)
        assert 0 == await site.database.fetchval("SELECT count(*) FROM logs WHERE type = 's'")


async def test_a_login_that_is_cut_off_stays_counted(database_url: str) -> None:
    """Else whoever makes replicas end would guess for nothing."""
    async with without_worker(database_url) as site:
        made = await site.connect()
        requests = await _requests(site, made["id"])
        login = asyncio.create_task(site.login("wrong"))
        await requests.get()
        (cut,) = site.auth.state.tasks
        cut.cancel()
        await asyncio.wait({login, cut})

        assert [1.0] == await _levels(site)


async def test_a_denial_that_can_not_be_told_stays_counted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has counted it, although the ledger was away before its caller heard of it."""
    async with without_worker(database_url) as site, Ledger(site.database) as ledger:
        made = await site.connect(script_timeout_seconds=0.5)
        requests = await _requests(site, made["id"])

        async def away(*_: Any) -> None:
            raise Unavailable("away")

        login = asyncio.create_task(site.login("wrong"))
        request = await requests.get()
        assert isinstance(await ledger.claim(request, uuid4()), Granted)
        denied = Denied(reason=DeniedReason.WRONG_PASSWORD, user_id="7")
        monkeypatch.setattr(Ledger, "mark_applied", away)
        assert await ledger.record(_decided(request, denied))

        assert 503 == (await login).status_code
        assert [1.0] == await _levels(site)


async def _requests(site: Site, connection_id: str) -> asyncio.Queue[ExecutionRequest]:
    """What a worker would get."""
    requests: asyncio.Queue[ExecutionRequest] = asyncio.Queue()

    def take(delivery: Delivery) -> None:
        requests.put_nowait(ExecutionRequest.model_validate_json(delivery.message.body))
        delivery.ack()

    queue = Names().request_queue(connection_id)
    await site.broker.transport("worker").consume(queue, prefetch=1, handler=take)
    return requests


def _decided(request: ExecutionRequest, outcome: Outcome) -> ExecutionResult:
    binding = {name: getattr(request, name) for name in Binding.model_fields}
    return ExecutionResult(**binding, outcome=outcome, attempt=1)


async def _applied(site: Site, execution_id: UUID) -> bool:
    return bool(
        await site.database.fetchval(
            "SELECT applied_at IS NOT NULL FROM executions WHERE execution_id = $1", execution_id
        )
    )


async def _levels(site: Site) -> list[float]:
    rows = await site.database.fetch("SELECT level FROM limits WHERE budget = 'lockout'")
    return [row["level"] for row in rows]


async def _is_counted(site: Site, times: int) -> bool:
    return [float(times)] == await _levels(site)
