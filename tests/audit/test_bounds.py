"""Bounds on epsilon: the papers' own figures, a naive reckoning, and coverage on known mechanisms."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from synthvae.audit.bounds import (
    Claim,
    Errors,
    gaussian_lower,
    one_run_epsilon,
    one_run_p_value,
    upper_limit,
)
from synthvae.privacy.accounting import gaussian_epsilon, gaussian_mu
from synthvae.privacy.guarantee import GaussianStage, TrainingStage
from tests.audit.plain_bound import plain_epsilon

DELTA = 1e-5


def gaussian(mu: float) -> GaussianStage:
    return GaussianStage(queries=1, noise_multipliers=(1 / mu,), rows_per_patient=1)


def training(noise: float, rate: float, steps: int) -> TrainingStage:
    return TrainingStage(
        sampling_rate=rate, noise_multiplier=noise, steps=steps, clip_norm=1, expected_batch=1
    )


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "delta", "published"),
    [
        (1000, 100, 75, 1e-4, 0.673),  # Steinke et al. 2023, appendix D
        (100_000, 1510, 1439, 1e-5, 2.675),  # the same, section 7
    ],
)
def test_one_run_gives_the_papers_figures(
    canaries: int, guesses: int, correct: int, delta: float, published: float
) -> None:
    found = one_run_epsilon(canaries, guesses, correct, delta, 0.05)
    assert found == pytest.approx(published, abs=1e-3)
    assert one_run_epsilon(canaries, guesses, correct, 0.0, 0.05) > published + 0.01


def naive_p_value(guesses: int, correct: int, epsilon: float, slack: float) -> float:
    """Return the p-value from whole sums of binomial coefficients."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    mass = [math.comb(guesses, k) * q**k * (1 - q) ** (guesses - k) for k in range(guesses + 1)]
    steepest = max(sum(mass[correct - i : correct]) / i for i in range(1, correct + 1))
    return min(1.0, sum(mass[correct:]) + slack * steepest)


def test_one_run_agrees_with_a_naive_sum() -> None:
    for guesses, correct, epsilon in ((20, 15, 0.5), (50, 50, 2.0), (30, 16, 0.0), (40, 1, 1.0)):
        expected = naive_p_value(guesses, correct, epsilon, 2 * 60 * 1e-3)
        assert one_run_p_value(60, guesses, correct, epsilon, 1e-3) == pytest.approx(expected)


def test_without_delta_one_run_is_a_binomial_tail() -> None:
    # All of 10 right: (1/2)^10 < 0.05 refutes 0; q^10 = 0.05 at q = 0.741, so epsilon = log(q/(1-q)).
    q = 0.05**0.1
    assert one_run_epsilon(10, 10, 10, 0.0, 0.05) == pytest.approx(math.log(q / (1 - q)), abs=1e-6)
    assert one_run_epsilon(10, 10, 5, 0.0, 0.05) == 0.0


def test_limits_are_those_that_the_binomial_gives_by_hand() -> None:
    # No event in n trials: (1 - p)^n = level.
    assert upper_limit(0, 1000, 0.025) == pytest.approx(1 - 0.025 ** (1 / 1000))
    assert upper_limit(5, 5, 0.025) == 1.0
    events, trials, level = 7, 40, 0.05
    limit = upper_limit(events, trials, level)
    tail = sum(
        math.comb(trials, k) * limit**k * (1 - limit) ** (trials - k) for k in range(events + 1)
    )
    assert tail == pytest.approx(level)


@pytest.mark.parametrize(("trials", "ceiling"), [(100, 3.28), (1000, 5.60), (10_000, 7.90)])
def test_ceilings_of_a_perfect_observer(trials: int, ceiling: float) -> None:
    # log((1 - u) / u) with u = 1 - 0.025^(1/n), what Clopper and Pearson leave of no error.
    limit = 1 - 0.025 ** (1 / trials)
    errors = Errors.none(trials, trials)
    assert plain_epsilon(errors, 0.0, 0.05) == pytest.approx(math.log((1 - limit) / limit))
    assert plain_epsilon(errors, 0.0, 0.05) == pytest.approx(ceiling, abs=5e-3)
    assert gaussian_lower(errors, 0.05) == pytest.approx(2 * norm.ppf(1 - limit))


def test_mu_and_epsilon_are_each_others_inverse() -> None:
    for epsilon in (0.1, 1.0, 4.0, 20.0):
        assert gaussian_epsilon(gaussian_mu(epsilon, DELTA), DELTA) == pytest.approx(epsilon)
    assert gaussian_epsilon(0.0, DELTA) == 0.0
    # A total variation below delta needs no epsilon at all.
    assert gaussian_epsilon(1e-6, 1e-3) == 0.0


def simulated(mu: float, trials: int, generator: np.random.Generator) -> Errors:
    """Return the errors of the best test between N(0, 1) and N(mu, 1)."""
    without, with_record = generator.normal(0, 1, trials), generator.normal(mu, 1, trials)
    return Errors.at(mu / 2, without, with_record)


def test_bounds_cover_the_truth_and_find_a_claim_that_is_two_thirds_of_it() -> None:
    generator = np.random.default_rng(1)
    mu = gaussian_mu(4.0, DELTA)
    runs = [simulated(mu, 1000, generator) for _ in range(300)]
    true, near = Claim((gaussian(mu),), DELTA), Claim((gaussian(mu * 2 / 3),), DELTA)
    assert np.mean([true.refuted_by(errors, 0.05) for errors in runs]) <= 0.05
    assert np.mean([plain_epsilon(errors, DELTA, 0.05) > true.epsilon for errors in runs]) <= 0.05
    assert np.mean([near.refuted_by(errors, 0.05) for errors in runs]) >= 0.95
    assert np.mean([near.lower(errors, 0.05) > near.epsilon for errors in runs[:40]]) >= 0.95


def test_one_run_covers_randomised_response() -> None:
    """Which guesses of epsilon-randomised response refute it, and which two thirds of it: exactly."""
    epsilon = 2.0
    mass = binom.pmf(np.arange(301), 300, 1 / (1 + math.exp(-epsilon)))
    for claimed, lowest, highest in ((epsilon, 0.01, 0.05), (epsilon * 2 / 3, 0.95, 1.0)):
        refuted = [one_run_p_value(300, 300, v, claimed, 0.0) < 0.05 for v in range(301)]
        assert lowest < mass[refuted].sum() <= highest


def test_the_accountants_trade_off_agrees_with_the_gaussian_one() -> None:
    """Sampling nearly everybody is sampling everybody."""
    full, nearly = (Claim((training(2.0, rate, 4),), DELTA) for rate in (1.0, 0.9999))
    assert full.mu == pytest.approx(1.0)
    assert nearly.mu is None
    assert nearly.epsilon == pytest.approx(full.epsilon, rel=0.02)
    none = Errors.none(200, 200)
    assert full.refuted_by(none, 0.05)
    assert nearly.refuted_by(none, 0.05)
    few = simulated(1.0, 2000, np.random.default_rng(3))
    assert not nearly.refuted_by(few, 0.05)
    # On its coarse grid of noise scales it shows no more, and not much less.
    assert 0.5 * full.lower(few, 0.05) < nearly.lower(few, 0.05) <= full.lower(few, 0.05) * 1.01


def test_poisson_sampling_leaves_misses_that_shuffling_does_not() -> None:
    """Two steps at rate 1/2 leave a quarter out; who always finds the record refutes the claim."""
    claim = Claim((training(0.3, 0.5, 2),), DELTA)
    assert not claim.refuted_by(Errors(0, 200, 70, 200), 0.05)
    assert claim.refuted_by(Errors(0, 200, 0, 200), 0.05)
