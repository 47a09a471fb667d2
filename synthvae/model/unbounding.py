"""Find the moments before the bound: which moments, once bounded, are the measured ones.

A bound on a patient's part shortens unusual patients most, and what is particular to them with it. How
much is left of each, only the records tell; a model's own stand in for them, and cost nothing. For two
columns, let m be the products of their features, s the share that the bound leaves of a record, and p
the model's distribution. Moving p along exp(theta m) moves the moments E[m] by E[m m'] theta and the
bounded ones, E[s m] / E[s], by E[s m m'] theta / E[s]. So what the model lacks of the measured moments
tells what it lacks of those before the bound (Newton's method on each pair of columns).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model.layout import Layout
from synthvae.model.records import draw_patients
from synthvae.model.sampling import Sampler, block_generator, rough_steps

BLOCKS = 4  # of patients that show what the bound takes
SEED = 20_240_301
SMALLEST_NOISE = 1e-6
LEAST_CURVATURE = 0.01  # of whitened products: what a model has none of cannot be told from it


@dataclass(frozen=True)
class Cohort:
    """How many rows a model's patients have, and what these share."""

    row_shares: Floats | None = None  # with 1, 2, ... rows; None where each row is a patient
    shared: int = 0  # first columns that are the same in all rows of a patient

    def draw(
        self, layout: Layout, weights: Mapping[str, Floats], records: int
    ) -> Iterator[tuple[Ints, Ints]]:
        """Yield blocks of a model's patients: tokens of rows, and each one's rows, padded with -1."""
        offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
        sampler, shares = Sampler(layout, weights, offsets), self.row_shares
        for block in range(1, BLOCKS + 1):
            generator = block_generator(SEED, block)
            whose = draw_patients(shares, records if shares is None else 2 * records, generator)
            firsts, places = np.searchsorted(whose, whose), np.arange(len(whose))
            rows = np.full((int(whose[-1]) + 1, 1 if shares is None else len(shares)), -1)
            rows[whose, places - firsts] = places
            patients = (firsts, self.shared)
            drawn = sampler.draw(len(whose), generator, None, patients, rough_steps(layout))
            yield drawn.tokens, rows


@dataclass(frozen=True)
class Unbounded:
    """The moments before the bound, as a model tells them, and what the model lacks of the measured."""

    moments: PairMoments
    # Mean square of what is lacking, in units of noise, shape (columns, columns); or, where it is more,
    # the largest square, in units of the largest that noise alone leaves in all pairs.
    misfit: Floats

    def furthest(self, tried: PairMoments) -> float:
        """Return how far a moment lies from that which the model was fitted to, in units of noise."""
        away = np.abs(self.moments.values - tried.values)
        return float((away / np.maximum(self.moments.noise, SMALLEST_NOISE)).max(initial=0.0))


def unbounded_moments(
    layout: Layout,
    query: PairQuery,
    measured: PairMoments,
    blocks: Iterable[tuple[Ints, Ints]],
) -> Unbounded:
    """Return the measured moments as they were before the query's bound, as a model's patients tell.

    What the number of patients leaves uncertain counts as noise. `blocks` are those of `Cohort.draw`.
    """
    seen = []
    for tokens, rows in blocks:
        left = query.shares(layout.record_features(tokens), rows)
        whose = np.repeat(np.arange(len(rows)), (rows >= 0).sum(axis=1))
        classes = [of_token[tokens[:, j]] for j, of_token in enumerate(layout.token_classes)]
        seen.append((np.stack(classes, axis=1), left[whose]))
    values, noise = measured.values.copy(), measured.noise.copy()
    misfit = np.zeros((layout.columns, layout.columns))
    apart = int(np.count_nonzero(layout.owner[:, None] > layout.owner[None, :]))
    by_chance = 2 * math.log(2 * max(apart, 1))  # the largest of so many squares, about
    for j in range(layout.columns):
        for i in range(j):
            block = np.ix_(layout.span(j), layout.span(i))
            guess, error, squares = _pair(
                layout, (j, i), seen, measured.values[block], measured.noise[block]
            )
            values[block], noise[block] = guess, error
            other = np.ix_(layout.span(i), layout.span(j))
            values[other], noise[other] = guess.T, error.T
            # Of many functions, one that is far off hides among those that noise explains: that two
            # columns are missing together, say.
            worst = float(squares.max(initial=0.0)) / by_chance
            misfit[i, j] = misfit[j, i] = max(float(squares.mean()), worst)
    return Unbounded(PairMoments(values, noise), misfit)


def _pair(
    layout: Layout,
    pair: tuple[int, int],
    seen: list[tuple[Ints, Floats]],
    measured: Floats,
    noise: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Return two columns' moments before the bound, their noise, and what is lacking, squared."""
    first, second = (layout.classes[j][0] for j in pair)
    shape = len(first) * len(second)
    products = np.einsum("ac,bd->abcd", first, second).reshape(shape, -1)
    masses, lefts = [], []
    for classes, left in seen:
        cells = classes[:, pair[0]] * len(second) + classes[:, pair[1]]
        masses.append(np.bincount(cells, minlength=shape) / len(cells))
        lefts.append(np.bincount(cells, left, minlength=shape) / left.sum())
    mass, left = np.mean(masses, axis=0), np.mean(lefts, axis=0)
    curvature = (products.T * left) @ products
    curvature[np.diag_indices_from(curvature)] += LEAST_CURVATURE
    inverse = np.linalg.solve(curvature, (products.T * mass) @ products).T
    bounded = np.stack([one @ products for one in lefts])
    whole = np.stack([one @ products for one in masses])
    lacking = measured.ravel() - bounded
    guesses = whole + lacking @ inverse.T
    error = guesses.std(axis=0, ddof=1) / len(seen) ** 0.5
    spread = np.sqrt((inverse**2) @ noise.ravel() ** 2)
    sampled = bounded.std(axis=0, ddof=1) / len(seen) ** 0.5
    squares = np.square(lacking.mean(axis=0))
    squares = squares / np.maximum(noise.ravel() ** 2 + sampled**2, SMALLEST_NOISE**2)
    guess = guesses.mean(axis=0).reshape(measured.shape)
    return guess, np.hypot(spread, error).reshape(measured.shape), squares
