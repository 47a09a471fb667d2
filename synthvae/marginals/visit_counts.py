"""Measure the marginals of visits, and by how much numbers move on from one visit to the next.

What never changes, the number of visits and the time of the first are counted once a patient; a visit's
columns once a visit, the time between two visits once for each two neighbours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.measure import measure_marginals, query_weights
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.timeline import Timeline

LARGEST_MOVE = 3  # lattice steps from visit to visit that are counted
GAP_WEIGHT = 4.0  # precision of the gap, on which all that follows rests, relative to one marginal
MOVES_WEIGHT = 0.02  # precision of the steps of a number, relative to one marginal
LEAST_MOVING = 0.2  # share of visits that move on by as much, if it is to count as their way


@dataclass(frozen=True)
class VisitNoise:
    """The noise multipliers of what is counted of visits beside the schema's own columns."""

    visits: tuple[float, ...]  # of the number of visits
    first: tuple[float, ...]  # of the time of the first
    gap: tuple[float, ...]  # of the time since the visit before
    moves: tuple[float, ...]  # of each number's steps from visit to visit


@dataclass(frozen=True)
class VisitCounts:
    """Marginals of the timeline's columns that are counted, by place, and the moves of all columns."""

    marginals: Mapping[int, ColumnMarginal]
    moves: Ints  # shape (columns,)


def counted_columns(timeline: Timeline) -> list[int]:
    """Return the timeline's columns that have a marginal of their own, in order.

    That of the gap is counted only where a patient may have two visits.
    """
    return [*range(timeline.static), timeline.gap, timeline.time, *timeline.own]


def moving_columns(timeline: Timeline) -> list[int]:
    """Return the columns whose steps from visit to visit are counted: numbers and dates."""
    if timeline.schema.rows_per_patient == 1:
        return []
    return [j for j in timeline.own if timeline.columns[j].is_lattice]


def visit_weights(timeline: Timeline, bins: int) -> list[tuple[float, ...]]:
    """Return the relative precision of each count of a `VisitNoise`, by its parts: a public rule."""
    fields = timeline.columns
    gap = query_weights(fields[timeline.gap], bins) if timeline.schema.rows_per_patient > 1 else ()
    return [
        query_weights(fields[timeline.visits], bins),
        query_weights(fields[timeline.first], bins),
        tuple(GAP_WEIGHT * weight for weight in gap),
        (MOVES_WEIGHT,) * len(moving_columns(timeline)),
    ]


def visit_counts(
    timeline: Timeline, column_noise: Mapping[str, tuple[float, ...]], noise: VisitNoise
) -> list[tuple[float, float]]:
    """Return the noise multiplier and the sensitivity of each count, in the order of a fit."""
    groups = count_groups(timeline, column_noise, noise)
    return [(one, changes) for counts, changes in groups for one in counts]


def count_groups(
    timeline: Timeline, column_noise: Mapping[str, tuple[float, ...]], noise: VisitNoise
) -> list[tuple[tuple[float, ...], float]]:
    """Return the noise multipliers of each column's counts, with their sensitivity, as `visit_counts`.

    The first of them is over public cells.
    """
    most = float(timeline.schema.rows_per_patient)
    shared, own = (
        [column_noise[field.name] for field in fields]
        for fields in (timeline.shared, (timeline.order, *timeline.varying))
    )
    groups = [(counts, 1.0) for counts in (*shared, noise.visits, noise.first)]
    groups += [(counts, most) for counts in own]
    between = (noise.gap, *((one,) for one in noise.moves))
    return groups + [(counts, most - 1) for counts in between if counts]


def measure_visits(
    timeline: Timeline,
    codes: Ints,
    column_noise: Mapping[str, tuple[float, ...]],
    noise: VisitNoise,
    bins: int,
    mechanisms: Mechanisms,
) -> VisitCounts:
    """Return the marginals and moves of visits.

    Parameters
    ----------
    codes
        Of the timeline's columns for each kept visit, shape (visits, columns).
    column_noise
        Noise multipliers of the counts of each of the schema's columns.

    Guarantee
    ---------
    A count of what is counted once a patient changes by at most 1 in L2 norm when one patient is added
    or removed, of visits by at most their largest number, of steps between them by one less; everything
    else is post-processing.
    """
    fields, most = timeline.columns, timeline.schema.rows_per_patient
    places = codes[:, timeline.place]
    groups: list[tuple[Sequence[int], Ints, int]] = [
        (range(timeline.static), codes[places <= 0], 1),  # with those of patients without visits
        ([timeline.time, *timeline.own], codes[places >= 0], most),
    ]
    if most > 1:
        groups.append(([timeline.gap], codes[places > 0], most - 1))
    own = {timeline.visits: noise.visits, timeline.first: noise.first, timeline.gap: noise.gap}
    found: dict[int, ColumnMarginal] = {}
    for columns, rows, sensitivity in groups:
        multipliers = [own[j] if j in own else column_noise[fields[j].name] for j in columns]
        marginals = measure_marginals(
            rows[:, list(columns)],
            tuple(fields[j] for j in columns),
            tuple(multipliers),
            bins,
            sensitivity,
            mechanisms,
        )
        found |= dict(zip(columns, marginals, strict=True))
    if most == 1:
        found[timeline.gap] = _nothing_known(fields[timeline.gap].lattice_size)
    return VisitCounts(found, _moves(timeline, codes[places > 0], noise.moves, mechanisms))


def _nothing_known(size: int) -> ColumnMarginal:
    """Return the marginal of a lattice of which nothing is counted."""
    whole = np.ones(1)
    return ColumnMarginal(
        np.zeros(1, np.int64), whole, np.zeros(1, np.int64), whole, size, 0, False
    )


def _moves(
    timeline: Timeline, codes: Ints, noise: tuple[float, ...], mechanisms: Mechanisms
) -> Ints:
    """Return by how many steps each column moves on from visit to visit, if most do so alike."""
    moves = np.zeros(len(timeline.columns), np.int64)
    steps = np.arange(-LARGEST_MOVE, LARGEST_MOVE + 1)
    for j, noise_multiplier in zip(moving_columns(timeline), noise, strict=True):
        before = codes[:, j - timeline.shift]
        there = (codes[:, j] >= 0) & (before >= 0)
        moved = (codes[:, j] - before)[there]
        near = np.abs(moved) <= LARGEST_MOVE
        exact = np.bincount(moved[near] + LARGEST_MOVE, minlength=len(steps))
        counts: Floats = mechanisms.discrete_gaussian(
            np.append(exact, np.count_nonzero(~near)).astype(np.int64),
            stage="columns",
            what=f"steps of {timeline.columns[j].name} from visit to visit",
            sensitivity=timeline.schema.rows_per_patient - 1,
            noise_multiplier=noise_multiplier,
        ).astype(float)
        largest = int(np.argmax(counts[:-1]))
        if counts[largest] >= LEAST_MOVING * max(counts.sum(), 1.0):
            moves[j] = steps[largest]
    return moves
