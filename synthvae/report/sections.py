"""What the parts of the page with scores say: values in, tables and drawings out.

Scores; distances of columns and pairs; declared analyses; groups.
"""

from collections.abc import Sequence

from synthvae._text import counted
from synthvae.evaluation import results
from synthvae.evaluation.metric import Metric
from synthvae.levels import SEVERITY, judge, judge_figure, metric_of
from synthvae.report import drawing, phrases
from synthvae.report.claims import is_reversed
from synthvae.report.svg import Estimate, forest_plot, survival_curves, tail_range

_HEADLINE_TOPICS: tuple[results.Topic, ...] = (
    "fidelity",
    "utility",
)  # privacy has its strongest attack
_KINDS = {
    "linear": "Linear regression",
    "logistic": "Logistic regression (log odds)",
    "cox": "Cox regression (log hazards)",
    "kaplan-meier": "Kaplan–Meier curves",
}
_DRAWN_TERMS = 24
_LISTED_TIMES = 12


def score_values(evaluation: results.Evaluation) -> dict[str, object]:
    """Return what the page's templates read of scores, columns and analyses, by name."""
    return {
        "headlines": headlines(evaluation),
        "scores": score_tables(evaluation),
        "columns": column_table(evaluation.margins),
        "pairs": pair_table(evaluation.worst_pairs),
        "analyses": [
            (analysis, _analysis_summary(analysis), _analysis_drawing(analysis, f"analysis-{n}"))
            for n, analysis in enumerate(evaluation.analyses, 1)
        ],
    }


def score_tables(evaluation: results.Evaluation) -> dict[str, list[results.Score]]:
    """Return the scores by their table: in each what did not run first, then the worst."""
    tables: dict[str, list[results.Score]] = {
        name: [] for name in (*phrases.TOPICS, "attacks", "analyses")
    }
    for topic in phrases.TOPICS:
        scores = [score for score in evaluation.scores if score.topic == topic]
        for score in sorted(
            scores, key=lambda score: (phrases.has_run(score), -SEVERITY[judge(score)])
        ):
            section = metric_of(score.key).section
            # Sentences and pictures of the attacks that ran stand above their table.
            in_topic = section == "topic" or (section == "attacks" and not phrases.has_run(score))
            tables[topic if in_topic else section].append(score)
    return tables


def headlines(evaluation: results.Evaluation) -> list[results.Score]:
    """Return the scores to read first: for each topic the headlines that ran, or else any one."""
    chosen: list[results.Score] = []
    for topic in _HEADLINE_TOPICS:
        ran = [
            score for score in evaluation.scores if score.topic == topic and phrases.has_run(score)
        ]
        first: dict[
            Metric, results.Score
        ] = {}  # of each headline that several targets or learners share
        for score in ran:
            if metric_of(score.key).headline:
                first.setdefault(metric_of(score.key), score)
        chosen += first.values() or ran[:1]
    return chosen


def pair_table(pairs: Sequence[results.PairDistance]) -> drawing.Table:
    """Return the pairs of columns whose joint distribution is furthest off."""
    rows = [(*map(phrases.plain, pair.columns), *_distances(pair)) for pair in pairs]
    return drawing.Table(("Column", "with", "Synthetic", "Holdout", "Ratio"), rows, text_columns=2)


def column_table(margins: Sequence[results.Margin]) -> drawing.Table:
    """Return every column's distance, the worst first, and where the ends of numbers lie."""
    ordered = sorted(margins, key=lambda margin: (-margin.distance, margin.column))
    head: tuple[str, ...] = ("Column", "Synthetic", "Holdout", "Ratio")
    rows: list[tuple[str, ...]] = [
        (phrases.plain(margin.column), *_distances(margin)) for margin in ordered
    ]
    if any(margin.train_summary for margin in margins):
        head = (*head, "1 to 99 % points, train", "synthetic")
        tails = [(margin.train_summary, margin.synthetic_summary) for margin in ordered]
        rows = [(*row, *map(tail_range, ends)) for row, ends in zip(rows, tails, strict=True)]
    return drawing.Table(head, rows)


def _distances(row: results.Margin | results.PairDistance) -> tuple[str, str, str]:
    distance, holdout = row.distance, row.holdout_distance
    ratio = f"{distance / holdout:.1f}" if holdout > 0 else phrases.NONE
    return phrases.number(distance), phrases.number(holdout), ratio


def _analysis_summary(analysis: results.Analysis) -> str:
    formula = f": {phrases.plain(analysis.formula)}" if analysis.formula else ""
    return (
        f"{_KINDS[analysis.kind]}{formula}. {counted(analysis.real_rows, 'real row')} and "
        f"{phrases.count(analysis.synthetic_rows)} synthetic ones. {phrases.plain(analysis.detail)}"
    ).strip()


def _analysis_drawing(analysis: results.Analysis, key: str) -> drawing.Drawing | None:
    if analysis.coefficients:
        return _term_drawing(analysis, key)
    return _curve_drawing(analysis, key) if analysis.curves else None


def _term_drawing(analysis: results.Analysis, key: str) -> drawing.Drawing:
    terms = analysis.coefficients
    drawn = terms[:_DRAWN_TERMS]
    rows = [
        (
            phrases.plain(term.term),
            [
                Estimate("real", term.real, term.real_interval),
                Estimate("synthetic", term.synthetic, term.synthetic_interval),
            ],
        )
        for term in drawn
    ]
    figures = "; ".join(
        f"{phrases.plain(term.term)}: real {phrases.exact(term.real)}, "
        f"synthetic {phrases.exact(term.synthetic)}"
        for term in drawn
    )
    caption = f"{phrases.sign_agreement(terms)}."
    if reversed_terms := [phrases.plain(term.term) for term in terms if is_reversed(term)]:
        caption += f" Turned round: {', '.join(reversed_terms)}."
    if len(terms) > _DRAWN_TERMS:
        caption += f" The first {_DRAWN_TERMS} are drawn; the table has all."
    head = ("Term", "Real", "Interval", "Synthetic", "Interval", "Overlap", "Sign")
    table = [
        (
            phrases.plain(term.term),
            phrases.exact(term.real),
            _exact_range(term.real_interval),
            phrases.exact(term.synthetic),
            _exact_range(term.synthetic_interval),
            phrases.number(term.overlap, 2),
            "turned" if is_reversed(term) else "same" if term.same_sign else "differs",
        )
        for term in terms
    ]
    return drawing.Drawing(
        key=key,
        title=phrases.shorten(analysis.name, 120),
        panels=[forest_plot(rows, f"{_KINDS[analysis.kind]}: {figures}.", 0.0)],
        table=drawing.Table(head, table),
        caption=caption,
        legend=[
            ("mark holdout", "real rows, with their interval"),
            ("dot synthetic", "synthetic rows, with their interval"),
            ("mark ideal", "no effect"),
        ],
    )


def _exact_range(interval: results.Interval) -> str:
    return f"{phrases.exact(interval.low)} to {phrases.exact(interval.high)}"


def _curve_drawing(analysis: results.Analysis, key: str) -> drawing.Drawing:
    rows = []
    for curve in analysis.curves:
        every = max(1, len(curve.times) // _LISTED_TIMES)
        for place in sorted({*range(0, len(curve.times), every), len(curve.times) - 1}):
            shares = (curve.real[place], curve.synthetic[place])
            rows.append(
                (
                    phrases.plain(curve.group),
                    phrases.exact(curve.times[place]),
                    *map(phrases.share, shares),
                )
            )
    return drawing.Drawing(
        key=key,
        title=phrases.shorten(analysis.name, 120),
        panels=[survival_curves(curve) for curve in analysis.curves if curve.times],
        table=drawing.Table(("Group", "Time", "Real", "Synthetic"), rows),
        legend=[("line line-real", "real rows"), ("line solid-synthetic", "synthetic rows")],
    )


def group_drawings(evaluation: results.Evaluation) -> list[drawing.Drawing]:
    """Draw each score within the groups of each protected column, the worst group first."""
    scores = {score.key: score for score in evaluation.scores}
    families: dict[tuple[str, str], list[results.GroupFigure]] = {}
    for figure in evaluation.groups:
        families.setdefault((figure.column, figure.key), []).append(figure)
    return [
        _group_drawing(figures, scores.get(score_key), f"group-{place + 1}")
        for place, ((_, score_key), figures) in enumerate(families.items())
    ]


def _group_drawing(
    figures: Sequence[results.GroupFigure], score: results.Score | None, key: str
) -> drawing.Drawing:
    """Draw the figures of one column, and of one score where it is known."""
    column = figures[0].column
    title = phrases.shorten(score.title if score else figures[0].key)
    ordered = sorted(figures, key=lambda figure: _badness(figure, score))
    rows = []
    for figure in ordered:
        if figure.value is not None:
            estimates = [Estimate("synthetic", figure.value, figure.interval)]
            if figure.reference is not None:
                estimates.insert(0, Estimate("real", figure.reference))
            label = f"{phrases.plain(figure.group)} ({counted(figure.patients, 'patient')})"
            rows.append((label, estimates))
    table = [
        (
            phrases.plain(figure.group),
            phrases.count(figure.patients),
            "not run" if figure.value is None else phrases.number(figure.value),
            phrases.range_text(figure.interval),
            phrases.number(figure.reference),
            phrases.LEVEL_NAMES[judge_figure(figure, score) if score else "open"],
        )
        for figure in ordered
    ]
    caption = "; ".join(
        f"{phrases.plain(figure.group)}: not run, {phrases.plain(figure.not_run or phrases.NO_REASON)}"
        for figure in ordered
        if figure.value is None
    )
    values = "; ".join(
        f"{phrases.plain(figure.group)} {phrases.number(figure.value)}" for figure in ordered
    )
    alt = f"{title} by {phrases.plain(column)}: {values}."
    legend = [("dot synthetic", "synthetic")]
    if any(figure.reference is not None for figure in figures):
        legend.append(("mark holdout", "real"))
    return drawing.Drawing(
        key=key,
        title=f"{title}, by {phrases.shorten(column, 60)}",
        panels=[forest_plot(rows, alt, score.goal if score else None)] if rows else [],
        table=drawing.Table(
            ("Group", "Patients", "Synthetic", "Interval", "Real", "Standing"), table
        ),
        caption=caption,
        legend=legend,
    )


def _badness(figure: results.GroupFigure, score: results.Score | None) -> tuple[float, str]:
    """Return what sorts the worst group first, and groups without a value last."""
    value = figure.value
    if value is None:
        return float("inf"), figure.group
    if score is None or score.direction == "higher":
        return value, figure.group
    distance = value if score.direction == "lower" else abs(value - (score.goal or 0.0))
    return -distance, figure.group
