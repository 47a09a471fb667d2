"""One column's anchor: its tokens, their masses, and the way from codes to tokens and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthvae.schema import Field
from synthvae.table.codes import FIRST_SPECIAL, MISSING

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnAnchor:
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

    def decode(self, tokens: Ints, uniforms: Floats, allowed: Floats | None = None) -> Ints:
        """Draw a code for each token: a cell of its bin by mass, then a point of the cell.

        Parameters
        ----------
        tokens
            Shape (rows,).
        uniforms
            One draw from [0, 1) a row.
        allowed
            Share of each cell that may be drawn, shape (cells,), to honour a condition; the caller
            then draws the point within the cell itself.
        """
        mass = self.cell_mass if allowed is None else self.cell_mass * allowed
        ends = np.cumsum(mass)
        last_cells = np.searchsorted(self.cell_bin, np.arange(self.bins), side="right") - 1
        tops = ends[last_cells]
        bottoms = np.concatenate(([0.0], tops[:-1]))
        bins = np.minimum(tokens, self.bins - 1)
        bottom, top = bottoms[bins], tops[bins]
        aim = bottom + uniforms * (top - bottom)
        cells = np.searchsorted(ends, aim, side="right")
        # Rounding may carry the aim to the next bin: stay inside the token's own cells.
        first_cells = np.searchsorted(self.cell_bin, np.arange(self.bins), side="left")
        cells = np.clip(cells, first_cells[bins], last_cells[bins])
        below = ends[cells] - mass[cells]
        within = np.clip((aim - below) / np.maximum(mass[cells], 1e-300), 0.0, 1.0 - 1e-12)
        codes = self.starts[cells] + (within * self.cell_sizes[cells]).astype(np.int64)
        codes = np.where(tokens >= self.bins, FIRST_SPECIAL - (tokens - self.bins), codes)
        if self.nullable:
            codes = np.where(tokens == self.tokens - 1, MISSING, codes)
        return codes

    @staticmethod
    def cells_of(field: Field) -> int:
        """Return the number of finest cells: categories or lattice points."""
        return field.lattice_size if field.is_lattice else len(field.categories)
