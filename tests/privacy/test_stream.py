"""The cryptographic stream: right distributions, never the same twice."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from synthvae.privacy.stream import RandomStream
from tests.seeding import fixed_noise


def test_normal_draws_are_standard_normal() -> None:
    draws = RandomStream(test_seed=1).normal(100_000)
    assert kstest(draws, norm.cdf).pvalue > 0.01


@pytest.mark.parametrize("scale", [2 / 3, 3 / 2])
def test_a_near_miss_of_the_noise_scale_is_noticed(scale: float) -> None:
    draws = RandomStream(test_seed=1).normal(100_000) * scale
    assert kstest(draws, norm.cdf).pvalue < 1e-6


def test_odd_counts_are_served() -> None:
    assert len(RandomStream(test_seed=1).normal(7)) == 7
    assert len(RandomStream(test_seed=1).normal(0)) == 0


@pytest.mark.parametrize("probability", [0.01, 1 / 3, 0.9])
def test_bernoulli_draws_have_their_rate(probability: float) -> None:
    share = RandomStream(test_seed=2).bernoulli(200_000, probability).mean()
    error = np.sqrt(probability * (1 - probability) / 200_000)
    assert abs(share - probability) < 4 * error


def test_bernoulli_is_exact_at_its_ends() -> None:
    stream = RandomStream(test_seed=2)
    assert stream.bernoulli(1000, 1.0).all()
    assert not stream.bernoulli(1000, 2.0**-65).any()


def test_two_streams_differ_and_a_test_seed_repeats() -> None:
    assert not np.array_equal(RandomStream().words(4), RandomStream().words(4))
    assert np.array_equal(RandomStream(test_seed=5).words(4), RandomStream(test_seed=5).words(4))
    assert RandomStream().is_secure
    assert not RandomStream(test_seed=5).is_secure


def test_fixed_noise_is_other_noise_in_each_stream_and_the_same_each_time() -> None:
    drawn = []
    for seed in (0, 0, 1):
        with fixed_noise(seed):
            drawn += [tuple(RandomStream().words(4)) for _ in range(3)]
    assert drawn[:3] == drawn[3:6]
    assert len(set(drawn)) == 6
    assert RandomStream().is_secure  # and afterwards it is the system's again
