"""`./dev hostile`: the corpus in both environments, as a table."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tests.hostile.attacks import all_attacks
from tests.hostile.environments import Where, must_run, run
from tests.hostile.pod import NotPossible


def main() -> int:
    """Print a line an attack; 1 if one broke through, or could not be tried where it must be."""
    arguments = _parser().parse_args()
    known = {attack.name for attack in all_attacks()}
    if unknown := set(arguments.names) - known:
        sys.stderr.write(f"there is no attack {', '.join(sorted(unknown))}\n")
        return 64
    chosen = [where for where in Where if arguments.only in (None, where)]
    return max(_environment(where, arguments.names) for where in chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev hostile",
        description="Let hostile scripts loose on a worker's pool, and see that nobody is hurt: "
        "on this machine as it is, and in an emulated restricted pod.",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--pod", dest="only", action="store_const", const=Where.POD, help="only in the pod"
    )
    only.add_argument(
        "--as-is", dest="only", action="store_const", const=Where.AS_IS, help="only as it is"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a file of tests/hostile_scripts/")
    return parser


def _environment(where: Where, names: list[str]) -> int:
    print(f"\n{where}\n{'-' * len(where)}", flush=True)
    verdicts: dict[str, int] = {}
    problems = 0
    try:
        for line in run(where, names):
            if "attack" in line:
                verdicts[line["verdict"]] = verdicts.get(line["verdict"], 0) + 1
            problems += len(line["problems"])
            _show(line)
    except NotPossible as reason:
        print(f"not run: {reason}")
        return int(must_run())
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    missed = must_run() and verdicts.get("not run", 0)
    return 1 if problems or missed else 0


def _show(line: dict[str, Any]) -> None:
    if "attack" in line:
        came_to = line["came_to"] or f"needs isolation {line.get('needs')}"
        print(f"{line['verdict']:<13}  {line['attack']:<42}  {came_to}")
    else:
        facts = ", ".join(f"{name} {value}" for name, value in line.items() if name != "problems")
        print(facts)
    for problem in line["problems"]:
        print(f"{'':15}! {problem}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
