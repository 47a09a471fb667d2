"""The propensity score's mean squared error against what chance alone would give: the pMSE ratio."""

from itertools import combinations

import numpy as np

from synthvae._text import counted
from synthvae._types import Bools, Floats
from synthvae.evaluation.intervals import jackknife, jackknife_groups
from synthvae.evaluation.learners import LinearFeatures
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.evaluation.values import Score
from synthvae.schema import Schema

MOST_ROWS = 5000
MOST_PRODUCTS = 40
LEAST_ROWS = 50
RIDGE = 1e-6  # a row, so that separated rows have an answer
STEPS = 25

PMSE = Metric(
    "pmse_ratio",
    "Propensity error (pMSE ratio)",
    "How much better a logistic regression of single columns and of products of pairs tells "
    "synthetic rows from train's than chance alone would: 1 is what new real rows of independent "
    "patients give. Where tables differ, it grows with the number of rows.",
    "lower",
    family="detection",
    topic="fidelity",
    goal=1.0,
    threshold=Limits(3.0, 10.0, "3 and 10 times what new real rows give on average"),
    disclosure="grid",
)
METRICS = (PMSE,)


def compare_propensity(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the pMSE ratio of the synthetic table against train, with those of other tables.

    The expectation is that of two independent samples, as when labels are permuted. Snoke et al. give
    one for synthetic rows drawn from a fit to given real ones, which is (1 - c) times this.

    References
    ----------
    Snoke, Raab, Nowok, Dibben & Slavkovic 2018, "General and specific utility measures for
    synthetic data", Journal of the Royal Statistical Society A 181(3), section 3.
    """
    names = ("holdout", "independent", "bootstrap")
    tables_of = {name: getattr(tables, name) for name in ("synthetic", "train", *names)}
    rows = min(MOST_ROWS, *(len(table) for table in tables_of.values()))
    if rows < LEAST_ROWS:
        reason = f"needs {LEAST_ROWS} rows in each table; the smallest has {rows}"
        return (PMSE.unanswered(reason),)
    sampled = {name: at_most(table, rows, generator) for name, table in tables_of.items()}
    design = Design(tables.schema, generator)
    ratios: dict[str, float | None] = {
        name: propensity_ratio(*design(sampled["train"], sampled[name])) for name in names
    }
    features, synthetic = design(sampled["train"], sampled["synthetic"])
    groups = np.r_[np.full(rows, -1), jackknife_groups(sampled["synthetic"].patients, generator)]
    value, start = propensity_ratio(features, synthetic), fit_logistic(features, synthetic)
    without = np.array(
        [
            propensity_ratio(features[groups != group], synthetic[groups != group], start)
            for group in range(int(groups.max()) + 1)
        ]
    )
    score = PMSE.answer(
        value,
        jackknife(value, without, "synthetic rows", (0.0, np.inf)),
        ratios | {"ideal": 1.0},
        f"{counted(rows, 'row')} of each table"
        + (f", drawn from {len(tables.synthetic):,}" if rows < len(tables.synthetic) else "")
        + f"; {features.shape[1]} terms. Chance is that of two samples of one population, with "
        "rows independent of each other; where patients have several rows, read it beside the "
        "holdout's.",
    )
    return (score,)


class Design:
    """The terms that the regression sees: every column's, and products for some pairs of columns."""

    def __init__(self, schema: Schema, generator: np.random.Generator) -> None:
        self._fields = schema.modelled
        pairs = list(combinations(range(len(self._fields)), 2))
        chosen = generator.permutation(len(pairs))[:MOST_PRODUCTS]
        self._pairs = [pairs[i] for i in sorted(chosen.tolist())]

    def __call__(self, real: Table, made: Table) -> tuple[Floats, Bools]:
        """Return independent terms of the rows of both, and which rows are the second one's."""
        codes = np.concatenate([real.codes, made.codes])
        single = [
            LinearFeatures(codes[:, [j]], [field])(codes[:, [j]])[:, 1:]
            for j, field in enumerate(self._fields)
        ]
        lead = [_centred(terms)[:, 0] if terms.shape[1] else None for terms in single]
        products = [
            first * second
            for first, second in ((lead[i], lead[j]) for i, j in self._pairs)
            if first is not None and second is not None
        ]
        terms = _centred(np.column_stack([*single, *products]))
        return _independent(terms), np.repeat([False, True], [len(real), len(made)])


def _centred(terms: Floats) -> Floats:
    spread = terms.std(axis=0)
    return np.asarray((terms - terms.mean(axis=0)) / np.where(spread > 0, spread, 1))


def _independent(terms: Floats) -> Floats:
    """Return an intercept and the directions in which the terms differ, so that they can be counted."""
    values, vectors = np.linalg.eigh(terms.T @ terms / len(terms))
    kept = values > 1e-8
    scores = terms @ (vectors[:, kept] / np.sqrt(values[kept]))
    return np.column_stack([np.ones(len(terms)), scores])


def fit_logistic(features: Floats, labels: Bools, start: Floats | None = None) -> Floats:
    """Return a logistic regression's coefficients, by Newton's method."""
    weights = np.zeros(features.shape[1]) if start is None else start
    ridge = RIDGE * len(features)
    for _ in range(STEPS):
        chances = _logistic(features @ weights)
        gradient = features.T @ (labels - chances) - ridge * weights
        curve = (features * (chances * (1 - chances))[:, None]).T @ features
        step = np.linalg.solve(curve + ridge * np.eye(len(weights)), gradient)
        weights = weights + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def propensity_ratio(features: Floats, synthetic: Bools, start: Floats | None = None) -> float:
    """Return the mean squared error of the propensity scores over its expectation under the null.

    With N rows, of which a share c is synthetic, and k terms, the intercept among them, the error is
    the mean of (p - c)² and its expectation (k - 1)(1 - c) c / N.

    Parameters
    ----------
    features
        Linearly independent terms, the intercept first, shape (rows, terms).
    synthetic
        Which rows are synthetic, shape (rows,).
    start
        Coefficients to begin the fit with.
    """
    rows, terms = features.shape
    share = float(synthetic.mean())
    chances = _logistic(features @ fit_logistic(features, synthetic, start))
    expected = (terms - 1) * (1 - share) * share / rows
    return float(np.mean((chances - share) ** 2) / expected) if expected else 1.0


def _logistic(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))
