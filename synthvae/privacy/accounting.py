"""One composition for everything that a fit releases, and noise calibrated to meet a budget.

Privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022, "Connect the Dots") of
Google's `dp-accounting` are composed numerically, with add/remove-one neighbours; adding epsilons
would waste about a quarter of the budget.
"""

import math
from typing import Any

from scipy.optimize import brentq
from scipy.stats import norm

from synthvae.errors import BudgetError
from synthvae.privacy.guarantee import GaussianStage, TrainingStage

ACCOUNTANT = "privacy loss distributions (dp-accounting), pessimistic estimate"
# Below these the accountant's arithmetic gives out, and nothing but noise would be left anyway.
SMALLEST_EPSILON, SMALLEST_DELTA = 1e-3, 1e-12
Stage = GaussianStage | TrainingStage


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the mu for which mu-Gaussian differential privacy is exactly (epsilon, delta).

    Dong, Roth and Su 2022, "Gaussian Differential Privacy", Corollary 2.13.
    """

    def excess(log_mu: float) -> float:
        mu = math.exp(log_mu)
        first = norm.logcdf(-epsilon / mu + mu / 2)
        second = epsilon + norm.logcdf(-epsilon / mu - mu / 2)
        # log(e^first - e^second), which stays exact where both are tiny
        return float(first + math.log(-math.expm1(min(second - first, -1e-300))) - math.log(delta))

    return math.exp(brentq(excess, math.log(1e-6), math.log(1e4), xtol=1e-12))


def default_interval(epsilon: float) -> float:
    """Return the width of the discretisation grid that serves a budget of about `epsilon`."""
    return min(1e-4 * epsilon, 1e-3)


def compose(stages: tuple[Stage, ...], delta: float, interval: float = 1e-4) -> float:
    """Return the epsilon at `delta` of everything in `stages` together.

    Parameters
    ----------
    interval
        Width of the grid on which privacy losses are discretised; finer is tighter and slower,
        and the result is an upper bound at any width.
    """
    total = losses(stages, interval)
    return 0.0 if total is None else float(total.get_epsilon_for_delta(delta))


def losses(stages: tuple[Stage, ...], interval: float) -> Any:
    """Return dp-accounting's privacy loss distribution of all stages; None where there are none."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    total = None
    for stage in stages:
        if isinstance(stage, GaussianStage):
            # Gaussian releases compose exactly to one Gaussian release.
            precision = sum(1 / noise**2 for noise in stage.noise_multipliers)
            part = pld.from_gaussian_mechanism(
                1 / math.sqrt(precision), value_discretization_interval=interval
            )
        else:
            part = pld.from_gaussian_mechanism(
                stage.noise_multiplier,
                sampling_prob=stage.sampling_rate,
                value_discretization_interval=interval,
            ).self_compose(stage.steps)
        total = part if total is None else total.compose(part)
    return total


def calibrate_training(
    measured: tuple[GaussianStage, ...], training: TrainingStage, epsilon: float, delta: float
) -> TrainingStage:
    """Return the training stage with the least noise that keeps the whole within the budget.

    Raises
    ------
    BudgetError
        No amount of noise keeps the composition within the budget.
    """
    coarse = 10 * default_interval(epsilon)

    def with_noise(log_sigma: float) -> TrainingStage:
        return training.model_copy(update={"noise_multiplier": math.exp(log_sigma)})

    def excess(log_sigma: float) -> float:
        return compose((*measured, with_noise(log_sigma)), delta, coarse) - epsilon

    # A bracket around the central limit theorem's answer (Dong et al. 2022, Corollary 5.4);
    # far too little noise would make the accountant slow.
    share = sum(1 / noise**2 for stage in measured for noise in stage.noise_multipliers)
    left = gaussian_mu(epsilon, delta) ** 2 - share
    if left <= 0:
        raise BudgetError(f"the measurements alone would spend more than epsilon {epsilon:g}.")
    rate, steps = training.sampling_rate, training.steps
    guess = -0.5 * math.log(math.log1p(left / (steps * rate**2)))
    low = high = guess
    while excess(low) < 0:
        low -= 0.3
    while excess(high) > 0:
        high += 0.3
    log_sigma = brentq(excess, low, high, xtol=1e-4)
    # The root is met on a coarse grid and to a tolerance: confirm it on a fine one.
    while compose((*measured, with_noise(log_sigma)), delta, default_interval(epsilon)) > epsilon:
        log_sigma += 1e-3
    return with_noise(log_sigma)
