"""Measure the one-way marginals with noise: hierarchical grids, then bins of equal mass.

A lattice column is first counted in 16 equal cells, and a few at its ends; each cell whose noisy count
is large is split in 8, up to twice more. The cells' masses are the non-negative least-squares fit to
all noisy counts so far, in which weak cells share a mass (`stretches`). Neighbouring cells are merged
into bins of about equal mass, a heavy cell standing alone, and the bins are counted afresh. Categories
are counted once; many of them are told from noise together (`deconvolution`). Every decision is
taken on noisy counts, so it costs nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import nnls

from synthvae._types import Bools, Floats, Ints
from synthvae.anchors.column import ColumnMarginal
from synthvae.anchors.deconvolution import MANY, posterior_means
from synthvae.anchors.stretches import free_masses
from synthvae.field import Field
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.table.codes import FIRST_SPECIAL, MISSING

FIRST_CELLS = 16
BRANCHES = 8
LEVELS = 3
GRID_WEIGHT = 0.5  # precision of one level's counts, relative to that of the bins' counts


def query_weights(field: Field, bins: int) -> tuple[float, ...]:
    """Return the relative precision of each noisy count that a column's marginal takes, in order.

    Public: it depends on the field and the settings alone.
    """
    size = ColumnMarginal.cells_of(field)
    if not field.is_lattice or size <= bins:
        return (1.0,)
    levels, cells = 1, FIRST_CELLS
    while cells < size and levels < LEVELS:
        levels, cells = levels + 1, cells * BRANCHES
    return (*(GRID_WEIGHT for _ in range(levels)), 1.0)


@dataclass(frozen=True)
class _Count:
    """One noisy histogram over cells and extra tokens: which leaf belongs to which entry."""

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
    progress: Callable[[float], None] | None = None,
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
        if progress is not None:
            progress((j + 1) / len(fields))
    return marginals


class _Counter:
    """Counts one column's codes over cells, with noise, spending its queries in order."""

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
        self.extras = len(field.special) + field.nullable

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
                [(self._codes == FIRST_SPECIAL - i).sum() for i in range(len(self._field.special))],
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
        return _marginal(field, starts, mass, np.arange(size))
    starts = _first_cells(size)
    counts = [counter.count(starts)]
    mass = _fit(counts, starts, counter.extras)
    for _ in range(len(weights) - 2):
        total = max(mass.sum(), 1.0)
        heavy = mass[: len(starts)] > max(total / bins / 2, 3.0 * counter.next_sigma)
        starts = _split(starts, heavy, size)
        counts.append(counter.count(starts))
        mass = _fit(counts, starts, counter.extras)
    free = free_masses(*_unbounded(counts, starts), np.diff(np.append(starts, size)))
    cell_bin = _merge(_fit(counts, starts, counter.extras, free)[: len(starts)], bins)
    firsts = np.searchsorted(cell_bin, np.arange(cell_bin[-1] + 1), side="left")
    counts.append(counter.count(starts[firsts]))
    return _marginal(field, starts, _fit(counts, starts, counter.extras, free), cell_bin)


def _first_cells(size: int) -> Ints:
    """Return the starts of the first grid over a lattice of so many points.

    Cells are equal. On a lattice too long for splitting to come down to single points, the first of
    them is cut further towards the lower end, since costs and laboratory values are skewed and pile up
    at the least that is recorded; and the last point, where values are capped, stands alone. What else
    a grid counts costs no privacy.
    """
    equal = np.linspace(0, size, min(FIRST_CELLS, size) + 1).astype(np.int64)[:-1]
    if size <= FIRST_CELLS * BRANCHES ** (LEVELS - 1):
        return np.unique(equal)
    finer = BRANCHES ** np.arange(21, dtype=np.int64)  # the last is just below the largest integer
    return np.unique(np.concatenate((equal, finer[finer < equal[1]], [size - 1])))


def _unbounded(counts: list[_Count], starts: Ints) -> tuple[Floats, Floats]:
    """Return the least-squares masses of leaves, which may be negative, and their covariance."""
    design, targets = _equations(counts, starts, 0)
    covariance = np.asarray(np.linalg.inv(design.T @ design), np.float64)
    return covariance @ (design.T @ targets), covariance


def _categories(count: _Count, size: int) -> Floats:
    """Return the masses of categories, then of extra tokens, that fit a noisy count."""
    if size < MANY:
        return _to_simplex(count.values)
    masses = np.maximum(count.values, 0.0)
    masses[:size] = posterior_means(count.values[:size], count.sigma)
    return masses


def _split(starts: Ints, heavy: Bools, size: int) -> Ints:
    """Return the starts after splitting each heavy cell in `BRANCHES` (or into its points)."""
    ends = np.append(starts[1:], size)
    parts = [
        np.unique(np.linspace(a, b, min(BRANCHES, b - a) + 1).astype(np.int64)[:-1])
        if split
        else np.array([a])
        for a, b, split in zip(starts, ends, heavy, strict=True)
    ]
    return np.concatenate(parts)


def _fit(counts: list[_Count], starts: Ints, extras: int, free: Floats | None = None) -> Floats:
    """Return the non-negative masses of leaves and extra tokens that fit all noisy counts best.

    `free` says which leaves share a mass, shape (leaves, free masses); None for none.
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
    """Return what all noisy counts say about leaves and extra tokens, in units of their noise."""
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


def _merge(mass: Floats, bins: int) -> Ints:
    """Return the bin of each cell: runs of about equal mass, a cell over its share alone."""
    total = mass.sum()
    if total <= 0:
        return np.minimum(np.arange(len(mass)) * bins // len(mass), bins - 1)
    share = total / bins
    labels = np.zeros(len(mass), np.int64)
    current, filled, alone = 0, 0.0, False
    for cell, weight in enumerate(mass):
        heavy = weight >= share
        closes = alone or filled + weight / 2 >= share or (heavy and filled >= 0.25 * share)
        if cell and closes and (filled > 0 or alone):
            current, filled = current + 1, 0.0
        alone = heavy
        labels[cell] = current
        filled += weight
    if filled < 0.25 * share and current > 0 and not alone:
        labels[labels == current] = current - 1
    return labels


def _marginal(field: Field, starts: Ints, mass: Floats, cell_bin: Ints) -> ColumnMarginal:
    cells = np.maximum(mass[: len(starts)], 0.0)
    bins = int(cell_bin[-1]) + 1
    sums = np.bincount(cell_bin, cells, minlength=bins)
    sizes = np.diff(np.append(starts, ColumnMarginal.cells_of(field))).astype(float)
    # A bin whose cells all came out empty is drawn from evenly.
    cells = np.where(sums[cell_bin] > 0, cells, 1e-9 * sizes)
    token_mass = np.concatenate((np.bincount(cell_bin, cells, minlength=bins), mass[len(starts) :]))
    token_mass = np.maximum(token_mass, 1e-9 * max(token_mass.sum(), 1e-300))
    total = token_mass.sum()
    return ColumnMarginal(
        starts.astype(np.int64),
        cells / total,
        cell_bin.astype(np.int64),
        token_mass / total,
        ColumnMarginal.cells_of(field),
        len(field.special),
        field.nullable,
    )
