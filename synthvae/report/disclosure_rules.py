"""Rules of statistical disclosure control: what is small, how figures are rounded, what is allowed.

Profiles first; then the allow-list of a record's fields; then the grids that figures are rounded to.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from synthvae._frozen import Frozen, FrozenSettings
from synthvae.errors import ConfigError
from synthvae.evaluation.results import Interval, TableFacts

OUTWARD = "rounded outward; the custodian’s copy names the method"
COARSEST = 10  # a figure that keeps fewer steps between 0 and 1 than these says nothing
_SERIES = (1, 2, 5)
_Record = TypeVar("_Record", bound=Frozen)


class Profile(FrozenSettings):
    """One set of rules for what may be published.

    Parameters
    ----------
    name, title, source
        What it is called, says, and rests on.
    smallest_cell
        Fewest patients that a cell may stand for without being small. A cell of nobody is small, too.
    round_to
        The step that counts are rounded to is a multiple of this.
    smallest_freedom
        Fewest residual degrees of freedom of a published regression.
    digits
        Digits after the point that figures keep at most.

    Examples
    --------
    >>> ACRO.step, HES.step
    (20, 20)
    """

    _what = "profile"

    name: Annotated[str, Field(min_length=1, max_length=60)]
    title: Annotated[str, Field(max_length=500)] = ""
    source: Annotated[str, Field(max_length=500)] = ""
    smallest_cell: Annotated[int, Field(ge=2)]
    round_to: Annotated[int, Field(ge=1)] = 1
    smallest_freedom: Annotated[int, Field(ge=1)] = 10
    digits: Annotated[int, Field(ge=1, le=4)] = 2

    @property
    def step(self) -> int:
        """How many patients one step of a published count is: at least two smallest cells."""
        return -(-2 * self.smallest_cell // self.round_to) * self.round_to

    def whole_steps(self, patients: int) -> int:
        """Return a number of patients as it is published: rounded down to whole steps."""
        return patients // self.step * self.step


ACRO = Profile(
    name="acro",
    title="the defaults of the ACRO tool for trusted research environments.",
    source=(
        "AI-SDC/ACRO, acro/default.yaml: safe_threshold 10, safe_dof_threshold 10, "
        "zeros_are_disclosive. Its rules of dominance (n = 2, k = 0.9; p = 0.1) are for sums of "
        "amounts, of which this report has none."
    ),
    smallest_cell=10,
)
HES = Profile(
    name="hes",
    title="the method of NHS England for Hospital Episode Statistics below national level.",
    source=(
        "NHS Digital 2018, Disclosure control methodology for HES and ECDS: counts of 1 to 7 are not "
        "shown, zeros are, all others are rounded to the nearest 5. This rendering is stricter: it "
        "tells zeros from small counts no more than those from one another."
    ),
    smallest_cell=8,
    round_to=5,
)
PROFILES = {profile.name: profile for profile in (ACRO, HES)}


def find_profile(name: str) -> Profile:
    """Return a profile by its name, or from a YAML or JSON file.

    Raises
    ------
    ConfigError
        There is neither such a profile nor such a file, or the file is not valid.

    Examples
    --------
    >>> find_profile("hes").round_to
    5
    """
    if name not in PROFILES and not Path(name).exists():
        known = " or ".join(PROFILES)
        raise ConfigError(f"profile is {name!r}; give {known}, or a file with a profile in it.")
    return PROFILES.get(name) or Profile.load(name)


def public_record(record: _Record, free: str, **coded: object) -> _Record:
    """Return a record of `coded` fields, and of those named in `free` as they are.

    This is the allow-list: every other field keeps its default, and one that has none is an error, so
    that a new field is withheld until it is named here.
    """
    values: dict[str, Any] = {name: getattr(record, name) for name in free.split()}
    return type(record)(**values, **coded)


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

    def outward(self, interval: Interval) -> Interval:
        """Return an interval whose ends are multiples, and which holds the given one.

        Its method is not named: there are others for few patients and for ranks without overlap,
        and their names have numbers in them.
        """
        low, high = self.below(interval.low), self.above(interval.high)
        return Interval(low=low, high=high, level=interval.level, method=OUTWARD)

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
    """Return the grid for a figure of `patients` patients; None where it would have under ten parts.

    It has 1, 2 or 5 times a power of ten parts: no more than there are smallest cells of patients,
    nor than the profile's digits keep. Patients count in whole steps of the profile, as they are
    published, so that the choice of a grid tells nothing more.

    Examples
    --------
    >>> grid_of(90, ACRO), grid_of(560, ACRO), grid_of(40_000, ACRO)
    (None, Grid(parts=50), Grid(parts=100))
    """
    cells = profile.whole_steps(patients) // profile.smallest_cell
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
    seen = tables.most_rows
    if seen is None:  # nobody counted: the most that there can be
        extra_train = tables.train_rows - tables.train_patients
        seen = 1 + max(extra_train, tables.holdout_rows - tables.holdout_patients)
    if seen > most:
        power = int(10 ** (len(str(seen)) - 1))
        most = next(part * power for part in (*_SERIES, 10) if part * power >= seen)
    train = grid_of(tables.train_patients, profile)
    both = grid_of(min(tables.train_patients, tables.holdout_patients), profile)
    return None if train is None or both is None else Scale(profile.step * most, train, both)
