"""Follow-up, survival curves and the c-index, with censored times in mind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.config import Wanted
from synthvae.evaluation.intervals import jackknife, jackknife_groups, rounded
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.results import Analysis, Curve, Score
from synthvae.evaluation.tables import Table, Tables, number_of
from synthvae.evaluation.validity import slug
from synthvae.schema import Schema

MOMENTS = 400  # into which a curve is cut to measure its area
CHUNK = 500
POINTS = 60
MOST_GROUPS = 6
LEAST_ROWS = 10


@dataclass(frozen=True)
class Followed:
    """Patients' rows whose follow-up is known: how long, and whether the event ended it."""

    rows: Table
    durations: Floats
    happened: Bools


def followed(table: Table, schema: Schema) -> Followed:
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
    return Followed(
        table.take(known),
        units[known] / 10.0**timed.places,
        table.codes[known, event] == last,
    )


def why_not_followed(schema: Schema) -> str | None:
    """Return why there can be no survival analysis, None where there can."""
    if schema.survival is None:
        return "the schema declares no survival columns; name them under `survival`"
    for name in (schema.survival.duration, schema.survival.event):
        if name in schema.identifiers:
            return f"the survival column '{name}' is an identifier, never modelled"
    time, event = (schema[n] for n in (schema.survival.duration, schema.survival.event))
    if not time.is_lattice or time.type not in ("integer", "number"):
        return f"the survival column '{time.name}' is no number with bounds"
    if (event.lattice_size if event.is_lattice else len(event.categories)) != 2:
        return f"the survival column '{event.name}' has not two values"
    return None


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
    """Return the c-index of a risk, and then the same with each group of rows left out.

    Of all pairs of which one is known to have had the event first, the share in which that one had the
    higher risk; equal risks count half.

    Parameters
    ----------
    durations, happened, risk, groups
        Shape (rows,).

    Returns
    -------
    ndarray
        Shape (1 + groups,); NaN where no pair can be compared.

    References
    ----------
    Harrell, Lee & Mark 1996, Statistics in Medicine 15(4).
    """
    members = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    won, compared = np.zeros((2, members.shape[1], members.shape[1]))
    with_event = np.flatnonzero(happened)  # the only ones that can be known to be first
    for start in range(0, len(with_event), CHUNK):
        rows = with_event[start : start + CHUNK]
        lasted = durations[rows, None]
        first = (lasted < durations) | ((lasted == durations) & ~happened)
        ahead = (risk[rows, None] > risk) + 0.5 * (risk[rows, None] == risk)
        won += members[rows].T @ ((first * ahead) @ members)
        compared += members[rows].T @ (first @ members)
    left_out = [
        (matrix.sum() - matrix.sum(axis=0) - matrix.sum(axis=1) + matrix.diagonal())
        for matrix in (won, compared)
    ]
    wins, pairs = (np.r_[m.sum(), rest] for m, rest in zip((won, compared), left_out, strict=True))
    return np.asarray(np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))


KM_DISTANCE = Metric(
    "km_distance.<analysis>",
    "Distance of survival curves: {name}",
    "How far the Kaplan-Meier curve of synthetic rows is from train's, on average over the "
    "follow-up: 0.02 means that 2 in 100 patients more, or fewer, are still free of the event "
    "at a typical moment. The goal is the noise of train's patients drawn again.",
    "lower",
    family="analyses",
    topic="utility",
    threshold=Limits(0.02, 0.06, f"2 in 100 patients {NOISE}", beside="bootstrap"),
    withheld_as="few patients are left at the end of a curve",
    charted=True,
)
METRICS = (KM_DISTANCE,)


def formula(wanted: Wanted, schema: Schema) -> str:
    """Return an analysis in the way that statisticians write one."""
    left = wanted.outcome or "survival"
    if wanted.outcome is None and schema.survival is not None:
        left = f"Surv({schema.survival.duration}, {schema.survival.event})"
    return f"{left} ~ {' + '.join(wanted.predictors) or wanted.group or '1'}"


def compare_curves(
    tables: Tables, wanted: Wanted, note: str, generator: np.random.Generator
) -> tuple[Analysis, tuple[Score, ...]]:
    """Return the survival curves of real and synthetic rows, and the area between them.

    The area between the curves, over the time until train's longest follow-up, is divided by that
    time; with groups, it is the mean over them, weighted by their share of train.
    """
    metric, schema = KM_DISTANCE.of(analysis=slug(wanted.name), name=wanted.name), tables.schema
    reason = why_not_followed(schema)
    names = ("train", "synthetic", "holdout", "independent", "bootstrap")
    found = {} if reason else {name: followed(getattr(tables, name), schema) for name in names}
    for name in ("train", "synthetic"):
        if reason is None and len(found[name].durations) < LEAST_ROWS:
            reason = f"the {name} table has fewer than {LEAST_ROWS} rows with a known follow-up"
    end = 0.0 if reason else float(found["train"].durations.max())
    if reason is None and not end:
        reason = "nobody in train was followed for longer than 0"
    if reason is not None:
        return _analysis(wanted, schema, note, found, not_run=reason), (metric.unanswered(reason),)
    labels, members = _groups(wanted, schema, found)
    times = moments_until(end)
    curves = {name: _curves(found[name], members[name], len(labels), times) for name in names}
    shares = np.bincount(members["train"], minlength=len(labels)) / len(members["train"])

    def apart(other: Floats) -> float:
        return float(shares @ np.abs(other - curves["train"]).mean(axis=1))

    without = [
        apart(_curves(some, member, len(labels), times))
        for some, member in _without_groups(found["synthetic"], members["synthetic"], generator)
    ]
    references: dict[str, float | None] = {
        name: apart(curves[name]) for name in ("holdout", "independent", "bootstrap")
    }
    means = [float(shares @ curves[name].mean(axis=1)) * end for name in ("train", "synthetic")]
    detail = note + (
        f"Mean time free of the event within {end:g} (restricted mean): {means[0]:.4g} in train, "
        f"{means[1]:.4g} in synthetic rows."
    )
    value = apart(curves["synthetic"])
    score = metric.with_goal(references["bootstrap"]).answer(
        value,
        jackknife(value, np.array(without), "synthetic rows"),
        references | {"ideal": 0.0},
        detail,
    )
    shown = _shown(labels, curves, times)
    return _analysis(wanted, schema, detail, found, curves=shown), (score,)


def _without_groups(
    of: Followed, member: Ints, generator: np.random.Generator
) -> Iterator[tuple[Followed, Ints]]:
    """Yield the rows without each group of patients in turn."""
    groups = jackknife_groups(of.rows.patients, generator)
    for group in range(int(groups.max()) + 1):
        kept = np.asarray(groups != group)
        yield Followed(of.rows.take(kept), of.durations[kept], of.happened[kept]), member[kept]


def _groups(
    wanted: Wanted, schema: Schema, found: dict[str, Followed]
) -> tuple[Sequence[str], dict[str, Ints]]:
    """Return the names of the groups, and the group of each row; rare and missing ones together."""
    if wanted.group is None:
        return ("all",), {name: np.zeros(len(f.durations), np.int64) for name, f in found.items()}
    place = [field.name for field in schema.modelled].index(wanted.group)
    categories = schema.modelled[place].categories
    codes = {name: one.rows.codes[:, place] for name, one in found.items()}
    counts = np.bincount(codes["train"][codes["train"] >= 0], minlength=len(categories))
    kept = [int(j) for j in np.argsort(-counts, kind="stable")[:MOST_GROUPS] if counts[j]]
    kept.sort()
    members = {}
    for name, column in codes.items():
        member = np.full(len(column), len(kept), np.int64)
        for group, category in enumerate(kept):
            member[column == category] = group
        members[name] = member
    return [*(categories[j] for j in kept), "(others)"], members


def _curves(of: Followed, member: Ints, groups: int, times: Floats) -> Floats:
    """Return each group's share free of the event over time; that of all rows for an empty group."""
    found = []
    for group in range(groups):
        inside = member == group
        inside = inside if inside.any() else np.ones(len(member), bool)
        found.append(kaplan_meier(of.durations[inside], of.happened[inside], times))
    return np.stack(found)


def _shown(labels: Sequence[str], curves: dict[str, Floats], times: Floats) -> tuple[Curve, ...]:
    places = np.linspace(0, MOMENTS - 1, POINTS).round().astype(int)
    return tuple(
        Curve(
            group=label,
            times=tuple(rounded(t) for t in times[places]),
            real=tuple(rounded(s) for s in curves["train"][g, places]),
            synthetic=tuple(rounded(s) for s in curves["synthetic"][g, places]),
        )
        for g, label in enumerate(labels)
        if label != "(others)"
    )


def _analysis(
    wanted: Wanted,
    schema: Schema,
    detail: str,
    found: dict[str, Followed],
    *,
    curves: tuple[Curve, ...] = (),
    not_run: str | None = None,
) -> Analysis:
    return Analysis(
        name=wanted.name,
        kind="kaplan-meier",
        formula=formula(wanted, schema),
        real_rows=len(found["train"].durations) if found else 0,
        synthetic_rows=len(found["synthetic"].durations) if found else 0,
        curves=curves,
        detail=detail.strip(),
        not_run=not_run,
    )
