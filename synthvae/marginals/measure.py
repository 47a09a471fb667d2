"""Measure marginals: noisy counts of each column's codes, and the masses that fit them best.

A categorical column, and a short lattice, is counted once. A long lattice is first counted in 16 equal
cells, and a few at its ends; each cell whose noisy count is large is split in 8, up to twice more. The
cells' masses are the non-negative least-squares fit to all noisy counts so far. Neighbouring cells are
merged into bins of about equal mass, a heavy cell standing alone, and the bins are counted afresh.
`posterior_means` denoises many categories, `free_masses` the tails of a lattice. Every decision is taken
on noisy counts, so it costs nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import nnls

from synthvae._types import Bools, Floats, Ints
from synthvae.field import Field
from synthvae.marginals.bins import merged_bins
from synthvae.marginals.column import ColumnMarginal
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.rules.values import FIRST_SPECIAL, MISSING

FIRST_CELLS = 16  # of a grid
BRANCHES = 8  # of a heavy cell on the next level
LEVELS = 3
GRID_WEIGHT = 0.5  # precision of one level's counts, relative to that of the bins' counts
# Denoising; thresholds are in standard deviations of the noise.
MANY_CATEGORIES = 20  # whose distribution tells more than it costs to estimate
CLEAR_COUNT = 4.0  # from which on a count is taken as it is
LARGEST_TRUE_COUNT = 2 * CLEAR_COUNT  # that a weak count is explained by
SUPPORT = np.linspace(0.0, LARGEST_TRUE_COUNT, 81)
ITERATIONS = 100
CLEAR_CELL = 3.0  # below which a cell by itself does not stand out
CLEAR_SUM = 3.0  # up to which several cells' sum is no evidence of mass
DECAY = 0.5  # mass of a cell beyond the clear ones, relative to the one before it


def query_weights(field: Field, bins: int) -> tuple[float, ...]:
    """Return the relative precision of each noisy count that a column's marginal takes, in order.

    Public: it depends on the field and the settings alone.
    """
    size = ColumnMarginal.cells_of(field)
    if not field.is_lattice or size <= bins:
        return (1.0,)
    levels = 1
    while levels < LEVELS and FIRST_CELLS * BRANCHES ** (levels - 1) < size:
        levels += 1
    return (GRID_WEIGHT,) * levels + (1.0,)


@dataclass(frozen=True)
class _Count:
    """Noisy counts of cells, which begin at `starts`, then of the extra tokens."""

    starts: Ints
    values: Floats
    sigma: float


def measure_marginals(
    codes: Ints,
    fields: tuple[Field, ...],
    noise_multipliers: tuple[tuple[float, ...], ...],
    bins: int,
    rows_per_patient: int,
    mechanisms: Mechanisms,
    progress: Callable[[float], None] = lambda _: None,
) -> list[ColumnMarginal]:
    """Return the marginal of each column, from noisy counts of its codes.

    Parameters
    ----------
    codes
        Shape (rows, columns), at most the declared rows of any patient.
    noise_multipliers
        Noise of each count of each column, in rows of one patient; 0 counts exactly (without privacy).
    bins
        Bins to aim at in a lattice column.
    rows_per_patient
        Largest number of rows of one patient: the sensitivity of each count.

    Guarantee
    ---------
    Each count changes by at most `rows_per_patient` in L2 norm when one patient is added
    or removed (all their rows may fall into one cell); everything else is post-processing.
    """
    marginals = []
    for j, (field, noise) in enumerate(zip(fields, noise_multipliers, strict=True)):
        counter = _Counter(codes[:, j], field, noise, rows_per_patient, mechanisms)
        marginals.append(_measure(counter, field, bins))
        progress((j + 1) / len(fields))
    return marginals


class _Counter:
    """Counts one column's codes with noise, spending its queries in order."""

    def __init__(
        self,
        codes: Ints,
        field: Field,
        noise_multipliers: tuple[float, ...],
        sensitivity: int,
        mechanisms: Mechanisms,
    ) -> None:
        self._codes, self._field = codes, field
        self._noise_multipliers, self._sensitivity = list(noise_multipliers), sensitivity
        self._mechanisms = mechanisms
        self.extras = len(field.specials) + field.nullable

    @property
    def next_sigma(self) -> float:
        return self._sensitivity * self._noise_multipliers[0]

    def count(self, starts: Ints) -> _Count:
        """Return noisy counts of the cells that begin at `starts`, then of the extra tokens."""
        noise_multiplier = self._noise_multipliers.pop(0)
        ordinary = self._codes[self._codes >= 0]
        cells = np.searchsorted(starts, ordinary, side="right") - 1
        exact = np.concatenate(
            (
                np.bincount(cells[cells >= 0], minlength=len(starts)),
                [
                    (self._codes == FIRST_SPECIAL - i).sum()
                    for i in range(len(self._field.specials))
                ],
                [(self._codes == MISSING).sum()] if self._field.nullable else [],
            )
        ).astype(np.int64)
        noisy = self._mechanisms.discrete_gaussian(
            exact,
            stage="columns",
            what=f"counts of {self._field.name}",
            sensitivity=self._sensitivity,
            noise_multiplier=noise_multiplier,
        )
        return _Count(starts, noisy.astype(float), max(self._sensitivity * noise_multiplier, 1e-3))


def _measure(counter: _Counter, field: Field, bins: int) -> ColumnMarginal:
    size = ColumnMarginal.cells_of(field)
    weights = query_weights(field, bins)
    if len(weights) == 1:
        starts = np.arange(size)
        count = counter.count(starts)
        ordered = field.is_lattice
        mass = _fit([count], starts, counter.extras) if ordered else _categories(count, size)
        return _marginal(field, starts, mass, starts)
    starts = _first_cells(size)
    counts = [counter.count(starts)]
    mass = _fit(counts, starts, counter.extras)
    for _ in range(len(weights) - 2):
        total = max(mass.sum(), 1.0)
        # Into points even where little stands: recorded values are few, and pile up on some of them.
        into_points = np.diff(np.append(starts, size)) <= BRANCHES
        least, clear = np.where(into_points, 0.15, 0.5), np.where(into_points, 1.5, 3.0)
        heavy = mass[: len(starts)] > np.maximum(least * total / bins, clear * counter.next_sigma)
        starts = _split(starts, heavy, size)
        counts.append(counter.count(starts))
        mass = _fit(counts, starts, counter.extras)
    # Least squares without bounds, so that noise around zero cancels.
    design, targets = _equations(counts, starts, 0)
    covariance = np.asarray(np.linalg.inv(design.T @ design), np.float64)
    masses = covariance @ (design.T @ targets)
    free = free_masses(masses, covariance, np.diff(np.append(starts, size)))
    masses = _fit(counts, starts, counter.extras, free)[: len(starts)]
    cell_bin = merged_bins(masses, np.diff(np.append(starts, size)), bins)
    firsts = np.searchsorted(cell_bin, np.arange(cell_bin[-1] + 1), side="left")
    counts.append(counter.count(starts[firsts]))
    mass = _fit(counts, starts, counter.extras, free)
    mass[: len(starts)] = _shared_out(counts, starts, mass[: len(starts)], cell_bin, size)
    return _marginal(field, starts, mass, cell_bin)


def _shared_out(
    counts: list[_Count], starts: Ints, mass: Floats, cell_bin: Ints, size: int
) -> Floats:
    """Return the masses of cells, with each bin's mass shared out among its cells by what is likely.

    Masses that cannot be negative keep the upper half of the noise of cells that nobody is in. Of single
    points, and of cells of a few, the distribution of true counts is estimated as that of many
    categories is (`posterior_means`). Longer cells stay as they are: their tails are fitted already.
    """
    design, targets = _equations(counts, starts, 0)
    covariance = np.linalg.inv(design.T @ design)
    unbiased, noise = covariance @ (design.T @ targets), np.sqrt(np.diag(covariance))
    sizes, likely = np.diff(np.append(starts, size)), mass.copy()
    for kind in (sizes == 1, (sizes > 1) & (sizes <= BRANCHES)):
        if np.count_nonzero(kind) >= MANY_CATEGORIES:
            likely[kind] = posterior_means(unbiased[kind] / noise[kind], 1.0) * noise[kind]
    whole, sums = np.bincount(cell_bin, mass), np.bincount(cell_bin, likely)
    shared: Floats = likely * (whole / np.maximum(sums, 1e-300))[cell_bin]
    return shared


def _first_cells(size: int) -> Ints:
    """Return the starts of the first grid over a lattice of `size` points.

    Cells are equal. On a lattice too long for splitting to come down to single points, the first of
    them is cut further towards the lower end, since costs and laboratory values are skewed and pile up
    at the least that is recorded; and the last point, where values are capped, stands alone. More cells
    cost no privacy.
    """
    equal = np.linspace(0, size, min(FIRST_CELLS, size) + 1).astype(np.int64)[:-1]
    if size <= FIRST_CELLS * BRANCHES ** (LEVELS - 1):
        return np.unique(equal)
    finer = BRANCHES ** np.arange(21, dtype=np.int64)  # the last is just below the largest integer
    return np.unique(np.concatenate((equal, finer[finer < equal[1]], [size - 1])))


def _categories(count: _Count, size: int) -> Floats:
    """Return the masses of categories, then of extra tokens, that fit a noisy count."""
    if size < MANY_CATEGORIES:
        return _to_simplex(count.values)
    masses = np.maximum(count.values, 0.0)
    masses[:size] = posterior_means(count.values[:size], count.sigma)
    return masses


def _split(starts: Ints, heavy: Bools, size: int) -> Ints:
    """Return the starts after splitting each heavy cell in `BRANCHES` (or into its points)."""
    parts = [
        np.unique(np.linspace(a, b, min(BRANCHES, b - a) + 1).astype(np.int64)[:-1])
        if split
        else np.array([a])
        for a, b, split in zip(starts, np.append(starts[1:], size), heavy, strict=True)
    ]
    return np.concatenate(parts)


def _fit(counts: list[_Count], starts: Ints, extras: int, free: Floats | None = None) -> Floats:
    """Return the non-negative masses of leaves and extra tokens that fit all noisy counts best.

    Leaves share masses by `free`, shape (leaves, free masses); None for a mass each.
    """
    leaves = len(starts)
    if len(counts) == 1 and len(counts[0].starts) == leaves:
        mass = np.maximum(counts[0].values, 0.0)
        return _to_simplex(counts[0].values) if mass.sum() > 0 else mass
    design, targets = _equations(counts, starts, extras)
    masses = np.eye(leaves) if free is None else free
    shape = block_diag(masses, np.eye(extras))
    try:
        solution, _ = nnls(design @ shape, targets, maxiter=50 * (leaves + extras))
    except RuntimeError:  # too many iterations: the fit without bounds, cut at zero, serves as well
        solution = np.linalg.lstsq(design @ shape, targets, rcond=None)[0]
    fitted: Floats = shape @ np.maximum(np.asarray(solution, float), 0.0)
    return fitted


def _equations(counts: list[_Count], starts: Ints, extras: int) -> tuple[Floats, Floats]:
    """Return the noisy counts as equations of leaves and extra tokens, in units of their noise."""
    leaves = len(starts)
    blocks, targets = [], []
    for count in counts:
        cells = len(count.starts)
        block = np.zeros((cells + extras, leaves + extras))
        block[np.searchsorted(count.starts, starts, side="right") - 1, np.arange(leaves)] = 1.0
        block[cells + np.arange(extras), leaves + np.arange(extras)] = 1.0
        blocks.append(block / count.sigma)
        targets.append(count.values[: cells + extras] / count.sigma)
    return np.vstack(blocks), np.concatenate(targets)


def _to_simplex(values: Floats) -> Floats:
    """Return the nearest non-negative values of the same sum (at least 1), by a common shift."""
    total = max(values.sum(), 1.0)
    ordered = np.sort(values)[::-1]
    shifts = (np.cumsum(ordered) - total) / np.arange(1, len(values) + 1)
    nearest: Floats = np.maximum(values - shifts[np.flatnonzero(ordered > shifts)[-1]], 0.0)
    return nearest


def _marginal(field: Field, starts: Ints, mass: Floats, cell_bin: Ints) -> ColumnMarginal:
    cells = np.maximum(mass[: len(starts)], 0.0)
    sums = np.bincount(cell_bin, cells)
    sizes = np.diff(np.append(starts, ColumnMarginal.cells_of(field))).astype(float)
    # A bin whose cells all came out empty is drawn from evenly.
    cells = np.where(sums[cell_bin] > 0, cells, 1e-9 * sizes)
    token_mass = np.concatenate((np.bincount(cell_bin, cells), mass[len(starts) :]))
    token_mass = np.maximum(token_mass, 1e-9 * max(token_mass.sum(), 1e-300))
    total = token_mass.sum()
    return ColumnMarginal(
        starts.astype(np.int64),
        cells / total,
        cell_bin.astype(np.int64),
        token_mass / total,
        ColumnMarginal.cells_of(field),
        len(field.specials),
        field.nullable,
    )


def posterior_means(counts: Floats, sigma: float) -> Floats:
    """Return non-negative estimates of true counts, by empirical Bayes, shape (categories,).

    Among hundreds of codes most counts are noise. To cut them at zero keeps the upper half of it; one
    mass for all rare codes loses which of them nobody has. So the distribution of the true counts is
    estimated from all noisy ones, of standard deviation `sigma` (Kiefer and Wolfowitz 1956, "Consistency
    of the Maximum Likelihood Estimator in the Presence of Infinitely Many Incidental Parameters", Annals
    of Mathematical Statistics 27(4), section 5), and each count is replaced by its posterior mean.

    Examples
    --------
    >>> noisy = np.array([500.0, 30, -20, 10, -15, 5, 0, -5, 20, -10])
    >>> posterior_means(noisy, 20.0).round().tolist()[:2]
    [500.0, 2.0]
    """
    scaled = counts / sigma
    weak = scaled < CLEAR_COUNT
    distance = np.minimum(scaled, LARGEST_TRUE_COUNT)[:, None] - SUPPORT
    likelihood = np.exp(0.5 * ((distance**2).min(axis=1, keepdims=True) - distance**2))
    weights = np.full(len(SUPPORT), 1 / len(SUPPORT))
    for _ in range(ITERATIONS):  # expectation maximisation of the weights
        posterior = likelihood * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        weights = posterior.mean(axis=0)
    estimates: Floats = np.where(weak, posterior @ SUPPORT * sigma, counts)
    # The sum of the weak ones is known better than any of them.
    means, total = estimates[weak].sum(), max(float(counts[weak].sum()), 0.0)
    estimates[weak] *= total / means if means > 0 else 0.0
    return estimates


def free_masses(masses: Floats, covariance: Floats, sizes: Ints) -> Floats:
    """Return which cells share a mass, and how: a matrix of shape (cells, free masses).

    Noise on the many empty cells beyond a column's tail is as often above zero as below, and masses that
    cannot be negative keep the upper half of it, which makes tails far too long. So weak cells share a
    mass, in which their noises cancel.

    A run of weak cells that reaches an end of the grid is cut where the cells further out have no
    evidence of mass between them; there the mass falls off from cell to cell. A run between clear cells
    without evidence of mass has one density. A weak cell of one point, at an end, has the density of
    the one beside it.

    Parameters
    ----------
    masses, covariance
        Unbiased estimates for cells in order, and so at times negative.
    sizes
        Number of lattice points of each cell.

    Examples
    --------
    >>> noise, sizes = 100.0 * np.eye(4), np.ones(4, int)
    >>> free_masses(np.array([50.0, 4.0, -12.0, 9.0]), noise, sizes).round(2).tolist()
    [[1.0, 0.0], [0.0, 0.57], [0.0, 0.29], [0.0, 0.14]]
    """
    weak = masses < CLEAR_CELL * np.sqrt(np.diag(covariance))
    owner = np.arange(len(masses))
    share = np.ones(len(masses))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], weak, [False])).astype(int)))
    for first, end in edges.reshape(-1, 2) if not weak.all() else ():
        run = np.arange(first, end)
        if first == 0 or end == len(masses):
            run = run[::-1] if first == 0 else run  # from the clear cells outwards
            outer = (
                k for k in range(len(run), 0, -1) if _has_mass(run[k - 1 :], masses, covariance)
            )
            run = run[next(outer, 0) :]
            parts = DECAY ** np.arange(len(run))
        elif _has_mass(run, masses, covariance):
            continue
        else:
            parts = sizes[run].astype(float)
        if len(run):
            owner[run], share[run] = run[0], parts / parts.sum()
    free = np.unique(owner, return_inverse=True)[1]
    shape = np.zeros((len(masses), free.max() + 1))
    shape[np.arange(len(masses)), free] = share
    for end, beside in ((0, 1), (-1, -2)) if len(masses) > 1 else ():
        if weak[end] and sizes[end] == 1 < sizes[beside]:
            # A point that stands alone in case values pile up there: they do not.
            shape[end] = shape[beside] / sizes[beside]
    kept: Floats = shape[:, shape.any(axis=0)]
    return kept


def _has_mass(cells: Ints, masses: Floats, covariance: Floats) -> bool:
    """Return whether the sum of some cells is clear of its noise."""
    noise = covariance[np.ix_(cells, cells)].sum() ** 0.5
    return bool(masses[cells].sum() > CLEAR_SUM * noise)
