"""Whether attacks did better than chance: one-sided tests, corrected for how many there are.

Under the null hypothesis members and others are exchangeable, given all that the attacker holds. The
tests are exact in small groups, so that few patients raise no alarm by themselves.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from scipy import stats

from synthvae._types import Bools, Floats
from synthvae.evaluation import intervals
from synthvae.evaluation.results import Interval, Score

# How often some figure is called better than chance where nothing leaks: the upper half of what a
# 95 % interval leaves out.
ERROR = 0.025
# Of each attack that an evaluation may run: two tests where it ranks patients, one where it guesses;
# and the copies. It depends on nothing that was found.
FAMILY = 16
POWER = 0.8
_CRITICAL = float(stats.norm.isf(ERROR / FAMILY))
# By how much a 95 % interval is widened, for its lower end to hold at the level of one of the family.
_WIDER = _CRITICAL / intervals.NORMAL


def auc_p_value(members: Floats, others: Floats) -> float:
    """Return how often chance alone gives an AUC as large, from one score a patient, without ties.

    Ties are to be broken at random before: where nearly all scores are the same, as distances to a
    table of few columns are, the normal approximation that counts ties is far too sure.

    References
    ----------
    Mann & Whitney 1947, Annals of Mathematical Statistics 18; exact in small groups.
    """
    return float(stats.mannwhitneyu(members, others, alternative="greater").pvalue)


def tpr_p_value(above: int, members: int, others: int, accused: int) -> float:
    """Return how often chance finds `above` members or more while it accuses `accused` others.

    Exact: so many members are above the threshold if and only if, of the first `above` + `accused`
    patients in the order of their scores, at most `accused` are others (hypergeometric).

    Examples
    --------
    >>> tpr_p_value(0, 10, 10, 0), tpr_p_value(1, 10, 10, 0)
    (1.0, 0.5)
    """
    return float(stats.hypergeom.cdf(accused, members + others, others, above + accused))


def gain_p_value(right: Bools, control: Bools) -> float:
    """Return how often chance is right as much more often on members than on others.

    References
    ----------
    Fisher 1935, "The Logic of Inductive Inference", Journal of the Royal Statistical Society 98.
    """
    won, known = int(right.sum()), int(right.sum() + control.sum())
    return float(stats.hypergeom.sf(won - 1, len(right) + len(control), known, len(right)))


def most_by_chance(successes: int, trials: int, others: int) -> float:
    """Return the largest share of `others` trials that chance explains beside some that were seen.

    Fisher's test at the level of one of the family does not tell it from `successes` of `trials`.

    Examples
    --------
    >>> most_by_chance(0, 100, 100), most_by_chance(50, 100, 100)
    (0.07, 0.7)
    """
    counts = np.arange(others + 1)
    chances = stats.hypergeom.sf(counts - 1, others + trials, counts + successes, others)
    return float(counts[chances > ERROR / FAMILY].max() / others)


def adjusted(scores: Sequence[Score]) -> list[Score]:
    """Return the scores, their p-values adjusted for how many of them were tested.

    The copies, which are judged by `most_by_chance`, count as one test more.

    References
    ----------
    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6: whatever the tests have to do with each other, an error among all of them is made at
    most as often as the level says.
    """
    tested = sorted((s.p_value, i) for i, s in enumerate(scores) if s.p_value is not None)
    steps = ((len(tested) + 1 - rank) * p for rank, (p, _) in enumerate(tested))
    found = list(scores)
    for (_, i), value in zip(tested, accumulate(steps, max), strict=True):
        found[i] = found[i].model_copy(update={"p_value": intervals.rounded(min(1.0, value))})
    return found


def lower_end(value: float, interval: Interval) -> float:
    """Return the lower end of a 95 % interval, moved out to the level of one of the family.

    For figures that come without a p-value: rounded ones, and those of earlier versions. By
    Bonferroni's inequality, and by the normal distribution.
    """
    return value - (value - interval.low) * _WIDER


def detectable(error: float, variants: int = 1) -> float:
    """Return the least effect, of that standard error, that is told from chance in 4 of 5 cases.

    `variants` is how many the worst was chosen among.
    """
    critical = stats.norm.isf(ERROR / FAMILY / variants)
    return float((critical + stats.norm.ppf(POWER)) * error)
