"""Distributions of single columns, of pairs and of triples, and where the ends of numbers lie."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb, prod
from typing import Literal

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import NOISE, Disclosure, Limits, Metric
from synthvae.evaluation.results import Margin, NumberSummary, PairDistance, Score
from synthvae.evaluation.tables import REFERENCES, Binning, Table, Tables, at_most, tokenise
from synthvae.field import Field

ENDS = (0.01, 0.99)
LEAST_STEPS = 10  # of the grid between both ends: on fewer, an end moves in leaps
NAMED = 5
MOST_PAIRS = 1000
MOST_TRIPLES = 150
WORST = 20
SHOWN_CATEGORIES = 20
DENSE_CELLS = 1 << 16

Columns = tuple[int, ...]
_MANY = {1: "columns", 2: "pairs of columns", 3: "triples of columns"}


_metric = partial(
    Metric, direction="lower", family="margins", topic="fidelity", goal_from="bootstrap"
)
_OF_RANGE = f"a tenth of the real range {NOISE}; half of it is poor"
TAILS = _metric(
    "tails",
    "Tails of number columns",
    "How far the 1 % and 99 % points of a column lie from train's, in ranges between train's own two "
    "points: the worst column's. Outliers that a last bin hides show here.",
    threshold=Limits(0.1, 0.5, _OF_RANGE, beside="bootstrap"),
    withheld_as="a few patients stand at the ends of a distribution",
)


def _distance(
    size: int, what: str, good: float, poor: float, disclosure: Disclosure, headline: bool = False
) -> Metric:
    return _metric(
        f"tvd{size}",
        f"Total variation of {_MANY[size]}",
        f"How far the distribution of a {what} is from train's, on average: the share of "
        "rows that would have to change for the two to agree (0: the same, 1: nothing in common). "
        "The goal is the noise of real rows of the same number.",
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
    equal_rows = min(len(tables.holdout), len(tables.synthetic))
    train, synthetic = tokenise(tables.train, cuts), tokenise(tables.synthetic, cuts)
    others = {
        "holdout": tokenise(at_most(tables.holdout, equal_rows, generator), cuts),
        "independent": tokenise(tables.independent, cuts),
        "bootstrap": tokenise(tables.bootstrap, cuts),
        "equal rows": tokenise(at_most(tables.synthetic, equal_rows, generator), cuts),
    }
    groups = intervals.jackknife_groups(tables.synthetic.patients, generator)
    levels = [cut.levels for cut in cuts]
    scores: list[Score] = []
    compared: dict[int, list[Columns]] = {}
    distances: dict[int, tuple[Floats, Floats]] = {}
    for size, metric in DISTANCES.items():
        margins = draw_margins(len(cuts), size, generator)
        if not margins:
            scores.append(metric.unanswered(f"needs {size} columns; there are {len(cuts)}"))
            continue
        figures = np.array([variations(train, synthetic, levels, m, groups) for m in margins])
        references = {
            name: np.array([variation(train, other, levels, m) for m in margins])
            for name, other in others.items()
        }
        distances[size], compared[size] = (figures[:, 0], references["holdout"]), margins
        scores.append(_answer(size, figures.mean(axis=0), references, equal_rows, tables))
    return MarginFindings(
        (*scores, compare_tails(tables)),
        tuple(
            _margin(tables, cut, j, *(of[j] for of in distances[1])) for j, cut in enumerate(cuts)
        ),
        _worst(compared[2], cuts, *distances[2]) if 2 in distances else (),
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


def variation(first: Ints, second: Ints, levels: list[int], columns: Columns) -> float:
    """Return the total variation distance of two tables of tokens on a set of columns.

    Tokens are by column, shape (columns, rows); `levels` is each column's number of tokens.
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


def _answer(
    size: int, means: Floats, references: dict[str, Floats], equal_rows: int, tables: Tables
) -> Score:
    compared, every = len(references["holdout"]), comb(len(tables.schema.modelled), size)
    drawn = "all" if compared == every else f"a random sample of {compared:,} of"
    known = {name: float(figures.mean()) for name, figures in references.items()}
    like_for_like = known.pop("equal rows")
    return DISTANCES[size].answer(
        means[0],
        intervals.jackknife(means, "synthetic rows"),
        known | {"ideal": 0.0},
        f"Mean over {drawn} {every:,} {_MANY[size]}; numbers and dates in up to ten quantile "
        "bins of train, missing as a level of its own. The distance shrinks as tables grow: "
        "'independent' and 'bootstrap' (train's patients drawn again: the noise) have the "
        f"synthetic table's {counted(len(tables.synthetic), 'row')}; 'holdout' has {equal_rows:,}, "
        f"and at that number the synthetic table's figure is {like_for_like:.3f}.",
    )


def _worst(
    pairs: list[Columns], cuts: tuple[Binning, ...], distances: Floats, holdout: Floats
) -> tuple[PairDistance, ...]:
    order = np.argsort(-distances, kind="stable")[:WORST]
    return tuple(
        PairDistance(
            columns=(cuts[pairs[i][0]].field.name, cuts[pairs[i][1]].field.name),
            distance=intervals.rounded(distances[i]),
            holdout_distance=intervals.rounded(holdout[i]),
        )
        for i in order
    )


def _margin(tables: Tables, cut: Binning, j: int, distance: float, holdout: float) -> Margin:
    codes = [table.codes[:, j] for table in (tables.train, tables.holdout, tables.synthetic)]
    counts = [np.bincount(cut.tokens(each), minlength=cut.levels) / len(each) for each in codes]
    labels, shares = _for_reading(cut, np.stack(counts))
    train, held, synthetic = (tuple(map(intervals.rounded, row)) for row in shares)
    kind = _kind(cut.field)
    summaries = [summary(cut.field, each) if kind == "number" else None for each in codes]
    return Margin(
        column=cut.field.name,
        kind=kind,
        labels=labels,
        train=train,
        holdout=held,
        synthetic=synthetic,
        distance=intervals.rounded(distance),
        holdout_distance=intervals.rounded(holdout),
        train_summary=summaries[0],
        synthetic_summary=summaries[2],
    )


def _kind(field: Field) -> Literal["category", "number", "date"]:
    if not field.is_lattice:
        return "category"
    return "date" if field.is_moment else "number"


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


def summary(field: Field, codes: Ints) -> NumberSummary | None:
    """Return what describes a number's column in its unit; None without any number in it.

    Missing cells and special values are left out.
    """
    present = codes[codes >= 0]
    if not len(present):
        return None
    numbers = field.numbers_at(present + field.first_unit)
    p1, p50, p99 = np.quantile(numbers, (ENDS[0], 0.5, ENDS[1]))
    mean, sd = intervals.rounded(numbers.mean()), intervals.rounded(numbers.std())
    return NumberSummary(
        mean=mean,
        sd=sd,
        p1=intervals.rounded(p1),
        p50=intervals.rounded(p50),
        p99=intervals.rounded(p99),
    )


def compare_tails(tables: Tables) -> Score:
    """Return how far the ends of the worst number column are off, beside real rows.

    The interval holds for all columns and both ends at once (Bonferroni): each end's is the
    quantiles at both limits of its share (Woodruff 1952, Journal of the American Statistical
    Association 47), which count patients, not rows.
    """
    chosen = [
        j
        for j, field in enumerate(tables.schema.modelled)
        if _kind(field) == "number" and _range(tables.train.codes[:, j]) >= LEAST_STEPS
    ]
    if not chosen:
        return TAILS.unanswered(
            f"no number column spans {LEAST_STEPS} steps between its 1 % and 99 % points"
        )
    level = 1 - (1 - intervals.LEVEL) / (len(ENDS) * len(chosen))
    shifts = _shifts(tables, tables.synthetic, chosen, level)
    if not shifts:
        return TAILS.unanswered("the synthetic number columns have no values")
    sizes, names = np.array([each for each, _ in shifts]), [name for _, name in shifts]
    worst = ", ".join(names[i] for i in np.argsort(-sizes[:, 0], kind="stable")[:NAMED])
    references: dict[str, float | None] = {}
    for name in REFERENCES:
        others = _shifts(tables, getattr(tables, name), chosen, level)
        references[name] = max((float(each[0]) for each, _ in others), default=None)
    low, high = sizes[:, 1:].max(axis=0)
    return TAILS.answer(
        sizes[:, 0].max(),
        intervals.interval(low, high, f"Woodruff's, for {len(shifts)} ends at once"),
        references | {"ideal": 0.0},
        f"Over {counted(len(chosen), 'number column')}; furthest off: {worst}.",
    )


def _shifts(
    tables: Tables, other: Table, columns: list[int], level: float
) -> list[tuple[Floats, str]]:
    """Return how far each end lies from train's, in train's ranges, with its limits and name."""
    shifts = []
    for j in columns:
        real, present = tables.train.codes[:, j], other.codes[:, j] >= 0
        if not present.any():
            continue
        values = other.codes[present, j]
        patients = len(np.unique(other.patients[present]))
        for end, goal in zip(ENDS, np.quantile(real[real >= 0], ENDS), strict=True):
            limits = intervals.exact_limits(round(end * patients), patients, level)
            here, low, high = np.quantile(values, (end, *limits)) - goal
            furthest = max(abs(low), abs(high))
            nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
            sizes = np.array([abs(here), nearest, furthest]) / _range(real)
            name = tables.schema.modelled[j].name
            shifts.append((sizes, f"'{name}' ({100 * end:.0f} % point: {sizes[0]:.2f})"))
    return shifts


def _range(codes: Ints) -> float:
    present = codes[codes >= 0]
    return float(np.diff(np.quantile(present, ENDS))[0]) if len(present) else 0.0
