"""Line 12: released counts and moments get exact discrete noise; what floats leave open is stated.

Broken where a count gets a rounded float: the last bits of a float that was drawn by inverting a
distribution can tell which value it was added to (Mironov 2012).
"""

from typing import Any

import numpy as np
import opendp.prelude as dp
import pandas as pd
import pytest
from scipy.stats import chisquare

from synthvae.privacy.mechanisms import add_discrete_gaussian
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from tests.checklist.fitted import fitted, watch_releases
from tests.simulated import VISITS, visits
from tests.simulated_visits import SHORT, journeys

SIGMA, DRAWS = 0.6, 20_000


def fits_the_discrete_gaussian(noise: np.ndarray) -> bool:
    """Say whether whole numbers follow exp(-x^2 / 2 sigma^2), at one in a million."""
    values = np.arange(-2, 3)
    mass = np.exp(-(values**2) / (2 * SIGMA**2))
    everything = np.exp(-(np.arange(-50, 51) ** 2) / (2 * SIGMA**2)).sum()
    expected = np.append(mass / everything, 1 - mass.sum() / everything) * len(noise)
    found = [(noise == value).sum() for value in values]
    return bool(chisquare([*found, len(noise) - sum(found)], expected).pvalue > 1e-6)


def test_line_12_noise_of_counts_is_the_discrete_gaussian_and_no_rounded_one() -> None:
    zeros = np.zeros(DRAWS, np.int64)
    assert fits_the_discrete_gaussian(add_discrete_gaussian(zeros, SIGMA, RandomStream()))
    rounded = np.rint(np.random.default_rng(0).normal(0, SIGMA, DRAWS))
    assert not fits_the_discrete_gaussian(rounded)


@pytest.mark.parametrize(
    ("schema", "frame"), [(VISITS, visits(60)), (SHORT, journeys(60))], ids=["rows", "in time"]
)
def test_line_12_everything_released_before_training_is_whole_and_from_opendp(
    schema: Schema, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales: list[float] = []
    make = dp.m.make_gaussian

    def watch(domain: Any, metric: Any, scale: float) -> object:
        assert "i64" in str(domain)
        scales.append(scale)
        return make(domain, metric, scale=scale)

    monkeypatch.setattr(dp.m, "make_gaussian", watch)
    seen = watch_releases(monkeypatch)
    fitted(frame, schema)
    assert scales == [part.sigma for part in seen]
    for part in seen:
        assert part.noisy.dtype == part.exact.dtype == np.int64


def test_line_12_what_floating_point_leaves_open_is_stated() -> None:
    stated = " ".join(fitted(visits(60), VISITS).guarantee.not_covered)
    assert "last bits of floating-point arithmetic" in stated
    assert "below 0.5 % of epsilon" in stated
