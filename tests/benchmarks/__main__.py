"""`./dev bench`: run one benchmark, or all of them in their short form.

A benchmark is a module of this package whose docstring begins as this one does, with its name:
`./dev bench NAME`. Its `main` takes `--short` and `--into FOLDER` (`tests.benchmarks.report`) and
writes one page, NAME.md, with its plots beside it.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent
SHORT_WITHIN = 600.0
"""Seconds that a benchmark's short form may take before it is ended."""


def names() -> dict[str, str]:
    """Each benchmark with what it measures: the first line of its docstring."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        first = path.read_text().partition("\n")[0]
        if first.startswith(f'"""`./dev bench {path.stem}`: '):
            found[path.stem] = first.partition("`: ")[2].strip('"')
    return found


def main() -> int:
    """Run what was named, or everything."""
    known = names()
    listed = "\n".join(f"  {name:<12} {about}" for name, about in known.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="Run one benchmark and write docs/benchmarks/NAME.md; without a name run all of"
        " them in their short form and write to .trickle/benchmarks.",
        epilog=f"benchmarks:\n{listed}\n\n`./dev bench NAME --help` says more about one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=[*known, []], metavar="NAME", default=[])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for the benchmark itself")
    chosen = parser.parse_args()
    if not chosen.name:
        return every(list(known))
    sys.argv = [f"./dev bench {chosen.name}", *chosen.arguments]
    code: int = importlib.import_module(f"tests.benchmarks.{chosen.name}").main()
    return code


def every(chosen: list[str]) -> int:
    """All in their short form, one after the other; one that fails does not stop the rest."""
    into = Path(".trickle") / "benchmarks"
    into.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, name in enumerate(chosen, 1):
        print(f"\n=== {name} ({number} of {len(chosen)})", flush=True)
        command = [sys.executable, "-m", "tests.benchmarks", name, "--short", "--into", str(into)]
        began = perf_counter()
        try:
            code = subprocess.call(command, timeout=SHORT_WITHIN)
        except subprocess.TimeoutExpired:
            code = -1
        print(f"=== {name}: {'ok' if code == 0 else 'FAILED'}, {perf_counter() - began:.0f} s")
        if code != 0:
            failed.append(name)
    print(f"\nReports are in {into}." + (f" Failed: {', '.join(failed)}." if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
