"""Neighbouring cells of a lattice column merged into bins of about equal mass, none across a gap."""

from itertools import pairwise

import numpy as np

from synthvae._types import Floats, Ints

LEAST_EDGE = 0.1  # of a bin, that makes the edge of a hill a bin of its own
GAP_DENSITY = 0.25  # of a gap at most, relative to its sides


def merged_bins(mass: Floats, sizes: Ints, bins: int) -> Ints:
    """Return the bin of each cell.

    Parameters
    ----------
    mass, sizes
        Mass and number of lattice points of each cell, in order.
    bins
        How many are aimed at.
    """
    return _cut_at_gaps(_merge(mass, bins), mass, sizes, bins)


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
    # The few beyond a point that most values pile up on are unlike them: some cost, beside none.
    least = 0.05 if mass[labels == current - 1].sum() > 0.5 * total else 0.25
    if filled < least * share and current > 0 and not alone:
        labels[labels == current] = current - 1
    return labels


def _cut_at_gaps(labels: Ints, mass: Floats, sizes: Ints, bins: int) -> Ints:
    """Return the bins with each one cut in two that holds the edges of two hills and the gap between.

    Whoever stands on one hill has little in common with those on the other: dialysed patients and those
    who are not, say. In one bin they could not be told apart. An edge of little mass joins the next bin
    of its hill.
    """
    least = LEAST_EDGE * mass.sum() / bins
    ends = np.append(np.flatnonzero(np.diff(labels, prepend=-1)), len(labels))
    cuts = set(ends.tolist())
    for first, last in pairwise(ends):
        gap = _widest_gap(mass[first:last], sizes[first:last])
        if gap is None:
            continue
        left, right = mass[first : first + gap[0]].sum(), mass[first + gap[1] : last].sum()
        if (left < least and first == 0) or (right < least and last == len(labels)):
            continue  # a few outliers, and no hill
        cuts.add(int(first + gap[1]))
        cuts -= {int(first)} if left < least else set()
        cuts -= {int(last)} if right < least else set()
    starts = np.array(sorted(cuts))[:-1]
    return np.asarray(np.searchsorted(starts, np.arange(len(labels)), side="right") - 1)


def _widest_gap(mass: Floats, sizes: Ints) -> tuple[int, int] | None:
    """Return where the widest gap within a bin begins, and where it is emptiest; None without one.

    A gap is at least half as wide as the narrower of what is left and right of it, and far less dense.
    """
    masses, places = (np.append(0.0, np.cumsum(of)) for of in (mass, sizes))
    first, end = (1 + of for of in np.triu_indices(len(mass) - 1, 1))
    width, inside = places[end] - places[first], masses[end] - masses[first]
    left, right = places[first], places[-1] - places[end]
    beside = np.minimum(masses[first] / left, (masses[-1] - masses[end]) / right)
    clear = (2 * width >= np.minimum(left, right)) & (inside <= GAP_DENSITY * beside * width)
    if not clear.any():
        return None
    widest = int(np.argmax(np.where(clear, width, 0.0)))
    begin, stop = int(first[widest]), int(end[widest])
    return begin, stop - int(np.argmin((mass / sizes)[begin:stop][::-1]))
