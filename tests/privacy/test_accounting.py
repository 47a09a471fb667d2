"""Composition: against closed forms, and against the accountants of Opacus."""

import math

import pytest
from scipy.stats import norm

from synthvae.errors import BudgetError
from synthvae.plan import make_plan
from synthvae.privacy.accounting import (
    calibrate_training,
    compose,
    default_interval,
    gaussian_mu,
)
from synthvae.privacy.guarantee import GaussianStage, TrainingStage
from tests.simulated import CLINIC

DELTA = 1e-5


def anchors(*noises: float) -> GaussianStage:
    return GaussianStage(queries=len(noises), noise_multipliers=noises, rows_per_patient=1)


def training(rate: float, noise: float, steps: int) -> TrainingStage:
    return TrainingStage(
        sampling_rate=rate,
        noise_multiplier=noise,
        steps=steps,
        clip_norm=1.0,
        expected_batch=100.0,
    )


def exact_delta(mu: float, epsilon: float) -> float:
    """Balle and Wang 2018, Theorem 8: delta of a Gaussian release of sensitivity mu."""
    return norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_mu_meets_the_budget_exactly(epsilon: float) -> None:
    assert exact_delta(gaussian_mu(epsilon, DELTA), epsilon) == pytest.approx(DELTA, rel=1e-6)


def test_gaussian_releases_compose_to_one() -> None:
    mu = gaussian_mu(1.0, DELTA)
    spent = compose((anchors(math.sqrt(2) / mu, math.sqrt(2) / mu),), DELTA)
    assert spent == pytest.approx(1.0, abs=2e-3)
    assert spent >= 1.0 - 1e-6  # the estimate is an upper bound


def test_nothing_released_costs_nothing() -> None:
    assert compose((), DELTA) == 0.0


@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha")  # a looser RDP bound
@pytest.mark.parametrize(("rate", "noise", "steps"), [(1 / 3, 20.0, 400), (0.05, 1.5, 300)])
def test_training_agrees_with_the_accountants_of_opacus(
    rate: float, noise: float, steps: int
) -> None:
    from opacus.accountants import PRVAccountant, RDPAccountant

    ours = compose((training(rate, noise, steps),), DELTA)
    prv, rdp = PRVAccountant(), RDPAccountant()
    for accountant in (prv, rdp):
        accountant.history = [(noise, rate, steps)]
    assert ours == pytest.approx(prv.get_epsilon(DELTA), abs=0.02)
    assert rdp.get_epsilon(DELTA) >= ours - 1e-3


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 10.0])
def test_calibration_meets_the_budget_and_wastes_little(epsilon: float) -> None:
    counts = anchors(1 / (gaussian_mu(epsilon, DELTA) * math.sqrt(0.4)))
    stage = calibrate_training((counts,), training(1 / 3, 1.0, 400), epsilon, DELTA)
    spent = compose((counts, stage), DELTA, default_interval(epsilon))
    assert 0.99 * epsilon < spent <= epsilon
    less = stage.model_copy(update={"noise_multiplier": stage.noise_multiplier * 0.97})
    assert compose((counts, less), DELTA, default_interval(epsilon)) > epsilon


def test_a_share_that_takes_it_all_is_refused() -> None:
    with pytest.raises(BudgetError, match="measurements alone"):
        calibrate_training((anchors(0.1),), training(0.1, 1.0, 10), 1.0, DELTA)


@pytest.mark.parametrize(("sigma", "queries"), [(4.0, 1), (4.0, 2), (8.0, 16)])
def test_discrete_counts_cost_what_continuous_ones_do(sigma: float, queries: int) -> None:
    # The account takes exact discrete noise for continuous: the difference is what is disclosed.
    from dp_accounting.pld import privacy_loss_distribution as pld

    discrete = pld.from_discrete_gaussian_mechanism(
        sigma, value_discretization_interval=1e-4
    ).self_compose(queries)
    ours = compose((anchors(*(sigma for _ in range(queries))),), DELTA)
    assert discrete.get_epsilon_for_delta(DELTA) == pytest.approx(ours, rel=5e-3)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 100.0])
def test_counts_never_have_less_noise_than_that_holds_for(epsilon: float) -> None:
    assert min(make_plan(CLINIC, epsilon).anchors.noise_multipliers) >= 4.0
