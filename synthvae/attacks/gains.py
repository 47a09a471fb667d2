"""Guesses about patients: how often they are right on members, on others, and the difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from synthvae._types import Bools
from synthvae.attacks.findings import AttackFindings
from synthvae.evaluation.intervals import LEVEL, exact_limits, interval, rounded
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.values import Interval, Risk

POWER = 0.8

Key = Literal["attribute_inference", "singling_out", "linkability", "near_copies"]


@dataclass(frozen=True)
class Guesses:
    """Which guesses were right, on members and on others: independent ones, one a patient."""

    members: Bools
    others: Bools

    @property
    def right(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many were right, and of how many, for members and for others."""
        members, others = ((int(side.sum()), len(side)) for side in (self.members, self.others))
        return members, others

    @property
    def gain(self) -> float:
        """The share of right guesses on members, less that on others."""
        return float(self.members.mean() - self.others.mean())


def gain_metric(key: Key, title: str, meaning: str) -> Metric:
    """Return the record of one of these attacks: what membership adds to its success."""
    return Metric(
        f"attack.{key}.gain",
        f"{title} (gain)",
        meaning,
        "lower",
        family="attacks",
        topic="privacy",
        goal=0.0,
        threshold=Limits(0.05, 0.10, "1 in 20 guesses more than about non-members"),
        disclosure="attack",
        section="attacks",
        attack=key,
    )


def worst_risk(
    key: Key, metric: Metric, title: str, tried: Mapping[str, Guesses], detail: str
) -> AttackFindings:
    """Return the risk of the variant that gained most surely, its intervals widened for the choice.

    Parameters
    ----------
    tried
        Guesses by what was tried: a column, a kind of predicate. With *k* of them each interval is
        at the level 1 − 0.05/k (Bonferroni), so that all of them hold together; the worst is the one
        whose lower end is largest.
    detail
        What else a reader should know; ``{worst}`` in it stands for the name of the worst.
    """
    level = 1 - (1 - LEVEL) / len(tried)
    chosen = "" if len(tried) == 1 else f", the worst of {len(tried)} (Bonferroni)"
    gains = {name: difference(each.right, level, chosen) for name, each in tried.items()}
    worst = max(tried, key=lambda name: gains[name].low)
    guesses, bounds = tried[worst], gains[worst]
    (won, members), (control, others) = guesses.right
    limits = [exact_limits(*side, level) for side in guesses.right]
    risk = Risk(
        key=key,
        title=title,
        meaning=metric.meaning,
        members=members,
        others=others,
        success=rounded(won / members),
        success_interval=interval(*limits[0], f"Clopper-Pearson{chosen}"),
        control=rounded(control / others),
        control_interval=interval(*limits[1], f"Clopper-Pearson{chosen}"),
        gain=rounded(guesses.gain),
        gain_interval=bounds,
        detection_limit=gain_limit(control, members, others, level),
        detail=detail.format(worst=worst),
    )
    said = (
        f"Right {won:,} times of {members:,} on members, {control:,} of {others:,} on others. "
        f"{risk.detail} A gain of {risk.detection_limit:.3f} would be told from 0 four times out of "
        "five."
    )
    score = metric.answer(guesses.gain, bounds, {"chance": 0.0}, said)
    return AttackFindings(risks=(risk,), scores=(score,))


def difference(right: Sequence[tuple[int, int]], level: float = LEVEL, said: str = "") -> Interval:
    """Return the interval of the difference of two independent shares, first less second.

    Newcombe's way of joining the intervals of both shares, with exact ones in place of Wilson's, so
    that it covers at shares of 0 and 1 too.

    Parameters
    ----------
    right
        Successes and trials, twice.

    References
    ----------
    Newcombe 1998, Statistics in Medicine 17 (873-890), "method 10".

    Examples
    --------
    >>> difference([(0, 100), (0, 100)]).high
    0.036217
    """
    shares = [won / of for won, of in right]
    (low1, high1), (low2, high2) = (exact_limits(won, of, level) for won, of in right)
    gain = shares[0] - shares[1]
    return interval(
        gain - float(np.hypot(shares[0] - low1, high2 - shares[1])),
        gain + float(np.hypot(high1 - shares[0], shares[1] - low2)),
        f"Newcombe's method 10 of exact intervals{said}",
    )


def gain_limit(control: int, members: int, others: int, level: float = LEVEL) -> float:
    """Return the gain over the control's rate that would be told from 0 four times out of five."""
    share = (control + 1) / (others + 2)
    error = (share * (1 - share) * (1 / members + 1 / others)) ** 0.5
    return rounded(min(1.0, (stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(POWER)) * error))
