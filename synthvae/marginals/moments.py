"""Measure how columns depend on each other, two by two, in one noisy release.

A record's features f are whitened under the marginals, so the moments E[f_a f_b] of two columns'
features are their dependence: zero where they are independent. All pairs are summed at once, each
patient's part bounded in L2 norm, and released with discrete Gaussian noise. The sums are taken over
whole numbers, so that no rounding of floats stands between the bound and the noise.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.column import LIMIT
from synthvae.privacy.mechanisms import Mechanisms

LATTICE = 2.0**10  # steps of a feature of size 1, before a patient's weight
COUNT_NORM = 0.1  # of the bound, for the count that the moments are divided by
MARGIN = 0.999  # keeps what rounding adds inside the bound
CELLS_PER_CHUNK = 8_000_000


@dataclass(frozen=True)
class PairMoments:
    """Estimates of E[f_a f_b], symmetric and zero within a column, with their noise."""

    values: Floats  # shape (features, features)
    noise: Floats  # standard deviation, same shape


@dataclass(frozen=True)
class PairQuery:
    """The weighted and bounded sum to release, from public numbers and paid-for marginals alone."""

    owner: Ints  # column of each feature, shape (features,)
    weights: Floats  # scale of each feature in the sum: more of it, less noise, shape (features,)
    bound: float  # largest L2 norm of one patient's part, in units of weighted features squared

    @classmethod
    def build(
        cls, owner: Ints, order: Ints, taper: float, rows: int, share: float = 1.0
    ) -> "PairQuery":
        """Return the query whose bound is a share of the norm of a typical patient's part.

        Parameters
        ----------
        order
            Place of each feature in its column's basis, from 1: its weight is order ** -taper.
        rows
            Largest number of rows of a patient.
        share
            The bound, relative to a patient of most rows that are all typical and alike. Less of it
            means less noise. What is shortened alike in everybody is not lost, since the moments are
            divided by the weights that are left; `unbounded_moments` finds the rest.
        """
        weights = order.astype(float) ** -taper
        # Features have mean square 1 under their marginals, rare tokens' less.
        own = np.bincount(owner, weights**2)
        typical = math.sqrt(max(0.5 * (own.sum() ** 2 - (own**2).sum()), 1.0))
        return cls(owner, weights, share * typical * rows)

    @property
    def sensitivity(self) -> int:
        """Largest L2 norm of one patient's part of the released whole numbers."""
        moments = math.ceil(self.bound * LATTICE**2)
        return math.ceil(math.hypot(moments, self._count_unit))

    @property
    def _count_unit(self) -> int:
        """What a patient of full weight and most rows adds to the count."""
        return math.floor(COUNT_NORM * self.bound * LATTICE**2)

    def release(
        self, features: Floats, rows: Ints, noise_multiplier: float, mechanisms: Mechanisms
    ) -> PairMoments:
        """Return the noisy moments.

        Parameters
        ----------
        features
            Shape (all rows, features), within the limit of a basis.
        rows
            Rows of each patient, padded with -1, shape (patients, rows).

        Guarantee
        ---------
        One release of the Gaussian mechanism with this noise multiplier, for adding or removing
        one patient: a patient's part has an L2 norm of at most `sensitivity`.
        """
        upper = np.triu_indices(len(self.owner), 1)
        cross = self.owner[upper[0]] != self.owner[upper[1]]
        upper = (upper[0][cross], upper[1][cross])
        sums, count = self._sums(features, rows, self.bound if noise_multiplier > 0 else math.inf)
        exact = np.concatenate((sums[upper], [count])).astype(np.int64)
        noisy = mechanisms.discrete_gaussian(
            exact,
            stage="pairs",
            what="moments of pairs of columns",
            sensitivity=self.sensitivity,
            noise_multiplier=noise_multiplier,
        )
        unit = self._count_unit / rows.shape[1]
        total = max(float(noisy[-1]) / unit, 1.0)  # of the rows' weights
        scale = LATTICE**2 * self.weights[upper[0]] * self.weights[upper[1]] * total
        values = np.zeros((len(self.owner), len(self.owner)))
        noise = np.zeros_like(values)
        values[upper] = noisy[:-1] / scale
        noise[upper] = noise_multiplier * self.sensitivity / scale
        return PairMoments(values + values.T, noise + noise.T)

    def shares(self, features: Floats, rows: Ints) -> Floats:
        """Return the share that the bound leaves of each patient, in the arguments of `release`.

        Of records drawn from a model it costs nothing, and tells what to give back to the moments
        of the real ones: unusual patients are shortened most, and what is particular to them with it.
        """
        return np.concatenate(
            [
                self._shares(values * present[:, :, None] * self.weights, self.bound)
                for values, present in self._chunks(features, rows)
            ]
        )

    def _chunks(self, features: Floats, rows: Ints) -> Iterator[tuple[Floats, Bools]]:
        """Yield some patients' features, shape (patients, rows, features), and which rows exist."""
        step = max(1, CELLS_PER_CHUNK // (rows.shape[1] * len(self.owner)))
        for first in range(0, len(rows), step):
            chunk = rows[first : first + step]
            yield features[np.maximum(chunk, 0)], chunk >= 0

    def _shares(self, part: Floats, bound: float) -> Floats:
        """Return the share that the bound leaves of each patient's part, shape (patients,)."""
        return np.minimum(1.0, bound * MARGIN / np.maximum(self._norms(part), 1e-300))

    def _sums(self, features: Floats, rows: Ints, bound: float) -> tuple[Floats, int]:
        """Return the sums of products, exact whole numbers, and the weighted count."""
        size = len(self.owner)
        sums, count = np.zeros((size, size)), 0
        unit = self._count_unit / rows.shape[1]
        for values, present in self._chunks(features, rows):
            # A basis is within its limit already: the bound must not depend on that.
            part = np.clip(values, -LIMIT, LIMIT) * self.weights * present[:, :, None]
            share = self._shares(part, bound)
            whole = np.trunc(part * (np.sqrt(share) * LATTICE)[:, None, None])
            # Truncation shortens one row, but rows that partly cancel may cancel less: leave out a
            # patient whose part got longer than the bound.
            fits = self._norms(whole) <= bound * LATTICE**2
            whole, share = whole * fits[:, None, None], share * fits
            flat = whole.reshape(-1, size)
            sums += flat.T @ flat  # whole numbers far below 2^53: exact in any order
            count += int(np.floor(share * present.sum(axis=1) * unit).sum())
        return sums, count

    def _norms(self, part: Floats) -> Floats:
        """Return the L2 norm of each patient's sum of products between columns, shape (patients,).

        |sum_t f_t f_t'|^2 = sum_st (f_s . f_t)^2; pairs within a column are taken out, and each
        pair of columns counts once.
        """
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        squares = np.zeros(len(part))
        for s in range(part.shape[1]):
            for t in range(s, part.shape[1]):
                inner = np.add.reduceat(part[:, s] * part[:, t], starts, axis=1)
                cross = 0.5 * (inner.sum(axis=1) ** 2 - (inner**2).sum(axis=1))
                squares += cross if s == t else 2 * cross
        norms: Floats = np.sqrt(np.maximum(squares, 0.0))
        return norms
