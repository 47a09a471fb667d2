"""Stretches of weak cells: noise beyond a tail stays near it, and a mass that is there stays there."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from synthvae.field import Field
from synthvae.marginals.measure import free_masses, measure_marginals, query_weights
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream

LAB = Field(name="x", type="number", decimals=1, constraints={"minimum": 0, "maximum": 40})


def shared(masses: list[float], noise: float = 10.0) -> list[list[int]]:
    """Return the groups of cells that share a mass."""
    covariance, sizes = noise**2 * np.eye(len(masses)), np.ones(len(masses), np.int64)
    shape = free_masses(np.array(masses), covariance, sizes)
    assert shape.sum(axis=0) == pytest.approx(1.0)
    assert ((shape > 0).sum(axis=1) == 1).all()
    groups = [np.flatnonzero(column).tolist() for column in shape.T]
    return sorted(group for group in groups if len(group) > 1)


@pytest.mark.parametrize(
    ("masses", "groups"),
    [
        ([90, 80, 9, -4, 6], [[2, 3, 4]]),
        ([6, -4, 9, 80, 90], [[0, 1, 2]]),
        ([90, 5, 3, 80], [[1, 2]]),
        ([90, 25, 25, 80], []),  # together they are something
        ([90, 28, 27, 26, 3, 1], [[2, 3, 4, 5]]),  # without the first, 57 is less than 3 times 20
        ([90, 5, -5, 3, 60], [[1, 2, 3]]),  # a group of values far from the others
        ([5, -5, 3], []),  # nothing is known
    ],
)
def test_by_hand(masses: list[float], groups: list[list[int]]) -> None:
    assert shared(masses) == groups


def test_mass_falls_off_away_from_the_others_and_is_even_between_them() -> None:
    covariance, sizes = 100.0 * np.eye(5), np.array([1, 1, 3, 1, 1])
    beyond = free_masses(np.array([1.0, 2.0, 3.0, 90.0, 90.0]), covariance, sizes)
    assert beyond[:3].max(axis=1) == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    between = free_masses(np.array([90.0, 2.0, 3.0, 1.0, 90.0]), covariance, sizes)
    assert between[1:4].max(axis=1) == pytest.approx([0.2, 0.6, 0.2])


def test_what_is_known_of_a_sum_counts() -> None:
    # Eight cells, each weak; but a coarser grid has counted them together.
    masses = np.array([90.0, *([12.0] * 8), 90.0])
    eight = np.array([0.0, *([1.0] * 8), 0.0])
    alone = 400.0 * np.eye(10)
    known = np.linalg.inv(np.linalg.inv(alone) + np.outer(eight, eight) / 400)
    together = known.astype(np.float64)
    sizes = np.ones(10, np.int64)
    assert free_masses(masses, alone, sizes).shape == (10, 3)
    assert free_masses(masses, together, sizes).shape == (10, 10)


def drawn(codes: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return values drawn from the noisy marginal of a column."""
    noise = tuple(sigma for _ in query_weights(LAB, 20))
    mechanisms = Mechanisms(RandomStream(test_seed=seed))
    (marginal,) = measure_marginals(codes[:, None], (LAB,), (noise,), 20, 1, mechanisms)
    generator = np.random.default_rng(seed)
    tokens = generator.choice(marginal.tokens, 20_000, p=marginal.mass / marginal.mass.sum())
    return marginal.decode(tokens, generator.random(20_000))


def test_a_skewed_lab_has_no_long_tail_of_noise() -> None:
    real = np.round(10 * np.exp(np.random.default_rng(0).normal(0, 0.4, 2000))).astype(np.int64)
    made = [drawn(real, 30.0, seed) for seed in range(8)]
    # Masses of single cells, none of them below zero: 4.6 and 0.55.
    assert np.median([x.std() / real.std() for x in made]) < 1.6
    assert np.mean([wasserstein_distance(real, x) for x in made]) < 0.25 * real.std()


def test_a_tail_that_is_there_is_kept() -> None:
    draw = np.random.default_rng(0)
    real = np.where(draw.random(7000) < 0.08, draw.integers(100, 400, 7000), 10)
    shares = [(drawn(real, 30.0, seed) >= 100).mean() for seed in range(8)]
    assert np.mean(shares) == pytest.approx(0.08, abs=0.015)
