"""Marginals of several columns: exact ones, which are private, and their measurements."""

from collections.abc import Sequence

import numpy as np

from synthvae._types import Ints
from synthvae.baselines.junction import Clique
from synthvae.baselines.pgm import Measurement
from synthvae.baselines.start import TokenTable
from synthvae.privacy.budget import COUNT_SHARE, BudgetFilter, noise_for
from synthvae.privacy.mechanisms import Mechanisms


def contingency(tokens: Ints, columns: Clique, levels: Sequence[int]) -> Ints:
    """Return exact counts of a set of columns, shape by its columns: private."""
    shape = tuple(levels[c] for c in columns)
    cells = np.ravel_multi_index(tuple(tokens[:, c] for c in columns), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def measure(
    exact: Ints, columns: Clique, noise_multiplier: float, rows: int, mechanisms: Mechanisms
) -> Measurement:
    """Return noisy counts of a set of columns; of none, the noisy number of rows.

    Guarantee
    ---------
    A patient's rows change the counts by at most `rows`, their largest number, in L2 norm (all may fall
    into one cell), and the noise is `noise_multiplier` times that.
    """
    noisy = mechanisms.discrete_gaussian(
        exact,
        stage="pairs" if columns else "columns",
        what=f"counts of the columns {columns}" if columns else "the number of rows",
        sensitivity=rows,
        noise_multiplier=noise_multiplier,
    )
    return Measurement(columns, noisy.astype(float), noise_multiplier * rows)


def count_rows(
    table: TokenTable, rows: int, mechanisms: Mechanisms, budget: BudgetFilter
) -> Measurement:
    """Return a noisy number of rows, for a hundredth of the budget: no true number is used."""
    exact = np.array(len(table.tokens), np.int64)
    return measure(exact, (), noise_for(COUNT_SHARE * budget.whole), rows, mechanisms)
