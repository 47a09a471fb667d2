"""Where the ends of number columns lie: a last bin hides how far the values in it reach."""

from dataclasses import dataclass
from itertools import combinations
from math import comb, prod
from typing import Literal

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.evaluation.intervals import (
    LEVEL,
    exact_limits,
    interval,
    jackknife,
    jackknife_groups,
    rounded,
)
from synthvae.evaluation.metric import NOISE, Disclosure, Limits, Metric
from synthvae.evaluation.results import Interval, Margin, NumberSummary, PairDistance, Score
from synthvae.evaluation.tables import Binning, Table, Tables, at_most, tokenise
from synthvae.field import Field

ENDS = (0.01, 0.99)
LEAST_STEPS = 10  # of the grid between both ends: on fewer, an end moves in leaps
NAMED = 5


TAILS = Metric(
    "tails",
    "Tails of number columns",
    "How far the 1 % and 99 % points of a column lie from train's, in ranges between train's own two "
    "points: the worst column's. Outliers that a last bin hides show here.",
    "lower",
    family="margins",
    topic="fidelity",
    threshold=Limits(
        0.1, 0.5, f"a tenth of the real range {NOISE}; half of it is poor", beside="bootstrap"
    ),
    withheld_as="a few patients stand at the ends of a distribution",
)
MOST_PAIRS = 1000
MOST_TRIPLES = 150
WORST = 20
SHOWN_CATEGORIES = 20
DENSE_CELLS = 1 << 16

Columns = tuple[int, ...]
_MANY = {1: "columns", 2: "pairs of columns", 3: "triples of columns"}


@dataclass(frozen=True)
class _Shift:
    """How far one end of one column lies from train's, in train's ranges."""

    name: str
    end: float
    size: float
    low: float
    high: float


def summary(field: Field, codes: Ints) -> NumberSummary | None:
    """Return what describes a number's column in its unit; None without any number in it.

    Missing cells and special values are left out.
    """
    present = codes[codes >= 0]
    if not len(present):
        return None
    numbers = (present + field.first_unit) / 10.0**field.places
    p1, p50, p99 = np.quantile(numbers, (ENDS[0], 0.5, ENDS[1]))
    mean, sd = rounded(numbers.mean()), rounded(numbers.std())
    return NumberSummary(mean=mean, sd=sd, p1=rounded(p1), p50=rounded(p50), p99=rounded(p99))


def compare_tails(tables: Tables) -> Score:
    """Return how far the ends of the worst number column are off, beside real rows.

    The interval holds for all columns and both ends at once (Bonferroni): each end's is the
    quantiles at both limits of its share (Woodruff 1952, Journal of the American Statistical
    Association 47), which count patients, not rows.
    """
    chosen = [
        j
        for j, field in enumerate(tables.schema.modelled)
        if is_number(field) and _range(tables.train.codes[:, j]) >= LEAST_STEPS
    ]
    if not chosen:
        return TAILS.unanswered(
            f"no number column spans {LEAST_STEPS} steps between its 1 % and 99 % points"
        )
    level = 1 - (1 - LEVEL) / (len(ENDS) * len(chosen))
    found = _shifts(tables, tables.synthetic, chosen, level)
    if not found:
        return TAILS.unanswered("the synthetic number columns have no values")
    worst = sorted(found, key=lambda shift: -shift.size)[:NAMED]
    told = ", ".join(
        f"'{shift.name}' ({100 * shift.end:.0f} % point: {shift.size:.2f})" for shift in worst
    )
    references: dict[str, float | None] = {
        name: _largest(_shifts(tables, getattr(tables, name), chosen, level))
        for name in ("holdout", "independent", "bootstrap")
    }
    return TAILS.with_goal(references["bootstrap"]).answer(
        worst[0].size,
        _simultaneous(found),
        references | {"ideal": 0.0},
        f"Over {counted(len(chosen), 'number column')}; furthest off: {told}.",
    )


def is_number(field: Field) -> bool:
    """Tell whether a field holds numbers on a grid: neither categories nor dates."""
    return field.is_lattice and field.type not in ("date", "datetime")


def _shifts(tables: Tables, other: Table, columns: list[int], level: float) -> list[_Shift]:
    """Return both ends' shifts of each column that has values."""
    found = []
    for j in columns:
        known = tables.train.codes[:, j]
        present = other.codes[:, j] >= 0
        if not present.any():
            continue
        values = other.codes[present, j]
        people = len(np.unique(other.patients[present]))
        goals = np.quantile(known[known >= 0], ENDS)
        for end, goal in zip(ENDS, goals, strict=True):
            limits = exact_limits(round(end * people), people, level)
            here, low, high = np.quantile(values, (end, *limits)) - goal
            furthest = max(abs(low), abs(high))
            nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
            sizes = np.array([abs(here), nearest, furthest]) / _range(known)
            found.append(_Shift(tables.schema.modelled[j].name, end, *sizes.tolist()))
    return found


def _range(codes: Ints) -> float:
    present = codes[codes >= 0]
    return float(np.diff(np.quantile(present, ENDS))[0]) if len(present) else 0.0


def _largest(shifts: list[_Shift]) -> float | None:
    return max((shift.size for shift in shifts), default=None)


def _simultaneous(shifts: list[_Shift]) -> Interval:
    return interval(
        max(shift.low for shift in shifts),
        max(shift.high for shift in shifts),
        f"Woodruff's, for {len(shifts)} ends at once",
    )


def _distance(
    size: int, what: str, good: float, poor: float, disclosure: Disclosure, headline: bool = False
) -> Metric:
    """Return the record of the mean distance of margins of `size` columns."""
    return Metric(
        f"tvd{size}",
        f"Total variation of {_MANY[size]}",
        f"How far the distribution of a {what} is from train's, on average: the share of "
        "rows that would have to change for the two to agree (0: the same, 1: nothing in common). "
        "The goal is the noise of real rows of the same number.",
        "lower",
        family="margins",
        topic="fidelity",
        threshold=Limits(good, poor, f"{100 * good:.0f} in 100 rows {NOISE}", beside="bootstrap"),
        disclosure=disclosure,
        headline=headline,
    )


DISTANCES = {
    1: _distance(1, "column", 0.02, 0.08, "margins"),
    2: _distance(2, "pair of columns", 0.04, 0.12, "grid", headline=True),
    3: _distance(3, "triple of columns", 0.06, 0.20, "grid"),
}
METRICS = (TAILS, *DISTANCES.values())


@dataclass(frozen=True)
class MarginFindings:
    """What comparing margins yields; `compared`: the sets of columns of each size that were."""

    scores: tuple[Score, ...]
    margins: tuple[Margin, ...]
    worst_pairs: tuple[PairDistance, ...]
    compared: dict[int, list[Columns]]


def compare_margins(
    tables: Tables, cuts: tuple[Binning, ...], generator: np.random.Generator
) -> MarginFindings:
    """Return total variation distances from train, with references of the same size.

    The distance of two tables on a set of columns is half the summed difference of the shares of
    their cells: the share of rows that would have to change (Levin & Peres 2017, Markov Chains and
    Mixing Times, section 4.1). It shrinks as tables grow, so each reference says its rows.
    """
    alike = min(len(tables.holdout), len(tables.synthetic))
    train = tokenise(tables.train, cuts)
    others = {
        "holdout": tokenise(at_most(tables.holdout, alike, generator), cuts),
        "independent": tokenise(tables.independent, cuts),
        "bootstrap": tokenise(tables.bootstrap, cuts),
        "alike": tokenise(at_most(tables.synthetic, alike, generator), cuts),
    }
    synthetic = tokenise(tables.synthetic, cuts)
    groups = jackknife_groups(tables.synthetic.patients, generator)
    levels = [cut.levels for cut in cuts]
    scores: list[Score] = []
    compared: dict[int, list[Columns]] = {}
    found: dict[int, tuple[Floats, Floats]] = {}
    for size, metric in DISTANCES.items():
        margins = draw_margins(len(cuts), size, generator)
        if not margins:
            scores.append(metric.unanswered(f"needs {size} columns; there are {len(cuts)}"))
            continue
        figures = np.array(
            [variations(train, synthetic, levels, margin, groups) for margin in margins]
        )
        references = {
            name: np.array([variation(train, other, levels, margin) for margin in margins])
            for name, other in others.items()
        }
        found[size] = figures[:, 0], references["holdout"]
        compared[size] = margins
        scores.append(_answer(size, figures.mean(axis=0), references, alike, tables))
    return MarginFindings(
        (*scores, compare_tails(tables)),
        _figures(tables, cuts, *found[1]),
        _worst(compared[2], cuts, *found[2]) if 2 in found else (),
        compared,
    )


def draw_margins(columns: int, size: int, generator: np.random.Generator) -> list[Columns]:
    """Return the sets of columns to compare: all of them, or a sample where there are too many."""
    most = {1: columns, 2: MOST_PAIRS, 3: MOST_TRIPLES}[size]
    if comb(columns, size) <= most:
        return list(combinations(range(columns), size))
    chosen: set[Columns] = set()
    while len(chosen) < most:
        chosen.add(tuple(sorted(generator.choice(columns, size, replace=False).tolist())))
    return sorted(chosen)


def _cells(
    first: Ints, second: Ints, levels: list[int], columns: Columns
) -> tuple[Ints, Ints, int]:
    """Return the cell that each row of both tables falls into, and the number of cells."""
    size = prod(levels[j] for j in columns)
    shape = [levels[j] for j in columns]
    keys = [np.ravel_multi_index(tuple(table[list(columns)]), shape) for table in (first, second)]
    if size <= DENSE_CELLS:
        return keys[0], keys[1], size
    seen, places = np.unique(np.concatenate(keys), return_inverse=True)
    return places[: len(keys[0])], places[len(keys[0]) :], len(seen)


def variation(first: Ints, second: Ints, levels: list[int], columns: Columns) -> float:
    """Return the total variation distance of two tables of tokens on a set of columns.

    Parameters
    ----------
    first, second
        Tokens by column, shape (columns, rows).
    levels
        Number of tokens of each column.
    """
    mine, theirs, size = _cells(first, second, levels, columns)
    shares = [np.bincount(cells, minlength=size) / len(cells) for cells in (mine, theirs)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def variations(
    first: Ints, second: Ints, levels: list[int], columns: Columns, groups: Ints
) -> Floats:
    """Return the distance, and then the same with each group of `second`'s rows left out."""
    mine, theirs, size = _cells(first, second, levels, columns)
    count = int(groups.max()) + 1
    expected = np.bincount(mine, minlength=size) / len(mine)
    parts = np.bincount(theirs * count + groups, minlength=size * count).reshape(size, count)
    kept = parts.sum(axis=1, keepdims=True) - parts
    counts = np.concatenate([parts.sum(axis=1, keepdims=True), kept], axis=1)
    rows = counts.sum(axis=0)
    shares = counts / np.where(rows, rows, 1)
    return np.asarray(np.abs(shares - expected[:, None]).sum(axis=0) / 2)


def _answer(
    size: int, means: Floats, references: dict[str, Floats], alike: int, tables: Tables
) -> Score:
    columns, compared = len(tables.schema.modelled), len(references["holdout"])
    every = comb(columns, size)
    drawn = "all" if compared == every else f"a random sample of {compared:,} of"
    known: dict[str, float | None] = {
        name: float(figures.mean()) for name, figures in references.items()
    }
    like_for_like = known.pop("alike")
    return (
        DISTANCES[size]
        .with_goal(known["bootstrap"])
        .answer(
            means[0],
            jackknife(float(means[0]), means[1:], "synthetic rows"),
            known | {"ideal": 0.0},
            f"Mean over {drawn} {every:,} {_MANY[size]}; numbers and dates in up to ten quantile "
            "bins of train, missing as a level of its own. The distance shrinks as tables grow: "
            "'independent' and 'bootstrap' (train's patients drawn again: the noise) have the "
            f"synthetic table's {counted(len(tables.synthetic), 'row')}; 'holdout' has {alike:,}, "
            f"and at that number the synthetic table's figure is {like_for_like:.3f}.",
        )
    )


def _worst(
    pairs: list[Columns], cuts: tuple[Binning, ...], distances: Floats, holdout: Floats
) -> tuple[PairDistance, ...]:
    order = np.argsort(-distances, kind="stable")[:WORST]
    return tuple(
        PairDistance(
            columns=(cuts[pairs[i][0]].field.name, cuts[pairs[i][1]].field.name),
            distance=rounded(distances[i]),
            holdout_distance=rounded(holdout[i]),
        )
        for i in order
    )


def _figures(
    tables: Tables, cuts: tuple[Binning, ...], distances: Floats, holdout: Floats
) -> tuple[Margin, ...]:
    return tuple(
        _margin(tables, cut, j, float(distances[j]), float(holdout[j]))
        for j, cut in enumerate(cuts)
    )


def _margin(tables: Tables, cut: Binning, j: int, distance: float, holdout: float) -> Margin:
    named = (tables.train, tables.holdout, tables.synthetic)
    shares = np.stack(
        [
            np.bincount(cut.tokens(table.codes[:, j]), minlength=cut.levels) / len(table)
            for table in named
        ]
    )
    labels, shares = _for_reading(cut, shares)
    train, held, synthetic = (tuple(rounded(share) for share in row) for row in shares)
    described = [
        summary(cut.field, table.codes[:, j]) if is_number(cut.field) else None
        for table in (tables.train, tables.synthetic)
    ]
    return Margin(
        column=cut.field.name,
        kind=_kind(cut.field),
        labels=labels,
        train=train,
        holdout=held,
        synthetic=synthetic,
        distance=rounded(distance),
        holdout_distance=rounded(holdout),
        train_summary=described[0],
        synthetic_summary=described[1],
    )


def _kind(field: Field) -> Literal["category", "number", "date"]:
    if not field.is_lattice:
        return "category"
    return "date" if field.type in ("date", "datetime") else "number"


def _for_reading(cut: Binning, shares: Floats) -> tuple[tuple[str, ...], Floats]:
    """Put the missing level last, drop what a number never is, and fold rare categories."""
    labels = np.array([*cut.labels[1:], cut.labels[0]], object)
    shares = np.roll(shares, -1, axis=1)
    shown = np.asarray(shares.any(axis=0))
    if not cut.field.is_lattice:
        shown[:-1] = True
    if not shown.any():
        shown[0] = True
    labels, shares = labels[shown], shares[:, shown]
    if cut.field.is_lattice or len(labels) <= SHOWN_CATEGORIES + 1:
        return tuple(labels), shares
    order = np.argsort(-shares.sum(axis=0), kind="stable")
    kept, folded = np.sort(order[:SHOWN_CATEGORIES]), order[SHOWN_CATEGORIES:]
    names = (*labels[kept], f"({len(folded)} others)")
    return names, np.column_stack([shares[:, kept], shares[:, folded].sum(axis=1)])
