"""Follow-up, survival curves and the c-index, with censored times in mind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.results import Analysis, Curve, Score
from synthvae.evaluation.tables import REFERENCES, Table, Tables, number_of
from synthvae.evaluation.validity import slug
from synthvae.purposes import AnalysisRequest, survival_misfit
from synthvae.schema import Schema

MOMENTS = 400  # into which a curve is cut to measure its area
CHUNK = 500
POINTS = 60
MOST_GROUPS = 6
LEAST_ROWS = 10

KM_DISTANCE = Metric(
    "km_distance.<analysis>",
    "Distance of survival curves: {name}",
    "How far the Kaplan-Meier curve of synthetic rows is from train's, on average over the "
    "follow-up: 0.02 means that 2 in 100 patients more, or fewer, are still free of the event "
    "at a typical moment. The goal is the noise of train's patients drawn again.",
    "lower",
    family="analyses",
    topic="utility",
    goal_from="bootstrap",
    threshold=Limits(0.02, 0.06, f"2 in 100 patients {NOISE}", beside="bootstrap"),
    withheld_as="few patients are left at the end of a curve",
    charted=True,
)
METRICS = (KM_DISTANCE,)


@dataclass(frozen=True)
class FollowUp:
    """Patients' rows whose follow-up is known: how long, and whether the event ended it."""

    rows: Table
    durations: Floats
    happened: Bools

    def take(self, kept: Bools) -> "FollowUp":
        """Return some of the rows."""
        return FollowUp(self.rows.take(kept), self.durations[kept], self.happened[kept])


def follow_up(table: Table, schema: Schema) -> FollowUp:
    """Return the rows whose follow-up time and event are known; the event is its last category.

    A missing event is not taken for a censored one: nobody knows that the patient was free of it.
    """
    assert schema.survival is not None
    names = [field.name for field in schema.modelled]
    time, event = (names.index(n) for n in (schema.survival.duration, schema.survival.event))
    timed, ended = schema.modelled[time], schema.modelled[event]
    last = ended.lattice_size - 1 if ended.is_lattice else len(ended.categories) - 1
    units = number_of(timed, table.codes[:, time]) + timed.first_unit
    known = np.isfinite(units) & (units >= 0) & (table.codes[:, event] >= 0)
    happened = table.codes[known, event] == last
    return FollowUp(table.take(known), timed.numbers_at(units[known]), happened)


def why_no_survival(schema: Schema) -> str | None:
    """Return why there can be no survival analysis, None where there can."""
    modelled = {field.name: field for field in schema.modelled}
    return survival_misfit(modelled, schema.survival_columns)


def kaplan_meier(durations: Floats, happened: Bools, times: Floats) -> Floats:
    """Return the share still free of the event after each time.

    References
    ----------
    Kaplan & Meier 1958, Journal of the American Statistical Association 53.

    Examples
    --------
    >>> kaplan_meier(np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, True]),
    ...     np.array([0.0, 1.0, 2.5, 3.0]))
    array([1.  , 0.75, 0.5 , 0.  ])
    """
    moments, place = np.unique(durations, return_inverse=True)
    if not len(moments):
        return np.ones(len(times))
    ends = np.bincount(place, minlength=len(moments))
    events = np.bincount(place, weights=happened, minlength=len(moments))
    at_risk = ends[::-1].cumsum()[::-1]
    shares = np.cumprod(1 - events / at_risk)
    steps = np.searchsorted(moments, times, side="right")
    return np.asarray(np.r_[1.0, shares][steps])


def moments_until(end: float) -> Floats:
    """Return the midpoints of equal parts of the time until `end`."""
    return np.asarray((np.arange(MOMENTS) + 0.5) * end / MOMENTS)


def concordance(durations: Floats, happened: Bools, risk: Floats, groups: Ints) -> Floats:
    """Return the c-index of a risk, then the same with each group of rows left out: (1 + groups,).

    Of all pairs of which one is known to have had the event first, the share in which that one had the
    higher risk; equal risks count half. NaN where no pair can be compared.

    References
    ----------
    Harrell, Lee & Mark 1996, Statistics in Medicine 15(4).
    """
    members = (groups[:, None] == np.arange(groups.max(initial=-1) + 1)).astype(float)
    won, compared = np.zeros((2, members.shape[1], members.shape[1]))
    with_event = np.flatnonzero(happened)  # the only ones that can be known to be first
    for start in range(0, len(with_event), CHUNK):
        rows = with_event[start : start + CHUNK]
        lasted = durations[rows, None]
        first = (lasted < durations) | ((lasted == durations) & ~happened)
        ahead = (risk[rows, None] > risk) + 0.5 * (risk[rows, None] == risk)
        won += members[rows].T @ ((first * ahead) @ members)
        compared += members[rows].T @ (first @ members)
    wins, pairs = (
        np.r_[m.sum(), m.sum() - m.sum(axis=0) - m.sum(axis=1) + m.diagonal()]
        for m in (won, compared)
    )
    return np.asarray(np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))


def described(
    request: AnalysisRequest, schema: Schema, rows: Sequence[int], **found: Any
) -> Analysis:
    """Return an analysis with its formula as statisticians write one, and both tables' rows."""
    left = request.outcome or "survival"
    if request.outcome is None and schema.survival is not None:
        left = f"Surv({schema.survival.duration}, {schema.survival.event})"
    right = [*request.predictors, *(":".join(each) for each in request.interactions)]
    formula = f"{left} ~ {' + '.join(right) or request.group or '1'}"
    facts = {"name": request.name, "kind": request.kind, "formula": formula}
    return Analysis(**facts, real_rows=rows[0], synthetic_rows=rows[1], **found)


def not_run(
    request: AnalysisRequest,
    schema: Schema,
    metrics: Sequence[Metric],
    note: str,
    reason: str,
    rows: Sequence[int] = (0, 0),
) -> tuple[Analysis, list[Score]]:
    """Return an analysis that could not be done, with its scores."""
    analysis = described(request, schema, rows, detail=note.strip(), not_run=reason)
    return analysis, [metric.unanswered(reason) for metric in metrics]


def compare_curves(
    tables: Tables, request: AnalysisRequest, note: str, generator: np.random.Generator
) -> tuple[Analysis, list[Score]]:
    """Return the survival curves of real and synthetic rows, and the area between them.

    The area between the curves, over the time until train's longest follow-up, is divided by that
    time; with groups, it is the mean over them, weighted by their share of train.
    """
    metric = KM_DISTANCE.of(analysis=slug(request.name), name=request.name)
    schema = tables.schema
    if reason := why_no_survival(schema):
        return not_run(request, schema, [metric], note, reason)
    names = ("train", "synthetic", *REFERENCES)
    known = {name: follow_up(getattr(tables, name), schema) for name in names}
    rows = {name: len(known[name].durations) for name in ("train", "synthetic")}
    few = [name for name, count in rows.items() if count < LEAST_ROWS]
    if few:
        reason = f"the {few[0]} table has fewer than {LEAST_ROWS} rows with a known follow-up"
    elif not (end := float(known["train"].durations.max())):
        reason = "nobody in train was followed for longer than 0"
    if reason:
        return not_run(request, schema, [metric], note, reason, [*rows.values()])
    labels, members = _groups(request, schema, known)
    times = moments_until(end)
    curves = {name: _curves(known[name], members[name], len(labels), times) for name in names}
    shares = np.bincount(members["train"], minlength=len(labels)) / len(members["train"])

    def distance(other: Floats) -> float:
        return float(shares @ np.abs(other - curves["train"]).mean(axis=1))

    synthetic, member = known["synthetic"], members["synthetic"]
    figures = [
        distance(_curves(synthetic.take(kept), member[kept], len(labels), times))
        for kept in intervals.jackknife_sets(synthetic.rows.patients, generator)
    ]
    means = [float(shares @ curves[name].mean(axis=1)) * end for name in rows]
    detail = (
        f"{note}Mean time free of the event within {end:g} (restricted mean): {means[0]:.4g} in "
        f"train, {means[1]:.4g} in synthetic rows."
    )
    score = metric.answer(
        figures[0],
        intervals.jackknife(np.array(figures), "synthetic rows"),
        {name: distance(curves[name]) for name in REFERENCES} | {"ideal": 0.0},
        detail,
    )
    shown = _shown(labels, curves, times)
    return described(request, schema, [*rows.values()], curves=shown, detail=detail), [score]


def _groups(
    request: AnalysisRequest, schema: Schema, known: dict[str, FollowUp]
) -> tuple[list[str], dict[str, Ints]]:
    """Return the names of the groups, and the group of each row; rare and missing ones are one."""
    if request.group is None:
        return ["all"], {name: np.zeros(len(of.durations), np.int64) for name, of in known.items()}
    place = [field.name for field in schema.modelled].index(request.group)
    categories = schema.modelled[place].categories
    codes = {name: of.rows.codes[:, place] for name, of in known.items()}
    counts = np.bincount(codes["train"][codes["train"] >= 0], minlength=len(categories))
    kept = sorted(int(j) for j in np.argsort(-counts, kind="stable")[:MOST_GROUPS] if counts[j])
    group_of = np.full(len(categories) + 1, len(kept))  # the last is for missing cells, code -1
    group_of[kept] = np.arange(len(kept))
    labels = [*(categories[j] for j in kept), "(others)"]
    return labels, {name: group_of[column] for name, column in codes.items()}


def _curves(known: FollowUp, member: Ints, groups: int, times: Floats) -> Floats:
    """Return each group's share free of the event over time; that of all rows for an empty group."""
    insides = [member == group for group in range(groups)]
    kept = [known.take(inside) if inside.any() else known for inside in insides]
    return np.stack([kaplan_meier(each.durations, each.happened, times) for each in kept])


def _shown(labels: Sequence[str], curves: dict[str, Floats], times: Floats) -> tuple[Curve, ...]:
    places = np.linspace(0, MOMENTS - 1, POINTS).round().astype(int)
    return tuple(
        Curve(
            group=label,
            times=tuple(map(intervals.rounded, times[places])),
            real=tuple(map(intervals.rounded, curves["train"][group, places])),
            synthetic=tuple(map(intervals.rounded, curves["synthetic"][group, places])),
        )
        for group, label in enumerate(labels)
        if label != "(others)"
    )
