"""The best attack that an (epsilon, delta) guarantee leaves possible."""

import math

import numpy as np
import numpy.typing as npt

from synthvae.privacy.guarantee import Guarantee

Budget = tuple[float, float]

_LARGEST = 700.0  # exp() of more is infinite


def ceiling(fpr: npt.ArrayLike, epsilon: float, delta: float) -> npt.NDArray[np.float64]:
    """Return the largest share of members that any practicable test finds at each false positive rate.

    It is min(e^ε·FPR + δ, 1 − e^−ε·(1 − δ − FPR)), at most 1, for whoever tries to tell whether one
    patient's record was in the training table; concave, so it also bounds the average over patients.

    Parameters
    ----------
    fpr : array of floats in 0..1
        False positive rates: shares of non-members taken for members.

    References
    ----------
    Kairouz, Oh, Viswanath (2015), "The composition theorem for differential privacy", ICML,
    Theorem 2.1 (the privacy region).

    Examples
    --------
    >>> ceiling([0.0, 0.25, 1.0], epsilon=math.log(3), delta=0.0).round(3).tolist()
    [0.0, 0.75, 1.0]
    """
    rates = np.asarray(fpr, dtype=np.float64)
    factor = math.exp(min(epsilon, _LARGEST))
    return np.clip(np.minimum(factor * rates + delta, 1 - (1 - delta - rates) / factor), 0.0, 1.0)


def corners(epsilon: float, delta: float) -> npt.NDArray[np.float64]:
    """Return the false positive rates at which the ceiling bends, from 0 to 1."""
    bend = (1 - delta) / (1 + math.exp(min(epsilon, _LARGEST)))
    return np.array([0.0, bend, 1 - delta, 1.0])


def largest_auc(epsilon: float, delta: float) -> float:
    """Return the area under the ceiling: no practicable attack's AUC is larger.

    Examples
    --------
    >>> round(largest_auc(math.log(3), 0.0), 3)
    0.75
    """
    rates = corners(epsilon, delta)
    tpr = ceiling(rates, epsilon, delta)
    return float(np.sum((tpr[1:] + tpr[:-1]) / 2 * np.diff(rates)))


def odds_factor(epsilon: float) -> float:
    """Return e^ε, the most by which the odds of a guess about one patient can rise."""
    return math.exp(epsilon) if epsilon <= _LARGEST else math.inf


def best_guess(epsilon: float, delta: float) -> float:
    """Return the largest probability of a right guess, where chance is right half the time.

    Examples
    --------
    >>> round(best_guess(math.log(3), 0.0), 3)
    0.75
    """
    factor = math.exp(min(epsilon, _LARGEST))
    return min(1.0, (factor + delta) / (factor + 1))


def budget_of(guarantee: Guarantee | None) -> Budget | None:
    """Return epsilon and delta of a guarantee that holds."""
    if guarantee is None or not guarantee.valid or guarantee.epsilon is None:
        return None
    return None if guarantee.delta is None else (guarantee.epsilon, guarantee.delta)
