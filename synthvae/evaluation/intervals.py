"""Confidence intervals: exact for shares, DeLong for ranks, else jackknife or bootstrap."""

import numpy as np
from scipy import special, stats

from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation.results import Interval

LEVEL = 0.95
GROUPS = 20
RESAMPLES = 300
DIGITS = 6


def rounded(value: float) -> float:
    """Return a figure to the digits that are reported, so that machines agree on its bytes."""
    return round(float(value), DIGITS) + 0.0


def rounded_rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    """Return a matrix by row, each figure to the digits that are reported."""
    return tuple(tuple(map(rounded, row)) for row in matrix)


def interval(low: float, high: float, method: str) -> Interval:
    """Return an interval at the level that all scores share."""
    return Interval(low=rounded(low), high=rounded(high), level=LEVEL, method=method)


def clopper_pearson(successes: int, trials: int) -> Interval:
    """Return the exact interval of a share (Clopper & Pearson 1934, Biometrika 26).

    Examples
    --------
    >>> clopper_pearson(0, 10).high
    0.308497
    """
    return interval(*exact_limits(successes, trials), "Clopper-Pearson")


def exact_limits(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return both ends of Clopper and Pearson's interval at any level."""
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = (
        stats.beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    )
    return float(low), float(high)


def clustered_share(chosen: Bools, patients: Ints) -> Interval:
    """Return the interval of a share of rows, of which some are the same patient's.

    With a row a patient it is Clopper and Pearson's. Else the rows count as the number of independent
    ones that would give the share's variance between patients (Korn & Graubard 1998, Survey
    Methodology 24): at most the rows; where no row is chosen or every one, the patients.

    Parameters
    ----------
    chosen, patients
        Shape (rows,).
    """
    rows, successes = len(chosen), int(chosen.sum())
    whose = np.unique(patients, return_inverse=True)[1]
    count = int(whose.max()) + 1
    if count == rows:
        return clopper_pearson(successes, rows)
    share, worth = successes / rows, float(count)
    if 0 < successes < rows and count > 1:
        excess = np.bincount(whose, weights=chosen - share)
        variance = count / (count - 1) * float(excess @ excess) / rows**2
        worth = min(rows, share * (1 - share) / variance) if variance else rows
        worth *= (stats.norm.ppf((1 + LEVEL) / 2) / stats.t.ppf((1 + LEVEL) / 2, count - 1)) ** 2
    tail, hits = (1 - LEVEL) / 2, share * worth
    low = stats.beta.ppf(tail, hits, worth - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, worth - hits) if hits < worth else 1.0
    return interval(low, high, f"Korn-Graubard, {count:,} patients")


def delong(positives: Floats, negatives: Floats) -> tuple[float, Interval]:
    """Return the AUC of scores and its interval, units independent.

    DeLong's interval is taken on the logit scale, and is no narrower than Newcombe's: near 0 and 1,
    and in small groups, DeLong's own covers too rarely (0.83 in place of 0.95 for an AUC of 0.99 in
    two groups of 50 normal scores). Where the groups do not overlap at all, its variance is zero and
    Newcombe's interval stands alone.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44; computed by midranks as in Sun & Xu 2014,
    IEEE Signal Processing Letters 21; the logit scale: Qin & Hotilovac 2008, Statistical Methods in
    Medical Research 17, section 2.
    """
    m, n = len(positives), len(negatives)
    ranks = stats.rankdata(np.r_[positives, negatives])
    above = (ranks[:m] - stats.rankdata(positives)) / n
    below = 1 - (ranks[m:] - stats.rankdata(negatives)) / m
    auc = float(above.mean())
    variance = _variance(above) / m + _variance(below) / n
    least = newcombe(auc, m, n)
    if variance < 1e-12 or not 0 < auc < 1:
        return auc, least
    half = stats.norm.ppf((1 + LEVEL) / 2) * variance**0.5 / (auc * (1 - auc))
    low, high = special.expit(special.logit(auc) + np.array([-half, half]))
    return auc, interval(
        min(low, least.low), max(high, least.high), "DeLong on the logit scale, at least Newcombe's"
    )


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def newcombe(auc: float, positives: int, negatives: int) -> Interval:
    """Return a score-type interval of an AUC, which has a width at 0 and 1 too.

    References
    ----------
    Newcombe 2006, Statistics in Medicine 25, "method 5": all AUCs whose own standard error (Hanley
    & McNeil 1982, with the mean of both group sizes) would not reject the one that was seen.
    """
    candidates = np.linspace(0, 1, 10_001)
    mean = (positives + negatives) / 2 - 1
    spread = 1 + mean * (1 - candidates) / (2 - candidates) + mean * candidates / (1 + candidates)
    error = np.sqrt(candidates * (1 - candidates) * spread / (positives * negatives))
    kept = candidates[np.abs(candidates - auc) <= stats.norm.ppf((1 + LEVEL) / 2) * error]
    low, high = (min(kept.min(), auc), max(kept.max(), auc)) if len(kept) else (auc, auc)
    return interval(low, high, "Newcombe's method 5")


def jackknife_groups(patients: Ints, generator: np.random.Generator) -> Ints:
    """Return which of at most `GROUPS` equal groups of patients each row falls into."""
    whose = np.unique(patients, return_inverse=True)[1]
    count = int(whose.max()) + 1
    return np.asarray(generator.permutation(count)[whose] % min(GROUPS, count))


def jackknife(
    value: float, without: Floats, of: str, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval | None:
    """Return the delete-a-group jackknife interval of a figure, None where there is one group.

    Unlike a bootstrap's, its width is not inflated by the bias that resampling adds to a distance.

    Parameters
    ----------
    without
        The figure with each group left out, shape (groups,).

    References
    ----------
    Shao & Tu 1995, The Jackknife and Bootstrap, section 5.3.
    """
    groups = len(without)
    if groups < 2:
        return None
    error = (groups - 1) ** 0.5 * without.std()
    half = stats.t.ppf((1 + LEVEL) / 2, groups - 1) * error
    return interval(
        max(bounds[0], value - half),
        min(bounds[1], value + half),
        f"jackknife over {groups} groups of {of}",
    )


def resample_weights(
    patients: Ints, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Floats:
    """Return how often each row stands in each bootstrap of patients, shape (resamples, rows)."""
    whose = np.unique(patients, return_inverse=True)[1]
    count = int(whose.max()) + 1
    drawn = generator.integers(count, size=(resamples, count))
    return np.stack([np.bincount(draw, minlength=count)[whose] for draw in drawn]).astype(float)


def percentile(figures: Floats, what: str) -> Interval | None:
    """Return the percentile interval of a bootstrap, None where most resamples gave no figure."""
    usable = figures[np.isfinite(figures)]
    if len(usable) < len(figures) / 2:
        return None
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return interval(low, high, f"bootstrap of {what}, {len(usable)} resamples")


def weighted_auc(scores: Floats, positive: Bools, weights: Floats) -> Floats:
    """Return the AUC under each set of row weights, shape (sets,); NaN where a class has none.

    Parameters
    ----------
    scores, positive
        Shape (rows,).
    weights
        Shape (sets, rows).
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    sorted_weights = weights[:, order]
    chosen = positive[order]
    ups = np.add.reduceat(sorted_weights * chosen, starts, axis=1)
    downs = np.add.reduceat(sorted_weights * ~chosen, starts, axis=1)
    beaten = np.cumsum(downs, axis=1) - downs / 2
    pairs = ups.sum(axis=1) * downs.sum(axis=1)
    won = (ups * beaten).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
