"""Stretches of a grid of which noisy counts know no more than what they add up to.

Noise on the many empty cells beyond a column's tail is as often above zero as below, and masses that
cannot be negative keep the upper half of it: spread over a wide range, that makes tails far too long.
So cells of a stretch in which none stands out share one mass, which their noises cancel in, and which
lies close to the cells that do hold something. This looks at noisy counts alone.
"""

import numpy as np

from synthvae._types import Floats, Ints

WEAK = 3.0  # standard deviations below which a cell by itself does not stand out
NOTHING = 3.0  # standard deviations up to which the outer part of a stretch is no evidence of mass
DECAY = 0.5  # mass of a cell beyond the others, relative to the one before it


def free_masses(masses: Floats, covariance: Floats, sizes: Ints) -> Floats:
    """Return which cells share a mass, and how: a matrix of shape (cells, free masses).

    A stretch of weak cells that reaches an end of the grid is cut where what lies further out adds up
    to nothing to speak of; the mass of that part falls off from cell to cell. A stretch between other
    cells that adds up to nothing has one density. A weak cell of one point, at an end, has the
    density of the one beside it.

    Parameters
    ----------
    masses
        Unbiased estimates for cells in order, and so at times negative, shape (cells,).
    covariance
        Of these estimates, shape (cells, cells).
    sizes
        Number of lattice points of each cell.

    Examples
    --------
    >>> noise, sizes = 100.0 * np.eye(4), np.ones(4, int)
    >>> free_masses(np.array([50.0, 4.0, -12.0, 9.0]), noise, sizes).round(2).tolist()
    [[1.0, 0.0], [0.0, 0.57], [0.0, 0.29], [0.0, 0.14]]
    """
    weak = masses < WEAK * np.sqrt(np.diag(covariance))
    owner = np.arange(len(masses))
    share = np.ones(len(masses))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], weak, [False])).astype(int)))
    for first, end in edges.reshape(-1, 2) if not weak.all() else ():
        run = np.arange(first, end)
        if first == 0 or end == len(masses):
            run = run[::-1] if first == 0 else run
            run = run[_holding(run, masses, covariance) :]
            parts = DECAY ** np.arange(len(run))
        elif _tells(run, masses, covariance):
            continue
        else:
            parts = sizes[run].astype(float)
        if len(run):
            owner[run], share[run] = run[0], parts / parts.sum()
    places = np.unique(owner, return_inverse=True)[1]
    shape = np.zeros((len(masses), places.max() + 1))
    shape[np.arange(len(masses)), places] = share
    for end, beside in ((0, 1), (-1, -2)) if len(masses) > 1 else ():
        if weak[end] and sizes[end] == 1 < sizes[beside]:
            # A point that stands alone in case values pile up there: they do not.
            shape[end] = shape[beside] / sizes[beside]
    kept: Floats = shape[:, shape.any(axis=0)]
    return kept


def _holding(run: Ints, masses: Floats, covariance: Floats) -> int:
    """Return how many cells of a stretch, in order from the others outwards, hold something."""
    for holding in range(len(run), 0, -1):
        if _tells(run[holding - 1 :], masses, covariance):
            return holding
    return 0


def _tells(cells: Ints, masses: Floats, covariance: Floats) -> bool:
    """Tell whether some cells together surely hold something."""
    noise = covariance[np.ix_(cells, cells)].sum() ** 0.5
    return bool(masses[cells].sum() > NOTHING * noise)
