"""How far the estimates of two tables agree: overlap of their intervals, and signs.

Each measure is taken of the synthetic estimates, or of others in their place, such as simulated ones.
"""

from collections.abc import Callable, Mapping

import numpy as np

from synthvae._types import Floats
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.regression import Fit
from synthvae.evaluation.results import Interval, Score

DRAWS = 1000
SIMULATED = f"simulation of the synthetic estimates, {DRAWS:,} draws"
NOTHING_CLEAR = "train's rows tell no coefficient from 0"

Measure = Callable[[Fit, Fit, Floats | None], Floats | None]


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


def score_of(
    metric: Metric,
    measure: Measure,
    pairs: dict[str, tuple[Fit, Fit]],
    detail: str,
    generator: np.random.Generator,
    references: Mapping[str, float | None] | None = None,
) -> Score:
    """Return the score of a measure: of the synthetic rows, and of each other table in their place.

    `pairs` has train's fit and the other table's by its name; `references` are further ones.
    """
    figures: dict[str, float | None] = {}
    for name, pair in pairs.items():
        figure = measure(*pair, None) if pair[0].terms else None
        figures[name] = None if figure is None else float(figure)
    value = figures.pop("synthetic")
    if value is None:
        return metric.unanswered(NOTHING_CLEAR)
    simulated = measure(*pairs["synthetic"], draws(pairs["synthetic"][1], generator))
    assert simulated is not None
    known = figures | dict(references or {}) | {"ideal": 1.0}
    least = 0.0 if metric.share_of else -np.inf
    return metric.answer(value, around(value, simulated, least), known, detail)


def draws(fit: Fit, generator: np.random.Generator) -> Floats:
    """Return coefficients as they might have come out, shape (draws, terms).

    An estimated covariance may have eigenvalues just below zero, which count as zero.
    """
    values, vectors = np.linalg.eigh((fit.covariance + fit.covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(fit.estimates + generator.standard_normal((DRAWS, len(values))) @ root.T)


def around(value: float, simulated: Floats, least: float = -np.inf) -> Interval:
    """Return an interval around a figure as wide as it varies; never above 1, nor below `least`."""
    half = np.quantile(np.abs(simulated - simulated.mean()), intervals.LEVEL)
    low, high = max(least, value - half), min(1.0, value + half)
    return intervals.interval(low, high, SIMULATED)
