"""The same figures within protected groups: whom do the synthetic rows serve worst?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation.intervals import (
    jackknife,
    jackknife_groups,
    percentile,
    resample_weights,
    rounded,
)
from synthvae.evaluation.marginals import draw_margins, variation, variations
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.prediction import Predictions
from synthvae.evaluation.prediction_task import skill
from synthvae.evaluation.results import GroupFigure, Interval, Score
from synthvae.evaluation.tables import Binning, Tables, binnings, resampled, tokenise

LEAST_PATIENTS = 30
MOST_GROUPS = 12
MOST_MARGINS = 150
NOBODY = "No group was looked at: the schema marks no column with `role: protected`."
PARTS = 3  # into which a protected number is cut

_metric = partial(Metric, family="groups", topic="fidelity")
_FEW = "few patients stand behind the figures of a group"
SHARE = _metric(
    "group_share",
    "Shares of protected groups: the worst group",
    "By how much a protected group's share of the rows differs from its share of train, in the "
    "group where that is largest.",
    "lower",
    goal=0.0,
    threshold=Limits(0.02, 0.05, "a group's share off by 2 in 100 rows"),
    disclosure="withheld, of groups",
    withheld_as=_FEW,
)
DISTANCES = {
    size: _metric(
        f"group_tvd{size}",
        f"Total variation of {what} within protected groups: the worst group",
        f"How far {what} are from train's within a protected group, beyond the noise of train's "
        "patients of that group drawn again, in the group where that is largest.",
        "lower",
        goal=0.0,
        threshold=Limits(good, poor, f"{100 * good:.0f} in 100 rows {NOISE}, in the worst group"),
        disclosure="withheld, of groups",
        withheld_as=_FEW,
    )
    for size, what, good, poor in ((1, "columns", 0.03, 0.10), (2, "pairs of columns", 0.05, 0.15))
}
LOSS = _metric(
    "group_tstr.<target>",
    "Loss in {metric} of '{target}' within protected groups: the worst group",
    "How much {metric} boosted trees lose on real patients of a protected group by training on "
    "synthetic instead of real rows, in the group where that is most.",
    "lower",
    topic="utility",
    goal=0.0,
    threshold=Limits(0.05, 0.15, "the loss that the worst group may have"),
    disclosure="left out",
    withheld_as=_FEW,
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

    def why_not(self, *tables: str) -> str | None:
        """Return why the group is too small in one of the tables, None where it is not."""
        for table in tables:
            if self.patients[table] < LEAST_PATIENTS:
                found = self.patients[table]
                return f"fewer than {LEAST_PATIENTS} patients in the {table} table ({found})"
        return None


def compare_groups(
    tables: Tables,
    cuts: tuple[Binning, ...],
    predictions: Mapping[str, Predictions],
    generator: np.random.Generator,
) -> GroupFindings:
    """Return how the synthetic rows serve each group of each protected column.

    A group with fewer than 30 patients in a table that a figure needs is not scored.
    """
    losses = {
        name: LOSS.of(target=name, metric=seen.task.metric) for name, seen in predictions.items()
    }
    metrics = (SHARE, *DISTANCES.values(), *losses.values())
    columns = [j for j, cut in enumerate(cuts) if cut.field.role == "protected"]
    if not columns:
        return GroupFindings((), (), (NOBODY,))
    figures: list[GroupFigure] = []
    tokens = {
        name: tokenise(getattr(tables, name), cuts) for name in ("train", "holdout", "synthetic")
    }
    weights = _bootstrap(predictions, generator)
    for place in columns:
        for group in _groups_of(tables, cuts, place):
            figures.append(_share(group, tables, generator))
            others = [j for j in range(len(cuts)) if j != place]
            figures += [
                _distance(size, group, tables, tokens, cuts, others, generator)
                for size in DISTANCES
                if len(others) >= size
            ]
            figures += [
                _loss(losses[name], group, seen, weights[name], tables)
                for name, seen in predictions.items()
            ]
    return GroupFindings(tuple(figures), tuple(_worst(metric, figures) for metric in metrics))


def _groups_of(tables: Tables, cuts: tuple[Binning, ...], place: int) -> Sequence[_Group]:
    field = cuts[place].field
    cut = cuts[place]
    if field.is_lattice:
        cut = binnings(tables.train, tables.schema, PARTS)[place]
    of = {
        name: (getattr(tables, name), cut.tokens(getattr(tables, name).codes[:, place]))
        for name in ("train", "holdout", "synthetic")
    }
    counts = np.bincount(of["train"][1], minlength=cut.levels)
    shown = [int(t) for t in np.argsort(-counts, kind="stable")[:MOST_GROUPS] if counts[t]]
    found = []
    for token in sorted(shown):
        rows = {name: np.asarray(tokens == token) for name, (_, tokens) in of.items()}
        patients = {name: of[name][0].take(rows[name]).patient_count for name in of}
        found.append(_Group(field.name, cut.labels[token], rows, patients))
    return found


def _figure(
    metric: Metric,
    group: _Group,
    found: tuple[float, Interval | None, float | None] | str,
    table: str = "train",
) -> GroupFigure:
    """Return a group's figure with its interval and reference, or why there is none."""
    asked = {
        "column": group.column,
        "group": group.name,
        "key": metric.key,
        "patients": group.patients[table],
    }
    if isinstance(found, str):
        return GroupFigure(**asked, value=None, not_run=found)
    value, interval, reference = found
    known = None if reference is None else rounded(reference)
    return GroupFigure(**asked, value=rounded(value), interval=interval, reference=known)


def _share(group: _Group, tables: Tables, generator: np.random.Generator) -> GroupFigure:
    reason = group.why_not("train")
    if reason is not None:
        return _figure(SHARE, group, reason)
    expected, held = (float(group.rows[name].mean()) for name in ("train", "holdout"))
    groups = jackknife_groups(tables.synthetic.patients, generator)
    inside = group.rows["synthetic"]
    without = np.array([inside[groups != g].mean() for g in range(int(groups.max()) + 1)])
    value = abs(float(inside.mean()) - expected)
    found = jackknife(value, np.abs(without - expected), "synthetic rows")
    return _figure(SHARE, group, (value, found, abs(held - expected)))


def _distance(
    size: int,
    group: _Group,
    tables: Tables,
    tokens: Mapping[str, Ints],
    cuts: tuple[Binning, ...],
    others: Sequence[int],
    generator: np.random.Generator,
) -> GroupFigure:
    metric = DISTANCES[size]
    reason = group.why_not("train", "synthetic")
    if reason is not None:
        return _figure(metric, group, reason)
    levels = [cut.levels for cut in cuts]
    margins = draw_margins(len(others), size, generator)[:MOST_MARGINS]
    chosen = [tuple(others[j] for j in margin) for margin in margins]
    inside = {name: tokens[name][:, group.rows[name]] for name in tokens}
    real = tables.train.take(group.rows["train"])

    def noise(rows: int) -> float:
        again = tokenise(resampled(real, rows, generator), cuts)
        return _mean(lambda m: variation(inside["train"], again, levels, m), chosen)

    made = tables.synthetic.take(group.rows["synthetic"])
    parts = jackknife_groups(made.patients, generator)
    found = np.mean(
        [variations(inside["train"], inside["synthetic"], levels, m, parts) for m in chosen], axis=0
    )
    expected = noise(len(made))
    value = float(found[0]) - expected
    held = None
    if group.why_not("holdout") is None:
        apart = _mean(lambda m: variation(inside["train"], inside["holdout"], levels, m), chosen)
        held = apart - noise(inside["holdout"].shape[1])
    interval = jackknife(value, found[1:] - expected, "synthetic rows", (-1.0, 1.0))
    return _figure(metric, group, (value, interval, held))


def _mean(measure: Callable[[tuple[int, ...]], float], chosen: Sequence[tuple[int, ...]]) -> float:
    return float(np.mean([measure(margin) for margin in chosen]))


def _bootstrap(
    predictions: Mapping[str, Predictions], generator: np.random.Generator
) -> dict[str, Floats]:
    found = {}
    for name, seen in predictions.items():
        test = seen.task.rows_of(seen.task.test)[0]
        found[name] = np.r_[np.ones((1, len(test))), resample_weights(test.patients, generator)]
    return found


def _loss(
    metric: Metric, group: _Group, seen: Predictions, weights: Floats, tables: Tables
) -> GroupFigure:
    test, truth = seen.task.rows_of(seen.task.test)
    # The rows that were tested may be a sample of the holdout: found again by whose they are.
    place = [field.name for field in tables.schema.modelled].index(group.column)
    values = np.unique(tables.holdout.codes[group.rows["holdout"], place])
    inside = np.isin(test.codes[:, place], values)
    if test.take(inside).patient_count < LEAST_PATIENTS:
        reason = group.why_not("holdout") or f"fewer than {LEAST_PATIENTS} patients were tested"
        return _figure(metric, group, reason, "holdout")
    if len(np.unique(truth[inside])) < 2:
        reason = "the target has one value only in the group"
        return _figure(metric, group, reason, "holdout")
    skills = {
        name: skill(truth[inside], predicted[inside], weights[:, inside])
        for name, predicted in seen.fitted.items()
    }
    loss = skills["real"] - skills["synthetic"]
    value = float(loss[0])
    if not np.isfinite(value):
        return _figure(metric, group, "the group's rows allow no such figure", "holdout")
    return _figure(
        metric, group, (value, percentile(loss[1:], "holdout patients"), None), "holdout"
    )


def _worst(metric: Metric, figures: Sequence[GroupFigure]) -> Score:
    mine = [figure for figure in figures if figure.key == metric.key]
    scored = [figure for figure in mine if figure.value is not None]
    if not scored:
        reasons = dict.fromkeys(figure.not_run or "" for figure in mine)
        return metric.unanswered("; ".join(reasons) or "there is nothing to compare within groups")
    worst = max(scored, key=lambda figure: figure.value or 0.0)
    missed = len(mine) - len(scored)
    text = (
        f"Worst of {counted(len(scored), 'group')}: {worst.column} = {worst.group}, with its own "
    )
    text += f"interval. {counted(worst.patients, 'real patient')}."
    if missed:
        text += f" {counted(missed, 'group')} not scored: too small."
    reference = {} if worst.reference is None else {"holdout": worst.reference}
    return metric.answer(worst.value or 0.0, worst.interval, {**reference, "ideal": 0.0}, text)
