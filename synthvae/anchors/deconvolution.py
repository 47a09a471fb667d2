"""Masses of many categories from noisy counts, by empirical Bayes.

Among hundreds of codes most counts are noise. To cut them at zero keeps the upper half of that noise;
to have all rare codes share one mass loses which of them nobody has. The distribution of the true counts
is estimated from all noisy ones together, whose noise is known (a nonparametric maximum likelihood:
Kiefer and Wolfowitz 1956, "Consistency of the Maximum Likelihood Estimator in the Presence of Infinitely
Many Incidental Parameters", Annals of Mathematical Statistics 27(4), section 5), and each count is
replaced by its posterior mean. This looks at noisy counts alone.
"""

import numpy as np

from synthvae._types import Floats

MANY = 20  # categories from which on their distribution tells more than it costs to estimate
CLEAR = 4.0  # standard deviations above which a count is taken as it is
CEILING = 2 * CLEAR  # of the true counts that weak ones are explained by
SUPPORT = np.linspace(0.0, CEILING, 81)
ITERATIONS = 100


def posterior_means(counts: Floats, sigma: float) -> Floats:
    """Return estimates of true counts, shape (categories,), none of them negative.

    Parameters
    ----------
    counts
        With Gaussian noise, shape (categories,).
    sigma
        Standard deviation of the noise.

    Examples
    --------
    >>> noisy = np.array([500.0, 30, -20, 10, -15, 5, 0, -5, 20, -10])
    >>> posterior_means(noisy, 20.0).round().tolist()[:2]
    [500.0, 2.0]
    """
    scaled = counts / sigma
    weak = scaled < CLEAR
    distance = np.minimum(scaled, CEILING)[:, None] - SUPPORT
    likelihood = np.exp(0.5 * ((distance**2).min(axis=1, keepdims=True) - distance**2))
    weights = np.full(len(SUPPORT), 1 / len(SUPPORT))
    for _ in range(ITERATIONS):  # expectation maximisation of the weights
        posterior = likelihood * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        weights = posterior.mean(axis=0)
    found: Floats = np.where(weak, posterior @ SUPPORT * sigma, counts)
    # What the weak ones add up to is known better than any of them.
    means, total = found[weak].sum(), max(float(counts[weak].sum()), 0.0)
    found[weak] *= total / means if means > 0 else 0.0
    return found
