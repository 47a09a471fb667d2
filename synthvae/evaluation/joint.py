"""All columns at once: principal components, a classifier two-sample test and propensity scores."""

from functools import partial
from itertools import combinations

import numpy as np

from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.learners import LinearFeatures, boosted_classes, tree_features
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Components, Score
from synthvae.evaluation.tables import REFERENCES, Table, Tables, at_most
from synthvae.field import Field
from synthvae.schema import Schema

MOST_PROJECTED_ROWS = 20_000
MOST_CELLS = 4_000_000  # of the matrix that is decomposed: wide tables have fewer rows
MOST_INDICATORS = 10  # of one column; rarer levels have none
FLAT = 1e-9  # of the first component's spread: a second one below this is rounding
NEARLY = 0.999  # as large as the largest part: both categories of two have the same
BLOCK = 2_000  # rows that are projected at a time
CELLS = 24
TAIL = 0.005  # of each table, at each end, may lie beyond the grid
FOLDS = 3
ROUNDS = 60
MOST_CLASSIFIED_ROWS = 4000
LEAST_PATIENTS = 30
MOST_PROPENSITY_ROWS = 5000
MOST_PRODUCTS = 40
LEAST_ROWS = 50
RIDGE = 1e-6  # a row, so that separated rows have an answer
STEPS = 25

_metric = partial(Metric, family="detection", topic="fidelity", disclosure="grid")
_HOSMER = (
    "Hosmer, Lemeshow & Sturdivant 2013, Applied Logistic Regression, section 5.2.4: from an AUC "
    "of 0.7 on, discrimination counts as acceptable, here poor; that 0.6 is good is our own line"
)
C2ST = _metric(
    "c2st",
    "Telling synthetic from real (C2ST AUC)",
    "How well a classifier that saw both kinds tells a synthetic row from a real one: 0.5 is a "
    "coin's toss, 1 means that every row gives itself away. It finds any difference, small ones "
    "too; how much a difference matters, the other scores say.",
    "towards",
    goal=0.5,
    threshold=Limits(0.1, 0.2, _HOSMER, "literature"),
    headline=True,
)
PMSE = _metric(
    "pmse_ratio",
    "Propensity error (pMSE ratio)",
    "How much better a logistic regression of single columns and of products of pairs tells "
    "synthetic rows from train's than chance alone would: 1 is what new real rows of independent "
    "patients give. Where tables differ, it grows with the number of rows.",
    "lower",
    goal=1.0,
    threshold=Limits(3.0, 10.0, "3 and 10 times what new real rows give on average"),
)
METRICS = (C2ST, PMSE)


class Coordinates:
    """Rows of mixed columns as points: train decides how, so that all tables share one space.

    A number is its rank among train's, a missing cell or special value of it the middle one; these
    and categories have an indicator each. All are standardised by train, and those of one column
    share its weight, so that columns weigh the same.
    """

    def __init__(self, train: Table, fields: tuple[Field, ...]) -> None:
        columns = list(zip(fields, train.codes.T, strict=True))
        self._levels = [_levels(field, codes) for field, codes in columns]
        self._ordered = [
            np.sort(codes[codes >= 0]) if field.is_lattice else np.empty(0, np.int64)
            for field, codes in columns
        ]
        raw = self._raw(train.codes)
        self.mean, sd = raw.mean(axis=0), raw.std(axis=0)
        sizes = zip(self._levels, self._ordered, strict=True)
        widths = [len(levels) + bool(len(ordered)) for levels, ordered in sizes]
        column = np.repeat(np.arange(len(fields)), widths)
        varied = np.bincount(column[sd > 0], minlength=len(fields))[column]
        self.scale = np.where(sd > 0, sd * np.sqrt(np.maximum(varied, 1)), np.inf)

    def __call__(self, codes: Ints) -> Floats:
        """Return rows of codes as standardised coordinates, shape (rows, coordinates)."""
        return np.asarray((self._raw(codes) - self.mean) / self.scale)

    def _raw(self, codes: Ints) -> Floats:
        parts = []
        for column, levels, ordered in zip(codes.T, self._levels, self._ordered, strict=True):
            if len(ordered):
                below, up_to = (np.searchsorted(ordered, column, s) for s in ("left", "right"))
                middle = (below + up_to) / (2 * len(ordered))
                parts.append(np.where(column < 0, 0.5, middle)[:, None])
            parts.append((column[:, None] == levels).astype(float))
        return np.concatenate(parts, axis=1)


def _levels(field: Field, codes: Ints) -> Ints:
    """Return the codes that have an indicator: the most frequent ones that are no numbers."""
    levels, counts = np.unique(codes[codes < 0] if field.is_lattice else codes, return_counts=True)
    return np.sort(levels[np.argsort(-counts, kind="stable")[:MOST_INDICATORS]])


def principal_components(tables: Tables, generator: np.random.Generator) -> Components | None:
    """Return where rows lie on the first two principal components of train.

    Pearson 1901 (Philosophical Magazine 2): the plane nearest to the rows, here to at most 20,000 of
    train, fewer of a wide one. None where train varies in less than two directions.
    """
    names = ("train", "holdout", "synthetic")
    sampled = [at_most(getattr(tables, name), MOST_PROJECTED_ROWS, generator) for name in names]
    fields = tuple(tables.schema.modelled)
    most = MOST_CELLS // ((1 + MOST_INDICATORS) * len(fields))
    fitted = at_most(sampled[0], max(2, most), generator)
    coordinates = Coordinates(fitted, fields)
    explained, axes = _decompose(coordinates(fitted.codes))
    if axes is None:
        return None
    points = [_project(table.codes, coordinates, axes) for table in sampled]
    edges = [_edges([each[:, k] for each in points]) for k in (0, 1)]
    return Components(
        explained=(intervals.rounded(explained[0]), intervals.rounded(explained[1])),
        edges=(tuple(map(intervals.rounded, edges[0])), tuple(map(intervals.rounded, edges[1]))),
        **{name: _histogram(each, edges) for name, each in zip(names, points, strict=True)},
    )


def _decompose(points: Floats) -> tuple[Floats, Floats | None]:
    """Return the shares of variance along the components, and the first two directions."""
    _, sizes, directions = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    variance = sizes**2
    if len(sizes) < 2 or sizes[1] <= FLAT * sizes[0]:
        return variance, None
    axes = directions[:2]
    # A direction and its opposite are one component: the first of its largest parts points up.
    size = np.abs(axes)
    first = (size > NEARLY * size.max(axis=1, keepdims=True)).argmax(axis=1)
    signs = np.sign(axes[[0, 1], first])
    return variance / variance.sum(), axes * signs[:, None]


def _project(codes: Ints, coordinates: Coordinates, axes: Floats) -> Floats:
    starts = range(0, len(codes), BLOCK)
    return np.concatenate([coordinates(codes[at : at + BLOCK]) @ axes.T for at in starts])


def _edges(points: list[Floats]) -> Floats:
    low = min(np.quantile(each, TAIL) for each in points)
    high = max(np.quantile(each, 1 - TAIL) for each in points)
    if not high > low:  # nearly all rows of every table in one place
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, CELLS + 1)


def _histogram(points: Floats, edges: list[Floats]) -> tuple[tuple[float, ...], ...]:
    inside = [np.clip(points[:, k], edges[k][0], edges[k][-1]) for k in (0, 1)]
    counts = np.histogram2d(inside[0], inside[1], bins=(edges[0], edges[1]))[0]
    return intervals.rounded_rows(counts / len(points))


def classifier_test(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the AUC with which boosted trees tell synthetic rows from holdout rows.

    References
    ----------
    Lopez-Paz & Oquab 2017, "Revisiting Classifier Two-Sample Tests", ICLR.
    """
    compared = (tables.holdout, tables.synthetic, tables.train)
    fewest = min(table.patient_count for table in compared)
    if fewest < LEAST_PATIENTS:
        need = f"needs {LEAST_PATIENTS} patients (or rows) in each table"
        return (C2ST.unanswered(f"{need}; the smallest has {fewest}"),)
    rows = min(*(len(table) for table in compared), MOST_CLASSIFIED_ROWS)
    real, synthetic, train, independent = (
        at_most(table, rows, generator) for table in (*compared, tables.independent)
    )
    figures, held, shuffled = (
        separation(real, other, tables.schema, generator)
        for other in (synthetic, train, independent)
    )
    score = C2ST.answer(
        figures[0],
        intervals.percentile(figures, "patients and synthetic rows"),
        {"holdout": float(held[0]), "independent": float(shuffled[0]), "chance": 0.5},
        f"Boosted trees, {FOLDS}-fold cross-validation, {rows:,} holdout rows against as many "
        "others; 'holdout' is the holdout against train, both real.",
    )
    return (score,)


def separation(real: Table, other: Table, schema: Schema, generator: np.random.Generator) -> Floats:
    """Return the cross-validated AUC, and then that of each bootstrap of the patients.

    All rows of a patient are in the same fold.
    """
    features = np.concatenate([tree_features(t.codes, schema.modelled) for t in (real, other)])
    is_other = np.repeat([False, True], [len(real), len(other)])
    patients = np.r_[real.patients, other.patients + 1 + real.patients.max()]
    folds = np.concatenate([_folds(table.patients, generator) for table in (real, other)])
    chances = np.zeros(len(features))
    for fold in range(FOLDS):
        learn, test = folds != fold, folds == fold
        predicted = boosted_classes(features[learn], is_other[learn], features[test], ROUNDS)
        chances[test] = predicted[:, 1]
    return intervals.weighted_auc(
        chances, is_other, intervals.bootstrap_weights(patients, generator)
    )


def _folds(patients: Ints, generator: np.random.Generator) -> Ints:
    places = np.unique(patients, return_inverse=True)[1]
    return np.asarray(generator.permutation(int(places.max()) + 1)[places] % FOLDS)


def compare_propensity(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the pMSE ratio of the synthetic table against train, with those of other tables.

    The expectation is that of two independent samples, as when labels are permuted. Snoke et al. give
    one for synthetic rows drawn from a fit to given real ones, which is (1 - c) times this.

    References
    ----------
    Snoke, Raab, Nowok, Dibben & Slavkovic 2018, "General and specific utility measures for
    synthetic data", Journal of the Royal Statistical Society A 181(3), section 3.
    """
    compared = {name: getattr(tables, name) for name in ("synthetic", "train", *REFERENCES)}
    rows = min(MOST_PROPENSITY_ROWS, *(len(table) for table in compared.values()))
    if rows < LEAST_ROWS:
        reason = f"needs {LEAST_ROWS} rows in each table; the smallest has {rows}"
        return (PMSE.unanswered(reason),)
    sampled = {name: at_most(table, rows, generator) for name, table in compared.items()}
    design = Design(tables.schema, generator)
    ratios = {
        name: propensity_ratio(*design(sampled["train"], sampled[name])) for name in REFERENCES
    }
    features, synthetic = design(sampled["train"], sampled["synthetic"])
    start = fit_logistic(features, synthetic)
    figures = [propensity_ratio(features, synthetic)]
    for kept in intervals.jackknife_sets(sampled["synthetic"].patients, generator)[1:]:
        rows_kept = np.r_[np.ones(rows, bool), kept]
        figures.append(propensity_ratio(features[rows_kept], synthetic[rows_kept], start))
    drawn = f", drawn from {len(tables.synthetic):,}" if rows < len(tables.synthetic) else ""
    score = PMSE.answer(
        figures[0],
        intervals.jackknife(np.array(figures), "synthetic rows", (0.0, np.inf)),
        ratios | {"ideal": 1.0},
        f"{counted(rows, 'row')} of each table{drawn}; {features.shape[1]} terms. Chance is that of "
        "two samples of one population, with rows independent of each other; where patients have "
        "several rows, read it beside the holdout's.",
    )
    return (score,)


class Design:
    """The terms that the regression sees: every column's, and products for some pairs of columns."""

    def __init__(self, schema: Schema, generator: np.random.Generator) -> None:
        self._fields = schema.modelled
        pairs = list(combinations(range(len(self._fields)), 2))
        chosen = generator.permutation(len(pairs))[:MOST_PRODUCTS]
        self._pairs = [pairs[i] for i in sorted(chosen.tolist())]

    def __call__(self, real: Table, other: Table) -> tuple[Floats, Bools]:
        """Return independent terms of the rows of both, and which rows are the second one's."""
        codes = np.concatenate([real.codes, other.codes])
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
        return _independent(terms), np.repeat([False, True], [len(real), len(other)])


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
    the mean of (p - c)² and its expectation (k - 1)(1 - c) c / N. The terms, shape (rows, terms), are
    linearly independent, the intercept first; `start` are coefficients to begin the fit with.
    """
    rows, terms = features.shape
    share = float(synthetic.mean())
    chances = _logistic(features @ fit_logistic(features, synthetic, start))
    expected = (terms - 1) * (1 - share) * share / rows
    return float(np.mean((chances - share) ** 2) / expected) if expected else 1.0


def _logistic(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))
