"""Measure what no pair of columns shows: moments of three and of four columns, in one noisy release.

A drug that helps those with a marker and harms the others has no effect on the whole; only the product
of three columns' features has a mean that tells. These products are summed for sets of columns that
public knowledge chooses, each patient's part bounded in L2 norm, and released with discrete Gaussian
noise.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.column import LIMIT
from synthvae.precedence import RANKS, DeclaredUses, precedence
from synthvae.privacy.mechanisms import Mechanisms

UNIT = 2.0**20  # steps of a product of size 1, before a patient's weight
COUNT_NORM = 0.1  # of the bound, for the count that the moments are divided by
MARGIN = 0.999  # keeps what rounding adds inside the bound
CELLS_PER_CHUNK = 4_000_000
LARGEST = 4  # columns of a set
FEW_COLUMNS, MANY_COLUMNS = 16, 120  # of which all sets of four, and of three, are looked at
LARGEST_EMPHASIS = 5.0  # of a declared interaction
NONE = -1  # in place of a fourth feature


@dataclass(frozen=True)
class InteractionMoments:
    """Estimates of the means of products of features, with their noise, each of shape (sets,)."""

    values: Floats
    noise: Floats


@dataclass(frozen=True)
class InteractionQuery:
    """The weighted and bounded sum to release, from public numbers and paid-for marginals alone."""

    # Features of each product, ascending, the last may be NONE; shape (products, LARGEST).
    factors: Ints
    scales: Floats  # of each product in the sum: more of it, less noise, shape (products,)
    bound: float  # largest L2 norm of one patient's part

    @classmethod
    def build(
        cls,
        factors: Ints,
        order: Ints,
        taper: float,
        rows: int,
        share: float,
        declared: Bools | None = None,
    ) -> "InteractionQuery":
        """Return the query whose bound is a share of the norm of a typical patient's part.

        Products that are `declared`, shape (products,), weigh up to five times as much as others, and
        up to a fifth of all together. Other parameters are those of `PairQuery.build`.
        """
        weights = order.astype(float) ** -taper
        scales = multiplied(weights[None], factors)[0]
        if declared is not None and declared.any():
            squares = scales**2
            even = math.sqrt(squares.sum() / (4 * squares[declared].sum()))
            scales = np.where(declared, scales * min(max(1.0, even), LARGEST_EMPHASIS), scales)
        typical = math.sqrt(max(float((scales**2).sum()), 1.0))
        return cls(factors, scales, share * typical * rows)

    @property
    def sensitivity(self) -> int:
        """Largest L2 norm of one patient's part of the released whole numbers."""
        return math.ceil(math.hypot(self.bound * UNIT, self._count_unit))

    @property
    def _count_unit(self) -> int:
        """What a patient of full weight and most rows adds to the count."""
        return math.floor(COUNT_NORM * self.bound * UNIT)

    def release(
        self, features: Floats, rows: Ints, noise_multiplier: float, mechanisms: Mechanisms
    ) -> InteractionMoments:
        """Return the noisy moments, in the arguments of `PairQuery.release`.

        Guarantee
        ---------
        One release of the Gaussian mechanism with this noise multiplier, for adding or removing
        one patient: a patient's part has an L2 norm of at most `sensitivity`.
        """
        sums, count = np.zeros(len(self.factors), np.int64), 0
        unit = self._count_unit / rows.shape[1]
        for part, present in self._parts(features, rows):
            share = _shares(part, self.bound)
            # Truncation shortens every entry, and so the part.
            sums += np.trunc(part * (share * UNIT)[:, None]).sum(axis=0).astype(np.int64)
            count += int(np.floor(share * present * unit).sum())
        noisy = mechanisms.discrete_gaussian(
            np.append(sums, count),
            stage="interactions",
            what="moments of three and four columns",
            sensitivity=self.sensitivity,
            noise_multiplier=noise_multiplier,
        )
        total = max(float(noisy[-1]) / unit, 1.0)  # of the rows' weights
        scale = UNIT * total * self.scales
        noise = noise_multiplier * self.sensitivity / scale
        return InteractionMoments(noisy[:-1] / scale, noise)

    def through_bound(self, features: Floats, rows: Ints) -> Floats:
        """Return the means of a table's products without and with the bound, then of their squares.

        Shape (4, products). How much of a small change in a moment is left under the bound is the ratio
        of the squares.
        """
        sums, weight = np.zeros((4, len(self.factors))), 0.0
        for part, present in self._parts(features, rows):
            share = _shares(part, self.bound)
            both = np.stack((np.ones(len(share)), share))
            sums[:2] += both @ part
            sums[2:] += both @ part**2
            weight += float(share @ present)
        counts = np.array([max(1, int((rows >= 0).sum())), weight])
        scales = np.stack((self.scales, self.scales, self.scales**2, self.scales**2))
        means: Floats = sums / scales / np.tile(counts, 2)[:, None]
        return means

    def _parts(self, features: Floats, rows: Ints) -> Iterator[tuple[Floats, Ints]]:
        """Yield some patients' sums of products, shape (patients, sets), and their numbers of rows."""
        step = max(1, CELLS_PER_CHUNK // (rows.shape[1] * len(self.factors)))
        for first in range(0, len(rows), step):
            chunk = rows[first : first + step]
            values = np.clip(features[np.maximum(chunk, 0)], -LIMIT, LIMIT)
            part = np.zeros((len(chunk), len(self.factors)))
            for place in range(rows.shape[1]):
                part += multiplied(values[:, place], self.factors) * (chunk[:, [place]] >= 0)
            part *= self.scales
            yield part, (chunk >= 0).sum(axis=1)


def _shares(part: Floats, bound: float) -> Floats:
    """Return the share that a bound leaves of each patient's part, shape (patients,)."""
    norms = np.linalg.norm(part, axis=1)
    return np.asarray(np.minimum(1.0, bound * MARGIN / np.maximum(norms, 1e-300)))


def multiplied(features: Floats, factors: Ints) -> Floats:
    """Return products of features, shape (rows, products), of features of shape (rows, features)."""
    # Records last, so that each product is made along whole cache lines; NONE is the last: one.
    whole = np.vstack((features.T, np.ones(len(features))))
    product = whole[factors[:, 0]]
    for place in range(1, factors.shape[1]):
        if (factors[:, place] != NONE).any():
            product *= whole[factors[:, place]]
    return np.asarray(product.T)


def columns_of(factors: Ints, owner: Ints) -> Ints:
    """Return the columns of products' features, padded with NONE, of the same shape."""
    return np.where(factors == NONE, NONE, owner[factors])


def is_declared(columns: Ints, uses: DeclaredUses) -> Bools:
    """Return which sets of columns, shape (sets, size), padded with NONE, declared interactions hold."""
    found = np.zeros(len(columns), bool)
    for declared in uses.interactions:
        found |= np.isin(columns, [*declared, NONE]).all(axis=1)
    return found


def affordable_factors(functions: Sequence[Ints], rank: int, most: int, uses: DeclaredUses) -> Ints:
    """Return the products to measure, shape (products, LARGEST): a public rule.

    Parameters
    ----------
    functions
        The features of each column, what is smooth and common first.
    rank
        How many of them enter products of three columns; of four, the first alone.
    most
        Number of products that the budget affords. Where there are more, whole ranks of the
        declared uses are left out, from the last.
    """
    kept: list[tuple[int, ...]] = []
    for size in (3, LARGEST):
        spans = [part[: rank if size == 3 else 1] for part in functions]
        sets = _sets(len(functions), size, uses)
        counts = np.array([len(span) for span in spans])[sets].prod(axis=1)
        ranks = precedence(sets, uses)
        for number in range(RANKS):
            chosen = ranks == number
            if len(kept) + counts[chosen].sum() > most:
                break
            for columns in sets[chosen]:
                grid = np.meshgrid(*(spans[j] for j in columns), indexing="ij")
                own = np.stack(grid, axis=-1).reshape(-1, size)
                kept += [(*one, *(NONE,) * (LARGEST - size)) for one in own.tolist()]
    return np.array(kept, np.int64).reshape(-1, LARGEST)


def affordable_rank(functions: Sequence[int], most: int, uses: DeclaredUses) -> int:
    """Return the largest rank of which all products of three can be measured; 0 if there are none.

    Where even the first functions of all sets are too many, the rank is 1.

    Parameters
    ----------
    functions
        Number of features of each column.
    """
    for rank in range(max(functions, default=0), 0, -1):
        sums = [1, 0, 0, 0]
        for count in functions:  # elementary symmetric polynomials
            sums = [1, *(sums[k] + sums[k - 1] * min(rank, count) for k in (1, 2, 3))]
        if 0 < sums[3] <= most:
            return rank
    ends = np.cumsum([0, *functions])
    spans = [np.arange(ends[j], ends[j] + min(1, count)) for j, count in enumerate(functions)]
    return min(1, len(affordable_factors(spans, 1, most, uses)))


def _sets(columns: int, size: int, uses: DeclaredUses) -> Ints:
    """Return the sets of columns to choose from; where there are too many, those that are declared."""
    if columns <= (MANY_COLUMNS if size == 3 else FEW_COLUMNS):
        sets: Iterable[tuple[int, ...]] = combinations(range(columns), size)
    else:
        declared = {tuple(sorted(one)) for one in uses.interactions if len(one) == size}
        beside = sorted(uses.predictors | uses.protected)
        if size == 3:
            declared |= {
                tuple(sorted((outcome, *pair)))
                for outcome in uses.outcomes
                for pair in combinations(beside, 2)
                if outcome not in pair
            }
        sets = sorted(declared)
    return np.array(list(sets), np.int64).reshape(-1, size)
