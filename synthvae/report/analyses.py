"""Declared analyses and groups as the page shows them."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from synthvae._text import counted
from synthvae.evaluation.levels import judge_figure
from synthvae.evaluation.values import Analysis, Curve, Evaluation, GroupFigure, Interval, Score
from synthvae.report.claims import is_reversed
from synthvae.report.drawing import Drawing, Table
from synthvae.report.evidence import signs_in_words
from synthvae.report.levels import WORDS
from synthvae.report.rows import Mark, Row, row_chart
from synthvae.report.words import count, exact, number, plain, range_text, share, shorten

KINDS = {
    "linear": "Linear regression",
    "logistic": "Logistic regression (log odds)",
    "cox": "Cox regression (log hazards)",
    "kaplan-meier": "Kaplan–Meier curves",
}
_REAL = ("mark holdout", "real rows, with their interval")
_MADE = ("dot synthetic", "synthetic rows, with their interval")
_SHOWN_TERMS = 24
_TIMES = 12


def analysis_drawing(analysis: Analysis, key: str) -> Drawing | None:
    """Draw one declared analysis: its terms, or its curves; None where it did not run."""
    if analysis.coefficients:
        return _forest(analysis, key)
    return _curves(analysis, key) if analysis.curves else None


def facts_of(analysis: Analysis) -> str:
    """Return what an analysis was and on how many rows, in words."""
    formula = f": {plain(analysis.formula)}" if analysis.formula else ""
    return (
        f"{KINDS[analysis.kind]}{formula}. {counted(analysis.real_rows, 'real row')} and "
        f"{count(analysis.synthetic_rows)} synthetic ones. {plain(analysis.detail)}"
    ).strip()


def _forest(analysis: Analysis, key: str) -> Drawing:
    terms = analysis.coefficients
    rows = [
        Row(
            plain(term.term),
            (
                Mark("real", term.real, term.real_interval.low, term.real_interval.high),
                Mark(
                    "synthetic",
                    term.synthetic,
                    term.synthetic_interval.low,
                    term.synthetic_interval.high,
                ),
            ),
        )
        for term in terms[:_SHOWN_TERMS]
    ]
    words = "; ".join(
        f"{plain(term.term)}: real {exact(term.real)}, synthetic {exact(term.synthetic)}"
        for term in terms[:_SHOWN_TERMS]
    )
    turned = [plain(term.term) for term in terms if is_reversed(term)]
    caption = f"{signs_in_words(terms)}."
    if turned:
        caption += f" Turned round: {', '.join(turned)}."
    if len(terms) > _SHOWN_TERMS:
        caption += f" The first {_SHOWN_TERMS} are drawn; the table has all."
    head = ("Term", "Real", "Interval", "Synthetic", "Interval", "Overlap", "Sign")
    table = tuple(
        (
            plain(term.term),
            exact(term.real),
            _range(term.real_interval),
            exact(term.synthetic),
            _range(term.synthetic_interval),
            number(term.overlap, 2),
            "turned" if is_reversed(term) else "same" if term.same_sign else "differs",
        )
        for term in terms
    )
    return Drawing(
        key=key,
        title=shorten(analysis.name, 120),
        panels=(row_chart(rows, f"{KINDS[analysis.kind]}: {words}.", 0.0),),
        table=Table(head, table),
        caption=caption,
        legend=(_REAL, _MADE, ("mark ideal", "no effect")),
    )


def _range(interval: Interval) -> str:
    return f"{exact(interval.low)} to {exact(interval.high)}"


def _curves(analysis: Analysis, key: str) -> Drawing:
    rows = []
    for curve in analysis.curves:
        every = max(1, len(curve.times) // _TIMES)
        for place in sorted({*range(0, len(curve.times), every), len(curve.times) - 1}):
            figures = (curve.real[place], curve.synthetic[place])
            rows.append((plain(curve.group), exact(curve.times[place]), *map(share, figures)))
    return Drawing(
        key=key,
        title=shorten(analysis.name, 120),
        panels=tuple(_curve(curve) for curve in analysis.curves if curve.times),
        table=Table(("Group", "Time", "Real", "Synthetic"), tuple(rows)),
        legend=(("line line-real", "real rows"), ("line solid-synthetic", "synthetic rows")),
    )


def _curve(curve: Curve) -> Markup:
    """Draw one group's two survival curves as steps."""
    width, height, left, foot, top = 260, 170, 34, 20, 22
    last = max(curve.times[-1], 1e-12)

    def path(shares: Sequence[float]) -> str:
        steps = [f"M{left} {top}"]
        for time, value in zip(curve.times, shares, strict=True):
            x = left + time / last * (width - left - 6)
            steps.append(f"H{x:.1f}V{top + (1 - value) * (height - foot - top):.1f}")
        return "".join(steps)

    name = plain(curve.group) or "all"
    end = f"at {exact(last)}: real {share(curve.real[-1])}, synthetic {share(curve.synthetic[-1])}"
    base = height - foot
    return Markup(
        '<svg class="bars steps" viewBox="0 0 {} {}" role="img" aria-label="Survival of {}; {}.">'
        '<text class="n" x="{}" y="11">{}</text><path class="x" d="M{} {}V{}H{}"/>'
        '<text class="e" x="{}" y="{}">100 %</text><text class="e" x="{}" y="{}">0 %</text>'
        '<text x="{}" y="{}">0</text><text class="e" x="{}" y="{}">{}</text>'
        '<path class="h" d="{}"/><path class="s" d="{}"/></svg>'
    ).format(
        width, height, name, end, left, escape(shorten(name, 36)), left, top, base, width - 6,
        left - 4, top + 5, left - 4, base + 3, left, height - 6, width - 6, height - 6, exact(last),
        path(curve.real), path(curve.synthetic),
    )  # fmt: skip


def group_drawings(evaluation: Evaluation) -> tuple[Drawing, ...]:
    """Draw each score within the groups of each protected column, the worst group first."""
    scores = {score.key: score for score in evaluation.scores}
    families: dict[tuple[str, str], list[GroupFigure]] = {}
    for figure in evaluation.groups:
        families.setdefault((figure.column, figure.key), []).append(figure)
    return tuple(
        _group_drawing(column, scores.get(key), key, figures, f"group-{place + 1}")
        for place, ((column, key), figures) in enumerate(families.items())
    )


def _group_drawing(
    column: str, score: Score | None, name: str, figures: Sequence[GroupFigure], key: str
) -> Drawing:
    title = shorten(score.title if score else name, 80)
    ordered = sorted(figures, key=lambda figure: _order(figure, score))
    rows = [
        Row(
            f"{plain(figure.group)} ({counted(figure.patients, 'patient')})",
            tuple(_marks(figure)),
        )
        for figure in ordered
        if figure.value is not None
    ]
    table = tuple(
        (
            plain(figure.group),
            count(figure.patients),
            "not run" if figure.value is None else number(figure.value),
            range_text(figure.interval),
            number(figure.reference),
            _standing(figure, score),
        )
        for figure in ordered
    )
    failed = [figure for figure in ordered if figure.value is None]
    caption = "; ".join(
        f"{plain(figure.group)}: not run, {plain(figure.not_run or 'no reason was given')}"
        for figure in failed
    )
    words = "; ".join(f"{plain(f.group)} {number(f.value)}" for f in ordered)
    alt = f"{title} by {plain(column)}: {words}."
    return Drawing(
        key=key,
        title=f"{title}, by {shorten(column, 60)}",
        panels=(row_chart(rows, alt, score.goal if score else None),) if rows else (),
        table=Table(("Group", "Patients", "Synthetic", "Interval", "Real", "Standing"), table),
        caption=caption,
        legend=(("dot synthetic", "synthetic"), ("mark holdout", "real"))
        if any(figure.reference is not None for figure in figures)
        else (("dot synthetic", "synthetic"),),
    )


def _marks(figure: GroupFigure) -> list[Mark]:
    ends = (None, None) if figure.interval is None else (figure.interval.low, figure.interval.high)
    marks = [] if figure.reference is None else [Mark("real", figure.reference)]
    return [*marks, Mark("synthetic", figure.value or 0.0, *ends)]


def _order(figure: GroupFigure, score: Score | None) -> tuple[float, str]:
    value = figure.value
    if value is None or score is None:
        return (float("inf") if value is None else value, figure.group)
    worse = {"higher": value, "lower": -value, "towards": -abs(value - (score.goal or 0.0))}
    return (worse[score.direction], figure.group)


def _standing(figure: GroupFigure, score: Score | None) -> str:
    if score is None or figure.value is None:
        return WORDS["open"]
    return WORDS[judge_figure(figure, score)]
