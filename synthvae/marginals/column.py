"""One column's marginal: codes to tokens and back, the tokens' masses, and the basis of its features.

A record's features are its tokens' values in each column's `basis`, whose functions have mean zero under
the marginal and are, but for floor and cap, orthonormal. Floored masses and a cap on the values bound a
record's features, and with them its gradient.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.rules.values import FIRST_SPECIAL, MISSING

TRACE = 1e-12  # mass that any range of points has, in proportion to its length
FLOOR = 0.002  # of a token's mass, when functions are made orthonormal
LEAST_HILL = 0.02  # of a column's mass, that makes what lies beyond a gap a hill
LIMIT = 4.0  # of a feature's size


@dataclass(frozen=True)
class ColumnMarginal:
    """Tokens of one column and their noisy masses.

    Tokens stand in this order: the *cells* of the column merged into bins, then its special
    values, then missing (where the field is nullable). A categorical column has a cell and a bin for
    each category. A lattice column's cells are ranges of lattice points.
    """

    starts: Ints  # first lattice point of each cell, ascending, shape (cells,)
    cell_mass: Floats  # shape (cells,), summing to the bins' total
    cell_bin: Ints  # bin of each cell, ascending, shape (cells,)
    mass: Floats  # of each token, shape (tokens,), summing to 1
    size: int  # number of lattice points or categories
    specials: int  # number of special values
    nullable: bool  # whether the last token means missing

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

    @cached_property
    def second_hill(self) -> int | None:
        """The first bin beyond a gap that parts the column in two hills; None where there is none.

        A gap is at least half as wide as what holds nine tenths of the wider hill, and far less dense
        than either; each hill holds 2 % of the mass or more.
        """
        edges, before = self._edges
        places = np.flatnonzero(np.diff(self.cell_bin)) + 1  # of cells that begin a bin
        found, widest = None, 0.0
        for place in places:
            left, right = before[place], before[-1] - before[place]
            if min(left, right) < LEAST_HILL * before[-1]:
                continue
            ends = (
                np.array([0.05, 0.95, 0.99]) * left,
                before[-1] - np.array([0.05, 0.95, 0.99]) * right,
            )
            low, high, last = np.interp(ends[0], before, edges)
            top, bottom, first = np.interp(ends[1], before, edges)
            gap, wider = first - last, max(high - low, top - bottom)
            if gap > widest and 2 * gap >= wider:
                found, widest = int(self.cell_bin[place]), float(gap)
        return found

    @cached_property
    def _edges(self) -> tuple[Floats, Floats]:
        """The first point of each cell, and the end, with the mass that lies before."""
        floor = TRACE * self.cell_sizes / self.size
        before = np.cumsum(np.append(0.0, np.maximum(self.cell_mass, floor)))
        return np.append(self.starts, self.size).astype(float), before

    def mass_before(self, points: Ints) -> Floats:
        """Return the mass of the lattice points or categories before each of some, or the end."""
        return np.asarray(np.interp(points, *self._edges))

    def point_at(self, mass: Floats) -> Ints:
        """Return the point up to which a mass lies: the inverse of `mass_before`."""
        edges, before = self._edges
        return np.floor(np.interp(mass, before, edges)).astype(np.int64)

    def token_codes(self) -> tuple[Ints, Ints]:
        """Return the first and the last code of each token, both included, shape (tokens,)."""
        bins = np.arange(self.bins)
        first = self.starts[np.searchsorted(self.cell_bin, bins)]
        last = np.append(first[1:], self.size) - 1
        rest = FIRST_SPECIAL - np.arange(self.tokens - self.bins)
        rest[self.specials :] = MISSING
        return np.append(first, rest), np.append(last, rest)

    def decode(self, tokens: Ints, uniforms: Floats, limits: tuple[int, int] | None = None) -> Ints:
        """Draw a code for each token: a cell of its bin by mass, then a point of the cell.

        Parameters
        ----------
        uniforms
            One draw from [0, 1) per token.
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
        cells, aim = draw_within(np.minimum(tokens, self.bins - 1), ends, self.cell_bin, uniforms)
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


def draw_within(
    groups: Ints, ends: Floats, group_of: Ints, uniforms: Floats
) -> tuple[Ints, Floats]:
    """Return a place inside each row's group, drawn by mass, and the cumulative mass that was aimed at.

    Places have cumulative masses `ends` and groups `group_of`, ascending, each of shape (places,);
    `groups` and `uniforms` have one entry per row.
    """
    last = np.searchsorted(group_of, np.arange(group_of[-1] + 1), side="right") - 1
    tops = ends[last]
    bottoms = np.concatenate(([0.0], tops[:-1]))
    aim = bottoms[groups] + uniforms * (tops - bottoms)[groups]
    # Rounding may carry the aim past its group: stay inside.
    first = np.concatenate(([0], last[:-1] + 1))
    places = np.searchsorted(ends, aim, side="right")
    return np.clip(places, first[groups], last[groups]), aim


def basis(marginal: ColumnMarginal, ordered: bool, rank: int) -> Floats:
    """Return the basis of one column, shape (tokens, functions), at most `rank` functions.

    It begins with indicators of missing and of special values. Where the bins are `ordered` (numbers and
    dates), an indicator of a second hill follows, if there is one, and cosines of their mid-ranks;
    otherwise indicators of the most frequent tokens.
    """
    mass = np.maximum(marginal.mass, FLOOR)
    mass = mass / mass.sum()
    tokens = [*reversed(range(marginal.bins, marginal.tokens))]
    if not ordered:  # one more than can be kept
        tokens += np.argsort(-mass, kind="stable")[: rank + 1].tolist()
    functions = [(np.arange(len(mass)) == token).astype(float) for token in tokens]
    if ordered:
        inside = mass[: marginal.bins] / mass[: marginal.bins].sum()
        middle = np.cumsum(inside) - inside / 2
        hill = marginal.second_hill
        if hill is not None:
            beyond = (np.arange(len(mass)) >= hill) & (np.arange(len(mass)) < marginal.bins)
            functions.append(beyond.astype(float))
        functions += [
            np.pad(np.cos(np.pi * k * middle), (0, marginal.tokens - marginal.bins))
            for k in range(1, min(rank, marginal.bins - 1) + 1)
        ]
    return _capped(_orthonormal(functions, mass, rank), marginal.mass)


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
