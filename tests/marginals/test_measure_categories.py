"""Many categories from noisy counts: closer than cutting at zero, and never off the simplex's total."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthvae.marginals.measure import CLEAR_COUNT, _to_simplex, posterior_means

NOISE = 33.0


def zipf(categories: int) -> np.ndarray:
    shares = 1 / np.arange(1, categories + 1) ** 1.1
    return np.asarray(shares / shares.sum())


SHAPES = {
    "two hundred codes by Zipf's law": (zipf(200), 0.8),
    "two hundred alike": (np.full(200, 1 / 200), 0.3),
    "a thousand codes": (zipf(1000), 0.8),
    "half of fifty codes that nobody has": (np.repeat([1 / 25, 0.0], 25), 1.1),
    "twenty codes": (zipf(20), 1.0),
}


def distances(shares: np.ndarray, rows: int = 5000, seeds: int = 20) -> tuple[float, float]:
    """Return the mean distance from the truth with and without empirical Bayes."""
    found = []
    for seed in range(seeds):
        drawn = np.random.default_rng(seed)
        truth = drawn.multinomial(rows, shares)
        noisy = truth + drawn.normal(0, NOISE, len(shares))
        both = posterior_means(noisy, NOISE), _to_simplex(noisy)
        found.append([0.5 * np.abs(each / each.sum() - truth / rows).sum() for each in both])
    ours, cut = np.mean(found, axis=0)
    return float(ours), float(cut)


@pytest.mark.parametrize("shape", SHAPES)
def test_closer_than_cutting_at_zero(shape: str) -> None:
    shares, at_most = SHAPES[shape]
    ours, cut = distances(shares)
    assert ours < at_most * cut


def test_which_codes_nobody_has_is_not_lost() -> None:
    shares = np.repeat([1 / 25, 0.0], 25)
    drawn = np.random.default_rng(0)
    noisy = drawn.multinomial(5000, shares) + drawn.normal(0, NOISE, 50)
    found = posterior_means(noisy, NOISE)
    assert found[25:].sum() < 0.05 * found.sum()


def test_clear_counts_are_kept_and_without_noise_all_are() -> None:
    noisy = np.array([900.0, 5 * NOISE, *np.linspace(-60, 60, 30)])
    assert posterior_means(noisy, NOISE)[:2].tolist() == noisy[:2].tolist()
    exact = np.array([1000.0, 0, 1, 2, *[0] * 40])
    assert posterior_means(exact, 1e-3).tolist() == exact.tolist()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6)),
    st.sampled_from([1e-3, 1.0, 33.0, 1e5]),
)
def test_any_counts_give_masses_that_add_up(counts: np.ndarray, sigma: float) -> None:
    found = posterior_means(counts, sigma)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    weak = counts < CLEAR_COUNT * sigma
    assert (found[~weak] == counts[~weak]).all()
    total = max(counts[weak].sum(), 0.0)
    assert found[weak].sum() == pytest.approx(total, abs=1e-6 * sigma) or found[weak].sum() == 0
