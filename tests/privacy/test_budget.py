"""Budgets: what is refused, what a release costs, and a filter that is never overspent."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from synthvae.errors import BudgetError
from synthvae.privacy.accounting import compose, gaussian_epsilon, gaussian_mu, selection_mu
from synthvae.privacy.budget import (
    BudgetFilter,
    check_budget,
    checked_delta,
    noise_for,
    noises_for,
    selection_for,
)
from synthvae.privacy.guarantee import GaussianStage, SelectionStage


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (1.0, 1e-5), (10.0, 1e-5)])
def test_epsilon_is_the_inverse_of_mu(epsilon: float, delta: float) -> None:
    assert gaussian_epsilon(gaussian_mu(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-6)
    assert gaussian_epsilon(0.0, delta) == 0.0


def corners(epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the trade-off curves of coins whose losses are a and a - epsilon."""
    a = np.random.default_rng(0).uniform(0.001, 0.999, 500) * epsilon
    p = (np.exp(epsilon - a) - 1) / (np.exp(epsilon - a) - np.exp(-a))
    assert np.allclose(p * np.exp(-a) + (1 - p) * np.exp(epsilon - a), 1)
    return 1 - p, p * np.exp(-a)


@pytest.mark.parametrize("epsilon", [0.01, 0.3, 2.0])
def test_a_choice_costs_no_less_than_its_mu_and_hardly_less(epsilon: float) -> None:
    first, second = corners(epsilon)
    dominated = [
        (norm.cdf(norm.ppf(1 - first) - factor * selection_mu(epsilon)) <= second + 1e-12).all()
        for factor in (1.0, 0.97)
    ]
    assert dominated == [True, False]


def test_a_real_exponential_mechanism_stays_above_the_gaussian_curve() -> None:
    """Three choices whose scores a patient moves by 1 each way: its trade-off curve, by hand."""
    epsilon = 1.0
    here, there = np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 3.5])
    p, q = (np.exp(epsilon * s / 2) / np.exp(epsilon * s / 2).sum() for s in (here, there))
    order = np.argsort(p / q)
    errors = np.cumsum(p[order])[:-1], 1 - np.cumsum(q[order])[:-1]
    assert (norm.cdf(norm.ppf(1 - errors[0]) - selection_mu(epsilon)) <= errors[1]).all()


def test_a_filter_and_the_accountant_agree_and_more_is_refused() -> None:
    budget = BudgetFilter(1.0, 1e-5)
    chosen = selection_for((budget.whole - 20.0**-2) / 2)
    budget.spend(20.0**-2, "counts")
    budget.spend(selection_mu(chosen) ** 2, "a choice")
    rest = noise_for(budget.left)
    budget.spend(rest**-2, "the rest")
    stages = (
        GaussianStage(queries=2, noise_multipliers=(20.0, rest), rows_per_patient=1),
        SelectionStage(queries=1, epsilons=(chosen,)),
    )
    spent = compose(stages, 1e-5)
    assert spent == pytest.approx(1.0, abs=1e-6)
    assert spent <= 1.0
    with pytest.raises(BudgetError, match="one more would spend more than epsilon 1"):
        budget.spend(1e-4, "one more")


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf, -1e-9])
def test_a_cost_that_is_none_is_refused_and_spends_nothing(cost: float) -> None:
    budget = BudgetFilter(1.0, 1e-5)
    with pytest.raises(BudgetError, match=r"it would cost .* Nothing was released\."):
        budget.spend(cost, "it")
    assert budget.spent == 0
    with pytest.raises(BudgetError, match=r"it would spend more than epsilon 1\. Nothing was"):
        budget.spend(1.0, "it")
    budget.spend(0.0, "what is accounted for elsewhere")
    assert budget.spent == 0


def test_a_filter_that_has_lost_count_lets_nothing_pass() -> None:
    budget = BudgetFilter(1.0, 1e-5, spent=math.nan)
    for cost in (0.0, 1e-4):
        with pytest.raises(BudgetError, match="it would spend more than epsilon 1"):
            budget.spend(cost, "it")


def test_counts_share_a_precision_by_their_weights() -> None:
    noises = noises_for([(0.5, 0.5, 1.0), (2.0,)], 0.04)
    assert noises[0] == pytest.approx((200**0.5, 200**0.5, 10.0))
    assert noises[1] == pytest.approx((50**0.5,))
    assert len(noises) == 2
    assert sum(noise**-2 for group in noises for noise in group) == pytest.approx(0.04)


def test_noise_has_a_floor_and_a_choice_a_ceiling() -> None:
    assert noise_for(1.0) == 4.0
    assert noise_for(0.01) == pytest.approx(10.0)
    assert selection_for(100.0) == 4.0
    assert selection_mu(selection_for(1e-3)) ** 2 == pytest.approx(1e-3, rel=1e-4)


def test_budgets_that_promise_nothing_are_refused() -> None:
    assert checked_delta(1.0, None, 1000) == 1e-5
    assert checked_delta(1.0, None, 10**6) == pytest.approx(1e-7)
    assert checked_delta(1.0, None, None) == 1e-6
    assert checked_delta(1e-3, 1e-12, 1000) == 1e-12
    for epsilon in (0.0, -1.0, math.inf, math.nan, True):
        with pytest.raises(BudgetError, match=r"epsilon is .*; it must be a finite number above 0"):
            check_budget(epsilon, None, 1000)
    with pytest.raises(BudgetError, match="epsilon is 101; above 100 it protects nobody"):
        check_budget(101.0, None, 1000)
    with pytest.raises(BudgetError, match=r"epsilon is 0\.0009; below 0\.001 nothing but noise"):
        check_budget(9e-4, None, 1000)
    with pytest.raises(BudgetError, match=r"delta is 0\.001, not below 1/n for 1000 declared"):
        check_budget(1.0, 0.001, 1000)
    with pytest.raises(BudgetError, match=r"delta is 0\.0001; without a declared number"):
        check_budget(1.0, 1e-4, None)
    with pytest.raises(BudgetError, match=r"delta is 1e-13; below 1e-12 it cannot be accounted"):
        check_budget(1.0, 1e-13, 1000)
