"""The analyses that the records are meant for, done on real rows and on synthetic ones."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats
from synthvae.evaluation import intervals, survival
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.regression import Fit, NotFittedError, Terms, fit_model
from synthvae.evaluation.results import Analysis, Coefficient, Interval, Score
from synthvae.evaluation.tables import Tables, at_most
from synthvae.evaluation.validity import slug
from synthvae.purposes import AnalysisRequest

MOST_ROWS = 20_000
MOST_RANKED = 4000
DRAWS = 1000
SIMULATED = f"simulation of the synthetic estimates, {DRAWS:,} draws"

_metric = partial(Metric, direction="higher", family="analyses", topic="utility", disclosure="grid")
_TWO_SAMPLES = "two samples of one population and size overlap by 0.71 on average (1 - 2/(3.92 √π))"
OVERLAP = _metric(
    "overlap.<analysis>",
    "Overlap of confidence intervals: {name}",
    "How far the confidence intervals of the synthetic rows' coefficients cover those of train's and "
    "the other way round, on average: 1 is the same interval, 0 or less means that they do not "
    "touch. More rows make narrower intervals, which are harder to meet.",
    goal=1.0,
    threshold=Limits(0.6, 0.3, _TWO_SAMPLES),
    section="analyses",
)
SIGNS = _metric(
    "signs.<analysis>",
    "Agreement of signs: {name}",
    "Of the coefficients that train's rows tell from 0, the share that have the same sign on "
    "synthetic rows: how often a conclusion would keep its direction.",
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
    goal_from="real",
    threshold=Limits(-0.02, -0.06, "0.02 below fitting on real rows", beside="real"),
    charted=True,
)
METRICS = (OVERLAP, SIGNS, C_INDEX)

Measure = Callable[[Fit, Fit, Floats | None], Floats | None]


def compare_analyses(
    tables: Tables,
    requests: Sequence[AnalysisRequest],
    declared: bool,
    generator: np.random.Generator,
) -> tuple[tuple[Analysis, ...], list[Score]]:
    """Do each analysis on train, on the synthetic rows and on the tables to compare with.

    Returns the analyses, and the scores that sum them up; those that the user did not declare are
    marked as defaults.

    References
    ----------
    Karr, Kohnen, Oganian, Reiter & Sanil 2006, "A framework for evaluating the utility of data
    altered to protect confidentiality", The American Statistician 60(3): the overlap of intervals.
    """
    note = "" if declared else "A default: no analysis was declared under `evaluation`. "
    done = [
        (survival.compare_curves if request.kind == "kaplan-meier" else _compare_models)(
            tables, request, note, generator
        )
        for request in requests
    ]
    return tuple(analysis for analysis, _ in done), [score for _, each in done for score in each]


def _compare_models(
    tables: Tables, request: AnalysisRequest, note: str, generator: np.random.Generator
) -> tuple[Analysis, list[Score]]:
    assert request.kind != "kaplan-meier"
    is_cox, schema = request.kind == "cox", tables.schema
    names = {"analysis": slug(request.name), "name": request.name}
    metrics = [metric.of(**names) for metric in (METRICS if is_cox else METRICS[:2])]
    if is_cox and (reason := survival.why_no_survival(schema)):
        return survival.not_run(request, schema, metrics, note, reason)
    terms = Terms(schema, request.predictors, tables.train)
    fits: dict[str, Fit] = {}
    reasons: dict[str, str] = {}
    for name in ("train", "synthetic", "holdout", "independent"):
        sampled = at_most(getattr(tables, name), MOST_ROWS, generator)
        try:
            fits[name] = fit_model(request.kind, request.outcome, terms, sampled, schema)
        except NotFittedError as cause:
            reasons[name] = f"cannot be fitted to the {name} rows: {cause}"
    for name in ("train", "synthetic"):
        if name in reasons:
            return survival.not_run(request, schema, metrics, note, reasons[name])
    pairs = {
        name: _shared_terms(fits["train"], fit) for name, fit in fits.items() if name != "train"
    }
    real, synthetic = pairs["synthetic"]
    if not real.terms:
        return survival.not_run(request, schema, metrics, note, "no term varies in both tables")
    detail = note + _detail(terms, real, synthetic, tables)
    scores = [
        _score(metric, measure, pairs, detail, generator)
        for metric, measure in zip(metrics[:2], (mean_overlap, same_signs), strict=True)
    ]
    if is_cox:
        scores.append(_rank(metrics[2], fits, terms, tables, generator))
    rows, coefficients = (real.rows, synthetic.rows), _coefficients(real, synthetic)
    return survival.described(
        request, schema, rows, coefficients=coefficients, detail=detail
    ), scores


def _shared_terms(real: Fit, other: Fit) -> tuple[Fit, Fit]:
    shared = [term for term in real.terms if term in other.terms]
    return real.only(shared), other.only(shared)


def _detail(terms: Terms, real: Fit, synthetic: Fit, tables: Tables) -> str:
    text = (
        f"{counted(len(real.terms), 'coefficient')}, from {counted(real.rows, 'row')} of train "
        f"and {counted(synthetic.rows, 'synthetic row')} in which nothing is missing."
    )
    lost = [name for name in terms.names if name not in real.terms]
    if lost:
        text += f" Left out, as constant or following from others: {', '.join(lost[:5])}"
        text += f" and {len(lost) - 5} more." if len(lost) > 5 else "."
    if max(len(tables.train), len(tables.synthetic)) > MOST_ROWS:
        text += f" At most {MOST_ROWS:,} rows of each table, drawn at random."
    if tables.schema.patientKey is not None:
        text += " Standard errors are clustered by patient."
    return text


def overlaps(real: Fit, synthetic: Fit, estimates: Floats | None = None) -> Floats:
    """Return how far each pair of intervals overlaps, for the synthetic estimates or for others."""
    middle = synthetic.estimates if estimates is None else estimates
    low = np.maximum(real.estimates - real.half, middle - synthetic.half)
    high = np.minimum(real.estimates + real.half, middle + synthetic.half)
    return np.asarray((high - low) * (1 / real.half + 1 / synthetic.half) / 4)


def mean_overlap(real: Fit, synthetic: Fit, estimates: Floats | None = None) -> Floats | None:
    """Return the mean overlap over the coefficients, one figure for each row of estimates."""
    return np.asarray(overlaps(real, synthetic, estimates).mean(axis=-1))


def same_signs(real: Fit, synthetic: Fit, estimates: Floats | None = None) -> Floats | None:
    """Return the share of the coefficients told from 0 that keep their sign; None without any."""
    clear = np.abs(real.estimates) > real.half
    if not clear.any():
        return None
    middle = synthetic.estimates if estimates is None else estimates
    return np.asarray((np.sign(middle) == np.sign(real.estimates))[..., clear].mean(axis=-1))


def _score(
    metric: Metric,
    measure: Measure,
    pairs: dict[str, tuple[Fit, Fit]],
    detail: str,
    generator: np.random.Generator,
) -> Score:
    figures: dict[str, float | None] = {}
    for name, pair in pairs.items():
        figure = measure(*pair, None) if pair[0].terms else None
        figures[name] = None if figure is None else float(figure)
    value = figures.pop("synthetic")
    if value is None:
        return metric.unanswered("train's rows tell no coefficient from 0")
    simulated = measure(*pairs["synthetic"], _draws(pairs["synthetic"][1], generator))
    assert simulated is not None
    return metric.answer(value, _around(value, simulated), figures | {"ideal": 1.0}, detail)


def _draws(fit: Fit, generator: np.random.Generator) -> Floats:
    """Return coefficients as they might have come out, shape (draws, terms).

    An estimated covariance may have eigenvalues just below zero, which count as zero.
    """
    values, vectors = np.linalg.eigh((fit.covariance + fit.covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(fit.estimates + generator.standard_normal((DRAWS, len(values))) @ root.T)


def _around(value: float, simulated: Floats) -> Interval:
    """Return an interval around a figure as wide as it varies; never above 1."""
    half = np.quantile(np.abs(simulated - simulated.mean()), intervals.LEVEL)
    return intervals.interval(value - half, min(1.0, value + half), SIMULATED)


def _coefficients(real: Fit, synthetic: Fit) -> tuple[Coefficient, ...]:
    each = overlaps(real, synthetic)
    return tuple(
        Coefficient(
            term=term,
            real=intervals.rounded(real.estimates[j]),
            real_interval=_wald(real, j),
            synthetic=intervals.rounded(synthetic.estimates[j]),
            synthetic_interval=_wald(synthetic, j),
            overlap=intervals.rounded(each[j]),
            same_sign=bool(np.sign(real.estimates[j]) == np.sign(synthetic.estimates[j])),
        )
        for j, term in enumerate(real.terms)
    )


def _wald(fit: Fit, j: int) -> Interval:
    middle, half = fit.estimates[j], fit.half[j]
    return intervals.interval(middle - half, middle + half, "Wald")


def _rank(
    metric: Metric,
    fits: dict[str, Fit],
    terms: Terms,
    tables: Tables,
    generator: np.random.Generator,
) -> Score:
    """Return how well the synthetic rows' Cox model ranks the holdout's survival."""
    test = survival.follow_up(at_most(tables.holdout, MOST_RANKED, generator), tables.schema)
    scaled = terms(test.rows)
    complete = np.asarray(np.isfinite(scaled).all(axis=1))
    test, scaled = test.take(complete), scaled[complete]
    if not test.happened.any():
        return metric.unanswered("no event happened in a complete row of the holdout")
    groups = intervals.jackknife_groups(test.rows.patients, generator)
    figures = {}
    for name in ("synthetic", "train", "independent"):
        if name in fits:
            kept = [terms.names.index(term) for term in fits[name].terms]
            risk = scaled[:, kept] @ (fits[name].estimates * terms.spread[kept])
            figures[name] = survival.concordance(test.durations, test.happened, risk, groups)
    if not np.isfinite(figures["synthetic"][0]):
        return metric.unanswered("no two rows of the holdout can be compared")
    independent = float(figures["independent"][0]) if "independent" in figures else None
    return metric.answer(
        float(figures["synthetic"][0]),
        intervals.jackknife(figures["synthetic"], "holdout patients"),
        {"real": float(figures["train"][0]), "independent": independent, "chance": 0.5},
        f"Tested on {counted(len(test.rows), 'holdout row')}; 'real' is the model fitted on train.",
    )
