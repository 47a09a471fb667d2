"""What the parts of the page with scores say: values in, words and tables out."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from synthvae._text import counted
from synthvae.evaluation.levels import SEVERITY, Level, judge, judge_figure, metric_of
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.results import (
    Analysis,
    Curve,
    Evaluation,
    GroupFigure,
    Interval,
    Margin,
    PairDistance,
    Score,
    Topic,
)
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.tradeoff import budget_of
from synthvae.report.claims import is_reversed
from synthvae.report.decision import TOPICS
from synthvae.report.drawing import Drawing, Table
from synthvae.report.phrases import (
    WORDS,
    authority,
    bound,
    count,
    direction,
    exact,
    is_tripwire,
    limits_in_words,
    number,
    plain,
    range_text,
    reference_name,
    shape,
    share,
    shorten,
    signs_in_words,
)
from synthvae.report.run_facts import RunContext
from synthvae.report.svg import Mark, Row, ends, row_chart, strip

_HEADED: tuple[Topic, ...] = ("fidelity", "utility")  # privacy has its strongest attack
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
FIVE_SAFES = "Desai, Ritchie and Welpton 2016, Five Safes: designing data access for research"


@dataclass(frozen=True)
class ScoreRow:
    """One score as the page shows it; `section`: which of its tables does."""

    key: str
    section: str
    title: str
    topic: str
    meaning: str
    detail: str
    value: str
    interval: str
    interval_note: str
    references: tuple[tuple[str, str, str], ...]
    direction: str
    limits: str
    authority: str
    draws: str
    level: Level
    word: str
    shape: Markup
    strip: Markup
    not_run: str | None
    tripwire: bool


def score_row(score: Score) -> ScoreRow:
    """Return a score in words; one that did not run says so and shows no value."""
    ran = score.not_run is None and score.value is not None
    references = tuple(
        (name, reference_name(name), number(value)) for name, value in score.references.items()
    )
    note = ""
    if score.interval is not None:
        note = f"{share(score.interval.level, 0)} interval, {plain(score.interval.method)}"
    level = judge(score)
    section = metric_of(score.key).section
    if section == "attacks" and not ran:  # words and pictures of those that ran stand above
        section = "topic"
    return ScoreRow(
        key=score.key,
        section=section,
        title=shorten(score.title, 160),
        topic=TOPICS[score.topic],
        meaning=plain(score.meaning),
        detail=plain(score.detail),
        value=number(score.value) if ran else "not run",
        interval=range_text(score.interval) if ran and score.interval is not None else "",
        interval_note=note,
        references=references if ran else (),
        direction=direction(score.direction, score.goal),
        limits=limits_in_words(score),
        authority=authority(score.threshold),
        draws=_draws(score) if ran else "",
        level=level,
        word=WORDS[level],
        shape=shape(level),
        strip=strip(score) if ran else Markup(""),
        not_run=None if ran else plain(score.not_run or "no reason was given"),
        tripwire=is_tripwire(score),
    )


def _draws(score: Score) -> str:
    if not score.draws:
        return ""
    ends = f"{number(min(score.draws))} to {number(max(score.draws))}"
    return f"{counted(len(score.draws), 'further draw')}: {ends}"


def rows_of(evaluation: Evaluation, topic: Topic) -> tuple[ScoreRow, ...]:
    """Return the scores of one topic: what did not run first, then the worst by their thresholds."""
    rows = [score_row(score) for score in evaluation.scores if score.topic == topic]
    return tuple(sorted(rows, key=lambda row: (row.not_run is None, -SEVERITY[row.level])))


def headlines(evaluation: Evaluation) -> tuple[ScoreRow, ...]:
    """Return the scores to read first: for each topic the headlines that ran, or else any one."""
    chosen: list[Score] = []
    for topic in _HEADED:
        ran = [
            score
            for score in evaluation.scores
            if score.topic == topic and score.not_run is None and score.value is not None
        ]
        first: dict[Metric, Score] = {}  # of each headline that several targets or learners share
        for score in ran:
            if metric_of(score.key).headline:
                first.setdefault(metric_of(score.key), score)
        chosen += list(first.values()) or ran[:1]
    return tuple(score_row(score) for score in chosen)


def pairs_table(pairs: Sequence[PairDistance]) -> Table:
    """Return the pairs of columns whose joint distribution is furthest off."""
    rows = tuple(
        (
            plain(pair.columns[0]),
            plain(pair.columns[1]),
            number(pair.distance),
            number(pair.holdout_distance),
            _times(pair.distance, pair.holdout_distance),
        )
        for pair in pairs
    )
    return Table(("Column", "with", "Synthetic", "Holdout", "Ratio"), rows, words=2)


def columns_table(margins: Sequence[Margin]) -> Table:
    """Return every column's distance, the worst first, and where the ends of numbers lie."""
    ordered = sorted(margins, key=lambda margin: (-margin.distance, margin.column))
    summaries = any(margin.train_summary for margin in margins)
    rows = tuple(
        (
            plain(margin.column),
            number(margin.distance),
            number(margin.holdout_distance),
            _times(margin.distance, margin.holdout_distance),
            *((ends(margin.train_summary), ends(margin.synthetic_summary)) if summaries else ()),
        )
        for margin in ordered
    )
    more = ("1 to 99 % points, train", "synthetic") if summaries else ()
    return Table(("Column", "Synthetic", "Holdout", "Ratio", *more), rows)


def _times(distance: float, reference: float) -> str:
    return f"{distance / reference:.1f}" if reference > 0 else "–"


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


def five_safes(evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext) -> Table:
    """Return what is known about each of the five, and what is for people to judge."""
    return Table(("", "What this report knows", "What people must judge"), tuple(
        (name, known, judged) for name, known, judged in _safes(evaluation, guarantee, context)
    ), words=3)  # fmt: skip


def _safes(
    evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext
) -> Sequence[tuple[str, str, str]]:
    facts = evaluation.tables
    budget = budget_of(guarantee)
    purpose = plain(context.purpose or "") or "No purpose was declared."
    promise = (
        f"ε = {bound(budget[0])}, δ = {exact(budget[1])} for each patient"
        if budget
        else "no guarantee"
    )
    data = (
        f"{counted(facts.synthetic_rows, 'synthetic row')} of {counted(facts.columns, 'column')}, "
        f"made from {counted(facts.train_rows, 'real row')} of "
        f"{counted(facts.train_patients, 'patient')}; {promise}."
    )
    outputs = (
        "Whatever is computed from the synthetic rows alone is covered by the same guarantee "
        "(post-processing). Figures of this report are not."
        if budget
        else "Nothing that is computed from the synthetic rows is covered by a guarantee."
    )
    return (
        ("Safe projects", purpose, "Is this a proper use, and is it of public benefit?"),
        (
            "Safe people",
            "Nothing: the report does not know who asks.",
            "Are they trained, and bound not to try to identify anybody?",
        ),
        (
            "Safe settings",
            "Nothing: the report does not know where the table goes.",
            "Open release, registered users, or inside a research environment?",
        ),
        ("Safe data", data, "Are the columns no more than the purpose needs?"),
        ("Safe outputs", outputs, "Will results be confirmed on the real records, and by whom?"),
    )
