"""Survival curves and how well a risk ranks survival times, with censored times in mind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthvae.evaluation.codes import number_of
from synthvae.evaluation.tables import Bools, Ints, Table
from synthvae.schema import Schema

MOMENTS = 400  # into which a curve is cut to measure its area
CHUNK = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Followed:
    """Patients' rows whose follow-up is known: how long, and whether the event ended it."""

    rows: Table
    durations: Floats
    happened: Bools


def followed(table: Table, schema: Schema) -> Followed:
    """Return the rows whose follow-up time and event are known; the event is its last category."""
    assert schema.survival is not None
    names = [field.name for field in schema.modelled]
    time, event = (names.index(n) for n in (schema.survival.duration, schema.survival.event))
    timed, ended = schema.modelled[time], schema.modelled[event]
    last = ended.lattice_size - 1 if ended.is_lattice else len(ended.categories) - 1
    units = number_of(timed, table.codes[:, time]) + timed.first_unit
    known = np.isfinite(units) & (units >= 0) & (table.codes[:, event] >= 0)
    return Followed(
        table.take(known),
        units[known] / 10.0**timed.places,
        table.codes[known, event] == last,
    )


def why_not_followed(schema: Schema) -> str | None:
    """Return why there can be no survival analysis, None where there can."""
    if schema.survival is None:
        return "the schema declares no survival columns; name them under `survival`"
    for name in (schema.survival.duration, schema.survival.event):
        if name in schema.identifiers:
            return f"the survival column '{name}' is an identifier, never modelled"
    time, event = (schema[n] for n in (schema.survival.duration, schema.survival.event))
    if not time.is_lattice or time.type not in ("integer", "number"):
        return f"the survival column '{time.name}' is no number with bounds"
    if (event.lattice_size if event.is_lattice else len(event.categories)) != 2:
        return f"the survival column '{event.name}' has not two values"
    return None


def kaplan_meier(durations: Floats, happened: Bools, times: Floats) -> Floats:
    """Return the share still free of the event after each time.

    References
    ----------
    Kaplan & Meier 1958, Journal of the American Statistical Association 53.

    Examples
    --------
    >>> kaplan_meier(np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, True]),
    ...     np.array([0.0, 1.0, 2.5, 3.0]))
    array([1.  , 0.75, 0.5 , 0.  ])
    """
    moments, place = np.unique(durations, return_inverse=True)
    if not len(moments):
        return np.ones(len(times))
    ends = np.bincount(place, minlength=len(moments))
    events = np.bincount(place, weights=happened, minlength=len(moments))
    at_risk = ends[::-1].cumsum()[::-1]
    shares = np.cumprod(1 - events / at_risk)
    steps = np.searchsorted(moments, times, side="right")
    return np.asarray(np.r_[1.0, shares][steps])


def moments_until(end: float) -> Floats:
    """Return the midpoints of equal parts of the time until `end`."""
    return np.asarray((np.arange(MOMENTS) + 0.5) * end / MOMENTS)


def concordance(durations: Floats, happened: Bools, risk: Floats, groups: Ints) -> Floats:
    """Return the c-index of a risk, and then the same with each group of rows left out.

    Of all pairs of which one is known to have had the event first, the share in which that one had the
    higher risk; equal risks count half.

    Parameters
    ----------
    durations, happened, risk, groups
        Shape (rows,).

    Returns
    -------
    ndarray
        Shape (1 + groups,); NaN where no pair can be compared.

    References
    ----------
    Harrell, Lee & Mark 1996, Statistics in Medicine 15(4).
    """
    count = int(groups.max()) + 1
    won, compared = np.zeros((2, count, count))
    for start in range(0, len(durations), CHUNK):
        rows = slice(start, start + CHUNK)
        lasted = durations[rows, None]
        first = happened[rows, None] & ((lasted < durations) | ((lasted == durations) & ~happened))
        ahead = (risk[rows, None] > risk) + 0.5 * (risk[rows, None] == risk)
        for total, pairs in ((won, first * ahead), (compared, first.astype(float))):
            by_column = np.stack([np.bincount(groups, row, minlength=count) for row in pairs])
            np.add.at(total, groups[rows], by_column)
    left_out = [
        (matrix.sum() - matrix.sum(axis=0) - matrix.sum(axis=1) + matrix.diagonal())
        for matrix in (won, compared)
    ]
    wins, pairs = (np.r_[m.sum(), rest] for m, rest in zip((won, compared), left_out, strict=True))
    return np.asarray(np.divide(wins, pairs, out=np.full(count + 1, np.nan), where=pairs > 0))
