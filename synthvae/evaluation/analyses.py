"""The analyses that the records are meant for, done on real rows and on synthetic ones."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from synthvae._text import counted
from synthvae.evaluation import intervals, survival
from synthvae.evaluation.agreement import mean_overlap, overlaps, same_signs, score_of
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.regression import Fit, NotFittedError, Terms, fit_model
from synthvae.evaluation.results import Analysis, Coefficient, Score, SubgroupEffects
from synthvae.evaluation.subgroups import METRICS as SUBGROUPS
from synthvae.evaluation.subgroups import compare_subgroups, wald
from synthvae.evaluation.tables import Tables, at_most
from synthvae.evaluation.validity import slug
from synthvae.purposes import AnalysisRequest

MOST_ROWS = 20_000
MOST_RANKED = 4000

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
_of_products = partial(
    _metric,
    family="interactions",
    section="analyses",
    disclosure="withheld",
    withheld_as="few patients may be in the cell of several columns that a product of them counts",
    goal=1.0,
)
PRODUCT_OVERLAP = _of_products(
    "interaction_overlap.<analysis>",
    "Overlap of interactions: {name}",
    "How far the confidence intervals of the declared interactions alone, the products of terms, cover "
    "each other: 1 is the same interval, 0 or less means that they do not touch.",
    threshold=OVERLAP.threshold,
)
PRODUCT_SIGNS = _of_products(
    "interaction_signs.<analysis>",
    "Signs of interactions: {name}",
    "Of the declared interactions that train's rows tell from 0, the share that have the same sign "
    "on synthetic rows: whether an effect would still be larger for the same patients.",
    threshold=SIGNS.threshold,
    share_of="the interactions that the real rows tell from 0",
)
OF_PRODUCTS = (PRODUCT_OVERLAP, PRODUCT_SIGNS)
METRICS = (OVERLAP, SIGNS, C_INDEX, *OF_PRODUCTS)


def compare_analyses(
    tables: Tables,
    requests: Sequence[AnalysisRequest],
    notes: Sequence[str],
    generator: np.random.Generator,
) -> tuple[tuple[Analysis, ...], list[Score]]:
    """Do each analysis on train, on the synthetic rows and on the tables to compare with.

    Returns the analyses, and the scores that sum them up. Each has a note that its detail begins
    with, and that its scores do not repeat: whether it was declared.

    References
    ----------
    Karr, Kohnen, Oganian, Reiter & Sanil 2006, "A framework for evaluating the utility of data
    altered to protect confidentiality", The American Statistician 60(3): the overlap of intervals.
    """
    done = [
        (survival.compare_curves if request.kind == "kaplan-meier" else _compare_models)(
            tables, request, note, generator
        )
        for request, note in zip(requests, notes, strict=True)
    ]
    return tuple(analysis for analysis, _ in done), [score for _, each in done for score in each]


def _compare_models(
    tables: Tables, request: AnalysisRequest, note: str, generator: np.random.Generator
) -> tuple[Analysis, list[Score]]:
    assert request.kind != "kaplan-meier"
    is_cox, schema = request.kind == "cox", tables.schema
    of_terms, of_products, of_subgroups = _metrics(request)
    metrics = [*of_terms, *of_products, *of_subgroups]
    if is_cox and (reason := survival.why_no_survival(schema)):
        return survival.not_run(request, schema, metrics, note, reason)
    terms = Terms(schema, request.predictors, tables.train, request.interactions)
    sampled = {
        name: at_most(getattr(tables, name), MOST_ROWS, generator)
        for name in ("train", "synthetic", "holdout", "independent")
    }
    fits: dict[str, Fit] = {}
    reasons: dict[str, str] = {}
    for name, rows in sampled.items():
        try:
            fits[name] = fit_model(request.kind, request.outcome, terms, rows, schema)
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
    detail = _detail(terms, real, synthetic, tables)
    scores = [
        score_of(metric, measure, pairs, detail, generator)
        for metric, measure in zip(of_terms[:2], (mean_overlap, same_signs), strict=True)
    ]
    if is_cox:
        scores.append(_rank(of_terms[2], fits, terms, tables, generator))
    subgroups: tuple[SubgroupEffects, ...] = ()
    if request.interactions:
        scores += _of_products_alone(of_products, pairs, terms.products, generator)
        subgroups, more = compare_subgroups(sampled, request, schema, generator)
        scores += more
    analysis = survival.described(
        *(request, schema, (real.rows, synthetic.rows)),
        coefficients=_coefficients(real, synthetic, terms.products),
        subgroups=subgroups,
        detail=note + detail,
    )
    return analysis, scores


def _metrics(request: AnalysisRequest) -> tuple[list[Metric], ...]:
    """Return the records of an analysis: of its terms, its products, its effects in subgroups."""
    names = {"analysis": slug(request.name), "name": request.name}
    of_terms = (OVERLAP, SIGNS, C_INDEX) if request.kind == "cox" else (OVERLAP, SIGNS)
    kinds = (of_terms, OF_PRODUCTS, SUBGROUPS) if request.interactions else (of_terms, (), ())
    return tuple([metric.of(**names) for metric in kind] for kind in kinds)


def _of_products_alone(
    metrics: Sequence[Metric],
    pairs: dict[str, tuple[Fit, Fit]],
    products: Sequence[str],
    generator: np.random.Generator,
) -> list[Score]:
    """Return overlap and signs of the products of terms alone."""
    alone = {}
    for name, (real, other) in pairs.items():
        kept = [term for term in products if term in real.terms]
        alone[name] = real.only(kept), other.only(kept)
    count = len(alone["synthetic"][0].terms)
    if not count:
        return [
            metric.unanswered("no product of terms varies in both tables") for metric in metrics
        ]
    detail = f"{counted(count, 'product')} of terms."
    return [
        score_of(metric, measure, alone, detail, generator)
        for metric, measure in zip(metrics, (mean_overlap, same_signs), strict=True)
    ]


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


def _coefficients(real: Fit, synthetic: Fit, products: Sequence[str]) -> tuple[Coefficient, ...]:
    each = overlaps(real, synthetic)
    return tuple(
        Coefficient(
            term=term,
            real=intervals.rounded(real.estimates[j]),
            real_interval=wald(real, j),
            synthetic=intervals.rounded(synthetic.estimates[j]),
            synthetic_interval=wald(synthetic, j),
            overlap=intervals.rounded(each[j]),
            same_sign=bool(np.sign(real.estimates[j]) == np.sign(synthetic.estimates[j])),
            interaction=term in products,
        )
        for j, term in enumerate(real.terms)
    )


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
