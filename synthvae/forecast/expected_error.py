"""How far off a noisy marginal or pair will be: expected errors, from the noise alone.

Nothing here sees a table. A column is taken to have one of a few reference shapes: its categories are
even, or of Zipf's frequencies (the latter alone where they are many); a number is bell-shaped in the
middle of its bounds, or skewed towards the lower one. Its exact counts get noise, and what a fit makes
of such counts is compared with them.
"""

import math
from functools import lru_cache

import numpy as np

from synthvae._frozen import Frozen
from synthvae._types import Floats
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.measure import MANY_CATEGORIES, posterior_means, query_weights

DRAWS = 200  # of the noise
MANY_DRAWS = 1200  # draws times categories, where many are denoised together
LARGEST_SIZE = 3000  # categories of a simulation
MISSING_SHARE = 0.1  # of a reference column that may be missing
NORMAL_MEAN = math.sqrt(2 / math.pi)  # absolute, of a standard normal number
NORMAL_95 = 1.96
BELL, SKEWED = (0.5, 0.12), 0.06  # centre and standard deviation, and mean, in widths of the bounds
# Error of a number's mean, in widths of its bounds and units of the bins' relative noise, by that noise.
# Means over both reference shapes of what `measure_marginals` leaves (tests/test_expected_error.py).
GRID_NOISE = (0.0005, 0.002, 0.01, 0.05, 0.2, 1.0)
GRID_ERROR = (0.47, 0.44, 0.53, 0.55, 0.45, 0.23)
TYPICAL_CORRELATION = 0.1  # of two columns: what a fit shrinks noisy moments towards
MODEL_ERROR = 0.01  # of a correlation in a sampled table, without any noise


class ExpectedError(Frozen):
    """Expected absolute error of a figure, and the half-width of its 95 % interval."""

    absolute: float
    half_width: float

    def scaled(self, factor: float) -> "ExpectedError":
        """Return the error of a figure that is `factor` times as large."""
        return ExpectedError(
            absolute=self.absolute * factor, half_width=self.half_width * abs(factor)
        )

    @classmethod
    def normal(cls, deviation: float) -> "ExpectedError":
        """Return the error of a figure with normal noise of a standard deviation."""
        return cls(absolute=NORMAL_MEAN * deviation, half_width=NORMAL_95 * deviation)


def share_error(field: Field, noise: float) -> tuple[ExpectedError, float]:
    """Return the error of a category's share, and the share of rows in a wrong category.

    Parameters
    ----------
    noise
        Standard deviation of a count, relative to the number of rows.
    """
    size = min(len(field.categories), LARGEST_SIZE)
    errors = np.concatenate(_share_errors(size, field.nullable, float(f"{noise:.3g}")))
    half_width = NORMAL_95 * float(np.sqrt((errors**2).mean()))
    mean = float(np.abs(errors).mean())
    misplaced = 0.5 * float(np.abs(errors).sum(axis=1).mean())
    return ExpectedError(absolute=mean, half_width=half_width), misplaced


@lru_cache(maxsize=1000)
def _share_errors(size: int, nullable: bool, noise: float) -> tuple[Floats, ...]:
    """Return errors of shares for each reference shape, each of shape (draws, categories)."""
    generator = np.random.default_rng(0)
    errors = []
    even, zipf = np.ones(size), 1 / np.arange(1.0, size + 1)
    for shape in (even, zipf) if size < MANY_CATEGORIES else (zipf,):
        shares = shape / shape.sum()
        if nullable:
            shares = np.append((1 - MISSING_SHARE) * shares, MISSING_SHARE)
        draws = DRAWS if size < MANY_CATEGORIES else max(2, MANY_DRAWS // size)
        noisy = shares + noise * generator.standard_normal((draws, len(shares)))
        errors.append(_denoised(noisy, size, noise) - shares)
    return tuple(errors)


def _denoised(noisy: Floats, size: int, noise: float) -> Floats:
    """Return the shares that the fit makes of noisy ones, of the same shape (draws, tokens)."""
    if size < MANY_CATEGORIES:
        masses = to_simplex(noisy)
    else:
        masses = np.maximum(noisy, 0.0)
        for draw, raw in zip(masses, noisy, strict=True):
            draw[:size] = posterior_means(raw[:size], noise)
    total: Floats = masses / np.maximum(masses.sum(axis=1, keepdims=True), 1e-12)
    return total


def to_simplex(noisy: Floats) -> Floats:
    """Return the nearest non-negative values with each row's sum, shape (draws, tokens)."""
    total = np.maximum(noisy.sum(axis=1, keepdims=True), 1e-3)
    ordered = -np.sort(-noisy, axis=1)
    shifts = (np.cumsum(ordered, axis=1) - total) / np.arange(1, noisy.shape[1] + 1)
    last = (ordered > shifts).cumsum(axis=1).argmax(axis=1)
    nearest: Floats = np.maximum(noisy - shifts[np.arange(len(noisy)), last][:, None], 0.0)
    return nearest


def mean_error(field: Field, noise: float, bins: int) -> ExpectedError:
    """Return the error of a number's mean, relative to the width of its bounds.

    `noise` is the standard deviation of the bins' counts, relative to the number of rows.
    """
    size = ColumnMarginal.cells_of(field)
    if len(query_weights(field, bins)) == 1:
        return _short_mean_error(size, float(f"{noise:.3g}"))
    factor = np.interp(math.log(noise), np.log(GRID_NOISE), GRID_ERROR)
    absolute = float(factor) * noise
    return ExpectedError(absolute=absolute, half_width=absolute * NORMAL_95 / NORMAL_MEAN)


@lru_cache(maxsize=1000)
def _short_mean_error(size: int, noise: float) -> ExpectedError:
    """Return the error of the mean of a lattice that is counted point by point."""
    generator = np.random.default_rng(0)
    places = (np.arange(size) + 0.5) / size
    errors = []
    for shape in (np.exp(-0.5 * ((places - BELL[0]) / BELL[1]) ** 2), np.exp(-places / SKEWED)):
        shares = shape / shape.sum()
        noisy = to_simplex(shares + noise * generator.standard_normal((DRAWS, size)))
        errors.append((noisy / noisy.sum(axis=1, keepdims=True) - shares) @ places)
    flat = np.concatenate(errors)
    half_width = NORMAL_95 * float(np.sqrt((flat**2).mean()))
    return ExpectedError(absolute=float(np.abs(flat).mean()), half_width=half_width)


def correlation_deviation(noise: Floats) -> Floats:
    """Return root mean square errors of correlations, after the fit has shrunk them for their noise.

    Noise is weighed against what correlations usually are (`model.coupling.estimate_ridge`): where it
    is large, the pair is taken as independent, and the error is the correlation itself.
    """
    shrunk = noise * TYPICAL_CORRELATION / np.hypot(noise, TYPICAL_CORRELATION)
    deviation: Floats = np.hypot(shrunk, MODEL_ERROR)
    return deviation
