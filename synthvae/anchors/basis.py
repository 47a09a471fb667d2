"""Record features: a basis of functions on each column's tokens, whitened under its marginal.

Column j has a basis of shape (tokens, rank), of mean zero under the marginal's masses and, but for
floor and cap, orthonormal: smooth cosines of the rank for numbers, contrasts for categories, and an
indicator for each special value and for missing. A record is the concatenation of its columns' rows.
Floored masses and a cap on the values bound a record's features, and with them its gradient.
"""

import numpy as np

from synthvae._types import Floats
from synthvae.anchors.column import ColumnMarginal

FLOOR = 0.002
LIMIT = 4.0


def basis(marginal: ColumnMarginal, ordered: bool, rank: int) -> Floats:
    """Return the basis of one column, shape (tokens, functions), at most `rank` functions.

    Parameters
    ----------
    ordered
        Whether the bins lie on a line (numbers and dates) or are unordered categories.
    rank
        Largest number of functions.
    """
    mass = np.maximum(marginal.mass, FLOOR)
    mass = mass / mass.sum()
    functions = _indicators(marginal)
    functions += _cosines(marginal, mass, rank) if ordered else _contrasts(mass, rank)
    return _capped(_orthonormal(functions, mass, rank), marginal.mass)


def _indicators(marginal: ColumnMarginal) -> list[Floats]:
    """Return an indicator of missing, then of each special value."""
    found = []
    for token in reversed(range(marginal.bins, marginal.tokens)):
        found.append(_one(token, marginal.tokens))
    return found


def _cosines(marginal: ColumnMarginal, mass: Floats, rank: int) -> list[Floats]:
    """Return cosines of the bins' mid-ranks; zero on special and missing tokens."""
    inside = mass[: marginal.bins] / mass[: marginal.bins].sum()
    middle = np.cumsum(inside) - inside / 2
    waves = []
    for k in range(1, min(rank, marginal.bins - 1) + 1):
        wave = np.zeros(marginal.tokens)
        wave[: marginal.bins] = np.cos(np.pi * k * middle)
        waves.append(wave)
    return waves


def _contrasts(mass: Floats, rank: int) -> list[Floats]:
    """Return indicators of the most frequent tokens, one more than can be kept."""
    frequent = np.argsort(-mass, kind="stable")[: rank + 1]
    return [_one(int(token), len(mass)) for token in frequent]


def _one(token: int, tokens: int) -> Floats:
    indicator = np.zeros(tokens)
    indicator[token] = 1.0
    return indicator


def _orthonormal(functions: list[Floats], mass: Floats, rank: int) -> Floats:
    """Return the Gram-Schmidt orthonormalisation under `mass` against constants."""
    kept: list[Floats] = []
    for function in functions:
        rest = function - mass @ function
        for known in kept:
            rest = rest - (mass * known) @ rest * known
        norm = np.sqrt(mass @ rest**2)
        if norm > 1e-6 * max(1.0, np.abs(function).max()) and norm > 1e-4:
            kept.append(rest / norm)
        if len(kept) == rank:
            break
    if not kept:
        return np.zeros((len(mass), 1))
    return np.stack(kept, axis=1)


def _capped(functions: Floats, mass: Floats) -> Floats:
    """Return the functions within the limit, and of mean zero under `mass`.

    The cap bites on a token rarer than 1 in 17, and would leave a mean: couplings that are fitted
    to means of zero would then make one of 1 % more than twice as frequent.
    """
    capped = np.clip(functions, -LIMIT, LIMIT)
    capped = capped - mass @ capped
    largest = np.maximum(np.abs(capped).max(axis=0), LIMIT)
    bounded: Floats = capped * (LIMIT / largest)
    return bounded
