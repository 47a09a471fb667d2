"""From scores of many fits to bounds: thresholds fixed beforehand, or chosen on other fits."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from synthvae._types import Floats
from synthvae.audit.bounds import Claim, Errors, upper_limit
from synthvae.audit.values import Component

SHARES = {1: 0.5, 2: 0.3, 3: 0.2}  # of the allowed error: everything together, stages, the rest
BEFOREHAND = "fixed beforehand"
FIRST_HALF = "chosen on half of the trials, scored on the others"


@dataclass(frozen=True)
class Scored:
    """One score of all fits, and what it is a score of."""

    name: str
    sees: str
    claim: Claim
    without: Floats
    with_record: Floats
    threshold: float | None  # None where it has to be chosen
    rank: int  # 1 looks at everything together, 2 at a stage, 3 at a part of one


def bound(scored: list[Scored], error: float) -> tuple[Component, ...]:
    """Return the bounds, which fail together with a probability of at most `error` (Bonferroni)."""
    ranks = Counter(one.rank for one in scored)
    found = []
    for one in sorted(scored, key=lambda one: one.rank):
        level = SHARES[one.rank] * error / ranks[one.rank]
        if one.threshold is None:
            sign, threshold = choose_threshold(one.without[::2], one.with_record[::2])
            errors = Errors.at(threshold, sign * one.without[1::2], sign * one.with_record[1::2])
        else:
            errors = Errors.at(one.threshold, one.without, one.with_record)
        ceiling = one.claim.lower(Errors.none(errors.without, errors.with_record), level)
        found.append(
            Component(
                name=one.name,
                sees=one.sees,
                claimed=one.claim.epsilon,
                lower=one.claim.lower(errors, level),
                ceiling=ceiling,
                confidence=1 - level,
                method="Gaussian trade-off"
                if one.claim.mu is not None
                else "accountant's trade-off",
                threshold=BEFOREHAND if one.threshold is not None else FIRST_HALF,
                false_alarms=errors.false_alarms,
                misses=errors.misses,
                trials=(errors.without, errors.with_record),
                violated=one.claim.refuted_by(errors, level),
            )
        )
    return tuple(found)


def choose_threshold(without: Floats, with_record: Floats) -> tuple[float, float]:
    """Return a sign and a threshold for the signed score that bound mu best on these fits."""
    best, chosen = -math.inf, (1.0, 0.0)
    for sign in (1.0, -1.0):
        first, second = np.sort(sign * without), np.sort(sign * with_record)
        values = np.unique(np.concatenate((first, second)))
        cuts = np.concatenate(([values[0] - 1.0], (values[1:] + values[:-1]) / 2))
        alarms = len(first) - np.searchsorted(first, cuts, side="right")
        misses = np.searchsorted(second, cuts, side="right")
        limits = (
            {int(k): upper_limit(int(k), len(side), 0.05) for k in np.unique(events)}
            for events, side in ((alarms, first), (misses, second))
        )
        of_alarms, of_misses = limits
        a = np.array([of_alarms[int(k)] for k in alarms])
        b = np.array([of_misses[int(k)] for k in misses])
        mu = norm.isf(a) - norm.ppf(b)
        mu = np.where((a < 1) & (b < 1), mu, -math.inf)
        if mu.max() > best:
            best, chosen = float(mu.max()), (sign, float(cuts[int(mu.argmax())]))
    return chosen


def discriminant(without: Floats, with_record: Floats) -> tuple[Floats, Floats]:
    """Return scores by the direction that parts the even fits best, each number on its own scale."""
    first, second = without[::2], with_record[::2]
    spread = np.concatenate((first - first.mean(0), second - second.mean(0))).var(0)
    floor = 1e-12 * max(float(spread.max()), 1e-300)
    direction = (second.mean(0) - first.mean(0)) / (spread + floor)
    return without @ direction, with_record @ direction
