"""Dashboards as pictures: Grafana is in no package registry, so its panels are drawn here, from the same queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from services.standalone.dashboards.model import Dashboard, Panel

COLUMN: Final = 50
HEIGHT: Final = 230
COLOURS: Final = (
    *("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#dc2626", "#0891b2"),
    *("#ca8a04", "#db2777", "#4b5563", "#65a30d"),
)
FONT: Final = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True, slots=True)
class Series:
    """A line: seconds from the start, and values."""

    name: str
    points: Sequence[tuple[float, float]]


def page(board: Dashboard, drawn: Mapping[Panel, Sequence[Series]]) -> str:
    """The whole dashboard as one SVG."""
    parts, x, y = [], 0, 46
    for panel in board.panels:
        width = panel.width * COLUMN
        if x + width > 24 * COLUMN:
            x, y = 0, y + HEIGHT + 10
        parts.append(_panel(panel, drawn[panel], x, y, width - 10))
        x += width
    height = y + HEIGHT + 10
    title = (
        f"<text x='8' y='28' {FONT} font-size='19' font-weight='bold'>{escape(board.title)}</text>"
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{24 * COLUMN}' height='{height}'"
        f" viewBox='0 0 {24 * COLUMN} {height}'><rect width='100%' height='100%' fill='#f3f4f6'/>"
        f"{title}{''.join(parts)}</svg>\n"
    )


def _panel(panel: Panel, lines: Sequence[Series], x: int, y: int, width: int) -> str:
    box = (
        f"<rect x='{x}' y='{y}' width='{width}' height='{HEIGHT}' rx='4' fill='white' stroke='#d1d5db'/>"
        f"<text x='{x + 10}' y='{y + 20}' {FONT} font-size='13' font-weight='bold'>{escape(panel.title)}</text>"
    )
    filled = [line for line in lines if line.points]
    return box + (_number if panel.stat else _curves)(panel, filled, x, y, width)


def _number(panel: Panel, lines: Sequence[Series], x: int, y: int, width: int) -> str:
    step = width / max(len(lines), 1)
    return "".join(
        f"<text x='{x + step * (place + 0.5):.0f}' y='{y + 125}' {FONT} font-size='34' fill='#16a34a'"
        f" text-anchor='middle'>{_told(line.points[-1][1], panel.unit)}</text>"
        f"<text x='{x + step * (place + 0.5):.0f}' y='{y + 150}' {FONT} font-size='12' fill='#6b7280'"
        f" text-anchor='middle'>{escape(line.name)}</text>"
        for place, line in enumerate(lines)
    )


def _curves(panel: Panel, lines: Sequence[Series], x: int, y: int, width: int) -> str:
    left, top, bottom = x + 52, y + 34, y + HEIGHT - 46
    most_y = max((value for line in lines for _, value in line.points), default=0) or 1.0
    most_x = max((at for line in lines for at, _ in line.points), default=0) or 1.0
    across, up = (x + width - 12 - left) / most_x, (bottom - top) / most_y
    parts = [
        f"<path d='M{left} {bottom - share * (bottom - top):.0f}H{x + width - 12}' stroke='#e5e7eb'/>"
        f"<text x='{left - 5}' y='{bottom - share * (bottom - top) + 4:.0f}' {FONT} font-size='10'"
        f" text-anchor='end' fill='#6b7280'>{_told(share * most_y, panel.unit)}</text>"
        for share in (0, 0.5, 1)
    ]
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(
            f"{left + at * across:.1f} {bottom - value * up:.1f}" for at, value in line.points
        )
        parts.append(f"<path d='M{path}' stroke='{colour}' stroke-width='1.6' fill='none'/>")
        row, column = divmod(number, 3)
        if row < 3:  # a longer legend has no room; the lines are there
            at_x, at_y = x + 12 + column * (width - 20) / 3, y + HEIGHT - 30 + row * 13
            parts.append(
                f"<path d='M{at_x:.0f} {at_y - 3}h10' stroke='{colour}' stroke-width='2.5'/>"
                f"<text x='{at_x + 14:.0f}' y='{at_y}' {FONT} font-size='10.5'>"
                f"{escape(line.name[:22])}</text>"
            )
    return "".join(parts)


def _told(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.3g}"
