"""The simulation's database is a verified fake: a real Postgres gives the same answers."""

from __future__ import annotations

import pytest

from shared.database import open_database
from shared.ledger import _SQL
from tests.simulation.database import Tables
from tests.simulation.ledger_contract import SQL_MUTANTS, Comparison, SqlMutant, statements

SEQUENCES = 40


async def differences(url: str, mutant: SqlMutant | None, most: int) -> list[str]:
    """The first difference, or none in so many sequences."""
    async with open_database(url) as database:
        for seed in range(most):
            found = await Comparison(database, statements(mutant), seed).first_difference()
            if found is not None:
                return [f"{found} (sequence {seed})"]
    return []


async def test_the_simulated_ledger_answers_as_postgres_does(database_url: str) -> None:
    assert [] == await differences(database_url, None, SEQUENCES)


@pytest.mark.slow
async def test_it_does_so_at_length(database_url: str) -> None:
    assert [] == await differences(database_url, None, 1_000)


@pytest.mark.parametrize("mutant", SQL_MUTANTS, ids=lambda one: one.what)
async def test_a_changed_statement_is_noticed(database_url: str, mutant: SqlMutant) -> None:
    assert [] != await differences(database_url, mutant, 300)


def test_every_statement_that_a_rule_depends_on_is_simulated() -> None:
    tables = Tables(lambda: pytest.fail("no statement runs"))

    assert {*_SQL} - {"counts", "kinds"} == {*tables.names}
