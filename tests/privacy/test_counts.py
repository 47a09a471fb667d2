"""Counts with discrete Gaussian noise: whole numbers, of the scale that is accounted for."""

import numpy as np
import pytest
from scipy.stats import chi2

from synthvae.privacy.counts import noisy_counts
from synthvae.privacy.stream import RandomStream

DRAWS = 4000


def spread_is(noise: np.ndarray, sigma: float) -> bool:
    """Say whether the sum of squares fits a standard deviation, at one in a million per side."""
    statistic = (noise.astype(float) ** 2).sum() / sigma**2
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(noise))
    return bool(low < statistic < high)


@pytest.mark.parametrize("sigma", [3.0, 40.0])
def test_noise_is_whole_and_of_its_scale(sigma: float) -> None:
    noise = noisy_counts(np.zeros(DRAWS, np.int64), sigma, RandomStream())
    assert noise.dtype == np.int64
    assert spread_is(noise, sigma)


@pytest.mark.parametrize("factor", [2 / 3, 3 / 2])
def test_a_near_miss_of_the_scale_is_noticed(factor: float) -> None:
    noise = noisy_counts(np.zeros(DRAWS, np.int64), 40.0 * factor, RandomStream())
    assert not spread_is(noise, 40.0)


def test_the_shape_is_kept() -> None:
    assert noisy_counts(np.zeros((2, 3), np.int64), 1.0, RandomStream()).shape == (2, 3)
