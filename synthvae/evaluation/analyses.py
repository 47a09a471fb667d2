"""The analyses that the records are meant for, done on real rows and on synthetic ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats
from synthvae.config import Wanted
from synthvae.evaluation.intervals import LEVEL, interval, jackknife, jackknife_groups, rounded
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.regression import Fit, NotFittedError, Terms, fit_model
from synthvae.evaluation.results import Analysis, Coefficient, Interval, Score
from synthvae.evaluation.survival import (
    compare_curves,
    concordance,
    followed,
    formula,
    why_not_followed,
)
from synthvae.evaluation.tables import Tables, at_most
from synthvae.evaluation.validity import slug

MOST_ROWS = 20_000
MOST_RANKED = 4000
DRAWS = 1000
SIMULATED = f"simulation of the synthetic estimates, {DRAWS:,} draws"


_metric = partial(Metric, family="analyses", topic="utility", disclosure="grid")
OVERLAP = _metric(
    "overlap.<analysis>",
    "Overlap of confidence intervals: {name}",
    "How far the confidence intervals of the synthetic rows' coefficients cover those of train's and "
    "the other way round, on average: 1 is the same interval, 0 or less means that they do not "
    "touch. More rows make narrower intervals, which are harder to meet.",
    "higher",
    goal=1.0,
    threshold=Limits(
        0.6,
        0.3,
        "two samples of one population and size overlap by 0.71 on average (1 - 2/(3.92 √π))",
    ),
    section="analyses",
)
SIGNS = _metric(
    "signs.<analysis>",
    "Agreement of signs: {name}",
    "Of the coefficients that train's rows tell from 0, the share that have the same sign on "
    "synthetic rows: how often a conclusion would keep its direction.",
    "higher",
    goal=1.0,
    threshold=Limits(0.95, 0.80, "at most one conclusion in twenty turns round"),
    section="analyses",
    share_of="the terms that the real rows tell from 0",
)
C_INDEX = _metric(
    "c_index.<analysis>",
    "c-index on real patients: {name}",
    "How well the Cox model fitted on synthetic rows ranks the survival of real patients whom it "
    "never saw: 0.5 is a coin's toss, 1 the right order. The goal is what fitting on train's rows "
    "reaches.",
    "higher",
    threshold=Limits(-0.02, -0.06, "0.02 below fitting on real rows", beside="real"),
    charted=True,
)
METRICS = (OVERLAP, SIGNS, C_INDEX)


@dataclass(frozen=True)
class AnalysisFindings:
    """The analyses, and the scores that sum them up."""

    analyses: tuple[Analysis, ...]
    scores: tuple[Score, ...]


def compare_analyses(
    tables: Tables, wanted: Sequence[Wanted], declared: bool, generator: np.random.Generator
) -> AnalysisFindings:
    """Do each analysis on train, on the synthetic rows and on the tables to compare with.

    Parameters
    ----------
    declared
        Whether the user asked for these analyses; if not, they are marked as defaults.

    References
    ----------
    Karr, Kohnen, Oganian, Reiter & Sanil 2006, "A framework for evaluating the utility of data
    altered to protect confidentiality", The American Statistician 60(3): the overlap of intervals.
    """
    note = "" if declared else "A default: no analysis was declared under `evaluation`. "
    found = [
        compare_curves(tables, one, note, generator)
        if one.kind == "kaplan-meier"
        else _compare_models(tables, one, note, generator)
        for one in wanted
    ]
    return AnalysisFindings(
        tuple(analysis for analysis, _ in found),
        tuple(score for _, scores in found for score in scores),
    )


def _compare_models(
    tables: Tables, wanted: Wanted, note: str, generator: np.random.Generator
) -> tuple[Analysis, tuple[Score, ...]]:
    metrics = [
        metric.of(analysis=slug(wanted.name), name=wanted.name)
        for metric in METRICS[: 3 if wanted.kind == "cox" else 2]
    ]
    if wanted.kind == "cox":
        reason = why_not_followed(tables.schema)
        if reason is not None:
            return _not_run(tables, wanted, metrics, note, reason)
    assert wanted.kind != "kaplan-meier"
    terms = Terms(tables.schema, wanted.predictors, tables.train)
    fits: dict[str, Fit] = {}
    reasons: dict[str, str] = {}
    for name in ("train", "synthetic", "holdout", "independent"):
        some = at_most(getattr(tables, name), MOST_ROWS, generator)
        try:
            fits[name] = fit_model(wanted.kind, wanted.outcome, terms, some, tables.schema)
        except NotFittedError as cause:
            reasons[name] = f"cannot be fitted to the {name} rows: {cause}"
    for name in ("train", "synthetic"):
        if name in reasons:
            return _not_run(tables, wanted, metrics, note, reasons[name])
    shared = [term for term in fits["train"].terms if term in fits["synthetic"].terms]
    if not shared:
        return _not_run(tables, wanted, metrics, note, "no term varies in both tables")
    detail = note + _detail(terms, shared, fits, tables)
    real, made = fits["train"].only(shared), fits["synthetic"].only(shared)
    scores = [
        _score(metric, measure, fits, detail, generator)
        for metric, measure in zip(metrics[:2], (mean_overlap, same_signs), strict=True)
    ]
    if wanted.kind == "cox":
        scores.append(_rank(metrics[2], fits, terms, tables, generator))
    return (
        Analysis(
            name=wanted.name,
            kind=wanted.kind,
            formula=formula(wanted, tables.schema),
            real_rows=real.rows,
            synthetic_rows=made.rows,
            coefficients=_coefficients(real, made),
            detail=detail,
        ),
        tuple(scores),
    )


def _not_run(
    tables: Tables, wanted: Wanted, metrics: Sequence[Metric], note: str, reason: str
) -> tuple[Analysis, tuple[Score, ...]]:
    return (
        Analysis(
            name=wanted.name,
            kind=wanted.kind,
            formula=formula(wanted, tables.schema),
            real_rows=0,
            synthetic_rows=0,
            detail=note.strip(),
            not_run=reason,
        ),
        tuple(metric.unanswered(reason) for metric in metrics),
    )


def _detail(terms: Terms, shared: list[str], fits: dict[str, Fit], tables: Tables) -> str:
    text = (
        f"{counted(len(shared), 'coefficient')}, from {counted(fits['train'].rows, 'row')} of train "
        f"and {counted(fits['synthetic'].rows, 'synthetic row')} in which nothing is missing."
    )
    lost = [name for name in terms.names if name not in shared]
    if lost:
        text += f" Left out, as constant or following from others: {', '.join(lost[:5])}"
        text += f" and {len(lost) - 5} more." if len(lost) > 5 else "."
    if max(len(tables.train), len(tables.synthetic)) > MOST_ROWS:
        text += f" At most {MOST_ROWS:,} rows of each table, drawn at random."
    if tables.schema.patientKey is not None:
        text += " Standard errors are clustered by patient."
    return text


def overlaps(real: Fit, made: Fit, estimates: Floats | None = None) -> Floats:
    """Return how far each pair of intervals overlaps, for the synthetic estimates or for others."""
    middle = made.estimates if estimates is None else estimates
    low = np.maximum(real.estimates - real.half, middle - made.half)
    high = np.minimum(real.estimates + real.half, middle + made.half)
    return np.asarray((high - low) * (1 / real.half + 1 / made.half) / 4)


def mean_overlap(real: Fit, made: Fit, estimates: Floats | None = None) -> Floats | None:
    """Return the mean overlap over the coefficients, one figure for each row of estimates."""
    return np.asarray(overlaps(real, made, estimates).mean(axis=-1))


def same_signs(real: Fit, made: Fit, estimates: Floats | None = None) -> Floats | None:
    """Return the share of the coefficients told from 0 that keep their sign; None without any."""
    clear = np.abs(real.estimates) > real.half
    if not clear.any():
        return None
    middle = made.estimates if estimates is None else estimates
    return np.asarray((np.sign(middle) == np.sign(real.estimates))[..., clear].mean(axis=-1))


def _score(
    metric: Metric,
    measure: Callable[[Fit, Fit, Floats | None], Floats | None],
    fits: dict[str, Fit],
    detail: str,
    generator: np.random.Generator,
) -> Score:
    found = {name: _against_train(measure, fits, name) for name in fits if name != "train"}
    value = found.pop("synthetic")
    if value is None:
        return metric.unanswered("train's rows tell no coefficient from 0")
    shared = [term for term in fits["train"].terms if term in fits["synthetic"].terms]
    real, made = fits["train"].only(shared), fits["synthetic"].only(shared)
    drawn = _draws(made, generator)
    simulated = measure(real, made, drawn)
    assert simulated is not None
    return metric.answer(value, _around(value, simulated), found | {"ideal": 1.0}, detail)


def _draws(fit: Fit, generator: np.random.Generator) -> Floats:
    """Return coefficients as they might have come out, shape (draws, terms).

    An estimated covariance may have eigenvalues just below zero, which count as zero.
    """
    values, vectors = np.linalg.eigh((fit.covariance + fit.covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(fit.estimates + generator.standard_normal((DRAWS, len(values))) @ root.T)


def _against_train(
    measure: Callable[[Fit, Fit, Floats | None], Floats | None], fits: dict[str, Fit], name: str
) -> float | None:
    shared = [term for term in fits["train"].terms if term in fits[name].terms]
    if not shared:
        return None
    found = measure(fits["train"].only(shared), fits[name].only(shared), None)
    return None if found is None else float(found)


def _around(value: float, simulated: Floats) -> Interval:
    """Return an interval around a figure as wide as it varies; never above 1."""
    half = np.quantile(np.abs(simulated - simulated.mean()), LEVEL)
    return interval(value - half, min(1.0, value + half), SIMULATED)


def _coefficients(real: Fit, made: Fit) -> tuple[Coefficient, ...]:
    each = overlaps(real, made)
    return tuple(
        Coefficient(
            term=term,
            real=rounded(real.estimates[j]),
            real_interval=_of(real, j),
            synthetic=rounded(made.estimates[j]),
            synthetic_interval=_of(made, j),
            overlap=rounded(each[j]),
            same_sign=bool(np.sign(real.estimates[j]) == np.sign(made.estimates[j])),
        )
        for j, term in enumerate(real.terms)
    )


def _of(fit: Fit, j: int) -> Interval:
    middle, half = fit.estimates[j], fit.half[j]
    return interval(middle - half, middle + half, "Wald")


def _rank(
    metric: Metric,
    fits: dict[str, Fit],
    terms: Terms,
    tables: Tables,
    generator: np.random.Generator,
) -> Score:
    """Return how well the synthetic rows' Cox model ranks the holdout's survival."""
    test = followed(at_most(tables.holdout, MOST_RANKED, generator), tables.schema)
    scaled = terms(test.rows)
    complete = np.isfinite(scaled).all(axis=1)
    if not complete.any() or not test.happened[complete].any():
        return metric.unanswered("no event happened in a complete row of the holdout")
    whose = test.rows.take(np.asarray(complete))
    groups = jackknife_groups(whose.patients, generator)
    found = {}
    for name in ("synthetic", "train", "independent"):
        if name in fits:
            kept = [terms.names.index(term) for term in fits[name].terms]
            risk = scaled[complete][:, kept] @ (fits[name].estimates * terms.spread[kept])
            found[name] = concordance(
                test.durations[complete], test.happened[complete], risk, groups
            )
    value = float(found["synthetic"][0])
    if not np.isfinite(value):
        return metric.unanswered("no two rows of the holdout can be compared")
    independent = found.get("independent")
    return metric.with_goal(float(found["train"][0])).answer(
        value,
        jackknife(value, found["synthetic"][1:], "holdout patients"),
        {
            "real": float(found["train"][0]),
            "independent": None if independent is None else float(independent[0]),
            "chance": 0.5,
        },
        f"Tested on {counted(len(whose), 'holdout row')}; 'real' is the model fitted on train.",
    )
