"""The same figures within protected groups: whom do the synthetic rows serve worst?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.marginals import draw_margins, variation, variations
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.prediction import Predictions
from synthvae.evaluation.prediction_task import skill
from synthvae.evaluation.results import GroupFigure, Score
from synthvae.evaluation.tables import Binning, Tables, binnings, resampled, tokenise

LEAST_PATIENTS = 30
MOST_GROUPS = 12
MOST_MARGINS = 150
PARTS = 3  # into which a protected number is cut
NOBODY = "No group was looked at: the schema marks no column with `role: protected`."

_metric = partial(
    Metric,
    direction="lower",
    family="groups",
    topic="fidelity",
    goal=0.0,
    disclosure="withheld, of groups",
    withheld_as="few patients stand behind the figures of a group",
)
SHARE = _metric(
    "group_share",
    "Shares of protected groups: the worst group",
    "By how much a protected group's share of the rows differs from its share of train, in the "
    "group where that is largest.",
    threshold=Limits(0.02, 0.05, "a group's share off by 2 in 100 rows"),
)
DISTANCES = {
    size: _metric(
        f"group_tvd{size}",
        f"Total variation of {what} within protected groups: the worst group",
        f"How far {what} are from train's within a protected group, beyond the noise of train's "
        "patients of that group drawn again, in the group where that is largest.",
        threshold=Limits(good, poor, f"{100 * good:.0f} in 100 rows {NOISE}, in the worst group"),
    )
    for size, what, good, poor in ((1, "columns", 0.03, 0.10), (2, "pairs of columns", 0.05, 0.15))
}
LOSS = _metric(
    "group_tstr.<target>",
    "Loss in {metric} of '{target}' within protected groups: the worst group",
    "How much {metric} boosted trees lose on real patients of a protected group by training on "
    "synthetic instead of real rows, in the group where that is most.",
    topic="utility",
    threshold=Limits(0.05, 0.15, "the loss that the worst group may have"),
    disclosure="left out",
)
METRICS = (SHARE, *DISTANCES.values(), LOSS)


@dataclass(frozen=True)
class GroupFindings:
    """Every group's figures, the worst one of each kind as a score, and what could not be done."""

    figures: tuple[GroupFigure, ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Group:
    """One protected group: its rows in each table, and how many patients it has there."""

    column: str
    name: str
    rows: Mapping[str, Bools]
    patients: Mapping[str, int]

    def too_small(self, *tables: str) -> str | None:
        """Return why the group is too small in one of the tables, None where it is not."""
        for table in tables:
            if (count := self.patients[table]) < LEAST_PATIENTS:
                return f"fewer than {LEAST_PATIENTS} patients in the {table} table ({count})"
        return None

    def figure(self, metric: Metric, table: str = "train", **found: Any) -> GroupFigure:
        """Return a figure of the group, or why it has none; `table` is that of its patients."""
        facts = {"column": self.column, "group": self.name, "key": metric.key}
        return GroupFigure(**facts, patients=self.patients[table], **found)


def compare_groups(
    tables: Tables,
    cuts: tuple[Binning, ...],
    predictions: Mapping[str, Predictions],
    generator: np.random.Generator,
) -> GroupFindings:
    """Return how the synthetic rows serve each group of each protected column.

    A group with fewer than 30 patients in a table that a figure needs is not scored.
    """
    columns = [j for j, cut in enumerate(cuts) if cut.field.role == "protected"]
    if not columns:
        return GroupFindings((), (), (NOBODY,))
    losses = {
        name: LOSS.of(target=name, metric=each.task.metric) for name, each in predictions.items()
    }
    tokens = {
        name: tokenise(getattr(tables, name), cuts) for name in ("train", "holdout", "synthetic")
    }
    weights = {
        name: intervals.bootstrap_weights(each.task.rows_of(each.task.test)[0].patients, generator)
        for name, each in predictions.items()
    }
    figures: list[GroupFigure] = []
    for place in columns:
        others = [j for j in range(len(cuts)) if j != place]
        for group in _groups_of(tables, cuts, place):
            figures.append(_share(group, tables, generator))
            figures += [
                _distance(size, group, tables, tokens, cuts, others, generator)
                for size in DISTANCES
                if len(others) >= size
            ]
            figures += [
                _loss(losses[name], group, each, weights[name], tables)
                for name, each in predictions.items()
            ]
    metrics = (SHARE, *DISTANCES.values(), *losses.values())
    return GroupFindings(tuple(figures), tuple(_worst(metric, figures) for metric in metrics))


def _groups_of(tables: Tables, cuts: tuple[Binning, ...], place: int) -> Sequence[_Group]:
    cut = cuts[place]
    if cut.field.is_lattice:
        cut = binnings(tables.train, tables.schema, PARTS)[place]
    named = {name: getattr(tables, name) for name in ("train", "holdout", "synthetic")}
    tokens = {name: cut.tokens(table.codes[:, place]) for name, table in named.items()}
    counts = np.bincount(tokens["train"], minlength=cut.levels)
    groups = []
    for token in sorted(np.argsort(-counts, kind="stable")[:MOST_GROUPS].tolist()):
        if counts[token]:
            rows = {name: np.asarray(each == token) for name, each in tokens.items()}
            patients = {name: named[name].take(rows[name]).patient_count for name in named}
            groups.append(_Group(cut.field.name, cut.labels[token], rows, patients))
    return groups


def _share(group: _Group, tables: Tables, generator: np.random.Generator) -> GroupFigure:
    if reason := group.too_small("train"):
        return group.figure(SHARE, value=None, not_run=reason)
    expected, held = (float(group.rows[name].mean()) for name in ("train", "holdout"))
    inside = group.rows["synthetic"]
    sets = intervals.jackknife_sets(tables.synthetic.patients, generator)
    figures = np.abs(np.array([inside[kept].mean() for kept in sets]) - expected)
    interval = intervals.jackknife(figures, "synthetic rows")
    value, reference = intervals.rounded(figures[0]), intervals.rounded(abs(held - expected))
    return group.figure(SHARE, value=value, interval=interval, reference=reference)


def _distance(
    size: int,
    group: _Group,
    tables: Tables,
    tokens: Mapping[str, Ints],
    cuts: tuple[Binning, ...],
    others: Sequence[int],
    generator: np.random.Generator,
) -> GroupFigure:
    if reason := group.too_small("train", "synthetic"):
        return group.figure(DISTANCES[size], value=None, not_run=reason)
    levels = [cut.levels for cut in cuts]
    drawn = draw_margins(len(others), size, generator)[:MOST_MARGINS]
    margins = [tuple(others[j] for j in margin) for margin in drawn]
    inside = {name: each[:, group.rows[name]] for name, each in tokens.items()}
    train, real = inside["train"], tables.train.take(group.rows["train"])

    def distance(other: Ints) -> float:
        return float(np.mean([variation(train, other, levels, margin) for margin in margins]))

    def noise(rows: int) -> float:
        return distance(tokenise(resampled(real, rows, generator), cuts))

    synthetic = tables.synthetic.take(group.rows["synthetic"])
    parts = intervals.jackknife_groups(synthetic.patients, generator)
    distances = [variations(train, inside["synthetic"], levels, m, parts) for m in margins]
    figures = np.mean(distances, axis=0) - noise(len(synthetic))
    held = None
    if group.too_small("holdout") is None:
        held = intervals.rounded(distance(inside["holdout"]) - noise(inside["holdout"].shape[1]))
    value, interval = (
        intervals.rounded(figures[0]),
        intervals.jackknife(figures, "synthetic rows", (-1.0, 1.0)),
    )
    return group.figure(DISTANCES[size], value=value, interval=interval, reference=held)


def _loss(
    metric: Metric, group: _Group, predictions: Predictions, weights: Floats, tables: Tables
) -> GroupFigure:
    test, truth = predictions.task.rows_of(predictions.task.test)
    # The rows that were tested may be a sample of the holdout's: its values find the group in it.
    place = [field.name for field in tables.schema.modelled].index(group.column)
    values = np.unique(tables.holdout.codes[group.rows["holdout"], place])
    inside = np.isin(test.codes[:, place], values)
    if test.take(inside).patient_count < LEAST_PATIENTS:
        reason = group.too_small("holdout") or f"fewer than {LEAST_PATIENTS} patients were tested"
        return group.figure(metric, "holdout", value=None, not_run=reason)
    if len(np.unique(truth[inside])) < 2:
        reason = "the target has one value only in the group"
        return group.figure(metric, "holdout", value=None, not_run=reason)
    real, synthetic = (
        skill(truth[inside], predictions.fitted[name][inside], weights[:, inside])
        for name in ("real", "synthetic")
    )
    loss = real - synthetic
    if not np.isfinite(loss[0]):
        reason = "the group's rows allow no such figure"
        return group.figure(metric, "holdout", value=None, not_run=reason)
    interval = intervals.percentile(loss, "holdout patients")
    return group.figure(metric, "holdout", value=intervals.rounded(loss[0]), interval=interval)


def _worst(metric: Metric, figures: Sequence[GroupFigure]) -> Score:
    of_metric = [figure for figure in figures if figure.key == metric.key]
    scored = [figure for figure in of_metric if figure.value is not None]
    if not scored:
        reasons = dict.fromkeys(figure.not_run or "" for figure in of_metric)
        return metric.unanswered("; ".join(reasons) or "there is nothing to compare within groups")
    worst = max(scored, key=lambda figure: figure.value or 0.0)
    text = (
        f"Worst of {counted(len(scored), 'group')}: {worst.column} = {worst.group}, with its own "
        f"interval. {counted(worst.patients, 'real patient')}."
    )
    if missed := len(of_metric) - len(scored):
        text += f" {counted(missed, 'group')} not scored: too small."
    reference = {} if worst.reference is None else {"holdout": worst.reference}
    return metric.answer(worst.value or 0.0, worst.interval, {**reference, "ideal": 0.0}, text)
