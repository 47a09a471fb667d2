"""Where the ends of number columns lie: a last bin hides how far the values in it reach."""

from dataclasses import dataclass

import numpy as np

from synthvae._text import counted
from synthvae._types import Ints
from synthvae.evaluation.intervals import LEVEL, exact_limits, interval, rounded
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.tables import Table, Tables
from synthvae.evaluation.values import Interval, NumberSummary, Score
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
METRICS = (TAILS,)


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
