"""One composition for everything that a fit releases, and noise calibrated to meet a budget.

Privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022, "Connect the Dots") of
Google's `dp-accounting` are composed numerically, with add/remove-one neighbours; adding epsilons
would waste about a quarter of the budget.
"""

import functools
import math
import warnings
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm

from synthvae._text import one_line
from synthvae.errors import BudgetError
from synthvae.privacy import guarantee

ACCOUNTANT = "privacy loss distributions (dp-accounting), pessimistic estimate"
# Below these the accountant's arithmetic gives out, and nothing but noise would be left anyway.
SMALLEST_EPSILON, SMALLEST_DELTA = 1e-3, 1e-12
GROUPS = (2, 3, 4, 5)  # patients
GRID_POINTS = 128  # at which a group's figure is sought before it is refined
SECOND_ACCOUNTANT = "privacy random variables (Opacus)"
ERROR = 0.01  # of its epsilon, where the grid allows it
LARGEST_ERROR = 0.25  # of its epsilon, beyond which a figure says nothing
MOST_POINTS = 2**17  # of its grid: more take too long
DELTA_ERROR = 1e-3  # of delta
DECIMALS = 6  # of its epsilon that are stated

SampledGaussian = tuple[float, float, int]  # noise multiplier, sampling rate, number of releases


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the mu for which mu-Gaussian differential privacy is exactly (epsilon, delta).

    Dong, Roth and Su 2022, "Gaussian Differential Privacy", Corollary 2.13.
    """

    def excess(log_mu: float) -> float:
        return _log_delta(math.exp(log_mu), epsilon) - math.log(delta)

    return math.exp(brentq(excess, math.log(1e-6), math.log(1e4), xtol=1e-12))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon at `delta` of mu-Gaussian differential privacy: the inverse of `gaussian_mu`.

    Examples
    --------
    >>> round(gaussian_epsilon(gaussian_mu(1.0, 1e-5), 1e-5), 6)
    1.0
    """
    if mu <= 0 or _log_delta(mu, 0.0) <= math.log(delta):
        return 0.0

    def excess(epsilon: float) -> float:
        return _log_delta(mu, epsilon) - math.log(delta)

    return float(brentq(excess, 0.0, mu * (mu / 2 + 40) + 1, xtol=1e-12))


def _log_delta(mu: float, epsilon: float) -> float:
    first = norm.logcdf(-epsilon / mu + mu / 2)
    second = epsilon + norm.logcdf(-epsilon / mu - mu / 2)
    # log(e^first - e^second), which stays exact where both are tiny
    return float(first + math.log(-math.expm1(min(second - first, -1e-300))))


@functools.lru_cache(maxsize=256)
def selection_mu(epsilon: float) -> float:
    """Return the mu of the exponential mechanism that weighs choices by exp(epsilon q / 2Δ).

    Its privacy loss has a range of `epsilon` (Durfee and Rogers 2019, "Practical Differentially
    Private Top-k Selection", Lemma 3.2), so for each pair of neighbours it is dominated by a coin:
    one loss a, the other a - epsilon. Its trade-off curve has one corner; a Gaussian's, being convex,
    lies below it as soon as it passes at or below that corner. The mu returned is the largest, over
    a, that a corner asks for.

    Examples
    --------
    >>> 0.62 < selection_mu(0.01) / 0.01 < 0.63
    True
    """
    shift = np.linspace(0.0, 1.0, 4003)[1:-1] * epsilon
    # P(loss = a) = p with p e^-a + (1 - p) e^(epsilon - a) = 1.
    high, low = np.exp(-shift), np.exp(epsilon - shift)
    p = (low - 1) / (low - high)
    return float((norm.ppf(p) - norm.ppf(p * high)).max() * (1 + 1e-6))


def squared_mu(stages: tuple[guarantee.Stage, ...]) -> float:
    """Return the squared mu of stages together; infinite where patients are sampled: not Gaussian."""
    total = 0.0
    for stage in stages:
        if isinstance(stage, guarantee.GaussianStage):
            total += sum(1 / noise**2 for noise in stage.noise_multipliers)
        elif isinstance(stage, guarantee.SelectionStage):
            total += sum(selection_mu(epsilon) ** 2 for epsilon in stage.epsilons)
        elif stage.sampling_rate == 1:
            total += stage.steps / stage.noise_multiplier**2
        else:
            return math.inf
    return total


def default_interval(epsilon: float) -> float:
    """Return the width of the discretisation grid for a budget of about `epsilon`."""
    return min(1e-4 * epsilon, 1e-3)


def compose(stages: tuple[guarantee.Stage, ...], delta: float, interval: float = 1e-4) -> float:
    """Return the epsilon at `delta` of all stages: without training, a closed form.

    Parameters
    ----------
    interval
        Width of the grid on which privacy losses are discretised; finer is tighter and slower,
        and the result is an upper bound at any width.
    """
    return _compose(_without_sizes(stages), delta, interval)


@functools.lru_cache(maxsize=64)
def _compose(stages: tuple[guarantee.Stage, ...], delta: float, interval: float) -> float:
    if not any(isinstance(stage, guarantee.TrainingStage) for stage in stages):
        return gaussian_epsilon(math.sqrt(squared_mu(stages)), delta)
    return float(losses(stages, interval).get_epsilon_for_delta(delta))


def losses(stages: tuple[guarantee.Stage, ...], interval: float) -> Any:
    """Return dp-accounting's privacy loss distribution of all stages; None where there are none."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    total = None
    for stage in stages:
        if isinstance(stage, guarantee.TrainingStage):
            part = pld.from_gaussian_mechanism(
                stage.noise_multiplier,
                sampling_prob=stage.sampling_rate,
                value_discretization_interval=interval,
            ).self_compose(stage.steps)
        else:
            # Gaussian releases compose exactly to one Gaussian release, which choices are no worse than.
            part = pld.from_gaussian_mechanism(
                1 / math.sqrt(squared_mu((stage,))), value_discretization_interval=interval
            )
        total = part if total is None else total.compose(part)
    return total


def group_epsilons(
    stages: tuple[guarantee.Stage, ...], delta: float, interval: float
) -> dict[int, float | None]:
    """Return epsilon at `delta` for tables that differ in 2, 3, 4 and 5 patients.

    Where a mechanism is (e, d)-private for one patient, it is (k e, d (1 + exp(e) + ... +
    exp((k - 1) e)))-private for k: the definition, applied k times (Vadhan 2017, "The Complexity of
    Differential Privacy", Lemma 2.2, whose proof gives this sum; Dwork and Roth 2014, "The Algorithmic
    Foundations of Differential Privacy", Theorem 2.2, for d = 0). It holds for every point (e, d(e)) of
    the composition's curve, so the least e that keeps the sum within `delta` is taken.

    A patient's record in place of another's is one removed and one added: a group of 2. A coarse
    `interval` serves. The figure is None where no finite one is within the accountant's range, which
    ends at a delta of 1e-12.

    Guarantee
    ---------
    An upper bound for every group, whatever the mechanism. For a Gaussian one, whose least figures are
    known, it is at most 3 % above them at epsilon 0.5 and 8 % at epsilon 1; more at larger epsilon.
    """
    return dict(_group_epsilons(_without_sizes(stages), delta, interval))


def _without_sizes(stages: tuple[guarantee.Stage, ...]) -> tuple[guarantee.Stage, ...]:
    """Return stages without what the account does not depend on, so that its sums can be cached."""
    blank = {"expected_batch": 0.0, "normaliser": None}
    return tuple(
        stage.model_copy(update=blank) if isinstance(stage, guarantee.TrainingStage) else stage
        for stage in stages
    )


@functools.lru_cache(maxsize=64)
def _group_epsilons(
    stages: tuple[guarantee.Stage, ...], delta: float, interval: float
) -> tuple[tuple[int, float | None], ...]:
    total = losses(stages, interval)
    if total is None:
        return tuple((size, 0.0) for size in GROUPS)

    def delta_at(epsilon: float) -> float:
        # What Fourier transforms leave of smaller ones is rounding.
        return max(float(total.get_delta_for_epsilon(epsilon)), SMALLEST_DELTA)

    # Beyond `highest` no curve can be low enough for two patients, since it ends at SMALLEST_DELTA.
    lowest = float(total.get_epsilon_for_delta(delta))
    highest = math.log(delta / SMALLEST_DELTA)
    if not lowest < highest:
        return tuple((size, None) for size in GROUPS)
    # The sum has more than one term, so `lowest`, which meets delta for one patient, is too low.
    curve = [(e, delta_at(e)) for e in np.geomspace(max(lowest, 1e-6), highest, GRID_POINTS)]

    def protects(size: int, epsilon: float, chance: float) -> bool:
        growth = float(logsumexp(epsilon * np.arange(size)))
        return math.log(chance) + growth <= math.log(delta)

    def least_epsilon(size: int) -> float | None:
        first = next((i for i, point in enumerate(curve) if protects(size, *point)), None)
        if first is None:
            return None
        # Halved towards the point below, which does not protect; what is returned always does.
        low, high = curve[max(first - 1, 0)][0], curve[first][0]
        while high - low > 1e-4 * high:
            middle = (low + high) / 2
            enough = protects(size, middle, delta_at(middle))
            low, high = (low, middle) if enough else (middle, high)
        return size * float(high)

    return tuple((size, least_epsilon(size)) for size in GROUPS)


def calibrate_training(
    measured: tuple[guarantee.Stage, ...],
    training: guarantee.TrainingStage,
    epsilon: float,
    delta: float,
) -> guarantee.TrainingStage:
    """Return the training stage with the least noise that keeps the whole within the budget.

    Raises
    ------
    BudgetError
        No amount of noise does.
    """
    coarse = 10 * default_interval(epsilon)

    def with_noise(log_sigma: float) -> guarantee.TrainingStage:
        return training.model_copy(update={"noise_multiplier": math.exp(log_sigma)})

    def excess(log_sigma: float) -> float:
        return compose((*measured, with_noise(log_sigma)), delta, coarse) - epsilon

    # A bracket around the central limit theorem's answer (Dong et al. 2022, Corollary 5.4);
    # far too little noise would make the accountant slow.
    left = gaussian_mu(epsilon, delta) ** 2 - squared_mu(measured)
    if left <= 0:
        raise BudgetError(f"the measurements alone would spend more than epsilon {epsilon:g}.")
    rate, steps = training.sampling_rate, training.steps
    low = high = -0.5 * math.log(math.log1p(left / (steps * rate**2)))
    while excess(low) < 0:
        low -= 0.3
    while excess(high) > 0:
        high += 0.3
    log_sigma = brentq(excess, low, high, xtol=1e-4)
    # The root is met on a coarse grid and to a tolerance: confirm it on a fine one.
    while compose((*measured, with_noise(log_sigma)), delta, default_interval(epsilon)) > epsilon:
        log_sigma += 1e-3
    return with_noise(log_sigma)


def second_opinion(
    stages: tuple[guarantee.GaussianStage | guarantee.TrainingStage, ...],
    delta: float,
    epsilon: float,
) -> guarantee.SecondOpinion:
    """Return epsilon at `delta` of all stages together, by Opacus's accountant.

    It composes privacy random variables by Fourier transforms (Gopi, Lee and Wutschitz 2021, "Numerical
    Composition of Differential Privacy", NeurIPS), and states its error. It shares no code with the
    accountant whose figure is promised: a mistake in either would show.

    About `epsilon` is expected: the grid is chosen so that the error is a hundredth of it, or as small
    as 131,072 points allow. Where that accountant cannot tell, there is a reason in place of figures.
    """
    releases: list[SampledGaussian] = []
    precision = 0.0
    for stage in stages:
        if isinstance(stage, guarantee.TrainingStage):
            releases.append((stage.noise_multiplier, stage.sampling_rate, stage.steps))
        else:
            precision = sum((noise**-2 for noise in stage.noise_multipliers), precision)
    if precision:  # Gaussian releases compose exactly to one, in which everybody takes part
        releases.insert(0, (precision**-0.5, 1.0, 1))
    return _opinion(tuple(releases), delta, epsilon)


@functools.lru_cache(maxsize=64)
def _opinion(
    releases: tuple[SampledGaussian, ...], delta: float, epsilon: float
) -> guarantee.SecondOpinion:
    from scipy.integrate import IntegrationWarning

    try:
        with warnings.catch_warnings():
            # Its way to a domain that is wide enough; a loose one is only wider.
            warnings.filterwarnings(
                "ignore", message="Optimal order is the (largest|smallest) alpha"
            )
            warnings.filterwarnings("error", category=IntegrationWarning)
            interval = _interval(releases, delta, epsilon)
    # What it raises where its arithmetic gives out: no figure is invented.
    except (RuntimeError, ValueError, ArithmeticError, IntegrationWarning) as cause:
        why = one_line(cause) or type(cause).__name__
        return _unavailable(f"that accountant gave out: {why}")
    if interval is None:
        return _unavailable("its grid would have to be too fine for an epsilon as small as this")
    low, estimate, high = interval
    error = max(high - estimate, estimate - low)
    if not (math.isfinite(error) and 0 < error <= LARGEST_ERROR * estimate):
        return _unavailable("that accountant found no figure that says anything")
    # Fourier transforms differ in their last digits from one machine, or process, to another.
    rounded = round(estimate, DECIMALS)
    error = math.ceil((error + abs(rounded - estimate)) * 10**DECIMALS) / 10**DECIMALS
    return guarantee.SecondOpinion(accountant=SECOND_ACCOUNTANT, epsilon=rounded, error=error)


def _unavailable(reason: str) -> guarantee.SecondOpinion:
    return guarantee.SecondOpinion(
        accountant=SECOND_ACCOUNTANT, epsilon=None, error=None, unavailable=reason
    )


def _interval(
    releases: tuple[SampledGaussian, ...], delta: float, epsilon: float
) -> tuple[float, float, float] | None:
    """Return the least, the estimated and the largest epsilon; None where the error would be large."""
    from opacus.accountants.analysis import prv as opacus_prv

    prv: Any = opacus_prv  # partly untyped
    variables = [prv.PoissonSubsampledGaussianPRV(rate, noise) for noise, rate, _ in releases]
    counts = [count for *_, count in releases]
    error, delta_error = ERROR * epsilon, DELTA_ERROR * delta
    width = prv.compute_safe_domain_size(
        prvs=variables, max_self_compositions=counts, eps_error=error, delta_error=delta_error
    )
    # How the error grows with the mesh (their Theorem 5.5, as Opacus has it).
    growth = math.sqrt(sum(counts) * math.log(12 / delta_error) / 2)
    error = max(error, 2 * width / MOST_POINTS * growth)
    if error > LARGEST_ERROR * epsilon:
        return None
    domain = prv.Domain.create_aligned(-width, width, error / growth)
    # A rate of one has a logarithm of zero in it, where minus infinity is right.
    with np.errstate(divide="ignore", over="raise", invalid="raise"):
        discrete = [
            prv.discretize(
                prv.TruncatedPrivacyRandomVariable(one, domain.t_min, domain.t_max), domain
            )
            for one in variables
        ]
        total = prv.compose_heterogeneous(dprvs=discrete, num_self_compositions=counts)
        low, estimate, high = total.compute_epsilon(delta, delta_error, error)
    return float(low), float(estimate), float(high)
