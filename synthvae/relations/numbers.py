"""Candidates among numbers and moments, in a sample of rows: orders, sums, flags and cut-points."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.field import Field
from synthvae.relations import statements
from synthvae.relations.statements import LOOSE, Candidate, Fact
from synthvae.relations.view import View, is_numeric, spelt

ALIKE = 1e-9  # relative: numbers that differ by less are the same
LEAST_ROWS = 20  # of the sample, that say something about a candidate
CAPABLE = 0.002  # of pairs drawn at random must break an order or an equality
FAR = 10.0  # times: columns without a unit of so different sizes are on no common scale
TIGHT = 0.05  # of the usual gap between two columns is the gap of the closest rows
MOST_SUMS = 3  # of one column
LARGEST_CLASSES = 8  # categories that are called intervals of a number


def numeric_names(view: View, names: Sequence[str]) -> list[str]:
    """Return the columns that count as numbers and vary, in the given order."""
    return [name for name in names if is_numeric(view.field(name)) and _varies(view.numbers(name))]


def _varies(values: Floats) -> bool:
    there = values[~np.isnan(values)]
    if len(there) < LEAST_ROWS:
        return False
    most = np.unique(there, return_counts=True)[1].max()
    return bool(len(there) - most > LOOSE / 2 * len(there))


def _is_measure(field: Field) -> bool:
    """Whether a column holds measured or counted values, not codes that look like them."""
    return field.is_lattice or field.is_number


def scales(view: View, names: Sequence[str]) -> list[list[str]]:
    """Return the columns that may be compared: moments, and numbers of one unit or one type."""
    by_scale: dict[str, list[str]] = {}
    for name in names:
        field = view.field(name)
        if _is_measure(field):
            unit = f"unit {field.unit}" if field.unit else field.type
            by_scale.setdefault("moment" if field.is_moment else unit, []).append(name)
    return [group for group in by_scale.values() if len(group) > 1]


def find_orders(
    view: View, names: Sequence[str], generator: np.random.Generator
) -> Iterator[Candidate]:
    """Yield equal columns, and columns of which one is never above the other."""
    for group in scales(view, names):
        values = view.matrix(group)
        mixed = generator.permuted(values, axis=0)
        near = _near(values, view.field(group[0]).is_moment)
        same_unit = view.field(group[0]).is_moment or bool(view.field(group[0]).unit)
        for i, first in enumerate(group):
            below, same, known = _compared(values, i)
            chance_below, chance_same, chance_known = _compared(mixed, i)
            for j in np.flatnonzero(known >= LEAST_ROWS):
                if j == i or not near[i, j]:
                    continue
                second, most = group[j], LOOSE * known[j] + 1
                by_chance = max(1, chance_known[j])
                if known[j] - same[j] <= most:
                    if i < j and 1 - chance_same[j] / by_chance >= CAPABLE:
                        yield statements.equal(first, second)
                elif (
                    below[j] <= most
                    and chance_below[j] / by_chance >= CAPABLE
                    and (same_unit or _is_tight(values[:, j] - values[:, i], view.field(first)))
                ):
                    yield statements.order(first, second)
                    if same[j] <= most - below[j] and chance_same[j] / by_chance >= CAPABLE:
                        yield statements.order(first, second, strict=True)


def _is_tight(gap: Floats, field: Field) -> bool:
    """Whether an order is the edge of what there is, rather than two columns that lie apart and rise
    together: near it there are still rows.
    """
    step = float(field.numbers_at(1) - field.numbers_at(0)) if field.is_lattice else 1.0
    least, usual = np.nanquantile(gap, [LOOSE, 0.5])
    return bool(least <= max(TIGHT * usual, step))


def _compared(values: Floats, place: int) -> tuple[Ints, Ints, Ints]:
    """Return, for each column, in how many rows it is below one of them, the same, and known."""
    one = values[:, [place]]
    slack = ALIKE * np.maximum(1, np.abs(one))
    gap = values - one  # NaN where either is missing, and neither below nor the same then
    same = np.abs(gap) <= slack
    return (gap < -slack).sum(axis=0), same.sum(axis=0), (~np.isnan(gap)).sum(axis=0)


def _near(values: Floats, moments: bool) -> Bools:
    """Return which columns are of one order of size."""
    columns = values.shape[1]
    if moments:
        return np.ones((columns, columns), bool)
    sizes = np.array([_size(column) for column in values.T])
    ratio = sizes[:, None] / sizes
    return np.asarray((ratio <= FAR) & (ratio >= 1 / FAR))


def _size(values: Floats) -> float:
    there = np.abs(values[~np.isnan(values) & (values != 0)])
    return float(np.quantile(there, 0.9)) if len(there) else np.nan


def find_sums(view: View, names: Sequence[str]) -> Iterator[Candidate]:
    """Yield columns that are the sum or the difference of two others, or the total of a run of them."""
    pairs = [pair for _, pair in zip(range(10_000), _sums_of_two(view, names), strict=False)]
    summed = {total for total, _ in pairs}
    runs = [run for run in _totals_of_runs(view, names) if run[0] not in summed]
    times: dict[str, int] = {}
    for total, parts in [*pairs, *runs]:
        times[total] = times.get(total, 0) + 1
        if times[total] <= MOST_SUMS:
            yield _sum(view, total, parts)


def _sum(view: View, total: str, parts: Sequence[str]) -> Candidate:
    """Return a sum, with what is best computed from the rest."""
    moment = next((part for part in parts if view.field(part).is_moment), None)
    if moment is None:
        return statements.computed(view, "sum", total, " + ".join(map(spelt, parts)), parts)
    days = next(part for part in parts if part != moment)
    return statements.dated(view, total, moment, days)


def _tolerance(field: Field) -> float:
    """Return by how much a total may miss its parts' sum: a step, where decimals are rounded."""
    if field.is_lattice and field.is_number and field.places:
        return float(field.numbers_at(1) - field.numbers_at(0)) * (1 + 1e-6)
    return 1e-6


def _sums_of_two(view: View, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    values = view.matrix(names)
    fields = [view.field(name) for name in names]
    moment = np.array([field.is_moment for field in fields], bool)
    target = np.array([_is_measure(field) for field in fields], bool)
    misses = np.array([_tolerance(field) for field in fields])
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            if moment[i] and moment[j]:
                continue
            of_kind = target & (moment == (moment[i] or moment[j]))
            of_kind[[i, j]] = False
            places = np.flatnonzero(of_kind)
            if len(places):
                total = values[:, i] + values[:, j]
                telling = (values[:, i] != 0) & (values[:, j] != 0) & ~np.isnan(total)
                for place in _matches(values, total, telling, places, misses):
                    yield names[place], (first, names[j])


def _totals_of_runs(view: View, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield totals of three neighbouring columns or more, the shortest runs first."""
    names = [name for name in names if not view.field(name).is_moment]
    values = view.matrix(names)
    target = np.array([_is_measure(view.field(name)) for name in names], bool)
    misses = np.array([_tolerance(view.field(name)) for name in names])
    found: dict[str, set[int]] = {}
    for length in range(3, len(names)):
        for start in range(len(names) - length + 1):
            run = range(start, start + length)
            total = values[:, run].sum(axis=1)
            telling = ((values[:, run] != 0).sum(axis=1) > 1) & ~np.isnan(total)
            places = np.flatnonzero(target & ~np.isin(np.arange(len(names)), run))
            if telling.sum() < LEAST_ROWS or not len(places):
                continue
            for place in _matches(values, total, telling, places, misses):
                name = names[place]
                if not found.get(name, set()) or not found[name] <= set(run):
                    found[name] = set(run)
                    yield name, tuple(names[k] for k in run)


def _matches(
    values: Floats, total: Floats, telling: Bools, places: Ints, misses: Floats
) -> list[int]:
    """Return the columns that are a total in nearly all rows that tell: first by a few of them."""
    rows = np.flatnonzero(telling)
    for most in (64, len(rows)):
        few = rows[:most]
        if len(few) < LEAST_ROWS or not len(places):
            return []
        apart = np.abs(values[np.ix_(few, places)] - total[few, None])
        known = (~np.isnan(apart)).sum(axis=0)
        kept = (apart <= misses[places]).sum(axis=0)
        slack = 4 * LOOSE if most == 64 else LOOSE
        places = places[(known >= LEAST_ROWS) & (known - kept <= slack * known + 1)]
    return [int(place) for place in places]


def find_flags(view: View, names: Sequence[str], numbers: Sequence[str]) -> Iterator[Candidate]:
    """Yield columns of two values that say whether a number is above 0."""
    counted = [name for name in numbers if view.field(name).is_lattice]
    counted = [name for name in counted if not view.field(name).is_moment]
    values = view.matrix(counted)
    above, there = values > 0, ~np.isnan(values)
    for name in names:
        field, codes = view.field(name), view.codes(name)
        if field.is_lattice or len(field.categories) != 2:
            continue
        known = there & (codes >= 0)[:, None]
        same = (known & (above == (codes == 1)[:, None])).sum(axis=0)
        total = known.sum(axis=0)
        for j in np.flatnonzero(total >= LEAST_ROWS):
            most = LOOSE * total[j] + 1
            both = 0.001 < above[known[:, j], j].mean() < 0.999
            if both and min(same[j], total[j] - same[j]) <= most:
                yield statements.flag(view, name, counted[j], int(total[j] - same[j] <= most))


def find_equal_where(
    view: View, names: Sequence[str], numbers: Sequence[str], generator: np.random.Generator
) -> Iterator[tuple[Fact, str, str]]:
    """Yield categories of a column, and two numbers that are the same wherever it holds one of them."""
    for group in scales(view, numbers):
        values = view.matrix(group)
        mixed = generator.permuted(values, axis=0)
        for i, first in enumerate(group):
            _, same, known = _compared(values, i)
            chance = _compared(mixed, i)
            for j in range(i + 1, len(group)):
                often = same[j] / max(1, known[j])
                by_chance = chance[1][j] / max(1, chance[2][j])
                if not max(0.02, 2 * by_chance) <= often <= 1 - LOOSE:
                    continue
                gap = np.abs(values[:, i] - values[:, j])
                condition = _best_condition(view, names, gap, ALIKE * np.abs(values[:, i]))
                if condition is not None:
                    yield condition, first, group[j]


def _best_condition(view: View, names: Sequence[str], gap: Floats, slack: Floats) -> Fact | None:
    """Return the categories of a column in which a gap is none, of the column where they are most."""
    known, same = ~np.isnan(gap), gap <= slack + ALIKE
    best, rows = None, LEAST_ROWS
    for name in names:
        field, codes = view.field(name), view.codes(name)
        if field.is_lattice or not 2 <= len(field.categories) <= 50:
            continue
        size = len(field.categories)
        there = known & (codes >= 0)
        total = np.bincount(codes[there], minlength=size)
        kept = np.bincount(codes[there & same], minlength=size)
        chosen = (total >= LEAST_ROWS) & (total - kept <= LOOSE * total + 1)
        if total[chosen].sum() > rows and chosen.sum() < (total > 0).sum():
            best = Fact(name, "labels", tuple(map(int, np.flatnonzero(chosen))))
            rows = total[chosen].sum()
    return best


def find_cuts(view: View, names: Sequence[str], numbers: Sequence[str]) -> Iterator[Candidate]:
    """Yield categories that are intervals of a number."""
    for number in numbers:
        field = view.field(number)
        if not field.is_lattice or field.is_moment:
            continue
        values = view.numbers(number)
        for name in names:
            if view.field(name).is_lattice or name == number:
                continue
            found = _intervals(view.codes(name), values)
            if found is not None and found[1] != ["0"]:
                yield statements.cut(view, name, number, *found)


def _intervals(codes: Ints, values: Floats) -> tuple[list[int], list[str]] | None:
    """Return the codes in the order of the numbers they go with, and cuts between, or None."""
    rows = np.flatnonzero((codes >= 0) & ~np.isnan(values))
    labels, counts = np.unique(codes[rows], return_counts=True)
    labels = labels[counts > LOOSE / 4 * len(rows)]
    if not 2 <= len(labels) <= LARGEST_CLASSES or len(rows) < LEAST_ROWS:
        return None
    by_label = [np.sort(values[rows[codes[rows] == label]]) for label in labels]
    order = np.argsort([np.median(each) for each in by_label], kind="stable")
    cuts = []
    for low, high in pairwise(order):
        below, above = by_label[low], by_label[high]
        few = int(LOOSE / 4 * min(len(below), len(above)))
        last, first = below[len(below) - 1 - few], above[few]
        if not last < first:
            return None
        cuts.append(roundest(float(last), float(first)))
    return [int(labels[place]) for place in order], cuts


def roundest(low: float, high: float) -> str:
    """Return the number above `low` and up to `high` that has the fewest digits.

    Examples
    --------
    >>> roundest(29.9, 30.1), roundest(0.0, 1.0), roundest(98.0, 131.0)
    ('30', '1', '100')
    """
    for power in range(9, -10, -1):
        step = 10.0**power
        number = np.floor(high / step) * step
        if low < number <= high and (number or low < 0):
            return f"{number:.{max(0, -power)}f}"
    return f"{high:g}"
