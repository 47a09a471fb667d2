"""One column's marginal: its tokens, their masses, and the way from codes to tokens and back."""

from dataclasses import dataclass

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.table.codes import FIRST_SPECIAL, MISSING

TRACE = 1e-12  # mass that any range of points has, in proportion to its length
FLOOR = 0.002
LIMIT = 4.0


@dataclass(frozen=True)
class ColumnMarginal:
    """Tokens of one column and their noisy masses.

    Tokens stand in this order: the *cells* of the column merged into bins, then its special
    values, then missing (where the field is nullable). A categorical column has one cell a
    category and one bin a cell. A lattice column's cells are ranges of lattice points.

    Attributes
    ----------
    starts
        First lattice point of each cell, ascending, shape (cells,).
    cell_mass
        Mass of each cell, shape (cells,), summing to the bins' total.
    cell_bin
        Bin of each cell, ascending, shape (cells,).
    mass
        Mass of each token, shape (tokens,), summing to 1.
    size
        Number of lattice points or categories.
    specials
        Number of special values.
    nullable
        Whether the last token means missing.
    """

    starts: Ints
    cell_mass: Floats
    cell_bin: Ints
    mass: Floats
    size: int
    specials: int
    nullable: bool

    @property
    def bins(self) -> int:
        """Number of tokens that are bins of cells."""
        return int(self.cell_bin[-1]) + 1

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.mass)

    @property
    def cell_sizes(self) -> Ints:
        """Number of lattice points in each cell."""
        return np.diff(np.append(self.starts, self.size))

    def encode(self, codes: Ints) -> Ints:
        """Return the tokens of a column's codes."""
        cells = np.searchsorted(self.starts, np.maximum(codes, 0), side="right") - 1
        tokens = self.cell_bin[cells]
        tokens = np.where(codes <= FIRST_SPECIAL, self.bins + FIRST_SPECIAL - codes, tokens)
        return np.where(codes == MISSING, self.tokens - 1, tokens)

    def mass_within(self, low: int, high: int) -> Floats:
        """Return the mass of each cell's points from `low` to `high`, both included.

        It is never quite zero where there is such a point, so that any range can be drawn from.
        """
        first = np.maximum(self.starts, low)
        last = np.minimum(self.starts + self.cell_sizes, high + 1)
        inside = np.maximum(last - first, 0) / self.cell_sizes
        mass: Floats = inside * np.maximum(self.cell_mass, TRACE * self.cell_sizes / self.size)
        return mass

    def decode(self, tokens: Ints, uniforms: Floats, limits: tuple[int, int] | None = None) -> Ints:
        """Draw a code for each token: a cell of its bin by mass, then a point of the cell.

        Parameters
        ----------
        tokens
            Shape (rows,).
        uniforms
            One draw from [0, 1) a row.
        limits
            First and last lattice point that may be drawn; None for all.
        """
        starts, sizes, mass = self.starts, self.cell_sizes, self.cell_mass
        if limits is not None:
            low, high = limits
            mass = self.mass_within(low, high)
            sizes = np.minimum(starts + sizes, high + 1) - np.maximum(starts, low)
            starts = np.maximum(starts, low)
        ends = np.cumsum(mass)
        bins = np.minimum(tokens, self.bins - 1)
        last = np.searchsorted(self.cell_bin, np.arange(self.bins), side="right") - 1
        tops = ends[last]
        bottoms = np.concatenate(([0.0], tops[:-1]))
        aim = bottoms[bins] + uniforms * (tops - bottoms)[bins]
        cells = np.searchsorted(ends, aim, side="right")
        # Rounding may carry the aim past its bin: stay inside the token's own cells.
        first = np.concatenate(([0], last[:-1] + 1))
        cells = np.clip(cells, first[bins], last[bins])
        below = ends[cells] - mass[cells]
        part = np.clip((aim - below) / np.maximum(mass[cells], 1e-300), 0.0, 1.0 - 1e-12)
        codes = starts[cells] + (part * np.maximum(sizes[cells], 1)).astype(np.int64)
        if limits is not None:
            codes = np.clip(codes, *limits)  # where rounding left the range
        codes = np.where(tokens >= self.bins, FIRST_SPECIAL - (tokens - self.bins), codes)
        if self.nullable:
            codes = np.where(tokens == self.tokens - 1, MISSING, codes)
        return codes

    @staticmethod
    def cells_of(field: Field) -> int:
        """Return the number of finest cells: categories or lattice points."""
        return field.lattice_size if field.is_lattice else len(field.categories)


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
