"""Lower bounds on epsilon from how often an observer errs, and the ceilings that trials allow.

Every bound inverts an exact test: it is the largest claim that the counts of errors refute at the
stated level. A threshold is either fixed beforehand or chosen on other trials than those that are
counted. Errors and claims come first, then one run with canaries, then the bounds of a whole audit.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import beta, binom, norm

from synthvae._types import Floats
from synthvae.audit.results import Component
from synthvae.privacy import accounting
from synthvae.privacy.guarantee import GaussianStage, Stage, TrainingStage

LARGEST = 200.0  # epsilon that a bound can be
SCALES = (8.0, 4.0, 2.5, 1.8, 1.5, 1.3, 1.15, 1.0, 0.85, 0.7, 0.5)  # of noise, from much to little
TAILS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4)
SHARES = {1: 0.5, 2: 0.3, 3: 0.2}  # of the allowed error: everything together, stages, the rest
BEFOREHAND = "fixed beforehand"
FIRST_HALF = "chosen on half of the trials, scored on the others"


@dataclass(frozen=True)
class Errors:
    """How often an observer was wrong: false alarms without the record, misses with it."""

    false_alarms: int
    without: int
    misses: int
    with_record: int

    @classmethod
    def none(cls, without: int, with_record: int) -> "Errors":
        """Return those of an observer who never errs."""
        return cls(0, without, 0, with_record)

    @classmethod
    def at(cls, threshold: float, without: Floats, with_record: Floats) -> "Errors":
        """Return those of calling the record present where a score is above the threshold."""
        return cls(
            int((without > threshold).sum()),
            len(without),
            int((with_record <= threshold).sum()),
            len(with_record),
        )

    def upper(self, level: float) -> tuple[float, float]:
        """Return upper limits of both rates, which hold jointly at confidence 1 - `level`."""
        return (
            upper_limit(self.false_alarms, self.without, level / 2),
            upper_limit(self.misses, self.with_record, level / 2),
        )


def upper_limit(events: int, trials: int, level: float) -> float:
    """Return the exact upper limit of a probability (Clopper and Pearson 1934, Biometrika 26).

    Examples
    --------
    >>> round(upper_limit(0, 1000, 0.025), 6)
    0.003682
    """
    return 1.0 if events >= trials else float(beta.ppf(1 - level, events + 1, trials - events))


def gaussian_lower(errors: Errors, level: float) -> float:
    """Return the largest mu for which mu-Gaussian differential privacy is refuted.

    mu = Phi^-1(1 - a) - Phi^-1(b) at the upper limits of both rates (Nasr et al. 2023, "Tight Auditing
    of Differentially Private Machine Learning", section 5.2, equation 6).
    """
    first, second = errors.upper(level)
    return max(0.0, float(norm.isf(first) - norm.ppf(second)))


@dataclass(frozen=True)
class Claim:
    """What some stages of a fit promise, as a trade-off of errors that can be refuted.

    Where everything is Gaussian with everybody taking part, the trade-off is that of one number mu,
    and bounds are exact. With Poisson sampling it is that of the accountant's privacy loss
    distribution (Nasr et al. 2023, section 5.3), on a grid of noise scales, pessimistic throughout.
    """

    stages: tuple[Stage, ...]
    delta: float

    @cached_property
    def mu(self) -> float | None:
        """The mu of all stages; None where patients are sampled."""
        mu = math.sqrt(accounting.squared_mu(self.stages))
        return mu if math.isfinite(mu) else None

    @cached_property
    def epsilon(self) -> float:
        """The epsilon that is claimed at delta."""
        if self.mu is not None:
            return min(LARGEST, accounting.gaussian_epsilon(self.mu, self.delta))
        # As the guarantee of a fit composes it, on a finer grid where epsilon is small.
        return accounting.compose(self.stages, self.delta, 1e-3)

    def lower(self, errors: Errors, level: float) -> float:
        """Return the largest epsilon, of these stages with more or less noise, that is refuted."""
        if self.mu is not None:
            mu = gaussian_lower(errors, level)
            return min(LARGEST, accounting.gaussian_epsilon(mu, self.delta))
        rates = errors.upper(level)
        largest = 0.0
        for epsilon, trade_off in self._family:
            if not _refutes(rates, trade_off):
                break
            largest = epsilon
        return largest

    def refuted_by(self, errors: Errors, level: float) -> bool:
        """Return whether the claim itself does not hold."""
        if self.mu is not None:
            # Beyond what rounding may do to a claim that is met exactly.
            return gaussian_lower(errors, level) > self.mu * (1 + 1e-9)
        return _refutes(errors.upper(level), self._scaled(1.0)[1])

    @cached_property
    def _family(self) -> tuple[tuple[float, Floats], ...]:
        return tuple(self._scaled(scale) for scale in SCALES)

    def _scaled(self, scale: float) -> tuple[float, Floats]:
        """Return epsilon at delta, and the trade-off, of the stages with their noise scaled."""
        stages = tuple(_with_noise(stage, scale) for stage in self.stages)
        # The claim's grid at every scale.
        distribution = accounting.losses(stages, 10 * accounting.default_interval(self.epsilon))
        trade_off = [(distribution.get_epsilon_for_delta(delta), delta) for delta in TAILS]
        epsilon = self.epsilon if scale == 1 else distribution.get_epsilon_for_delta(self.delta)
        return float(epsilon), np.array(trade_off)


def _with_noise(stage: Stage, scale: float) -> Stage:
    if isinstance(stage, GaussianStage):
        noises = tuple(scale * noise for noise in stage.noise_multipliers)
        return stage.model_copy(update={"noise_multipliers": noises})
    assert isinstance(stage, TrainingStage)  # an audited fit makes no selections
    return stage.model_copy(update={"noise_multiplier": scale * stage.noise_multiplier})


def _refutes(rates: tuple[float, float], trade_off: Floats) -> bool:
    first, second = rates
    factors = np.exp(np.minimum(trade_off[:, 0], LARGEST))
    return any(
        bool((1 - other > factors * one + trade_off[:, 1]).any())
        for one, other in ((first, second), (second, first))
    )


def one_run_p_value(
    canaries: int, guesses: int, correct: int, epsilon: float, delta: float
) -> float:
    """Return how likely `correct` or more right guesses are, at most, under (epsilon, delta).

    Each canary takes part by the toss of a fair coin, in one training run; the observer abstains
    on all but `guesses` of them (Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1)
    Training Run", Theorem 5.2 and Corollary 5.4).
    """
    accuracy = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(correct - 1, guesses, accuracy))
    if delta == 0 or correct == 0:
        return min(1.0, tail)
    # P[correct - i <= Binomial < correct] / i, at its largest over i
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, accuracy))
    steepest = float((below / np.arange(1, correct + 1)).max())
    return min(1.0, tail + 2 * canaries * delta * steepest)


def one_run_epsilon(canaries: int, guesses: int, correct: int, delta: float, level: float) -> float:
    """Return the largest epsilon that the number of correct guesses refutes.

    Examples
    --------
    The paper's own example (appendix D): 75 of 100 guesses about 1,000 canaries, delta 1e-4.

    >>> round(one_run_epsilon(1000, 100, 75, 1e-4, 0.05), 3)
    0.673
    """

    def refutes(epsilon: float) -> bool:
        return one_run_p_value(canaries, guesses, correct, epsilon, delta) < level

    low, high = 0.0, 1.0
    if not refutes(low):
        return 0.0
    while refutes(high) and high < LARGEST:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(middle) else (low, middle)
    return low


@dataclass(frozen=True)
class Scores:
    """One score of all fits, and what it is a score of."""

    name: str
    sees: str
    claim: Claim
    worlds: tuple[Floats, Floats]  # without the record, with it
    threshold: float | None  # None where it has to be chosen
    rank: int  # 1 looks at everything that is released, 2 at a stage, 3 at a part of one

    def bound(self, level: float) -> Component:
        """Return the lower bound, which fails with a probability of at most `level`."""
        without, with_record = self.worlds
        threshold = self.threshold
        if threshold is None:
            sign, threshold = choose_threshold(without[::2], with_record[::2])
            without, with_record = sign * without[1::2], sign * with_record[1::2]
        errors = Errors.at(threshold, without, with_record)
        trials = (errors.without, errors.with_record)
        kind = "accountant's" if self.claim.mu is None else "Gaussian"
        return Component(
            name=self.name,
            sees=self.sees,
            claimed=self.claim.epsilon,
            lower=self.claim.lower(errors, level),
            ceiling=self.claim.lower(Errors.none(*trials), level),
            confidence=1 - level,
            method=f"{kind} trade-off",
            threshold=FIRST_HALF if self.threshold is None else BEFOREHAND,
            false_alarms=errors.false_alarms,
            misses=errors.misses,
            trials=trials,
            violated=self.claim.refuted_by(errors, level),
        )


def bound_all(scores: list[Scores], error: float) -> tuple[Component, ...]:
    """Return the bounds, which hold jointly at confidence 1 - `error` (Bonferroni)."""
    ranks = Counter(one.rank for one in scores)
    return tuple(
        one.bound(SHARES[one.rank] * error / ranks[one.rank])
        for one in sorted(scores, key=lambda one: one.rank)
    )


def choose_threshold(without: Floats, with_record: Floats) -> tuple[float, float]:
    """Return a sign and a threshold for the signed score that bound mu best on these fits."""
    best, chosen = -math.inf, (1.0, 0.0)
    for sign in (1.0, -1.0):
        first, second = np.sort(sign * without), np.sort(sign * with_record)
        values = np.unique(np.concatenate((first, second)))
        cuts = np.concatenate(([values[0] - 1.0], (values[1:] + values[:-1]) / 2))
        alarms = len(first) - np.searchsorted(first, cuts, side="right")
        misses = np.searchsorted(second, cuts, side="right")
        a, b = (
            np.array([upper_limit(int(k), len(side), 0.05) for k in range(len(side) + 1)])[events]
            for events, side in ((alarms, first), (misses, second))
        )
        mu = norm.isf(a) - norm.ppf(b)
        mu = np.where((a < 1) & (b < 1), mu, -math.inf)
        if mu.max() > best:
            best, chosen = float(mu.max()), (sign, float(cuts[int(mu.argmax())]))
    return chosen


def discriminant(without: Floats, with_record: Floats) -> tuple[Floats, Floats]:
    """Return scores along the direction that parts the even fits best, each number on its own scale."""
    first, second = without[::2], with_record[::2]
    spread = np.concatenate((first - first.mean(0), second - second.mean(0))).var(0)
    floor = 1e-12 * max(float(spread.max()), 1e-300)
    direction = (second.mean(0) - first.mean(0)) / (spread + floor)
    return without @ direction, with_record @ direction
