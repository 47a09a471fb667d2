"""Grids for figures of real rows: one step is the work of at least a smallest cell of patients."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from synthvae.evaluation.values import Interval, TableFacts
from synthvae.report.profiles import Profile

OUTWARD = "rounded outward; the custodian’s copy names the method"
COARSEST = 10  # a figure that keeps fewer steps between 0 and 1 than these says nothing
_SERIES = (1, 2, 5)


@dataclass(frozen=True)
class Grid:
    """Figures between −1 and 1 become multiples of 1/`parts`; larger ones keep two digits.

    Examples
    --------
    >>> grid = Grid(50)
    >>> grid.near(0.119), grid.near(1 / 608), grid.near(-0.031), grid.near(123.4)
    (0.12, 0.0, -0.04, 120.0)
    >>> grid.below(0.119), grid.above(0.101), grid.above(1234.0)
    (0.1, 0.12, 1300.0)
    """

    parts: int

    def near(self, value: float) -> float:
        """Return the multiple that is nearest."""
        return self._at(value, round)

    def below(self, value: float) -> float:
        """Return the next multiple that is not above."""
        return self._at(value, lambda steps: math.floor(steps + 1e-9))

    def above(self, value: float) -> float:
        """Return the next multiple that is not below."""
        return self._at(value, lambda steps: math.ceil(steps - 1e-9))

    def outward(self, found: Interval) -> Interval:
        """Return an interval whose ends are multiples, and which holds the given one.

        Its method is not named: there are others for few patients and for ranks without overlap,
        and their names have numbers in them.
        """
        low, high = self.below(found.low), self.above(found.high)
        return Interval(low=low, high=high, level=found.level, method=OUTWARD)

    def _at(self, value: float, whole: Callable[[float], int]) -> float:
        if not math.isfinite(value) or not value:
            return value
        unit = 1 / self.parts
        if abs(value) >= 1:
            unit = max(unit, 10.0 ** (math.floor(math.log10(abs(value))) - 1))
        return float(f"{whole(value / unit) * unit:.10g}") + 0.0


def two_digits(*values: float) -> tuple[float, ...]:
    """Return figures of any size, rounded to two digits of the largest.

    Examples
    --------
    >>> two_digits(-0.214, -0.00193), two_digits(1250.0)
    ((-0.21, -0.0), (1200.0,))
    """
    largest = max(map(abs, values))
    if not largest or not math.isfinite(largest):
        return values
    digits = 1 - math.floor(math.log10(largest))
    return tuple(round(value, digits) for value in values)


def grid_of(patients: int, profile: Profile) -> Grid | None:
    """Return the grid for a figure of so many patients.

    It has 1, 2 or 5 times a power of ten parts: no more than there are smallest cells of patients,
    nor than the profile's digits keep. Patients count in whole steps of the profile, as they are
    published, so that the choice of a grid tells nothing more.

    Returns
    -------
    Grid or None
        None where there would be fewer than ten parts.

    Examples
    --------
    >>> from synthvae.report.profiles import ACRO
    >>> grid_of(90, ACRO), grid_of(560, ACRO), grid_of(40_000, ACRO)
    (None, Grid(parts=50), Grid(parts=100))
    """
    cells = patients // profile.step * profile.step // profile.smallest_cell
    most = min(cells, 10**profile.digits)
    if most < COARSEST:
        return None
    power = int(10 ** (len(str(most)) - 1))
    return Grid(max(part * power for part in _SERIES if part * power <= most))


@dataclass(frozen=True)
class Scale:
    """How coarsely one evaluation is shown: the step of its rows, and the grids of its figures.

    `train` is for what compares train with synthetic rows, `both` for what touches the smaller of
    train and holdout. `step` counts rows.
    """

    step: int
    train: Grid
    both: Grid


def scale_of(tables: TableFacts, profile: Profile, rows_per_patient: int) -> Scale | None:
    """Return how coarsely an evaluation of tables of this size is shown; None: not at all.

    A step of rows is `profile.step` patients times the most rows that one of them has: the larger of
    `rows_per_patient`, which is public, and what was seen. The latter is rounded up to 1, 2 or 5
    times a power of ten, since it is a fact about one patient.
    """
    most = max(rows_per_patient, 1)
    if most_rows(tables) > most:
        most = _next(most_rows(tables))
    train = grid_of(tables.train_patients, profile)
    both = grid_of(min(tables.train_patients, tables.holdout_patients), profile)
    return None if train is None or both is None else Scale(profile.step * most, train, both)


def most_rows(tables: TableFacts) -> int:
    """Return the most rows of one patient; where nobody counted, the most that there can be."""
    if tables.most_rows is not None:
        return tables.most_rows
    return 1 + max(
        tables.train_rows - tables.train_patients, tables.holdout_rows - tables.holdout_patients
    )


def _next(value: int) -> int:
    power = int(10 ** (len(str(value)) - 1))
    return next(part * power for part in (*_SERIES, 10) if part * power >= value)
