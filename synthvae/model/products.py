"""Find what no pair of columns shows in noisy moments of three and four columns, and aim for it.

What the model of pairs already has of these moments is seen in records that it draws, and taken off.
What is left is compared with its noise, set of columns by set; sets that stand out from chance enter the
couplings as products of earlier features.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.interactions import (
    LARGEST,
    NONE,
    InteractionMoments,
    InteractionQuery,
    columns_of,
    is_declared,
)
from synthvae.model.layout import Layout
from synthvae.precedence import DeclaredUses

FALSE_ALARMS = (
    0.5  # sets of columns, on average, that are taken for dependent by chance, of each size
)
DECLARED_ALARMS = 0.05  # of a declared interaction
LEAST_SLOPE = 0.05
LEAST_PRIOR = 1e-4
SMALLEST_RIDGE = 1e-4


@dataclass(frozen=True)
class Aims:
    """Which moments with products couplings are to have, of shape (features, products)."""

    values: Floats
    ridge: Floats  # infinite where there is none


def without_products(layout: Layout) -> Aims:
    """Return no aims, for the products of a layout."""
    shape = (layout.features, len(layout.products))
    return Aims(np.zeros(shape), np.full(shape, np.inf))


@dataclass(frozen=True)
class _Rest:
    """What a model lacks of each measured moment, each of shape (sets,)."""

    whole: Floats  # the model's own moments, without the bound
    lacking: Floats  # before the bound
    noise: Floats  # of that, with what a sample of patients varies by


def find_interactions(
    layout: Layout,
    query: InteractionQuery,
    measured: InteractionMoments,
    blocks: Iterable[tuple[Ints, Ints]],
    patients: int,
    uses: DeclaredUses,
) -> tuple[Layout, Aims]:
    """Return the layout with the products that stand out, and the moments to give them.

    A set of columns stands out where its moments together are larger than noise and chance would make
    them in one of as many sets as there are (chi-squared; Bonferroni), declared interactions at 5 %.
    Of up to four columns there are few sets: all are taken in, and ridges leave what noise explains.

    Parameters
    ----------
    blocks
        Patients of the model of pairs, as `Cohort.draw` yields them.
    patients
        Number of real patients, declared or noisily counted.
    uses
        What the schema declares the records to be for.
    """
    rest = _rest(layout, query, measured, blocks, patients)
    owners = columns_of(query.factors, layout.owner)
    sets, which = np.unique(owners, axis=0, return_inverse=True)
    which = which.reshape(-1)
    score = np.bincount(which, (rest.lacking / rest.noise) ** 2)
    chance = chi2.sf(score, np.bincount(which))
    excess = np.bincount(which, rest.lacking**2 - rest.noise**2) / np.bincount(which)
    taken = stands_out(sets, chance, uses) | (layout.columns <= LARGEST)
    prior = np.where(taken, np.maximum(excess, LEAST_PRIOR), 0.0)[which]
    kept = np.flatnonzero(prior > 0)
    own = query.factors.max(axis=1)[kept]
    others = query.factors[kept].copy()
    others[np.arange(len(kept)), query.factors[kept].argmax(axis=1)] = NONE
    others = -np.sort(-others, axis=1)[:, :-1]
    products, place = np.unique(others, axis=0, return_inverse=True)
    layout = replace(layout, products=products)
    aims = without_products(layout)
    at = (own, place.reshape(-1))
    aims.values[at] = (rest.whole + rest.lacking)[kept]
    aims.ridge[at] = np.maximum(rest.noise[kept] ** 2 / prior[kept], SMALLEST_RIDGE)
    return layout, aims


def stands_out(sets: Ints, chance: Floats, uses: DeclaredUses) -> Bools:
    """Return which sets of columns, shape (sets, LARGEST), NONE last, have less than their chance."""
    sizes = (sets != NONE).sum(axis=1)
    found = np.zeros(len(sets), bool)
    for size in np.unique(sizes):
        alike = sizes == size
        found[alike] = chance[alike] < min(FALSE_ALARMS / alike.sum(), DECLARED_ALARMS)
    return found | (is_declared(sets, uses) & (chance < DECLARED_ALARMS))


def _rest(
    layout: Layout,
    query: InteractionQuery,
    measured: InteractionMoments,
    blocks: Iterable[tuple[Ints, Ints]],
    patients: int,
) -> _Rest:
    """Return what a model lacks of the measured moments, as records drawn from it show."""
    drawn = [*blocks]
    seen = [query.through_bound(layout.record_features(tokens), rows) for tokens, rows in drawn]
    rows_per_patient = np.mean([(rows >= 0).sum() / len(rows) for _, rows in drawn])
    whole, bounded, squares, bounded_squares = np.mean(seen, axis=0)
    slope = np.maximum(bounded_squares / np.maximum(squares, 1e-12), LEAST_SLOPE)
    guesses = [one[0] + (measured.values - one[1]) / slope for one in seen]
    error = np.std(guesses, axis=0, ddof=1) / len(seen) ** 0.5
    chance = np.sqrt(squares / (patients * rows_per_patient))
    noise = np.sqrt((measured.noise / slope) ** 2 + error**2 + chance**2)
    return _Rest(whole, (measured.values - bounded) / slope, np.maximum(noise, 1e-9))
