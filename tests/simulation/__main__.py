"""`./dev simulate`: seeds, one after the other; what breaks a promise prints its seed and its story."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from time import perf_counter, process_time

from tests.simulation.catalogue import table
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import EVENTS, Report, simulate

FEW = 2_000
FAULTS = {*EVENTS, "copies", "drops", "loses"}


def main(arguments: list[str]) -> int:
    """0 when every promise held."""
    parser = argparse.ArgumentParser(
        prog="./dev simulate",
        description="Run both services on virtual time, over a broker and a database that"
        " misbehave, and check the delivery contract (docs/delivery.md). A seed decides"
        " everything: the same seed is the same run.",
    )
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument(
        "--seeds", type=int, help=f"how many (default {FEW}; 1 with its trace if --seed is given)"
    )
    parser.add_argument("--trace", action="store_true", help="print what happened, seed by seed")
    parser.add_argument(
        "--mutant", type=int, metavar="N", help="break a rule first: its number in --mutants"
    )
    parser.add_argument("--mutants", action="store_true", help="list the rules that can be broken")
    given = parser.parse_args(arguments)
    if given.mutants:
        print(table())
        return 0
    alone = given.seeds is None and "--seed" in " ".join(arguments)
    seeds = range(given.seed, given.seed + (1 if alone else given.seeds or FEW))
    if given.mutant is None:
        return _run(seeds, trace=given.trace or alone)
    with MUTANTS[given.mutant - 1].applied():
        return _run(seeds, trace=given.trace or alone)


def _run(seeds: range, *, trace: bool) -> int:
    began, worked = perf_counter(), process_time()
    failed, requests, virtual = 0, 0, 0.0
    seen: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for seed in seeds:
        report = simulate(seed, trace=trace)
        requests, virtual = requests + report.requests, virtual + report.seconds
        seen, said = seen + report.seen, said + report.said
        if report.violations:
            failed += 1
            _tell(report if trace else simulate(seed, trace=True))
        elif trace:
            print("\n".join(report.trace))
    took, worked = perf_counter() - began, process_time() - worked
    print(
        f"{len(seeds)} seeds from {seeds.start}: {requests} requests in {virtual:.0f} virtual"
        f" seconds, {took:.1f} s here ({len(seeds) / worked * 60:.0f} seeds a minute of one core)"
    )
    print("faults:", ", ".join(f"{seen[name]} {name}" for name in sorted(seen) if name in FAULTS))
    print(
        "callers were told:", ", ".join(f"{number} {name}" for name, number in said.most_common())
    )
    print(f"{failed} seeds broke a promise" if failed else "every promise held")
    return 1 if failed else 0


def _tell(report: Report) -> None:
    print("\n".join(report.trace))
    print(f"seed {report.seed} broke what is promised:")
    for violation in report.violations:
        print(f"  {violation}")
    print(f"  again: ./dev simulate --seed {report.seed}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
