"""The ledger's statements against the table of states, on a real Postgres.

Time is moved by moving a row's lease or deadline, never by waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.auth.migrate import migrate
from shared import execution_states
from shared.contracts import (
    Action,
    Binding,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
    Sealed,
)
from shared.database import Database, open_database
from shared.errors import Misconfigured, Undecodable
from shared.execution_ids import mint
from shared.execution_states import State
from shared.ledger import Decided, Granted, Held, Ledger, Passed
from tests import servers

HERE, THERE = uuid4(), uuid4()


@pytest.fixture(scope="module", params=["wheel", "oldest"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.Databases]:
    """The wheel's release, and the oldest that we support."""
    started = servers.postgres if request.param == "wheel" else servers.oldest_postgres
    with started() as found:
        yield found


@pytest.fixture
def url(server: servers.Databases) -> Iterator[str]:
    """A fresh, migrated database of that release."""
    fresh = server.fresh()
    yield fresh
    server.drop(fresh)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Database, Ledger]]:
    async with open_database(url) as database, Ledger(database) as ledger:
        yield database, ledger


def request_for(database: Database, action: Action = Action.LOGIN) -> ExecutionRequest:
    now = database.now()
    return ExecutionRequest(
        execution_id=mint(now),
        connection_id="con_" + "a" * 16,
        revision="0" * 32,
        action=action,
        deadline=now + timedelta(seconds=20),
        reply_to="replica",
        sealed_arguments=Sealed(key_id="k", data=""),
        requested_at=now,
    )


def result_of(request: ExecutionRequest, attempt: int, text: str = "x") -> ExecutionResult:
    detail = Detail.THREW if attempt else Detail.GIVEN_UP
    fields = {name: getattr(request, name) for name in Binding.model_fields}
    return ExecutionResult(**fields, outcome=Failed.of(detail, text), attempt=attempt)


async def kill_lease(database: Database, execution_id: UUID) -> None:
    await database.execute(
        "UPDATE executions SET lease_until = clock_timestamp() - interval '1 s'"
        " WHERE execution_id = $1",
        execution_id,
    )


async def pass_deadline(database: Database, execution_id: UUID) -> None:
    await database.execute(
        "UPDATE executions SET deadline = clock_timestamp() - interval '1 s'"
        " WHERE execution_id = $1",
        execution_id,
    )


async def test_an_execution_lives_from_claim_to_effect(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)

        granted = await ledger.claim(request, HERE)
        assert isinstance(granted, Granted)
        result = result_of(request, granted.attempt)
        assert await ledger.record(result)
        assert await ledger.mark_applied(request.execution_id)
        assert not await ledger.mark_applied(request.execution_id)
        decided = await ledger.claim(request, THERE)

        assert isinstance(decided, Decided)
        assert (result, State.APPLIED) == (decided.row.result, decided.row.state)
        assert 19 < granted.remaining.total_seconds() <= 20


async def test_two_workers_never_hold_the_same_claim(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)

        answers = await asyncio.gather(*(ledger.claim(request, HERE) for _ in range(10)))
        elsewhere = await ledger.claim(request, THERE)

        assert 1 == sum(isinstance(answer, Granted) for answer in answers)
        assert isinstance(elsewhere, Held)


async def test_of_two_copies_in_one_statement_one_is_granted(url: str) -> None:
    """I4: a worker may get both before it has asked for either."""
    async with opened(url) as (database, ledger):
        request = request_for(database, Action.CREATE)

        claims = await asyncio.gather(ledger.claim(request, HERE), ledger.claim(request, HERE))

        assert [Granted, Held] == [type(one) for one in claims]


async def test_a_late_owner_is_fenced_off(url: str) -> None:
    """I1: who lost the claim can't write, whatever it ran."""
    async with opened(url) as (database, ledger):
        request = request_for(database)
        await ledger.claim(request, HERE)
        await kill_lease(database, request.execution_id)
        second = await ledger.claim(request, THERE)
        assert isinstance(second, Granted)

        assert not await ledger.record(result_of(request, 1, "mine"))
        assert await ledger.record(result_of(request, 2, "theirs"))
        (row,) = await ledger.read([request.execution_id])

        assert 2 == second.attempt
        assert row.result == result_of(request, 2, "theirs")


async def test_an_idempotent_action_is_repeated_so_often_and_no_more(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)
        attempts = []
        for number in range(5):
            answer = await ledger.claim(request, uuid4())
            attempts.append(answer.attempt if isinstance(answer, Granted) else None)
            await kill_lease(database, request.execution_id)
            assert number < 2 or await ledger.reap() in {0, 1}

        (row,) = await ledger.read([request.execution_id])
        assert [1, 2, 3, None, None] == attempts
        assert row.result is not None
        assert "indeterminate" == str(row.result.outcome.kind)


async def test_what_may_not_be_repeated_becomes_indeterminate(url: str) -> None:
    """I4."""
    async with opened(url) as (database, ledger):
        request = request_for(database, Action.CREATE)
        await ledger.claim(request, HERE)
        assert 0 == await ledger.reap()
        await kill_lease(database, request.execution_id)

        again = await ledger.claim(request, THERE)
        reaped = await ledger.reap()
        late = await ledger.record(result_of(request, 1))

        assert isinstance(again, Held)
        assert (1, False) == (reaped, late)


async def test_a_tombstone_keeps_a_request_from_starting(url: str) -> None:
    """I5."""
    async with opened(url) as (database, ledger):
        request = request_for(database)
        row = await ledger.decide(result_of(request, 0), reply_to="replica")

        claim = await ledger.claim(request, HERE)

        assert State.DECIDED is row.state
        assert isinstance(claim, Decided)


async def test_a_claimed_execution_can_not_be_said_not_to_have_run(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)
        await ledger.claim(request, HERE)

        row = await ledger.decide(result_of(request, 0), reply_to="replica")

        assert (State.CLAIMED, None) == (row.state, row.result)


async def test_nothing_is_claimed_after_its_deadline(url: str) -> None:
    """I3, by the database's clock."""
    async with opened(url) as (database, ledger):
        request = request_for(database)
        past = request.model_copy(update={"deadline": database.now() - timedelta(seconds=1)})

        assert isinstance(await ledger.claim(past, HERE), Passed)


async def test_a_claim_whose_commit_was_never_heard_of_is_ours(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)
        await Ledger(database).claim(request, HERE)  # the answer got lost with its link

        assert isinstance(await ledger.claim(request, HERE), Granted)
        assert isinstance(await ledger.claim(request, HERE), Held)


async def test_a_claim_that_runs_is_remembered_however_many_others_are_decided_meanwhile(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.ledger._REMEMBERED", 3)
    async with opened(url) as (database, ledger):
        long = request_for(database, Action.CREATE)
        await ledger.claim(long, HERE)
        for _ in range(5):
            other = request_for(database)
            await ledger.claim(other, HERE)
            assert await ledger.record(result_of(other, 1))

        assert isinstance(await ledger.claim(long, HERE), Held)


async def test_an_effect_is_applied_once_however_many_ask(url: str) -> None:
    """I8, in transactions that run at the same time."""
    async with opened(url) as (database, ledger):
        request = request_for(database)
        await ledger.claim(request, HERE)
        await ledger.record(result_of(request, 1))

        async def apply() -> bool:
            async with database.transaction() as session:
                return await ledger.apply(session, request.execution_id)

        assert 1 == sum(await asyncio.gather(*(apply() for _ in range(6))))


async def test_an_effect_that_fails_is_still_owed(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)
        await ledger.claim(request, HERE)
        await ledger.record(result_of(request, 1))

        async def fail() -> None:
            async with database.transaction() as session:
                assert await ledger.apply(session, request.execution_id)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()

        assert await ledger.mark_applied(request.execution_id)


async def test_only_what_nobody_published_is_the_outbox_s(url: str) -> None:
    """I7."""
    async with opened(url) as (database, ledger):
        published, owed = request_for(database), request_for(database)
        for request in (published, owed):
            await ledger.claim(request, HERE)
            await ledger.record(result_of(request, 1))
        ledger.note_published(published.execution_id)
        async with asyncio.timeout(5):
            while not (await ledger.read([published.execution_id]))[0].published:
                await asyncio.sleep(0.01)

        async with database.transaction() as session:
            due = await ledger.unpublished(session, timedelta(0))
            async with database.transaction() as other:
                skipped = await ledger.unpublished(other, timedelta(0))

        assert [owed.execution_id] == [execution_id for execution_id, _, _ in due]
        assert [] == skipped


async def test_leases_are_renewed_only_for_their_owner(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)
        await ledger.claim(request, HERE)
        pair = [(request.execution_id, 1)]

        assert {request.execution_id} == await ledger.renew(HERE, pair)
        assert set() == await ledger.renew(THERE, pair)
        assert set() == await ledger.renew(HERE, [(request.execution_id, 2)])


async def test_an_id_outside_the_window_is_refused(url: str) -> None:
    async with opened(url) as (database, ledger):
        request = request_for(database)
        old = request.model_copy(update={"execution_id": mint(database.now() - timedelta(days=9))})

        with pytest.raises(Undecodable):
            await ledger.claim(old, HERE)


async def test_a_server_that_may_forget_what_it_committed_is_noticed(url: str) -> None:
    """I10: what loses commits in a crash breaks every promise."""
    async with open_database(url) as database:
        assert [] == await database.forgets_by()
        name = url.rpartition("/")[2]
        await database.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    async with open_database(url) as database:
        assert ["synchronous_commit"] == await database.forgets_by()


async def test_many_claims_share_statements_and_each_gets_its_own_answer(url: str) -> None:
    async with opened(url) as (database, ledger):
        requests = [request_for(database) for _ in range(200)]

        claims = await asyncio.gather(*(ledger.claim(request, HERE) for request in requests))
        recorded = await asyncio.gather(*(ledger.record(result_of(one, 1)) for one in requests))
        counts = await ledger.counts()

        assert all(isinstance(claim, Granted) for claim in claims)
        assert all(recorded)
        assert (200, 200, 0) == (counts.requests, counts.outcomes, counts.undecided)


async def test_a_day_that_fills_is_not_read_by_a_plan_of_when_it_was_empty(url: str) -> None:
    """Such plans read the whole day for each statement, from midnight until its first statistics."""
    async with opened(url) as (database, ledger):

        async def one_after_the_other(number: int) -> None:
            for _ in range(number):
                request = request_for(database)
                await ledger.claim(request, HERE)
                await ledger.record(result_of(request, 1))
                await ledger.mark_applied(request.execution_id)

        await asyncio.gather(*(one_after_the_other(20) for _ in range(8)))
        await asyncio.gather(*(one_after_the_other(20) for _ in range(64)))
        before = await rows_read_in_sequence(database)
        await asyncio.gather(*(one_after_the_other(20) for _ in range(64)))

        assert before == await rows_read_in_sequence(database)


async def rows_read_in_sequence(database: Database) -> int:
    return await reads(
        database,
        "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'executions%'",
    )


async def test_a_batch_does_not_read_what_earlier_ones_left_in_the_index_of_claims(
    url: str,
) -> None:
    """Its entries stay until a vacuum: read by every batch, the day's executions add up."""
    async with opened(url) as (database, ledger):
        for _ in range(40):
            requests = [request_for(database) for _ in range(40)]
            await asyncio.gather(*(ledger.claim(request, HERE) for request in requests))
            await ledger.renew(HERE, [(request.execution_id, 1) for request in requests])
            await asyncio.gather(*(ledger.record(result_of(one, 1)) for one in requests))

        assert 0 == await claims_read(database)


async def claims_read(database: Database) -> int:
    return await reads(
        database,
        "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
        " WHERE indexrelname LIKE 'executions%lease_until%'",
    )


async def reads(database: Database, question: str) -> int:
    async with database.connection() as session:
        await session.execute("SELECT pg_stat_force_next_flush()")
        await session.execute("SELECT 1")  # told when a transaction ends
    return int(await database.fetchval(question))


async def test_the_worker_s_role_sees_no_user(url: str) -> None:
    async with open_database(url) as database, database.connection() as session:
        await session.execute("SET ROLE trickle_worker")
        await session.fetch("SELECT * FROM connection_revisions")
        for table in ("users", "credentials", "clients", "signing_keys", "logs"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.fetch(f"SELECT * FROM {table}")  # noqa: S608 - a fixed set
        await session.execute("RESET ROLE")


async def test_concurrent_migrations_apply_each_once(server: servers.Databases) -> None:
    fresh = await asyncio.to_thread(lambda: server.fresh(migrated=False))

    applied = await asyncio.gather(*(migrate(fresh) for _ in range(3)))

    assert 1 == sum(bool(names) for names in applied)
    await asyncio.to_thread(lambda: server.drop(fresh))


async def test_an_edited_migration_is_a_misconfiguration(url: str) -> None:
    async with open_database(url) as database:
        await database.execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")

    with pytest.raises(Misconfigured):
        await migrate(url)


class LedgerLife(RuleBasedStateMachine):
    """Two workers and the clock, in any order, against the pure rules of the same execution."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.manager = opened(self.url)
        self.database, self.ledger = self.runner.run(self.manager.__aenter__())
        self.request = request_for(self.database)
        self.state, self.attempt, self.lease_dead, self.first = State.NONE, 0, False, ""

    def teardown(self) -> None:
        """No row is left whose lease runs out by itself while another life is reaped."""
        self.runner.run(self.database.execute("DELETE FROM executions"))
        self.runner.run(self.manager.__aexit__(None, None, None))
        self.runner.close()

    @rule(worker=st.sampled_from([HERE, THERE]))
    def claim(self, worker: UUID) -> None:
        may = execution_states.may_claim(
            self.state,
            deadline_passed=False,
            lease_dead=self.lease_dead,
            idempotent=True,
            attempt=self.attempt,
        )
        answer = self.runner.run(self.ledger.claim(self.request, worker))
        assert may == isinstance(answer, Granted)
        if may:
            self.state, self.attempt = State.CLAIMED, self.attempt + 1
            self.lease_dead = False

    @rule(attempt=st.integers(1, 3))
    def record(self, attempt: int) -> None:
        may = execution_states.may_record(self.state, attempt=attempt, claimed_attempt=self.attempt)
        text = f"attempt {attempt}"
        wrote = self.runner.run(self.ledger.record(result_of(self.request, attempt, text)))
        assert wrote == (may or self.first == text)
        if may:
            self.state, self.first = State.DECIDED, text

    @rule()
    def give_up(self) -> None:
        may = execution_states.may_decide_unrun(self.state)
        self.runner.run(self.ledger.decide(result_of(self.request, 0, "unrun"), reply_to="replica"))
        if may:
            self.state, self.first = State.DECIDED, "unrun"

    @rule()
    def lease_dies(self) -> None:
        self.runner.run(kill_lease(self.database, self.request.execution_id))
        self.lease_dead = self.state is State.CLAIMED

    @rule()
    def reap(self) -> None:
        may = execution_states.may_decide_lost(
            self.state,
            deadline_passed=False,
            lease_dead=self.lease_dead,
            idempotent=True,
            attempt=self.attempt,
        )
        assert int(may) == self.runner.run(self.ledger.reap())
        if may:
            self.state, self.first = State.DECIDED, "lost"

    @rule()
    def apply(self) -> None:
        may = execution_states.may_apply(self.state)
        assert may == self.runner.run(self.ledger.mark_applied(self.request.execution_id))
        if may:
            self.state = State.APPLIED

    @invariant()
    def the_row_says_what_the_table_says(self) -> None:
        rows = self.runner.run(self.ledger.read([self.request.execution_id]))
        assert self.state is (rows[0].state if rows else State.NONE)
        if rows and self.first and self.first != "lost" and rows[0].result is not None:
            outcome = rows[0].result.outcome
            assert isinstance(outcome, Failed)
            assert self.first == outcome.message


def test_the_statements_keep_to_the_table(url: str) -> None:
    LedgerLife.url = url
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        LedgerLife,
        settings=settings(
            max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=checks
        ),
    )
