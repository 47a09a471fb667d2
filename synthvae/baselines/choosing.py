"""Choose and measure marginals under the budget: the two private steps of MST and AIM."""

from collections.abc import Sequence

import numpy as np

from synthvae.baselines.budget import Budget, noise_for
from synthvae.baselines.junction import Clique
from synthvae.baselines.pgm import Measurement
from synthvae.baselines.start import Floats, Ints
from synthvae.privacy.counts import noisy_counts
from synthvae.privacy.stream import RandomStream

COUNT_SHARE = 0.01


def contingency(tokens: Ints, columns: Clique, levels: Sequence[int]) -> Ints:
    """Return exact counts of a set of columns, shape by its columns: private."""
    shape = tuple(levels[c] for c in columns)
    cells = np.ravel_multi_index(tuple(tokens[:, c] for c in columns), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def measure(
    exact: Ints, columns: Clique, multiplier: float, budget: Budget, stream: RandomStream
) -> Measurement:
    """Return noisy counts.

    Guarantee
    ---------
    A patient's rows change the counts by at most `budget.rows` in L2 norm (all may fall into one
    cell), and the noise is `multiplier` times that.
    """
    what = f"counts of the columns {columns}" if columns else "the number of rows"
    sigma = budget.counts(multiplier, what)
    noisy = noisy_counts(exact, sigma, stream)
    return Measurement(columns, noisy.astype(float), sigma)


def count_rows(tokens: Ints, budget: Budget, stream: RandomStream) -> Measurement:
    """Return a noisy number of rows, for a hundredth of the budget: no true number is used."""
    exact = np.array(len(tokens), np.int64)
    return measure(exact, (), noise_for(COUNT_SHARE * budget.whole), budget, stream)


def choose(
    scores: Floats,
    sensitivity: float,
    epsilon: float,
    what: str,
    budget: Budget,
    stream: RandomStream,
) -> int:
    """Return the index of a large score, by the exponential mechanism.

    The largest of scores plus Gumbel noise has the mechanism's distribution.

    Guarantee
    ---------
    `epsilon`-bounded range, entered in the budget, where one patient changes no score by more than
    `sensitivity`.

    Assumes
    -------
    Which candidates there are does not depend on the real rows, other than through releases. Scores
    are in floating point, whose last bits the proof does not cover.
    """
    budget.selection(epsilon, what)
    words = (stream.words(len(scores)) >> np.uint64(11)).astype(np.float64)
    gumbel = -np.log(-np.log((words + 0.5) * 2.0**-53))
    return int(np.argmax(epsilon * scores / (2 * sensitivity) + gumbel))
