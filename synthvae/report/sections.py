"""What the parts of the page with scores say: values in, words and tables out."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.catalogue import metric_of
from synthvae.evaluation.levels import SEVERITY, Level, judge
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.values import Evaluation, Margin, PairDistance, Score, Topic
from synthvae.report.conditions import TOPICS
from synthvae.report.drawing import Table
from synthvae.report.judging import authority, is_tripwire, limits_in_words
from synthvae.report.levels import WORDS, shape
from synthvae.report.panels import ends, strip
from synthvae.report.words import (
    direction,
    number,
    plain,
    range_text,
    reference_name,
    share,
    shorten,
)

_HEADED: tuple[Topic, ...] = ("fidelity", "utility")  # privacy has its strongest attack


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
