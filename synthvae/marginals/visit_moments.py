"""Measure how a patient's visits depend on each other, in one noisy release.

Each patient's part has four blocks of products of whitened features: of what never changes, once; within
a visit; of a visit and the one before it; and of visits further apart, which tell what a patient keeps
for good. The part is bounded in L2 norm and released with discrete Gaussian noise, as the moments of
pairs of columns are (`moments`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.column import LIMIT
from synthvae.privacy.mechanisms import Mechanisms

UNIT = 2.0**20  # steps of a product of size 1, before a patient's weight
COUNT_NORM = 0.1  # of the bound, for each count that moments are divided by
MARGIN = 0.999  # keeps what rounding adds inside the bound
CELLS_PER_CHUNK = 4_000_000
FAR = 2  # visits between which nothing but what stays is told
# Of the squared norm of a patient whose visits are all alike.
BLOCK_SHARES = {"static": 0.1, "visit": 0.4, "step": 0.3, "stay": 0.05, "far": 0.15}


@dataclass(frozen=True)
class BlockMoments:
    """Estimates of the means of a block's products, with their noise, each of shape (products,)."""

    values: Floats
    noise: Floats


@dataclass(frozen=True)
class Block:
    """Products to sum: of left and right features, by place, each of shape (products,)."""

    left: Ints
    right: Ints
    scales: Floats  # of each product in the sum


@dataclass(frozen=True)
class VisitQuery:
    """The weighted and bounded sums to release, from public numbers and paid-for marginals alone."""

    blocks: dict[str, Block]
    rows: int  # most visits of a patient
    bound: float  # largest L2 norm of one patient's part

    @classmethod
    def build(
        cls, pairs: dict[str, tuple[Ints, Ints]], order: Ints, taper: float, rows: int, share: float
    ) -> "VisitQuery":
        """Return the query whose bound is a share of the norm of a patient whose visits are alike.

        Parameters
        ----------
        pairs
            Left and right features of the products of each block.
        order
            Place of each feature in its column's basis, from 1: its weight is order ** -taper.
        share
            The bound, relative to a patient of most visits that are all typical and alike.
        """
        blocks = {}
        for name, (left, right) in pairs.items():
            if not len(left) or not _terms(name, rows):
                continue
            scales = (order[left] * order[right]).astype(float) ** -taper
            typical = _terms(name, rows) * math.sqrt(float((scales**2).sum()))
            blocks[name] = Block(left, right, scales * math.sqrt(BLOCK_SHARES[name]) / typical)
        return cls(blocks, rows, share)

    @property
    def sensitivity(self) -> int:
        """Largest L2 norm of one patient's part of the released whole numbers."""
        counts = math.sqrt(len(self.blocks)) * self._count_unit
        return math.ceil(math.hypot(self.bound * UNIT, counts))

    @property
    def _count_unit(self) -> int:
        """What a patient of full weight and most visits adds to each count."""
        return math.floor(COUNT_NORM * self.bound * UNIT)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of products of each block."""
        return {name: len(block.left) for name, block in self.blocks.items()}

    def release(
        self, features: Floats, rows: Ints, noise_multiplier: float, mechanisms: Mechanisms
    ) -> dict[str, BlockMoments]:
        """Return the noisy means of each block's products.

        Parameters
        ----------
        features
            Of each visit with the one before it, shape (all visits, features); the last is one in every
            visit, and zero in the only entry of a patient without visits, who counts for what never
            changes alone.
        rows
            Visits of each patient in the order of time, padded with -1, shape (patients, visits).

        Guarantee
        ---------
        One release of the Gaussian mechanism with this noise multiplier, for adding or removing
        one patient: a patient's part has an L2 norm of at most `sensitivity`.
        """
        sums = np.zeros(sum(self.sizes.values()), np.int64)
        counts = np.zeros(len(self.blocks), np.int64)
        for part, present in self._parts(features, rows):
            share = self._shares(part) if noise_multiplier > 0 else np.ones(len(part))
            # Truncation shortens every entry, and so the part.
            sums += np.trunc(part * (share * UNIT)[:, None]).sum(axis=0).astype(np.int64)
            counts += (
                np.floor(self._terms_of(present) * (share * self._count_unit)[:, None])
                .sum(axis=0)
                .astype(np.int64)
            )
        noisy = mechanisms.discrete_gaussian(
            np.concatenate((sums, counts)),
            stage="pairs",
            what="moments of visits",
            sensitivity=self.sensitivity,
            noise_multiplier=noise_multiplier,
        )
        totals = np.maximum(noisy[len(sums) :] / self._count_unit, 1.0 / self.rows)
        found: dict[str, BlockMoments] = {}
        start = 0
        for total, (name, block) in zip(totals, self.blocks.items(), strict=True):
            scale = UNIT * total * _terms(name, self.rows) * block.scales
            values = noisy[start : start + len(scale)] / scale
            found[name] = BlockMoments(values, noise_multiplier * self.sensitivity / scale)
            start += len(scale)
        return found

    def shares(self, features: Floats, rows: Ints) -> Floats:
        """Return the share that the bound leaves of each patient, in the arguments of `release`."""
        return np.concatenate([self._shares(part) for part, _ in self._parts(features, rows)])

    def means(self, features: Floats, rows: Ints) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Return the means of a table's products without the bound, and with it, by block."""
        whole = np.zeros(sum(self.sizes.values()))
        bounded, counts = whole.copy(), np.zeros((2, len(self.blocks)))
        for part, present in self._parts(features, rows):
            share = self._shares(part)
            whole += part.sum(axis=0)
            bounded += share @ part
            terms = self._terms_of(present)
            counts += np.stack((terms.sum(axis=0), share @ terms))
        found: tuple[dict[str, Floats], dict[str, Floats]] = ({}, {})
        start = 0
        for place, (name, block) in enumerate(self.blocks.items()):
            own = slice(start, start + len(block.scales))
            for sums, total, into in zip((whole, bounded), counts[:, place], found, strict=True):
                scale = max(total, 1e-9) * _terms(name, self.rows) * block.scales
                into[name] = sums[own] / scale
            start = own.stop
        return found

    def _terms_of(self, present: Bools) -> Floats:
        """Return how many terms each patient's blocks have, relative to the most, (patients, blocks)."""
        visits = present.sum(axis=1)
        most = [max(_terms(name, self.rows), 1) for name in self.blocks]
        return np.stack(
            [
                np.array([_terms(name, n) for n in range(self.rows + 1)])[visits] / top
                for name, top in zip(self.blocks, most, strict=True)
            ],
            axis=1,
        )

    def _parts(self, features: Floats, rows: Ints) -> Iterator[tuple[Floats, Bools]]:
        """Yield some patients' weighted sums of products, shape (patients, products), and presence."""
        step = max(1, CELLS_PER_CHUNK // max(1, sum(self.sizes.values())))
        for first in range(0, len(rows), step):
            chunk = rows[first : first + step]
            present = chunk >= 0
            # A basis is within its limit already: the bound must not depend on that.
            values = np.nan_to_num(features[np.maximum(chunk, 0)], nan=0.0)
            values = np.clip(values, -LIMIT, LIMIT) * present[:, :, None]
            present &= values[:, :, -1] != 0
            yield (
                np.concatenate([self._sums(name, values) for name in self.blocks], axis=1),
                present,
            )

    def _sums(self, name: str, values: Floats) -> Floats:
        block = self.blocks[name]
        if name == "static":
            return values[:, 0, block.left] * values[:, 0, block.right] * block.scales
        if name == "far":
            return _far_sums(values, block)
        total = np.zeros((len(values), len(block.left)))
        for place in range(0 if name == "visit" else 1, self.rows):
            total += values[:, place, block.left] * values[:, place, block.right]
        return total * block.scales

    def _shares(self, part: Floats) -> Floats:
        """Return the share that the bound leaves of each patient's part, shape (patients,)."""
        norms = np.linalg.norm(part, axis=1)
        return np.asarray(np.minimum(1.0, self.bound * MARGIN / np.maximum(norms, 1e-300)))


def _far_sums(values: Floats, block: Block) -> Floats:
    """Return the sums over pairs of visits that are not neighbours, both ways round, halved."""
    total = np.zeros((len(values), len(block.left)))
    before = np.zeros((len(values), values.shape[2]))
    for place in range(FAR, values.shape[1]):
        before += values[:, place - FAR]
        total += before[:, block.left] * values[:, place, block.right]
        total += before[:, block.right] * values[:, place, block.left]
    return 0.5 * total * block.scales


def _terms(name: str, visits: int) -> int:
    """Return how many terms a block of a patient with so many visits is the sum of."""
    if name == "static":
        return 1
    if name == "visit":
        return visits
    if name in ("step", "stay"):
        return max(visits - 1, 0)
    return max(visits - FAR, 0) * max(visits - FAR + 1, 0) // 2
