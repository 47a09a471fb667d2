"""Composition: against closed forms, and against the accountants of Opacus."""

import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from synthvae.errors import BudgetError
from synthvae.plan import make_plan
from synthvae.privacy.accounting import (
    _group_epsilons,
    calibrate_training,
    compose,
    default_interval,
    gaussian_mu,
    group_epsilons,
    losses,
)
from synthvae.privacy.guarantee import GaussianStage, TrainingStage
from tests.simulated import CLINIC

DELTA = 1e-5


def marginals(*noises: float) -> GaussianStage:
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
    spent = compose((marginals(math.sqrt(2) / mu, math.sqrt(2) / mu),), DELTA)
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
    counts = marginals(1 / (gaussian_mu(epsilon, DELTA) * math.sqrt(0.4)))
    stage = calibrate_training((counts,), training(1 / 3, 1.0, 400), epsilon, DELTA)
    spent = compose((counts, stage), DELTA, default_interval(epsilon))
    assert 0.99 * epsilon < spent <= epsilon
    less = stage.model_copy(update={"noise_multiplier": stage.noise_multiplier * 0.97})
    assert compose((counts, less), DELTA, default_interval(epsilon)) > epsilon


def test_a_share_that_takes_it_all_is_refused() -> None:
    with pytest.raises(BudgetError, match="measurements alone"):
        calibrate_training((marginals(0.1),), training(0.1, 1.0, 10), 1.0, DELTA)


@pytest.mark.parametrize(("sigma", "queries"), [(4.0, 1), (4.0, 2), (8.0, 16)])
def test_discrete_counts_cost_what_continuous_ones_do(sigma: float, queries: int) -> None:
    # The account takes exact discrete noise for continuous: the difference is what is disclosed.
    from dp_accounting.pld import privacy_loss_distribution as pld

    discrete = pld.from_discrete_gaussian_mechanism(
        sigma, value_discretization_interval=1e-4
    ).self_compose(queries)
    ours = compose((marginals(*(sigma for _ in range(queries))),), DELTA)
    assert discrete.get_epsilon_for_delta(DELTA) == pytest.approx(ours, rel=5e-3)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 100.0])
def test_counts_never_have_less_noise_than_that_holds_for(epsilon: float) -> None:
    assert min(make_plan(CLINIC, epsilon).marginals.noise_multipliers) >= 4.0


def least_group_epsilon(mu: float, size: int) -> float:
    """Dong, Roth and Su 2022, Theorem 2.14: a group of k under mu-GDP is under k mu-GDP."""
    return brentq(lambda e: exact_delta(size * mu, e) - DELTA, 1e-6, 60.0, xtol=1e-9)


@pytest.mark.parametrize(
    ("epsilon", "most"), [(0.01, 1.002), (0.1, 1.003), (0.5, 1.03), (1.0, 1.08), (2.0, 1.22)]
)
def test_groups_are_bounded_from_above_and_not_by_much(epsilon: float, most: float) -> None:
    mu = gaussian_mu(epsilon, DELTA)
    found = group_epsilons((marginals(1 / mu),), DELTA, 10 * default_interval(epsilon))
    assert sorted(found) == [2, 3, 4, 5]
    for size, bound in found.items():
        least = least_group_epsilon(mu, size)
        assert bound is not None
        assert least <= bound <= most * least
        # Near misses: k epsilon forgets that delta grows, and so would a group of one fewer.
        assert bound > size * epsilon
        assert bound > 1.02 * least_group_epsilon(mu, size - 1)


@pytest.mark.parametrize(("rate", "noise", "steps"), [(1 / 3, 60.0, 400), (0.05, 3.0, 300)])
def test_what_is_said_of_a_group_follows_from_the_curve(
    rate: float, noise: float, steps: int
) -> None:
    stages = (marginals(10.0), training(rate, noise, steps))
    curve = losses(stages, 1e-3)

    def remainder(epsilon: float, size: int) -> float:
        return curve.get_delta_for_epsilon(epsilon) * sum(
            math.exp(epsilon * i) for i in range(size)
        )

    for size, bound in group_epsilons(stages, DELTA, 1e-3).items():
        assert bound is not None
        assert remainder(bound / size, size) <= DELTA
        assert remainder(0.99 * bound / size, size) > DELTA


def test_groups_have_no_figure_beyond_the_accountants_range() -> None:
    found = group_epsilons((marginals(1 / gaussian_mu(8.0, DELTA)),), DELTA, 1e-3)
    assert found[2] == pytest.approx(23.2, abs=0.2)
    assert (found[3], found[4], found[5]) == (None, None, None)
    tiny = group_epsilons((marginals(1 / gaussian_mu(1.0, 1e-12)),), 1e-12, 1e-3)
    assert set(tiny.values()) == {None}
    assert set(group_epsilons((), DELTA, 1e-3).values()) == {0.0}


def test_groups_are_recalled_whatever_the_number_of_patients() -> None:
    first = training(1 / 3, 60.0, 400)
    other = first.model_copy(update={"expected_batch": 99.0, "normaliser": "declared patients"})
    before = group_epsilons((first,), DELTA, 1e-3)
    hits = _group_epsilons.cache_info().hits
    assert group_epsilons((other,), DELTA, 1e-3) == before
    assert _group_epsilons.cache_info().hits == hits + 1
    assert group_epsilons((other.model_copy(update={"steps": 500}),), DELTA, 1e-3) != before
