"""Small drawings written by hand as lean SVG.

The margins of many columns; one score on a line; forest plots of estimates; survival curves.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from synthvae.evaluation.results import Curve, Interval, Margin, NumberSummary, Score
from synthvae.report import drawing, phrases

_MARGIN_WIDTH, _MARGIN_HEIGHT = 232, 112
_NAMED_CATEGORIES = 7  # that have room for their names
_STRIP_WIDTH = 150
_FOREST_WIDTH, _FOREST_ROW, _FOREST_PAD, _FOREST_FOOT = 340, 36, 10, 22
_CURVE_WIDTH, _CURVE_HEIGHT = 260, 170
_LEAST_SPAN = 0.02  # differences below this are drawn as small


def margin_drawings(margins: Sequence[Margin]) -> list[drawing.Drawing]:
    """Draw each column's distribution in train, holdout and synthetic rows, the worst first."""
    ordered = sorted(margins, key=lambda margin: (-drawing.finite(margin.distance), margin.column))
    return [_margin(margin, f"margin-{n}") for n, margin in enumerate(ordered, 1)]


def tail_range(summary: NumberSummary | None) -> str:
    """Return between which points 98 % of a column's numbers lie, as text."""
    return (
        phrases.NONE
        if summary is None
        else f"{phrases.exact(summary.p1)} to {phrases.exact(summary.p99)}"
    )


def _margin(margin: Margin, key: str) -> drawing.Drawing:
    named = margin.kind == "category" and len(margin.labels) <= _NAMED_CATEGORIES
    name = phrases.shorten(margin.column)
    distance, holdout_distance = (
        phrases.number(margin.distance),
        phrases.number(margin.holdout_distance),
    )
    svg = Markup(
        '<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(
        _MARGIN_WIDTH,
        16 * len(margin.labels) + 4 if named else _MARGIN_HEIGHT,
        f"Distribution of {name}: distance {distance} from real, where the holdout has "
        f"{holdout_distance}.",
        _category_bars(margin) if named else _bin_columns(margin),
    )
    shares = zip(margin.labels, margin.train, margin.holdout, margin.synthetic, strict=True)
    rows = [
        (phrases.shorten(label), *(f"{100 * drawing.finite(part):.1f}" for part in parts))
        for label, *parts in shares
    ]
    return drawing.Drawing(
        key=key,
        title=name,
        panels=[svg],
        table=drawing.Table(("Value", "Train, %", "Holdout, %", "Synthetic, %"), rows),
        caption=f"distance {distance} · holdout {holdout_distance}{_summary_text(margin)}",
    )


def _summary_text(margin: Margin) -> str:
    """Return what an outer bin hides, where a column is a number."""
    summaries = {"train": margin.train_summary, "synthetic": margin.synthetic_summary}
    if not any(summaries.values()):
        return ""
    texts = (
        f"{name} {tail_range(summary)}"
        + (
            f", mean {phrases.exact(summary.mean)}, SD {phrases.exact(summary.sd)}"
            if summary
            else ""
        )
        for name, summary in summaries.items()
    )
    return f" · 1 to 99 % points: {'; '.join(texts)}"


def _category_bars(margin: Margin) -> Markup:
    """Draw named categories as lying bars, one line each."""
    left = 90
    top = drawing.largest((*margin.train, *margin.holdout, *margin.synthetic))
    names, train, holdout, synthetic = "", "", "", ""

    def width(part: float) -> float:
        return drawing.finite(part) / top * (_MARGIN_WIDTH - left - 6)

    for row, label in enumerate(margin.labels):
        y = 16 * row + 2
        x = left + width(margin.synthetic[row])
        names += (
            f'<text x="{left - 6}" y="{y + 11}" class="e">{escape(phrases.fit(label, 82))}</text>'
        )
        train += f"M{left} {y + 2}h{drawing.px(width(margin.train[row]))}v10H{left}z"
        holdout += f"M{drawing.px(left + width(margin.holdout[row]))} {y}v14"
        synthetic += f"M{left} {y + 7}H{drawing.px(x)}"
        synthetic += f"M{drawing.px(x - 3)} {y + 7}a3 3 0 1 0 6 0a3 3 0 1 0-6 0"
    return Markup(names) + _three_paths(train, holdout, synthetic)


def _three_paths(train: str, holdout: str, synthetic: str) -> Markup:
    return Markup(
        f'<path class="t" d="{train}"/><path class="h" d="{holdout}"/>'
        f'<path class="s" d="{synthetic}"/>'
    )


def _bin_columns(margin: Margin) -> Markup:
    """Draw many bins as standing bars, special values and missing ones apart at the right."""
    base, high, left, right = _MARGIN_HEIGHT - 18, _MARGIN_HEIGHT - 32, 4, _MARGIN_WIDTH - 4
    special = [i for i, label in enumerate(margin.labels) if _is_special(margin, label)]
    regular = [i for i in range(len(margin.labels)) if i not in special]
    apart = 52 if len(special) == 1 else 16 * len(special) + 28 if special else 0
    end = right - apart
    step = (end - left) / max(1, len(regular))
    places = {i: (left + place * step, step) for place, i in enumerate(regular)}
    width = (apart - 8) / max(1, len(special))
    bar = min(width, max(step, 8.0))
    places |= {
        i: (end + 8 + place * width + (width - bar) / 2, bar) for place, i in enumerate(special)
    }
    top = drawing.largest((*margin.train, *margin.holdout, *margin.synthetic))
    train, holdout, synthetic, last = "", "", "", -1.0
    for i, (x, wide) in places.items():
        at_train, at_holdout, at_synthetic = (
            drawing.px(base - drawing.finite(shares[i]) / top * high)
            for shares in (margin.train, margin.holdout, margin.synthetic)
        )
        gap = min(0.5, wide / 8)
        train += f"M{drawing.px(x + gap)} {base}V{at_train}h{drawing.px(wide - 2 * gap)}V{base}z"
        holdout += f"M{drawing.px(x + wide * 0.22)} {at_holdout}h{drawing.px(wide * 0.56)}"
        synthetic += (
            f"V{at_synthetic}" if abs(x - last) < 0.01 else f"M{drawing.px(x)} {at_synthetic}"
        )
        synthetic += f"H{drawing.px(x + wide)}"
        last = x + wide
    room = (end - left) / 2 - 4
    names = _bin_name(left, "", margin.labels[regular[0]], room) if regular else ""
    if len(regular) > 1:
        names += _bin_name(end, "e", margin.labels[regular[-1]], room)
    axis = f"M{left} {base}H{drawing.px(end)}"
    if special:
        name = margin.labels[special[0]] if len(special) == 1 else "special"
        names += _bin_name(end + 8 + (apart - 8) / 2, "m", name, apart)
        axis += f"M{drawing.px(end + 8)} {base}H{right}"
    return (
        Markup(f'<path class="x" d="{axis}"/>')
        + _three_paths(train, holdout, synthetic)
        + Markup(f'<text x="{left}" y="9">{phrases.share(top, 0)}</text>{names}')
    )


def _is_special(margin: Margin, label: str) -> bool:
    """Tell whether a bin is no stretch of the axis: a special value, or missing."""
    no_range = label.endswith("(special)") or not any(char.isdigit() for char in label)
    return margin.kind != "category" and no_range


def _bin_name(x: float, style: str, label: str, width: float) -> str:
    css = f' class="{style}"' if style else ""
    name = escape(phrases.fit(phrases.bin_label(label).strip("()"), width))
    return f'<text x="{drawing.px(x)}" y="{_MARGIN_HEIGHT - 5}"{css}>{name}</text>'


def score_strip(score: Score) -> Markup:
    """Draw one score on a line: its value with its interval, and its references.

    The figures stand in text beside it, so screen readers pass it over.
    """
    points = [score.value, score.goal, *score.references.values(), *score.draws]
    if score.interval is not None:
        points += [score.interval.low, score.interval.high]
    known = _finite_only(points)
    if score.value is None or not known:
        return Markup("")
    middle, span = (max(known) + min(known)) / 2, max(max(known) - min(known), _LEAST_SPAN)

    def at(value: float) -> str:
        return drawing.px(_STRIP_WIDTH / 2 + (value - middle) / span * (_STRIP_WIDTH - 18))

    parts = f'<path class="x" d="M2 12H{_STRIP_WIDTH - 2}"/>'
    if score.interval is not None:
        parts += f'<path class="i" d="M{at(score.interval.low)} 12H{at(score.interval.high)}"/>'
    if draws := _finite_only(score.draws):
        parts += f'<path class="q" d="{"".join(f"M{at(draw)} 16v4" for draw in draws)}"/>'
    parts += f'<circle class="d" cx="{at(score.value)}" cy="12" r="4.5"/>'
    for name, value in score.references.items():
        if value is not None and math.isfinite(value):
            parts += _reference_mark(name, at(value))
    if score.goal is not None and score.goal not in score.references.values():
        parts += f'<path class="goal" d="M{at(score.goal)} 4V20"/>'
    return Markup(
        f'<svg class="strip" viewBox="0 0 {_STRIP_WIDTH} 24" aria-hidden="true">{parts}</svg>'
    )


def _reference_mark(name: str, x: str) -> str:
    marks = {
        "holdout": ("h", "7l5 5l-5 5l-5-5z"),
        "independent": ("n", "7.5h-4.5v9h9v-9z"),
        "chance": ("c", "4V20"),
        "ideal": ("goal", "4V20"),
    }
    style, path = marks.get(name, ("h" if name in phrases.REAL else "o", "6.5l5 9h-10z"))
    return f'<path class="{style}" d="M{x} {path}"/>'


def _finite_only(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


@dataclass(frozen=True)
class Estimate:
    """One figure of a row, with its interval where it has one."""

    kind: Literal["synthetic", "real"]
    value: float
    interval: Interval | None = None


ForestRow = tuple[str, Sequence[Estimate]]  # its name, and its figures


def forest_plot(rows: Sequence[ForestRow], alt: str, line: float | None = None) -> Markup:
    """Draw rows of figures on one scale, with a line at a value that means something."""
    points = [line]
    for estimate in (estimate for _, estimates in rows for estimate in estimates):
        points.append(estimate.value)
        if estimate.interval is not None:
            points += [estimate.interval.low, estimate.interval.high]
    low, high = _scale(_finite_only(points))

    def at(value: float) -> float:
        width = _FOREST_WIDTH - 2 * _FOREST_PAD
        return _FOREST_PAD + (min(max(value, low), high) - low) / (high - low) * width

    base = _FOREST_ROW * len(rows) + 4
    parts = ""
    if line is not None:  # beside each row's figures, so that it crosses no name
        x = drawing.px(at(line))
        steps = "".join(f"M{x} {_FOREST_ROW * place + 17}v16" for place in range(len(rows)))
        parts = f'<path class="goal" d="{steps}"/>'
    parts += "".join(_forest_row(*row, _FOREST_ROW * n, at) for n, row in enumerate(rows))
    parts += f'<path class="x" d="M{_FOREST_PAD} {base}H{_FOREST_WIDTH - _FOREST_PAD}"/>'
    for tick in _ticks(low, high):
        x = drawing.px(at(tick))
        parts += f'<path class="x" d="M{x} {base}v4"/>'
        parts += (
            f'<text class="m" x="{x}" y="{base + 16}">{phrases.exact(tick) if tick else "0"}</text>'
        )
    return Markup(
        '<svg class="rows" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(_FOREST_WIDTH, base + _FOREST_FOOT, phrases.plain(alt), Markup(parts))


def _forest_row(
    label: str, estimates: Sequence[Estimate], top: int, at: Callable[[float], float]
) -> str:
    name = escape(phrases.fit(label, _FOREST_WIDTH - 2 * _FOREST_PAD, 11.5))
    y = top + 25
    parts = f'<text class="n" x="{_FOREST_PAD}" y="{top + 13}">{name}</text>'
    parts += f'<path class="r" d="M{_FOREST_PAD} {y}H{_FOREST_WIDTH - _FOREST_PAD}"/>'
    kinds = {estimate.kind for estimate in estimates}
    apart = 4 if len(kinds) > 1 and all(estimate.interval for estimate in estimates) else 0
    for estimate in estimates:
        if not math.isfinite(estimate.value):
            continue
        synthetic = estimate.kind == "synthetic"
        level = y + (apart if synthetic else -apart)
        x = drawing.px(at(estimate.value))
        if estimate.interval is not None:
            low, high = (
                drawing.px(at(estimate.interval.low)),
                drawing.px(at(estimate.interval.high)),
            )
            parts += f'<path class="{"s" if synthetic else "h"}" d="M{low} {level}H{high}"/>'
        parts += (
            f'<circle class="d" cx="{x}" cy="{level}" r="4"/>'
            if synthetic
            else f'<path class="k" d="M{x} {level - 4.5}l4.5 4.5l-4.5 4.5l-4.5-4.5z"/>'
        )
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


def survival_curves(curve: Curve) -> Markup:
    """Draw one group's two survival curves as steps."""
    width, height, left, top = _CURVE_WIDTH, _CURVE_HEIGHT, 34, 22
    base, right = height - 20, width - 6
    last = max(curve.times[-1], 1e-12)

    def path(shares: Sequence[float]) -> str:
        steps = [
            f"H{left + time / last * (right - left):.1f}V{top + (1 - value) * (base - top):.1f}"
            for time, value in zip(curve.times, shares, strict=True)
        ]
        return f"M{left} {top}{''.join(steps)}"

    name = phrases.plain(curve.group) or "all"
    alt = (
        f"Survival of {name}; at {phrases.exact(last)}: real {phrases.share(curve.real[-1])}, "
        f"synthetic {phrases.share(curve.synthetic[-1])}."
    )
    return Markup(
        f'<svg class="bars steps" viewBox="0 0 {width} {height}" role="img" aria-label="{{}}">'
        f'<text class="n" x="{left}" y="11">{{}}</text>'
        f'<path class="x" d="M{left} {top}V{base}H{right}"/>'
        f'<text class="e" x="{left - 4}" y="{top + 5}">100 %</text>'
        f'<text class="e" x="{left - 4}" y="{base + 3}">0 %</text>'
        f'<text x="{left}" y="{height - 6}">0</text>'
        f'<text class="e" x="{right}" y="{height - 6}">{phrases.exact(last)}</text>'
        f'<path class="h" d="{path(curve.real)}"/><path class="s" d="{path(curve.synthetic)}"/></svg>'
    ).format(alt, phrases.shorten(name, 36))
