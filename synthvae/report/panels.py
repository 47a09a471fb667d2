"""Small drawings written by hand as lean SVG: margins of many columns, and one score's strip."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from synthvae.evaluation.values import Margin, NumberSummary, Score
from synthvae.report.drawing import Drawing, Table, finite, largest, px
from synthvae.report.words import NONE, REAL, bin_label, exact, fit, number, share, shorten

_WIDTH, _HEIGHT = 232, 112
_ROWS = 7  # categories that have room for their names
_STRIP = 150
_LEAST_SPAN = 0.02  # a strip shows differences below this as small


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
