"""The real services, simulated: every promise holds for every seed, and every mutant is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.simulation.catalogue import table
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import simulate

ROOT = Path(__file__).parents[2]
BLOCK = 150
MUTANT_WITHIN = 400
"""Seeds; most mutants are noticed within ten."""


def broken(seeds: range) -> dict[int, list[str]]:
    return {seed: report.violations for seed in seeds if (report := simulate(seed)).violations}


def noticed(mutant: Mutant, within: int) -> bool:
    with warnings.catch_warnings(), mutant.applied():
        warnings.simplefilter("ignore")  # what a broken service leaves behind
        return any(
            violation.startswith(mutant.expected)
            for seed in range(within)
            for violation in simulate(seed).violations
        )


@pytest.mark.parametrize("block", range(4))
def test_every_promise_holds(block: int) -> None:
    assert {} == broken(range(block * BLOCK, (block + 1) * BLOCK))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", range(1, 6))
def test_every_promise_holds_for_many_seeds(block: int) -> None:
    assert {} == broken(range(block * 1000, (block + 1) * 1000))


@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if not one.rare], ids=lambda one: one.what[:60]
)
def test_a_broken_rule_is_noticed(mutant: Mutant) -> None:
    assert noticed(mutant, MUTANT_WITHIN)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if one.rare], ids=lambda one: one.what[:60]
)
def test_a_broken_rule_is_noticed_in_the_end(mutant: Mutant) -> None:
    assert noticed(mutant, 5_000)


def test_a_seed_is_the_same_run_every_time() -> None:
    """Also in another process, whose hashes of strings differ."""
    program = (
        "from tests.simulation.run import simulate\n"
        "for seed in range(6): print(*simulate(seed, trace=True).trace, sep='\\n')"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt},  # noqa: TID251 - for a child
            capture_output=True,
            check=True,
            timeout=100,
        ).stdout
        for salt in ("1", "2")
    }

    assert 1 == len(told)
    assert b"answered" in told.pop()


def test_the_document_lists_every_mutant() -> None:
    """If it does not: `./dev simulate --mutants` prints the table."""
    document = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")

    written = document.partition("<!-- mutants -->\n")[2].partition("\n<!-- /mutants -->")[0]

    assert table() == written
