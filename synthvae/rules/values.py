"""The values that codes stand for, as ranges: of a known code, of a bin of points, of a whole column."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._text import nearest
from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.rules.ranges import Range
from synthvae.rules.setting import BEFORE

MISSING = -1  # a cell without a value
FIRST_SPECIAL = -2  # the first of a field's special values; -3 is the next, and so on
Known = Callable[[int], Range]  # what is known of the column at a place


@dataclass(frozen=True)
class ColumnValues:
    """What the codes of one column mean: numbers, seconds since 1970, or the numbers of labels.

    `points` are the values of the codes 0, 1, ... where these are categories.
    """

    field: Field
    points: Floats | None

    def exact(self, codes: Ints) -> Range:
        """Return the values of known codes, of the same shape."""
        missing = np.asarray(codes == MISSING)
        if self.points is not None:
            return Range.exact(self.points[np.maximum(codes, 0)], missing)
        values = self.at(np.maximum(codes, 0))
        for i, special in enumerate(self.field.specials):
            values = np.where(codes == FIRST_SPECIAL - i, float(special), values)
        return Range.exact(values, missing)

    def at(self, points: Ints) -> Floats:
        """Return the values of lattice points."""
        units = points + self.field.first_unit
        values = (
            self.field.seconds_at(units) if self.field.is_moment else self.field.numbers_at(units)
        )
        return np.asarray(values, float)

    def between(self, low: Ints, high: Ints) -> Range:
        """Return the range of codes: two lattice points, or one code as both ends."""
        first, last = self.exact(low), self.exact(high)
        return Range(first.low, last.low, first.some, first.none)

    def points_between(self, low: Floats, high: Floats) -> tuple[Ints, Ints]:
        """Return the first and the last lattice point between two values, the last before the first if
        there is none: at most one point outside the lattice."""
        first, last = self._point_at_most(low), self._point_at_most(high)
        return first + (self.at(first) < low), last

    def _point_at_most(self, values: Floats) -> Ints:
        field = self.field
        ends = self.at(np.array([-1, self.size]))
        inside = np.clip(values, ends[0], ends[1])
        units = (field.seconds_to_units if field.is_moment else field.numbers_to_units)(inside)
        points: Ints = np.floor(units).astype(np.int64) - field.first_unit
        return points

    @property
    def size(self) -> int:
        """Number of categories or lattice points."""
        return self.field.lattice_size if self.points is None else len(self.points)


@dataclass(frozen=True)
class Elapsed:
    """Two columns of moments or numbers, by place, and the one that holds by how much they differ."""

    later: int
    earlier: int
    gap: int  # in steps of `unit` of their values
    unit: float


@dataclass(frozen=True)
class Columns:
    """The columns that rules may name: the fields with codes, by place, and the names of all others.

    `order` is the column that puts rows in time, if any does; `elapsed`, which difference is a column.
    """

    fields: tuple[Field, ...]
    others: frozenset[str] = frozenset()  # identifiers, and columns that are left out
    order: str | None = None
    elapsed: Elapsed | None = None

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each column with codes."""
        return {field.name: place for place, field in enumerate(self.fields)}

    @cached_property
    def labels(self) -> dict[str, int]:
        """A number for each label of text: the same label has the same one in all columns."""
        texts = (
            label for field in self.fields if field.type == "string" for label in field.categories
        )
        return {label: number for number, label in enumerate(dict.fromkeys(texts))}

    @cached_property
    def meanings(self) -> tuple[ColumnValues, ...]:
        """What the codes of each column mean."""
        return tuple(ColumnValues(field, self._points(field)) for field in self.fields)

    def _points(self, field: Field) -> Floats | None:
        if field.is_lattice:
            return None
        if field.type == "boolean":
            return np.array([0.0, 1.0])
        if field.is_number:
            return np.array([float(label) for label in field.categories])
        return np.array([float(self.labels[label]) for label in field.categories])

    def refusal(self, name: str) -> str:
        """Return why a name is no column's that a rule may name, and what to do."""
        if name in self.others:
            return f"'{name}' is an identifier, which is never modelled, or left out"
        now = name.removesuffix(BEFORE)
        if now == name or not (now in self.places or now in self.others):
            return f"'{name}' is no column{nearest(name, self.places)}"
        if now in self.others:
            return self.refusal(now)
        if self.order is None:
            return (
                f"'{name}' is '{now}' at the visit before, and rows are in no order: set `orderBy`"
            )
        if self.fields[self.places[now]].perPatient:
            return f"'{now}' is perPatient, so the same at the visit before: write '{now}'"
        return (
            f"'{name}' is of the visit before, which only statements, `if`, `together` and `allowed` "
            "may name"
        )

    def known(self, codes: Ints) -> Known:
        """Return what a table's codes say, shape (rows, columns)."""
        found: dict[int, Range] = {}

        def column(place: int) -> Range:
            if place not in found:
                found[place] = self.meanings[place].exact(codes[:, place])
            return found[place]

        return column


def nearest_of(points: Floats, values: Floats) -> Ints:
    """Return the place of the nearest of ascending points; of two as near, the lower one's."""
    above = np.minimum(np.searchsorted(points, values), len(points) - 1)
    below = np.maximum(above - 1, 0)
    return np.asarray(np.where(values - points[below] <= points[above] - values, below, above))


def digits(field: Field) -> Floats | None:
    """Return the categories as numbers, where all of them are; None elsewhere."""
    numbers = [_number(label) for label in field.categories]
    known = [number for number in numbers if number is not None]
    return np.array(known) if known and len(known) == len(numbers) else None


def _number(label: str) -> float | None:
    try:
        number = float(label.strip().replace("_", "x"))
    except ValueError:
        return None
    return number if np.isfinite(number) else None
