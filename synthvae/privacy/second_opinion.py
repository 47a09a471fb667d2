"""What another accountant, of other authors and another method, finds for the same log.

Opacus composes privacy random variables by Fourier transforms (Gopi, Lee and Wutschitz 2021,
"Numerical Composition of Differential Privacy", NeurIPS), and states how far it may be off. It shares
no code with the accountant whose figure is promised: a mistake in either would show.
"""

import functools
import math
import warnings
from typing import Any

import numpy as np

from synthvae._text import one_line
from synthvae.privacy.guarantee import GaussianStage, SecondOpinion, TrainingStage

ACCOUNTANT = "privacy random variables (Opacus)"
ERROR = 0.01  # of epsilon, where the grid allows it
LARGEST_ERROR = 0.25  # of epsilon, beyond which a figure says nothing
MOST_POINTS = 2**17  # of the grid: more take too long
DELTA_ERROR = 1e-3  # of delta
PLACES = 6  # decimals that are stated

Release = tuple[float, float, int]  # noise multiplier, sampling rate, times


def second_opinion(
    stages: tuple[GaussianStage | TrainingStage, ...], delta: float, epsilon: float
) -> SecondOpinion:
    """Return epsilon at `delta` of all stages together, by Opacus's accountant.

    Parameters
    ----------
    epsilon
        About what is expected: the grid is chosen so that the error is a hundredth of it, or as small
        as 131,072 points allow; an error above a quarter of it would say nothing.

    Returns
    -------
    SecondOpinion
        With a reason in place of figures where that accountant cannot tell.
    """
    gaussian = [
        noise
        for stage in stages
        if isinstance(stage, GaussianStage)
        for noise in stage.noise_multipliers
    ]
    # Gaussian releases compose exactly to one, in which everybody takes part.
    joint = [(sum(noise**-2 for noise in gaussian) ** -0.5, 1.0, 1)] if gaussian else []
    trained = [
        (stage.noise_multiplier, stage.sampling_rate, stage.steps)
        for stage in stages
        if isinstance(stage, TrainingStage)
    ]
    return _opinion((*joint, *trained), delta, epsilon)


@functools.lru_cache(maxsize=64)
def _opinion(releases: tuple[Release, ...], delta: float, epsilon: float) -> SecondOpinion:
    from scipy.integrate import IntegrationWarning

    try:
        with warnings.catch_warnings():
            # Its way to a domain that is wide enough; a loose one is only wider.
            warnings.filterwarnings(
                "ignore", message="Optimal order is the (largest|smallest) alpha"
            )
            warnings.filterwarnings("error", category=IntegrationWarning)
            found = _interval(releases, delta, epsilon)
    # What it raises where its arithmetic gives out: no figure is made up.
    except (RuntimeError, ValueError, ArithmeticError, IntegrationWarning) as cause:
        why = one_line(cause) or type(cause).__name__
        return _unavailable(f"that accountant gave out: {why}")
    if found is None:
        return _unavailable("its grid would have to be too fine for an epsilon as small as this")
    low, estimate, high = found
    error = max(high - estimate, estimate - low)
    if not (math.isfinite(error) and 0 < error <= LARGEST_ERROR * estimate):
        return _unavailable("that accountant found no figure that says anything")
    # Fourier transforms differ in their last digits from one machine, or process, to another.
    rounded = round(estimate, PLACES)
    error = math.ceil((error + abs(rounded - estimate)) * 10**PLACES) / 10**PLACES
    return SecondOpinion(accountant=ACCOUNTANT, epsilon=rounded, error=error)


def _unavailable(reason: str) -> SecondOpinion:
    return SecondOpinion(accountant=ACCOUNTANT, epsilon=None, error=None, unavailable=reason)


def _interval(
    releases: tuple[Release, ...], delta: float, epsilon: float
) -> tuple[float, float, float] | None:
    """Return the least, the estimated and the largest epsilon; None where the error would be large."""
    from opacus.accountants.analysis import prv as opacus_prv

    prv: Any = opacus_prv  # partly untyped
    variables = [prv.PoissonSubsampledGaussianPRV(rate, noise) for noise, rate, _ in releases]
    times = [count for *_, count in releases]
    error, delta_error = ERROR * epsilon, DELTA_ERROR * delta
    width = prv.compute_safe_domain_size(
        prvs=variables, max_self_compositions=times, eps_error=error, delta_error=delta_error
    )
    # How the error grows with the mesh (their Theorem 5.5, as Opacus has it).
    growth = math.sqrt(sum(times) * math.log(12 / delta_error) / 2)
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
        total = prv.compose_heterogeneous(dprvs=discrete, num_self_compositions=times)
        low, estimate, high = total.compute_epsilon(delta, delta_error, error)
    return float(low), float(estimate), float(high)
