"""Regressions as an analyst would run them, on any table: linear, logistic and Cox models."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from synthvae._types import Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.survival import follow_up
from synthvae.evaluation.tables import Table, number_of
from synthvae.field import Field
from synthvae.schema import Schema

DEPENDENT = 1e-7  # a term that differs from the earlier ones by less is no term of its own
TOO_LARGE = 20.0  # a log odds per standard deviation that nothing but separation gives
LEAST_SPREAD = 1e-3  # of a feature that counts as varied
TIMES = " × "  # between the terms of a product

Model = Literal["linear", "logistic", "cox"]
Estimates = tuple[Floats, Floats, Floats]  # estimates, their covariance, half-widths of intervals


class NotFittedError(Exception):
    """A model that could not be fitted to a table; the text says why."""


@dataclass(frozen=True)
class Fit:
    """A fitted model, in the units of the columns.

    `covariance` is that of the estimates; `half` of each confidence interval is its half-width.
    """

    terms: tuple[str, ...]
    estimates: Floats
    covariance: Floats
    half: Floats
    rows: int

    def only(self, terms: Sequence[str]) -> "Fit":
        """Return the fit's figures of some of its terms."""
        kept = [self.terms.index(term) for term in terms]
        covariance = self.covariance[np.ix_(kept, kept)]
        return Fit(tuple(terms), self.estimates[kept], covariance, self.half[kept], self.rows)


class Terms:
    """The terms of a regression: numbers in their units, categories against the first one, products.

    They are scaled by train's spread while a model is fitted, so that it converges; what is reported
    is in the columns' own units. `interactions` are sets of predictors whose terms are multiplied, the
    sets within them, too: a product of three without those of two would mean nothing (Nelder 1977,
    Journal of the Royal Statistical Society A 140). A number enters a product in standard deviations
    of train from its mean, so that the other terms are effects at that mean, not at 0.
    """

    def __init__(
        self,
        schema: Schema,
        predictors: Sequence[str],
        train: Table,
        interactions: Sequence[Sequence[str]] = (),
    ) -> None:
        names = [field.name for field in schema.modelled]
        places = [names.index(name) for name in predictors]
        self._columns = [(place, schema.modelled[place]) for place in places]
        self.names: list[str] = []
        term_places: dict[str, list[int]] = {}
        for _, field in self._columns:
            labels = [f"{field.name} = {category}" for category in field.categories[1:]]
            labels = [field.name] if field.is_lattice else labels
            term_places[field.name] = [len(self.names) + j for j in range(len(labels))]
            self.names += labels
        self._singles = len(self.names)
        numbers = {term_places[field.name][0] for _, field in self._columns if field.is_lattice}
        self._products = list(_products(interactions, term_places))
        self.names += [
            TIMES.join(self.names[j] + (" (standardised)" if j in numbers else "") for j in each)
            for each in self._products
        ]
        self._shift, self._scale = np.zeros(self._singles), np.ones(self._singles)
        centre, spread = self._moments(train)
        for j in numbers:
            self._shift[j], self._scale[j] = centre[j], spread[j]
        self._centre, self.spread = self._moments(train)

    @property
    def products(self) -> tuple[str, ...]:
        """The names of the products."""
        return tuple(self.names[self._singles :])

    def __call__(self, table: Table) -> Floats:
        """Return each row's scaled terms, NaN where a predictor is missing."""
        return (self._values(table) - self._centre) / self.spread

    def _moments(self, train: Table) -> tuple[Floats, Floats]:
        """Return each term's mean and standard deviation over complete rows; 1 for a constant."""
        values = self._values(train)
        known = values[np.isfinite(values).all(axis=1)]
        if not len(known):
            return np.zeros(len(self.names)), np.ones(len(self.names))
        spread = known.std(axis=0)
        return known.mean(axis=0), np.where(spread > 0, spread, 1.0)

    def _values(self, table: Table) -> Floats:
        columns = []
        for place, field in self._columns:
            codes = table.codes[:, [place]]
            values = (codes == np.arange(1, len(field.categories))).astype(float)
            values[codes[:, 0] < 0] = np.nan
            columns.append(in_units(field, codes) if field.is_lattice else values)
        singles = np.concatenate(columns, axis=1)
        factors = (singles - self._shift) / self._scale
        products = [factors[:, list(each)].prod(axis=1) for each in self._products]
        return np.column_stack([singles, *products])


def _products(
    interactions: Sequence[Sequence[str]], term_places: dict[str, list[int]]
) -> Iterator[tuple[int, ...]]:
    """Yield the terms of each product once, those of two before those of three."""
    for size in (2, 3):
        sets = (part for each in interactions for part in combinations(each, size))
        for part in {frozenset(part): part for part in sets}.values():
            yield from product(*(term_places[name] for name in part))


def in_units(field: Field, codes: Ints) -> Floats:
    """Return lattice codes in the unit of the column, from its minimum; missing ones are NaN."""
    return number_of(field, codes) * field.stride / 10.0**field.places


def fit_model(kind: Model, outcome: str | None, terms: Terms, table: Table, schema: Schema) -> Fit:
    """Fit a regression to the rows of a table in which nothing that it needs is missing.

    Where patients have several rows, the intervals allow for that (clustered by patient).

    Raises
    ------
    NotFittedError
        There is nothing to fit, or the fit does not converge.
    """
    if kind == "cox":
        known = follow_up(table, schema)
        rows, truth = known.rows, np.column_stack([known.durations, known.happened])
    else:
        assert outcome is not None
        place = [field.name for field in schema.modelled].index(outcome)
        field, codes = schema.modelled[place], table.codes[:, place]
        classes = np.where(codes < 0, np.nan, codes.astype(float))
        values = in_units(field, codes) if field.is_lattice else classes
        has_outcome = np.isfinite(values)
        rows, truth = table.take(has_outcome), values[has_outcome]
    scaled = terms(rows)
    complete = np.isfinite(scaled).all(axis=1)
    scaled, truth, patients = scaled[complete], truth[complete], rows.patients[complete]
    kept = _independent_terms(scaled)
    if not kept or len(scaled) < len(kept) + 2:
        raise NotFittedError(f"{len(scaled)} complete rows with {len(kept)} terms that vary")
    clusters = patients if len(np.unique(patients)) < len(patients) else None
    # Whether a fit may be used is judged by its estimates, not by warnings.
    with warnings.catch_warnings(action="ignore"):
        if kind == "cox":
            estimates, covariance, half = _cox(scaled[:, kept], truth, clusters)
        else:
            estimates, covariance, half = _statsmodels(kind, scaled[:, kept], truth, clusters)
    names, spread = tuple(terms.names[j] for j in kept), terms.spread[kept]
    covariance = covariance / np.outer(spread, spread)
    return Fit(names, estimates / spread, covariance, half / spread, len(scaled))


def _independent_terms(scaled: Floats) -> list[int]:
    """Return the terms that are no sum of earlier ones, nor constant."""
    if not len(scaled):
        return []
    everything = np.column_stack([np.ones(len(scaled)), scaled])
    size = np.abs(np.diag(np.linalg.qr(everything, mode="r"))) / len(scaled) ** 0.5
    if len(size) < everything.shape[1]:  # fewer rows than terms
        return []
    return [int(j) for j in np.flatnonzero(size[1:] > DEPENDENT)]


def _statsmodels(kind: Model, scaled: Floats, truth: Floats, clusters: Ints | None) -> Estimates:
    import statsmodels.api as sm

    if len(np.unique(truth)) < 2:
        raise NotFittedError("the outcome has one value only")
    design = np.column_stack([np.ones(len(scaled)), scaled])
    robust = {} if clusters is None else {"cov_type": "cluster", "cov_kwds": {"groups": clusters}}
    result: Any
    try:
        if kind == "linear":
            result = sm.OLS(truth, design).fit(**robust)
        else:
            result = sm.Logit(truth, design).fit(disp=0, maxiter=100, **robust)
    except np.linalg.LinAlgError:
        raise NotFittedError("the terms determine each other or the outcome") from None
    estimates, covariance = np.asarray(result.params), np.asarray(result.cov_params())
    separated = kind == "logistic" and np.abs(estimates[1:]).max() > TOO_LARGE
    if separated or not np.isfinite(covariance).all():
        raise NotFittedError("the terms all but determine the outcome, so there is no estimate")
    half = np.diff(np.asarray(result.conf_int(1 - intervals.LEVEL)), axis=1)[:, 0] / 2
    return estimates[1:], covariance[1:, 1:], half[1:]


def _cox(scaled: Floats, truth: Floats, clusters: Ints | None) -> Estimates:
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    if not truth[:, 1].any():
        raise NotFittedError("no event happened")
    try:
        warnings.simplefilter("error", ConvergenceWarning)
        model = _cox_model(scaled, truth[:, 0], truth[:, 1]).fit()
    except (ConvergenceWarning, ZeroDivisionError, np.linalg.LinAlgError, ValueError):
        raise NotFittedError("the Cox model does not converge") from None
    estimates, covariance = np.asarray(model.params), np.asarray(model.cov_params())
    if clusters is not None:
        residuals = _score_residuals(scaled, truth[:, 0], truth[:, 1] > 0, estimates)
        sums = pd.DataFrame(residuals).groupby(clusters).sum().to_numpy()
        covariance = covariance @ (sums.T @ sums) @ covariance  # Lin and Wei 1989, equation 2.4
    errors = np.sqrt(np.diag(covariance))  # robust, where patients have several rows
    if not np.abs(estimates).max() <= TOO_LARGE or not np.isfinite(errors).all():
        raise NotFittedError("the terms all but determine the event, so there is no estimate")
    return estimates, covariance, intervals.NORMAL * errors


def _cox_model(terms: Floats, durations: Floats, happened: NDArray[Any]) -> Any:
    from statsmodels.duration.hazard_regression import PHReg

    return PHReg(durations, terms, happened.astype(float), ties="efron")


def _score_residuals(
    terms: Floats, durations: Floats, happened: NDArray[np.bool_], coefficients: Floats
) -> Floats:
    """Return what each row adds to the score of the log partial likelihood, shape (rows, terms).

    PHReg's own, with tied events taken one by one, walk the whole risk set at each event: their time
    grows with the square of the rows.
    """
    times, place = np.unique(durations, return_inverse=True)
    weights = np.exp(terms @ coefficients)
    at_risk = np.zeros((len(times), terms.shape[1] + 1))
    np.add.at(at_risk, place, weights[:, None] * np.column_stack((np.ones(len(terms)), terms)))
    at_risk = at_risk[::-1].cumsum(axis=0)[::-1]
    mean = at_risk[:, 1:] / at_risk[:, :1]
    hazard = np.bincount(place, happened, len(times)) / at_risk[:, 0]
    cumulative, drift = hazard.cumsum(), (mean * hazard[:, None]).cumsum(axis=0)
    expected = weights[:, None] * (terms * cumulative[place, None] - drift[place])
    return np.asarray(happened[:, None] * (terms - mean[place]) - expected)


def ridge_cox(
    features: Floats, durations: Floats, happened: NDArray[np.bool_], penalty: float
) -> Floats | None:
    """Return the coefficients of a Cox model with a ridge penalty, None where it has none.

    The penalty is on squared coefficients of standardised features, shape (rows, features), and added
    to minus the mean log partial likelihood. A constant feature has the coefficient 0.

    References
    ----------
    Verweij & van Houwelingen 1994, Statistics in Medicine 13(23-24).
    """
    found, spread = np.zeros(features.shape[1]), features.std(axis=0)
    varied = spread > LEAST_SPREAD
    if not varied.any() or not happened.any():
        return None
    scaled = (features[:, varied] - features[:, varied].mean(axis=0)) / spread[varied]
    model, rows = _cox_model(scaled, durations, happened), len(scaled)
    # statsmodels' own penalised fit, made for absolute values, descends along one coefficient at a time.
    result = optimize.minimize(
        lambda beta: penalty * beta @ beta / 2 - model.loglike(beta) / rows,
        np.zeros(varied.sum()),
        jac=lambda beta: penalty * beta - model.score(beta) / rows,
        hess=lambda beta: penalty * np.eye(len(beta)) - model.hessian(beta) / rows,
        method="trust-exact",
    )
    found[varied] = result.x / spread[varied]
    return found if result.success else None
