"""How far attacks succeed: curves of membership scores, gains of guesses, and their intervals.

`membership_attack` and `worst_risk` turn what an attack computed into findings; the records of the
figures are made beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from synthvae._types import Bools, Floats
from synthvae.attacks.setup import AttackFindings
from synthvae.evaluation import intervals, significance
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Attack, Interval, Risk

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)
CURVE_POINTS = 200
FROM_CHANCE = (
    "how far from a coin's toss an attack may be; the attack's interval says what it could see"
)


def membership_metrics(
    attack: str, title: str, meaning: str, of_tpr: str | None = None, tripwire: bool = False
) -> tuple[Metric, Metric]:
    """Return the records of one membership attack, a tripwire's with keys of their own.

    Parameters
    ----------
    meaning, of_tpr
        Of the AUC, and of the share of members found where that has a meaning of its own.
    """
    stem = "membership_" if tripwire else f"attack.{attack}."
    area = Metric(
        f"{stem}auc",
        f"{title} (AUC)",
        meaning,
        "towards",
        family="attacks",
        topic="privacy",
        goal=0.5,
        threshold=Limits(0.05, 0.10, FROM_CHANCE),
        disclosure="attack",
        section="attacks",
        tripwire=tripwire,
        attack=attack,
        attack_title=title,
    )
    found = replace(
        area,
        key=f"{stem}tpr",
        title=f"{title} (found at 1 % false alarms)",
        meaning=of_tpr or meaning,
        direction="lower",
        goal=0.01,
        threshold=Limits(0.02, 0.05, "twice what guessing finds at 1 % false alarms"),
        disclosure="withheld",
        withheld_as="members found at low false positive rates are few patients",
    )
    return area, found


def membership_attack(
    metrics: tuple[Metric, Metric],
    title: str,
    sides: Sequence[Floats],
    generator: np.random.Generator,
    *,
    detail: str = "",
    references: dict[str, float | None] | None = None,
) -> AttackFindings:
    """Return what an attack found, from its scores: larger means more like a member.

    Parameters
    ----------
    sides
        Scores of members and of non-members, one a patient.
    """
    members, others = sides
    area, found = metrics
    auc, bounds = intervals.delong(members, others)
    untied = break_ties(members, others, generator)
    at = tuple((rate, *true_positives(*untied, rate)) for rate in FALSE_POSITIVE_RATES)
    sizes = len(members), len(others)
    fpr, tpr = roc(members, others)
    limit = detection_limit(*sizes)
    attack = Attack(
        key=area.attack,
        title=title,
        meaning=area.meaning,
        members=len(members),
        non_members=len(others),
        auc=intervals.rounded(auc),
        auc_interval=bounds,
        fpr=fpr,
        tpr=tpr,
        tpr_at=at,
        detection_limit=limit,
        tripwire=area.tripwire,
    )
    power = f"{detail} An AUC of {limit:.3f} would be told from 0.5 four times out of five."
    rate, share, share_bounds = at[1]
    scores = (
        area.answer(
            auc,
            bounds,
            {**(references or {}), "chance": 0.5},
            power.strip(),
            significance.auc_p_value(*untied),
        ),
        found.answer(
            share,
            share_bounds,
            {"chance": rate},
            detail,
            significance.tpr_p_value(
                round(share * len(members)), *sizes, accused_others(rate, len(others))
            ),
        ),
    )
    return AttackFindings((attack,), (), scores)


def not_run(metrics: Iterable[Metric], reason: str) -> AttackFindings:
    """Return the findings of an attack that did not run, with the reason."""
    return AttackFindings(scores=tuple(metric.unanswered(reason) for metric in metrics))


def break_ties(
    members: Floats, others: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the ranks of both sides in their common order, ties in random order.

    An attacker who may accuse few patients can draw among equal scores; without this, a table with many
    of them would seem safe at low false-positive rates.
    """
    scores = np.concatenate((members, others))
    ranks = np.empty(len(scores))
    ranks[np.lexsort((generator.random(len(scores)), scores))] = np.arange(len(scores))
    return ranks[: len(members)], ranks[len(members) :]


def roc(members: Floats, others: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return false- and true-positive rates from (0, 0) to (1, 1), thinned to a drawable number."""
    thresholds = np.unique(np.r_[members, others])[::-1]
    rates = [
        np.r_[0, len(side) - np.searchsorted(np.sort(side), thresholds, side="left")] / len(side)
        for side in (others, members)
    ]
    kept = np.unique(np.linspace(0, len(rates[0]) - 1, CURVE_POINTS).round().astype(int))
    fpr, tpr = (tuple(intervals.rounded(rate) for rate in side[kept]) for side in rates)
    return fpr, tpr


def accused_others(rate: float, others: int) -> int:
    """Return how many of the others an attacker may accuse at that false-positive rate."""
    return min(int(rate * others), others - 1)


def true_positives(members: Floats, others: Floats, rate: float) -> tuple[float, Interval]:
    """Return the share of members found at a false-positive rate of at most `rate`.

    The interval is for the share at the *true* rate, so it covers two uncertainties: which
    threshold has that rate, by exact limits of order statistics of the others; and which share of
    all members is above it, by Clopper and Pearson's. Each of the four tails has a quarter of the
    error, so the interval covers at least as often as its level says. Few others leave the lower end
    at 0: of 1,000, no threshold is known to accuse only 0.1 %.

    References
    ----------
    David & Nagaraja 2003, Order Statistics, section 7.1 (limits for quantiles); Clopper & Pearson
    1934, Biometrika 26.
    """
    n, tail = len(others), (1 - intervals.LEVEL) / 4
    ordered = np.r_[np.inf, np.sort(others)[::-1], -np.inf]

    def above(accused: int) -> int:
        """Return how many members are above the threshold that accuses that number of others."""
        return int((members > ordered[accused + 1]).sum())

    found = above(accused_others(rate, n)) / len(members)
    # A threshold that accuses k of n others has a true rate distributed as Beta(k + 1, n - k).
    counts = np.arange(n)
    surely_below = counts[stats.beta.sf(rate, counts + 1, n - counts) <= tail]
    surely_above = counts[stats.beta.cdf(rate, counts + 1, n - counts) <= tail]
    low, high = 0.0, 1.0
    if len(surely_below):
        low = intervals.exact_limits(above(surely_below[-1]), len(members), 1 - 2 * tail)[0]
    if len(surely_above):
        high = intervals.exact_limits(above(surely_above[0]), len(members), 1 - 2 * tail)[1]
    return intervals.rounded(found), intervals.interval(
        min(low, found), max(high, found), "order statistics and Clopper-Pearson"
    )


def detection_limit(members: int, others: int) -> float:
    """Return the AUC that would be told from 0.5 four times out of five, beside all other tests.

    The standard error under chance is that of the Mann-Whitney statistic.
    """
    error = ((members + others + 1) / (12 * members * others)) ** 0.5
    return intervals.rounded(min(1.0, 0.5 + significance.detectable(error)))


def gain_metric(key: str, title: str, meaning: str) -> Metric:
    """Return the record of an attack that guesses: what membership adds to its success."""
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
        attack_title=title,
    )


def worst_risk(
    metric: Metric,
    variants: Mapping[str, Sequence[Bools]],
    detail: str,
    p_value: float | None = None,
) -> AttackFindings:
    """Return the risk of the variant whose gain is surest, its intervals widened for the choice.

    Parameters
    ----------
    variants
        Which guesses were right, on members and on others, by what was tried: a column, a kind of
        predicate. The guesses are independent, one a patient. With *k* variants each interval is at
        the level 1 − 0.05/k (Bonferroni), so that all hold jointly; the worst is the one whose
        lower end is largest. The p-value is *k* times the smallest.
    p_value
        In place of that one, where more is known of the guesses than how many were right.
    detail
        What else a reader should know; ``{worst}`` in it stands for the name of the worst.
    """
    level = 1 - (1 - intervals.LEVEL) / len(variants)
    choice = "" if len(variants) == 1 else f", the worst of {len(variants)} (Bonferroni)"
    counts = {k: [(int(s.sum()), len(s)) for s in sides] for k, sides in variants.items()}
    gains = {name: difference(sides, level, choice) for name, sides in counts.items()}
    worst = max(gains, key=lambda name: gains[name].low)
    (won, members), (control, others) = counts[worst]
    limits = [intervals.exact_limits(*side, level) for side in counts[worst]]
    if p_value is None:
        chances = [significance.gain_p_value(*sides) for sides in variants.values()]
        p_value = min(1.0, len(variants) * min(chances))
    success, rate = (float(side.mean()) for side in variants[worst])
    risk = Risk(
        key=metric.attack,
        title=metric.attack_title,
        meaning=metric.meaning,
        members=members,
        others=others,
        success=intervals.rounded(success),
        success_interval=intervals.interval(*limits[0], f"Clopper-Pearson{choice}"),
        control=intervals.rounded(rate),
        control_interval=intervals.interval(*limits[1], f"Clopper-Pearson{choice}"),
        gain=intervals.rounded(success - rate),
        gain_interval=gains[worst],
        detection_limit=gain_limit(control, members, others, len(variants)),
        detail=detail.format(worst=worst),
    )
    text = (
        f"Right {won:,} times of {members:,} on members, {control:,} of {others:,} on others. "
        f"{risk.detail} A gain of {risk.detection_limit:.3f} would be told from 0 four times out of "
        "five."
    )
    score = metric.answer(success - rate, gains[worst], {"chance": 0.0}, text, p_value)
    return AttackFindings(risks=(risk,), scores=(score,))


def difference(
    counts: Sequence[tuple[int, int]], level: float = intervals.LEVEL, choice: str = ""
) -> Interval:
    """Return the interval of the difference of two independent shares, first less second.

    It joins the intervals of both shares as Newcombe's does, but exact ones in place of Wilson's, so
    that it covers at shares of 0 and 1 too.

    Parameters
    ----------
    counts
        Successes and trials, twice.
    choice
        How the share was chosen, for the name of the method.

    References
    ----------
    Newcombe 1998, Statistics in Medicine 17 (873-890), "method 10".

    Examples
    --------
    >>> difference([(0, 100), (0, 100)]).high
    0.036217
    """
    first, second = (won / trials for won, trials in counts)
    (low1, high1), (low2, high2) = (
        intervals.exact_limits(won, trials, level) for won, trials in counts
    )
    return intervals.interval(
        first - second - float(np.hypot(first - low1, high2 - second)),
        first - second + float(np.hypot(high1 - first, second - low2)),
        f"Newcombe's method 10 of exact intervals{choice}",
    )


def gain_limit(control: int, members: int, others: int, variants: int = 1) -> float:
    """Return the gain over the control's rate that would be told from 0 four times out of five.

    That is beside all other tests, and with `variants` tried of which the worst counts.
    """
    share = (control + 1) / (others + 2)
    error = (share * (1 - share) * (1 / members + 1 / others)) ** 0.5
    return intervals.rounded(min(1.0, significance.detectable(error, variants)))
