"""Plots as SVG, by hand: bars and curves are all that the pages need.

Black on white with its own background, so that they read the same in a dark browser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
FONT = "font-family='system-ui, sans-serif' font-size='13'"
COLOURS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#dc2626", "#0891b2", "#4b5563")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `low` and `high` are the spread, `ours` picks the colour."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of points; `dashed` for an ideal or a bound."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def bars(title: str, rows: Sequence[Bar], unit: str) -> str:
    """Horizontal bars, a line each, with the value written beside it."""
    left, right, top, step = 250, 110, 48, 30
    height = top + step * len(rows) + 14
    most = max((bar.high or bar.value) for bar in rows) or 1.0
    scale = (WIDTH - left - right) / most
    parts = [_text(12, 24, title, weight="bold")]
    for number, bar in enumerate(rows):
        y = top + number * step
        colour = COLOURS[0] if bar.ours else "#9ca3af"
        end = left + bar.value * scale
        parts.append(_text(left - 10, y + 14, bar.name, anchor="end"))
        parts.append(
            f"<rect x='{left}' y='{y}' width='{max(bar.value * scale, 1):.1f}' height='19'"
            f" fill='{colour}'/>"
        )
        if bar.low is not None and bar.high is not None:
            a, b = left + bar.low * scale, left + bar.high * scale
            parts.append(
                f"<path d='M{a:.1f} {y + 9.5}H{b:.1f}M{a:.1f} {y + 5}v9M{b:.1f} {y + 5}v9'"
                " stroke='#111827' fill='none'/>"
            )
            end = max(end, b)
        parts.append(_text(end + 8, y + 14, f"{_short(bar.value)} {unit}".strip()))
    return _svg(height, parts)


def curves(title: str, lines: Sequence[Curve], x: str, y: str) -> str:
    """Points joined by lines, on axes from zero."""
    height, left, right, top, bottom = 380, 70, 190, 48, 52
    points = [point for line in lines for point in line.points]
    x_step, x_most = _ticks(max(point[0] for point in points))
    y_step, y_most = _ticks(max(point[1] for point in points))
    across = (WIDTH - left - right) / x_most
    up = (height - top - bottom) / y_most
    base = height - bottom
    parts = [_text(12, 24, title, weight="bold")]
    for tick in _until(y_most, y_step):
        at = base - tick * up
        parts.append(f"<path d='M{left} {at:.1f}H{WIDTH - right}' stroke='#e5e7eb'/>")
        parts.append(_text(left - 8, at + 4, _short(tick), anchor="end"))
    parts.extend(
        _text(left + tick * across, base + 18, _short(tick), anchor="middle")
        for tick in _until(x_most, x_step)
    )
    parts.append(f"<path d='M{left} {top}V{base}H{WIDTH - right}' stroke='#111827' fill='none'/>")
    parts.append(_text((left + WIDTH - right) / 2, height - 14, x, anchor="middle"))
    parts.append(_text(left, top - 8, y))
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{left + a * across:.1f} {base - b * up:.1f}" for a, b in line.points)
        dash = " stroke-dasharray='5 4'" if line.dashed else ""
        parts.append(f"<path d='M{path}' stroke='{colour}' stroke-width='2' fill='none'{dash}/>")
        key = top + 10 + number * 22
        parts.append(
            f"<path d='M{WIDTH - right + 16} {key}h22' stroke='{colour}' stroke-width='2'{dash}/>"
        )
        parts.append(_text(WIDTH - right + 44, key + 4, line.name))
    return _svg(height, parts)


def _ticks(most: float) -> tuple[float, float]:
    """A round step, and the end of the axis."""
    raw = (most or 1.0) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw)
    return step, math.ceil((most or 1.0) / step - 1e-9) * step


def _until(most: float, step: float) -> list[float]:
    return [number * step for number in range(round(most / step) + 1)]


def _short(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {FONT} text-anchor='{anchor}' font-weight='{weight}'"
        f" fill='#111827'>{escape(text)}</text>"
    )


def _svg(height: int, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}'"
        f" viewBox='0 0 {WIDTH} {height}'>\n<rect width='100%' height='100%' fill='white'/>\n"
        f"{body}\n</svg>\n"
    )
