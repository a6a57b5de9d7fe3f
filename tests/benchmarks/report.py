"""A benchmark's page: what it says on the screen is what it writes.

def main() -> int:
    parser = arguments("spine", __doc__)
    chosen = parser.parse_args()
    report = Report("spine", "The whole path", chosen)
    ...
    report.write()
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import plot


def arguments(
    name: str, about: str | None, *, rounds: int = 5, seconds: float = 3
) -> argparse.ArgumentParser:
    """What every benchmark can be told; a benchmark adds its own."""
    parser = argparse.ArgumentParser(prog=f"./dev bench {name}", description=about)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"interleaved rounds (default {rounds})"
    )
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"length of a round (default {seconds:g})"
    )
    parser.add_argument(
        "--short", action="store_true", help="two rounds of a second: to see that it works"
    )
    parser.add_argument(
        "--into",
        type=Path,
        default=Path("docs/benchmarks"),
        metavar="FOLDER",
        help="where to write the page and its plots (default docs/benchmarks)",
    )
    return parser


def shortened(chosen: argparse.Namespace) -> argparse.Namespace:
    """`--short` puts rounds and seconds down; what was asked for otherwise stands."""
    if chosen.short:
        chosen.rounds, chosen.seconds = min(chosen.rounds, 2), min(chosen.seconds, 1.0)
    return chosen


class Report:
    """Lines for the screen and for the page, and the plots beside it."""

    def __init__(
        self, name: str, title: str, chosen: argparse.Namespace, *, rounds: bool = True
    ) -> None:
        """Begin the page: when, where, how long, and how busy the machine was."""
        shortened(chosen)
        self._name = name
        self._into: Path = chosen.into
        self._lines: list[str] = []
        self.line(f"# {title}")
        self.line()
        self.line(
            f"Written by `./dev bench {name}`, {datetime.now(UTC):%Y-%m-%d}."
            f" {platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
            f" Python {platform.python_version()}"
            + (f"; {chosen.rounds} rounds of {chosen.seconds:g} s." if rounds else ".")
            + f" Load average at the start: {os.getloadavg()[0]:.1f}."
        )
        self.line()

    def line(self, text: str = "") -> None:
        """A line of the page."""
        self._lines.append(text)
        print(text, flush=True)

    def progress(self, text: str) -> None:
        """For the screen alone."""
        print(f"  … {text}", file=sys.stderr, flush=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table and an empty line."""
        self.line(f"| {' | '.join(heads)} |")
        self.line("|" + "---|" * len(heads))
        for row in rows:
            self.line(f"| {' | '.join(map(str, row))} |")
        self.line()

    def bars(self, file: str, title: str, bars: Sequence[plot.Bar], unit: str) -> None:
        """A bar chart, NAME-file.svg, shown on the page."""
        self._plot(file, title, plot.bars(title, bars, unit))

    def curves(self, file: str, title: str, curves: Sequence[plot.Curve], x: str, y: str) -> None:
        """A line chart, NAME-file.svg, shown on the page."""
        self._plot(file, title, plot.curves(title, curves, x, y))

    def _plot(self, file: str, title: str, svg: str) -> None:
        name = f"{self._name}-{file}.svg"
        self._into.mkdir(parents=True, exist_ok=True)
        (self._into / name).write_text(svg)
        self.line(f"![{title}]({name})")
        self.line()

    def write(self) -> None:
        """Write the page."""
        self._into.mkdir(parents=True, exist_ok=True)
        page = self._into / f"{self._name}.md"
        page.write_text("\n".join(self._lines).rstrip() + "\n")
        self.progress(f"written to {page}")


def duration(seconds: float) -> str:
    """A time in the unit that reads best."""
    if seconds < 0.01:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
