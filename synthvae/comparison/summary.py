"""Means over runs with their intervals, what each method costs beside ours, and advice."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from synthvae.comparison.values import OURS, Cell, Mean, Outcome, Summary
from synthvae.schema import Schema

LEVEL = 0.95
COSTS = ("seconds", "cpu_seconds", "fit_seconds", "megabytes", "spent")
COMPARED = ("seconds", "megabytes")


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of independent runs with Student's interval, which one run has not.

    Examples
    --------
    >>> found = mean([1.0, 2.0, 3.0])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (2.0, -0.484, 4.484)
    """
    known = np.asarray(values, float)
    middle = float(known.mean())
    if len(known) < 2:
        return Mean(value=middle, runs=len(known))
    half = stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known))
    return Mean(value=middle, low=middle - float(half), high=middle + float(half), runs=len(known))


def summarise(outcomes: Sequence[Outcome], cells: Sequence[Cell]) -> tuple[Summary, ...]:
    """Return one summary for each method, budget and size, in the order of the cells."""
    groups: dict[tuple[int | None, float, str], list[Outcome]] = {
        (cell.size, cell.epsilon, cell.method): [] for cell in cells
    }
    for outcome in outcomes:
        groups[outcome.cell.size, outcome.cell.epsilon, outcome.cell.method].append(outcome)
    found = {key: _summary(key, group) for key, group in groups.items()}
    return tuple(
        one.model_copy(update={"ratios": _ratios(one, found.get((size, epsilon, OURS)))})
        for (size, epsilon, _), one in found.items()
    )


def _summary(key: tuple[int | None, float, str], group: list[Outcome]) -> Summary:
    good = [outcome for outcome in group if outcome.failed is None]
    figures = {}
    for name in good[0].figures if good else ():
        values = [value for one in good if (value := one.figures.get(name)) is not None]
        if values:
            figures[name] = mean(values)
    costs = {}
    for name in COSTS:
        spent = [value for one in good if (value := getattr(one, name)) is not None]
        if spent:
            costs[name] = mean(spent)
    return Summary(
        method=key[2],
        epsilon=key[1],
        size=key[0],
        settings=group[0].settings if group else {},
        runs=len(good),
        failed=tuple(one.failed for one in group if one.failed is not None),
        figures=figures,
        costs=costs,
    )


def _ratios(one: Summary, ours: Summary | None) -> dict[str, float]:
    """Return how many times our seconds and memory a method takes."""
    if ours is None:
        return {}
    return {
        name: one.costs[name].value / ours.costs[name].value
        for name in COMPARED
        if name in one.costs and name in ours.costs and ours.costs[name].value > 0
    }


def advise(schema: Schema, patients: int | None, epsilons: Sequence[float]) -> tuple[str, ...]:
    """Return what to use on such a table, from public facts alone: no figure of this page enters.

    The rules are coarse, and are those that the methods' own costs and the public tables in the
    documentation suggest.
    """
    columns = len(schema.modelled)
    small = all(not f.is_lattice and len(f.categories) <= 12 for f in schema.modelled)
    said = []
    for epsilon in sorted(set(epsilons)):
        signal = None if patients is None else patients * epsilon
        if signal is not None and signal < 1000:
            use = (
                "independent: so little can be learned about dependence that most of a larger "
                "model would be noise; use synthvae if conditions or targets matter"
            )
        elif columns <= 15 and signal is not None and signal >= 30_000:
            use = (
                f"{OURS}; or aim, where its time (many times ours) is no matter: few columns and so "
                "large a budget that whole tables of pairs can be measured, which it does as well"
            )
        elif columns <= 8 and small:
            use = "aim: few columns with few categories each, whose pairs it can measure nearly all"
        else:
            use = f"{OURS}: many or continuous columns, of which pairs alone say too little"
        said.append(f"At epsilon {epsilon:g}, {use}.")
    if columns > 40:
        said.append(
            f"With {columns} columns, aim looks at {columns * (columns - 1) // 2:,} pairs in each "
            "round: expect it to take much longer than the others."
        )
    return tuple(said)
