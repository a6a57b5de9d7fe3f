"""All mutants in one table: what is broken, where, and what notices. It stands in docs/delivery.md."""

from __future__ import annotations

from tests.delivery_mutants import MODEL_MUTANTS
from tests.simulation.ledger_contract import SQL_MUTANTS
from tests.simulation.mutants import MUTANTS


def table() -> str:
    """Markdown; the numbers are those of `./dev simulate --mutant N`."""
    lines = ["| | what is broken | where | noticed by |", "|---|---|---|---|"]
    for number, mutant in enumerate(MUTANTS, 1):
        by = f"{'simulation' if mutant.scene is None else 'scene'}: {mutant.expected}"
        lines.append(f"| {number} | {mutant.what} | {mutant.places} | {by} |")
    lines += [
        f"| | {mutant.what} | `ledger.sql: {mutant.statement}` | ledger contract |"
        for mutant in SQL_MUTANTS
    ]
    lines += [
        f"| | {what} | the model | exploration: {expected} |"
        for what, (_, expected) in MODEL_MUTANTS.items()
    ]
    return "\n".join(lines)
