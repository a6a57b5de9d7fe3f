"""The real services, simulated: every promise holds for every seed, and every mutant is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulation.catalogue import table
from tests.simulation.loop import VirtualLoop
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import simulate
from tests.simulation.scenes import (
    LINKED_AGAIN,
    SCENES,
    Scene,
    played,
    told_while_its_replica_was_cut_off,
)

ROOT = Path(__file__).parents[2]
BLOCK = 125
MUTANT_WITHIN = 400
"""Seeds; most mutants are noticed within ten."""


def broken(seeds: range) -> dict[int, list[str]]:
    return {seed: report.violations for seed in seeds if (report := simulate(seed)).violations}


def noticed(mutant: Mutant) -> bool:
    with warnings.catch_warnings(), mutant.applied():
        warnings.simplefilter("ignore")  # what a broken service leaves behind
        return any(violation.startswith(mutant.expected) for violation in found(mutant))


def found(mutant: Mutant) -> Iterator[str]:
    if mutant.scene is not None:
        yield from played(mutant.scene).witness.violations
        return
    for seed in range(MUTANT_WITHIN):
        yield from simulate(seed).violations


@pytest.mark.parametrize("block", range(4))
def test_every_promise_holds(block: int) -> None:
    assert {} == broken(range(block * BLOCK, (block + 1) * BLOCK))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", range(1, 11))
def test_every_promise_holds_for_many_seeds(block: int) -> None:
    assert {} == broken(range(block * 1000, (block + 1) * 1000))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.what[:60])
def test_a_broken_rule_is_noticed(mutant: Mutant) -> None:
    assert noticed(mutant)


@pytest.mark.parametrize(
    ("scene", "said"), SCENES.items(), ids=lambda one: getattr(one, "__name__", one)
)
def test_a_fault_at_the_one_instant_that_matters(
    scene: Callable[[VirtualLoop], Scene], said: str
) -> None:
    """Each of these once broke a promise, or is met by one seed in thousands."""
    seen = played(scene)

    assert [] == seen.witness.violations, seen.witness.trace
    assert said == seen.call.said


def test_a_replica_that_has_its_link_again_asks_the_ledger_at_once() -> None:
    """No promise: without it the caller would be told at the deadline, five seconds later."""
    seen = played(told_while_its_replica_was_cut_off)

    assert 0.1 > seen.call.at - LINKED_AGAIN


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
