"""Small drawings written by hand as lean SVG: margins of many columns, and one score's strip."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from synthvae.evaluation.results import Margin, NumberSummary, Score
from synthvae.report.drawing import Drawing, Table, finite, largest, px
from synthvae.report.phrases import NONE, REAL, bin_label, exact, fit, number, plain, share, shorten

_WIDTH, _HEIGHT = 232, 112
_ROWS = 7  # categories that have room for their names
_STRIP = 150
_LEAST_SPAN = 0.02  # a strip shows differences below this as small
_CHART_WIDTH, _ROW, _PAD = 340, 36, 10
_FOOT = 22


def margins(found: Sequence[Margin]) -> tuple[Drawing, ...]:
    """Draw each column's distribution in train, holdout and synthetic rows, the worst first."""
    ordered = sorted(found, key=lambda margin: (-finite(margin.distance), margin.column))
    return tuple(_margin(margin, f"margin-{index + 1}") for index, margin in enumerate(ordered))


def ends(summary: NumberSummary | None) -> str:
    """Return between which points 98 % of a column's numbers lie, as text."""
    return NONE if summary is None else f"{exact(summary.p1)} to {exact(summary.p99)}"


def _margin(margin: Margin, key: str) -> Drawing:
    named = margin.kind == "category" and len(margin.labels) <= _ROWS
    inside = _rows(margin) if named else _columns(margin)
    height = 16 * len(margin.labels) + 4 if named else _HEIGHT
    name = shorten(margin.column, 80)
    alt = (
        f"Distribution of {name}: distance {number(margin.distance)} from real, "
        f"where the holdout has {number(margin.holdout_distance)}."
    )
    svg = Markup('<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    rows = tuple(
        (shorten(label, 80), *(f"{100 * finite(part):.1f}" for part in parts))
        for label, *parts in zip(
            margin.labels, margin.train, margin.holdout, margin.synthetic, strict=True
        )
    )
    return Drawing(
        key=key,
        title=name,
        panels=(svg.format(_WIDTH, height, alt, inside),),
        table=Table(("Value", "Train, %", "Holdout, %", "Synthetic, %"), rows),
        caption=f"distance {number(margin.distance)} · holdout {number(margin.holdout_distance)}"
        + _described(margin),
    )


def _described(margin: Margin) -> str:
    """Return what an outer bin hides, where a column is a number."""
    found = margin.train_summary, margin.synthetic_summary
    if found[0] is None and found[1] is None:
        return ""
    said = (
        f"{name} {ends(one)}"
        + ("" if one is None else f", mean {exact(one.mean)}, SD {exact(one.sd)}")
        for name, one in zip(("train", "synthetic"), found, strict=True)
    )
    return f" · 1 to 99 % points: {'; '.join(said)}"


def _rows(margin: Margin) -> Markup:
    """Draw named categories as lying bars, one line each."""
    left, scale = 90, _WIDTH - 90 - 6
    top = largest((*margin.train, *margin.holdout, *margin.synthetic))
    train, holdout, synthetic, names = [], [], [], []
    for row, label in enumerate(margin.labels):
        y = 16 * row + 2
        train.append(f"M{left} {y + 2}h{px(margin.train[row] / top * scale)}v10H{left}z")
        holdout.append(f"M{px(left + finite(margin.holdout[row]) / top * scale)} {y}v14")
        x = left + finite(margin.synthetic[row]) / top * scale
        synthetic.append(f"M{left} {y + 7}H{px(x)}M{px(x - 3)} {y + 7}a3 3 0 1 0 6 0a3 3 0 1 0-6 0")
        text = escape(fit(label, 82))
        names.append(f'<text x="{left - 6}" y="{y + 11}" class="e">{text}</text>')
    return Markup(
        f'{"".join(names)}<path class="t" d="{"".join(train)}"/>'
        f'<path class="h" d="{"".join(holdout)}"/><path class="s" d="{"".join(synthetic)}"/>'
    )


def _columns(margin: Margin) -> Markup:
    """Draw many bins as standing bars, special values and missing ones apart at the right."""
    base, high, left, right = _HEIGHT - 18, _HEIGHT - 18 - 14, 4, _WIDTH - 4
    regular = [i for i, label in enumerate(margin.labels) if not _is_special(margin, label)]
    special = [i for i in range(len(margin.labels)) if i not in regular]
    apart = 52 if len(special) == 1 else 16 * len(special) + 28 if special else 0
    end = right - apart
    step = (end - left) / max(1, len(regular))
    places = {bin_: (left + i * step, step) for i, bin_ in enumerate(regular)}
    width = (apart - 8) / max(1, len(special))
    bar = min(width, max(step, 8.0))
    for i, bin_ in enumerate(special):
        places[bin_] = (end + 8 + i * width + (width - bar) / 2, bar)
    top = largest((*margin.train, *margin.holdout, *margin.synthetic))
    train, holdout, synthetic, last = [], [], [], -1.0
    for bin_, (x, wide) in places.items():
        gap = min(0.5, wide / 8)
        y = base - finite(margin.train[bin_]) / top * high
        train.append(f"M{px(x + gap)} {base}V{px(y)}h{px(wide - 2 * gap)}V{base}z")
        y = base - finite(margin.holdout[bin_]) / top * high
        holdout.append(f"M{px(x + wide * 0.22)} {px(y)}h{px(wide * 0.56)}")
        y = base - finite(margin.synthetic[bin_]) / top * high
        move = f"V{px(y)}" if abs(x - last) < 0.01 else f"M{px(x)} {px(y)}"
        synthetic.append(f"{move}H{px(x + wide)}")
        last = x + wide
    room = (end - left) / 2 - 4
    names = [_text(left, "", margin.labels[regular[0]], room)] if regular else []
    if len(regular) > 1:
        names.append(_text(end, "e", margin.labels[regular[-1]], room))
    if special:
        word = margin.labels[special[0]] if len(special) == 1 else "special"
        names.append(_text(end + 8 + (apart - 8) / 2, "m", word, apart))
    return Markup(
        f'<path class="x" d="M{left} {base}H{px(end)}'
        f'{f"M{px(end + 8)} {base}H{right}" if special else ""}"/>'
        f'<path class="t" d="{"".join(train)}"/><path class="h" d="{"".join(holdout)}"/>'
        f'<path class="s" d="{"".join(synthetic)}"/>'
        f'<text x="{left}" y="9">{share(top, 0)}</text>{"".join(names)}'
    )


def _is_special(margin: Margin, label: str) -> bool:
    """Tell whether a bin is no stretch of the axis: a special value, or missing."""
    if margin.kind == "category":
        return False
    return label.endswith("(special)") or not any(char.isdigit() for char in label)


def _text(x: float, style: str, label: str, width: float) -> str:
    which = f' class="{style}"' if style else ""
    label = bin_label(label).strip("()")
    return f'<text x="{px(x)}" y="{_HEIGHT - 5}"{which}>{escape(fit(label, width))}</text>'


def strip(score: Score) -> Markup:
    """Draw one score on a line: its value with its interval, and its references.

    The figures stand in text beside it, so screen readers pass it over.
    """
    points = [score.value, score.goal, *score.references.values(), *score.draws]
    if score.interval is not None:
        points += [score.interval.low, score.interval.high]
    known = [point for point in points if point is not None and math.isfinite(point)]
    if score.value is None or not known:
        return Markup("")
    middle, span = (max(known) + min(known)) / 2, max(max(known) - min(known), _LEAST_SPAN)

    def at(value: float) -> str:
        return px(_STRIP / 2 + (value - middle) / span * (_STRIP - 18))

    parts = [f'<path class="x" d="M2 12H{_STRIP - 2}"/>']
    if score.interval is not None:
        ends = at(score.interval.low), at(score.interval.high)
        parts.append(f'<path class="i" d="M{ends[0]} 12H{ends[1]}"/>')
    drawn = "".join(f"M{at(draw)} 16v4" for draw in score.draws if math.isfinite(draw))
    if drawn:
        parts.append(f'<path class="q" d="{drawn}"/>')
    parts.append(f'<circle class="d" cx="{at(score.value)}" cy="12" r="4.5"/>')
    for name, value in score.references.items():
        if value is not None and math.isfinite(value):
            parts.append(_mark(name, at(value)))
    if score.goal is not None and score.goal not in score.references.values():
        parts.append(f'<path class="goal" d="M{at(score.goal)} 4V20"/>')
    return Markup(
        f'<svg class="strip" viewBox="0 0 {_STRIP} 24" aria-hidden="true">{"".join(parts)}</svg>'
    )


def _mark(name: str, x: str) -> str:
    if name == "holdout":
        return f'<path class="h" d="M{x} 7l5 5l-5 5l-5-5z"/>'
    if name == "independent":
        return f'<path class="n" d="M{x} 7.5h-4.5v9h9v-9z"/>'
    if name in REAL:
        return f'<path class="h" d="M{x} 6.5l5 9h-10z"/>'
    if name in ("chance", "ideal"):
        return f'<path class="{"c" if name == "chance" else "goal"}" d="M{x} 4V20"/>'
    return f'<path class="o" d="M{x} 6.5l5 9h-10z"/>'


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
    known = [v for mark in marks for v in (mark.value, mark.low, mark.high) if _is_finite(v)]
    known += [line] if line is not None else []
    low, high = _scale([float(value) for value in known if value is not None])
    span = high - low

    def at(value: float) -> float:
        return _PAD + (min(max(value, low), high) - low) / span * (_CHART_WIDTH - 2 * _PAD)

    base = _ROW * len(rows) + 4
    parts = []
    if line is not None:  # beside each row's figures, so that it crosses no name
        x = px(at(line))
        steps = "".join(f"M{x} {_ROW * place + 17}v16" for place in range(len(rows)))
        parts.append(f'<path class="goal" d="{steps}"/>')
    for place, row in enumerate(rows):
        parts += _row(row, _ROW * place, at)
    parts.append(f'<path class="x" d="M{_PAD} {base}H{_CHART_WIDTH - _PAD}"/>')
    for tick in _ticks(low, high):
        x = px(at(tick))
        parts.append(f'<path class="x" d="M{x} {base}v4"/>')
        parts.append(f'<text class="m" x="{x}" y="{base + 16}">{_tick_text(tick)}</text>')
    return Markup(
        '<svg class="rows" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(_CHART_WIDTH, base + _FOOT, plain(alt), Markup("".join(parts)))


def _row(row: Row, top: int, at: Callable[[float], float]) -> list[str]:
    name = escape(fit(row.label, _CHART_WIDTH - 2 * _PAD, 11.5))
    parts = [f'<text class="n" x="{_PAD}" y="{top + 13}">{name}</text>']
    y = top + 25
    parts.append(f'<path class="r" d="M{_PAD} {y}H{_CHART_WIDTH - _PAD}"/>')
    several = len({mark.kind for mark in row.marks}) > 1 and all(
        mark.low is not None for mark in row.marks
    )
    for mark in row.marks:
        if not _is_finite(mark.value):
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


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
