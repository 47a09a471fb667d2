"""Confidence intervals: exact for shares, DeLong for ranks, else jackknife or bootstrap.

Figures of a jackknife or a bootstrap are in one array: first that of all rows, then those of each
group left out or of each resample.
"""

import numpy as np
from scipy import special, stats

from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation.results import Interval

LEVEL = 0.95
GROUPS = 20
RESAMPLES = 300
DIGITS = 6
NORMAL = float(stats.norm.ppf((1 + LEVEL) / 2))


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


def exact_limits(successes: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return both ends of Clopper and Pearson's interval at any level."""
    tail, failures = (1 - level) / 2, trials - successes
    low = stats.beta.ppf(tail, successes, failures + 1) if successes else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, failures) if successes < trials else 1.0
    return float(low), float(high)


def clustered_share(chosen: Bools, patients: Ints) -> Interval:
    """Return the interval of a share of rows, shape (rows,), of which some are the same patient's.

    With a row a patient it is Clopper and Pearson's. Else the rows count as the number of independent
    ones that would give the share's variance between patients (Korn & Graubard 1998, Survey
    Methodology 24): at most the rows; where no row is chosen or every one, the patients.
    """
    rows, successes = len(chosen), int(chosen.sum())
    places, count = _numbered(patients)
    if count == rows:
        return clopper_pearson(successes, rows)
    share, effective = successes / rows, float(count)
    if 0 < successes < rows and count > 1:
        excess = np.bincount(places, weights=chosen - share)
        variance = count / (count - 1) * float(excess @ excess) / rows**2
        effective = min(rows, share * (1 - share) / variance) if variance else rows
        effective *= (NORMAL / stats.t.ppf((1 + LEVEL) / 2, count - 1)) ** 2
    limits = exact_limits(share * effective, effective)
    return interval(*limits, f"Korn-Graubard, {count:,} patients")


def _numbered(patients: Ints) -> tuple[Ints, int]:
    """Return each row's patient as a number from 0, and the number of patients."""
    places = np.unique(patients, return_inverse=True)[1]
    return places, int(places.max()) + 1


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
    variance = sum(float(part.var(ddof=1)) / len(part) for part in (above, below) if len(part) > 1)
    least = newcombe(auc, m, n)
    if variance < 1e-12 or not 0 < auc < 1:
        return auc, least
    half = NORMAL * variance**0.5 / (auc * (1 - auc))
    low, high = special.expit(special.logit(auc) + np.array([-half, half]))
    return auc, interval(
        min(low, least.low), max(high, least.high), "DeLong on the logit scale, at least Newcombe's"
    )


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
    kept = np.r_[auc, candidates[np.abs(candidates - auc) <= NORMAL * error]]
    return interval(kept.min(), kept.max(), "Newcombe's method 5")


def jackknife_groups(patients: Ints, generator: np.random.Generator) -> Ints:
    """Return which of at most `GROUPS` equal groups of patients each row falls into."""
    places, count = _numbered(patients)
    return np.asarray(generator.permutation(count)[places] % min(GROUPS, count))


def jackknife_sets(patients: Ints, generator: np.random.Generator) -> Bools:
    """Return which rows are kept: all, then all but each group, shape (1 + groups, rows)."""
    groups = jackknife_groups(patients, generator)
    return np.asarray(groups != np.arange(-1, groups.max() + 1)[:, None])


def jackknife(
    figures: Floats, of: str, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval | None:
    """Return the delete-a-group jackknife interval of a figure, None where there is one group.

    Unlike a bootstrap's, its width is not inflated by the bias that resampling adds to a distance.
    `figures` has the figure of all rows, then with each group left out, shape (1 + groups,).

    References
    ----------
    Shao & Tu 1995, The Jackknife and Bootstrap, section 5.3.
    """
    value, without = float(figures[0]), figures[1:]
    groups = len(without)
    if groups < 2:
        return None
    error = (groups - 1) ** 0.5 * without.std()
    half = stats.t.ppf((1 + LEVEL) / 2, groups - 1) * error
    low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return interval(low, high, f"jackknife over {groups} groups of {of}")


def bootstrap_weights(
    patients: Ints, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Floats:
    """Return how often each row stands in the sample: once, then in each bootstrap of patients.

    Shape (1 + resamples, rows).
    """
    places, count = _numbered(patients)
    drawn = generator.integers(count, size=(resamples, count))
    counts = [np.ones(count), *(np.bincount(draw, minlength=count) for draw in drawn)]
    return np.stack([each[places] for each in counts]).astype(float)


def percentile(figures: Floats, of: str) -> Interval | None:
    """Return the percentile interval of a bootstrap, None where most resamples gave no figure."""
    resampled = figures[1:]
    usable = resampled[np.isfinite(resampled)]
    if len(usable) < len(resampled) / 2:
        return None
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return interval(low, high, f"bootstrap of {of}, {len(usable)} resamples")


def weighted_auc(scores: Floats, positive: Bools, weights: Floats) -> Floats:
    """Return the AUC of scores under each set of row weights, NaN where a class has none.

    Scores and classes have the shape (rows,), weights (sets, rows), the areas (sets,).
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
