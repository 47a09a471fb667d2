"""The baselines' budget, in Gaussian differential privacy (GDP).

A fit's budget is the mu for which mu-GDP is exactly (epsilon, delta). Counts with Gaussian noise of
multiplier z are 1/z-GDP, and everything composes by adding squares of mu, also where later
releases and their noise are chosen by the outcomes of earlier ones (Smith and Thakurta 2022, "Fully
Adaptive Composition for Gaussian Differential Privacy": a filter that stops before the sum of squares
exceeds mu squared). At epsilon = 1 and delta = 1e-5 counts get 1.18 times the precision that
zero-concentrated privacy leaves them, with which AIM and MST are usually run, even with the tight
conversion of Canonne, Kamath and Steinke 2020 (Corollary 13). A choice by the exponential mechanism
costs 1.57 times as much, and takes a tenth of what AIM spends on a round.
"""

import math
from dataclasses import dataclass
from dataclasses import field as default

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from synthvae.baselines.record import Record, Release
from synthvae.errors import BudgetError
from synthvae.privacy.accounting import SMALLEST_DELTA, SMALLEST_EPSILON, gaussian_mu

# From here on discrete Gaussian counts cost what continuous ones do, to 0.5 % of epsilon.
LEAST_NOISE = 4.0
LARGEST_SELECTION = 4.0  # epsilon of one choice; more would buy nothing
ROUNDING = 1e-9  # of the budget, left unspent: sums of floats may come out a little above


def checked_delta(epsilon: float, delta: float | None, patients: int | None) -> float:
    """Return delta, by default a tenth of 1/n and at most 1e-5, or raise `BudgetError`."""
    if isinstance(epsilon, bool) or not math.isfinite(epsilon) or not 0 < epsilon <= 100:
        raise BudgetError(f"epsilon is {epsilon!r}; it must be above 0 and at most 100.")
    if epsilon < SMALLEST_EPSILON:
        raise BudgetError(
            f"epsilon is {epsilon:g}; below {SMALLEST_EPSILON:g} nothing but noise is left: use a "
            "larger one."
        )
    if delta is None:
        return 1e-6 if patients is None else min(1e-5, 1 / (10 * patients))
    largest = 1e-5 if patients is None else 1 / patients
    if not 0 < delta < 1 or delta > largest or delta * (patients or 0) >= 1:
        raise BudgetError(
            f"delta is {delta:g}; it must be above 0 and below 1/n, here {largest:.3g}: use less."
        )
    if delta < SMALLEST_DELTA:
        raise BudgetError(
            f"delta is {delta:g}; below {SMALLEST_DELTA:g} it cannot be accounted for: use "
            f"{SMALLEST_DELTA:g} or more."
        )
    return delta


def epsilon_of(mu: float, delta: float) -> float:
    """Return the epsilon at `delta` of mu-GDP (Dong, Roth and Su 2022, Corollary 2.13).

    Examples
    --------
    >>> round(epsilon_of(gaussian_mu(1.0, 1e-5), 1e-5), 6)
    1.0
    """
    if mu <= 0:
        return 0.0

    def excess(epsilon: float) -> float:
        first = norm.cdf(-epsilon / mu + mu / 2)
        return float(first - math.exp(epsilon) * norm.cdf(-epsilon / mu - mu / 2) - delta)

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, mu * (mu / 2 + 40) + 1, xtol=1e-12))


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


@dataclass
class Budget:
    """What may be spent, and the log of what was: a filter that refuses to overspend.

    Parameters
    ----------
    rows
        Largest number of rows of one patient: the sensitivity of a count, in L2 and in L1.
    """

    epsilon: float
    delta: float
    rows: int
    releases: list[Release] = default(default_factory=list)
    spent: float = 0.0  # in mu squared

    @property
    def whole(self) -> float:
        """The squared mu of the whole budget."""
        return gaussian_mu(self.epsilon, self.delta) ** 2 * (1 - ROUNDING)

    @property
    def left(self) -> float:
        """The squared mu that is left."""
        return max(0.0, self.whole - self.spent)

    def counts(self, multiplier: float, what: str) -> float:
        """Enter counts with noise of `multiplier`; return the noise's scale in rows."""
        self._enter(Release(mechanism="gaussian", what=what, parameter=multiplier), multiplier**-2)
        return multiplier * self.rows

    def selection(self, epsilon: float, what: str) -> None:
        """Enter one choice by the exponential mechanism."""
        release = Release(mechanism="exponential", what=what, parameter=epsilon)
        self._enter(release, selection_mu(epsilon) ** 2)

    def _enter(self, release: Release, cost: float) -> None:
        if self.spent + cost > self.whole * (1 + ROUNDING / 2):
            raise BudgetError(
                f"{release.what} would spend more than epsilon {self.epsilon:g}; nothing was released."
            )
        self.spent += cost
        self.releases.append(release)

    def record(self, method: str, *, valid: bool) -> Record:
        """Return what was spent, as values."""
        return Record(
            method=method,
            valid=valid,
            epsilon=epsilon_of(math.sqrt(self.spent), self.delta),
            epsilon_budget=self.epsilon,
            delta=self.delta,
            rows_per_patient=self.rows,
            releases=tuple(self.releases),
        )


def noise_for(precision: float) -> float:
    """Return the multiplier that costs `precision` (in mu squared), never below the floor."""
    return max(LEAST_NOISE, 1 / math.sqrt(max(precision, 1e-300)))


def selection_for(precision: float) -> float:
    """Return the epsilon of a choice that costs `precision` (in mu squared)."""
    if selection_mu(LARGEST_SELECTION) ** 2 <= precision:
        return LARGEST_SELECTION
    goal = math.sqrt(precision)
    found = brentq(lambda e: selection_mu(e) - goal, 1e-9, LARGEST_SELECTION, xtol=1e-9)
    return max(1e-9, float(found) - 2e-9)
