"""`./dev simulate`: seeds, one after the other; what breaks a promise prints its seed and its story."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from time import perf_counter

from tests.simulation.catalogue import table
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import EVENTS, Report, simulate
from tests.simulation.scenes import SCENES, played

FEW = 2_000
CHUNK = 10
"""Seeds that a process takes at a time."""
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
    parser.add_argument(
        "--jobs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="processes (default: one for each processor)",
    )
    parser.add_argument("--mutants", action="store_true", help="list the rules that can be broken")
    given = parser.parse_args(arguments)
    if given.mutants:
        print(table())
        return 0
    alone = given.seeds is None and "--seed" in " ".join(arguments)
    seeds = range(given.seed, given.seed + (1 if alone else given.seeds or FEW))
    if given.mutant is None:
        return _run(seeds, given.jobs, trace=given.trace or alone)
    with MUTANTS[given.mutant - 1].applied():
        _play()
        return _run(seeds, given.jobs, trace=given.trace or alone)


def _play() -> None:
    """The scenes, for a mutant that no seed may meet."""
    for scene in SCENES:
        for violation in played(scene).witness.violations:
            print(f"scene {scene.__name__}: {violation}")


def _run(seeds: range, jobs: int, *, trace: bool) -> int:
    began, worked = perf_counter(), _worked()
    failed, requests, virtual = 0, 0, 0.0
    seen: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for report in _reports(seeds, jobs, trace=trace):
        requests, virtual = requests + report.requests, virtual + report.seconds
        seen, said = seen + report.seen, said + report.said
        if report.violations:
            failed += 1
            _tell(report if trace else simulate(report.seed, trace=True))
        elif trace:
            print("\n".join(report.trace))
    took, worked = perf_counter() - began, _worked() - worked
    print(
        f"{len(seeds)} seeds from {seeds.start}: {requests} requests in {virtual:.0f} virtual"
        f" seconds, {took:.1f} s here ({len(seeds) / took * 60:.0f} seeds a minute,"
        f" {len(seeds) / worked * 60:.0f} a minute of one core)"
    )
    print("faults:", ", ".join(f"{seen[name]} {name}" for name in sorted(seen) if name in FAULTS))
    print(
        "callers were told:", ", ".join(f"{number} {name}" for name, number in said.most_common())
    )
    print(f"{failed} seeds broke a promise" if failed else "every promise held")
    return 1 if failed else 0


def _reports(seeds: range, jobs: int, *, trace: bool) -> Iterator[Report]:
    """In the order of the seeds. Processes are forked, so that they have the mutant too."""
    one = partial(simulate, trace=trace)
    if jobs == 1 or len(seeds) <= CHUNK:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(one, seeds, CHUNK)
        pool.close()
        pool.join()


def _worked() -> float:
    """Seconds of processors, by us and by the processes that have ended."""
    return sum(os.times()[:4])


def _tell(report: Report) -> None:
    print("\n".join(report.trace))
    print(f"seed {report.seed} broke what is promised:")
    for violation in report.violations:
        print(f"  {violation}")
    print(f"  again: ./dev simulate --seed {report.seed}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
