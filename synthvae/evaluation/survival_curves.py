"""How far the survival curves of synthetic rows are from those of real rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from synthvae.evaluation.asked import Wanted
from synthvae.evaluation.intervals import jackknife, jackknife_groups, rounded
from synthvae.evaluation.questions import Question
from synthvae.evaluation.rules import slug
from synthvae.evaluation.survival import (
    MOMENTS,
    Followed,
    followed,
    kaplan_meier,
    moments_until,
    why_not_followed,
)
from synthvae.evaluation.tables import Ints, Tables
from synthvae.evaluation.values import Analysis, Curve, Score
from synthvae.schema import Schema

POINTS = 60
MOST_GROUPS = 6
LEAST_ROWS = 10

Floats = NDArray[np.float64]


def curve_question(wanted: Wanted) -> Question:
    """Return what is asked of survival curves."""
    return Question(
        f"km_distance.{slug(wanted.name)}",
        "utility",
        f"Distance of survival curves: {wanted.name}",
        "How far the Kaplan-Meier curve of synthetic rows is from train's, on average over the "
        "follow-up: 0.02 means that 2 in 100 patients more, or fewer, are still free of the event "
        "at a typical moment. The goal is the noise of train's patients drawn again.",
        "lower",
    )


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
    question, schema = curve_question(wanted), tables.schema
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
        return _analysis(wanted, schema, note, found, not_run=reason), (
            question.unanswered(reason),
        )
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
    score = question.with_goal(references["bootstrap"]).answer(
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
