"""Figures with intervals on rows of one scale, by hand as lean SVG: groups, terms, risks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from synthvae.report.drawing import px
from synthvae.report.words import exact, fit, plain

_WIDTH, _ROW, _PAD = 340, 36, 10
_FOOT = 22
_LEAST_SPAN = 0.02


@dataclass(frozen=True)
class Mark:
    """One figure on a row, with the ends of its interval where it has one."""

    kind: Literal["synthetic", "real"]
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """One row: its name, and its figures."""

    label: str
    marks: tuple[Mark, ...]


def row_chart(rows: Sequence[Row], alt: str, line: float | None = None) -> Markup:
    """Draw rows of figures on one scale, with a line at a value that means something."""
    marks = [mark for row in rows for mark in row.marks]
    known = [v for mark in marks for v in (mark.value, mark.low, mark.high) if _finite(v)]
    known += [line] if line is not None else []
    low, high = _scale([float(value) for value in known if value is not None])
    span = high - low

    def at(value: float) -> float:
        return _PAD + (min(max(value, low), high) - low) / span * (_WIDTH - 2 * _PAD)

    base = _ROW * len(rows) + 4
    parts = []
    if line is not None:  # beside each row's figures, so that it crosses no name
        x = px(at(line))
        steps = "".join(f"M{x} {_ROW * place + 17}v16" for place in range(len(rows)))
        parts.append(f'<path class="goal" d="{steps}"/>')
    for place, row in enumerate(rows):
        parts += _row(row, _ROW * place, at)
    parts.append(f'<path class="x" d="M{_PAD} {base}H{_WIDTH - _PAD}"/>')
    for tick in _ticks(low, high):
        x = px(at(tick))
        parts.append(f'<path class="x" d="M{x} {base}v4"/>')
        parts.append(f'<text class="m" x="{x}" y="{base + 16}">{_tick_text(tick)}</text>')
    return Markup(
        '<svg class="rows" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(_WIDTH, base + _FOOT, plain(alt), Markup("".join(parts)))


def _row(row: Row, top: int, at: Callable[[float], float]) -> list[str]:
    name = escape(fit(row.label, _WIDTH - 2 * _PAD, 11.5))
    parts = [f'<text class="n" x="{_PAD}" y="{top + 13}">{name}</text>']
    y = top + 25
    parts.append(f'<path class="r" d="M{_PAD} {y}H{_WIDTH - _PAD}"/>')
    several = len({mark.kind for mark in row.marks}) > 1 and all(
        mark.low is not None for mark in row.marks
    )
    for mark in row.marks:
        if not _finite(mark.value):
            continue
        level = y + (0 if not several else 4 if mark.kind == "synthetic" else -4)
        x = at(mark.value)
        style = "s" if mark.kind == "synthetic" else "h"
        if mark.low is not None and mark.high is not None:
            ends = px(at(mark.low)), px(at(mark.high))
            parts.append(f'<path class="{style}" d="M{ends[0]} {level}H{ends[1]}"/>')
        if mark.kind == "synthetic":
            parts.append(f'<circle class="d" cx="{px(x)}" cy="{level}" r="4"/>')
        else:
            parts.append(f'<path class="k" d="M{px(x)} {level - 4.5}l4.5 4.5l-4.5 4.5l-4.5-4.5z"/>')
    return parts


def _scale(known: Sequence[float]) -> tuple[float, float]:
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if high - low < _LEAST_SPAN:
        middle = (low + high) / 2
        low, high = middle - _LEAST_SPAN / 2, middle + _LEAST_SPAN / 2
    room = 0.04 * (high - low)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers in a range."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next((factor for factor in (5, 2, 1) if (high - low) / (factor * step) >= 3), 1)
    first = math.ceil(low / step)
    return [round(place * step, 12) for place in range(first, math.floor(high / step) + 1)]


def _tick_text(value: float) -> str:
    return exact(value) if value else "0"


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
