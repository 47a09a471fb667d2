"""The combinations of some columns that there are, and whether a box of values holds one of them."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from synthvae._text import brief
from synthvae._types import Floats, Ints
from synthvae.errors import ConfigError
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.setting import Rule
from synthvae.rules.values import Columns, Known

GAP = -1e300  # stands for missing, where combinations name it
MOST_CELLS = 50_000_000  # of the table of all combinations of values that are named


@dataclass(frozen=True)
class Combinations:
    """Which combinations there are, as sums over all boxes that begin at the first values.

    Attributes
    ----------
    places
        Of the columns.
    values
        The values of each column that are named, ascending.
    sums
        At an index of each column, the number of combinations of smaller ones, as in a summed-area
        table (Crow 1984, "Summed-Area Tables for Texture Mapping").
    gaps
        The places of columns that combinations name as missing, which then counts as a value.
    """

    places: tuple[int, ...]
    values: tuple[Floats, ...]
    sums: Ints
    gaps: frozenset[int] = frozenset()

    @classmethod
    def build(
        cls, rule: Rule, columns: Columns, places: tuple[int, ...], where: str
    ) -> "Combinations":
        """Read a rule's combinations: labels of categories, or numbers of a lattice."""
        read = np.array(
            [
                [
                    _value(columns, place, text, where)
                    for place, text in zip(places, row, strict=True)
                ]
                for row in rule.values
            ]
        )
        values = tuple(np.unique(column) for column in read.T)
        shape = [len(column) for column in values]
        if np.prod([float(size) for size in shape]) > MOST_CELLS:
            raise ConfigError(
                f"In {where}: the columns have too many combinations together; write several rules of "
                "fewer columns."
            )
        there = np.zeros(shape, np.int64)
        there[tuple(np.searchsorted(v, c) for v, c in zip(values, read.T, strict=True))] = 1
        sums = np.pad(there, [(1, 0)] * len(shape))
        for axis in range(len(shape)):
            sums = np.cumsum(sums, axis=axis)
        gaps = {
            p for row in rule.values for p, cell in zip(places, row, strict=True) if cell is None
        }
        return cls(places, values, sums, frozenset(gaps))

    def judge(self, known: Known) -> Truth:
        """Return whether a combination may be one of them; undecided where a value is missing."""
        spans = [
            with_missing(known(place)) if place in self.gaps else known(place)
            for place in self.places
        ]
        firsts = [
            np.searchsorted(v, span.low, "left") for v, span in zip(self.values, spans, strict=True)
        ]
        lasts = [
            np.searchsorted(v, span.high, "right")
            for v, span in zip(self.values, spans, strict=True)
        ]
        found: Ints | int = 0
        for corner in product((0, 1), repeat=len(spans)):
            at = tuple(
                last if bit else first
                for bit, first, last in zip(corner, firsts, lasts, strict=True)
            )
            sign = (-1) ** (len(spans) - sum(corner))
            found = found + sign * self.sums[at]
        some = np.logical_and.reduce(np.broadcast_arrays(*(span.some for span in spans)))
        none = np.logical_or.reduce(np.broadcast_arrays(*(span.none for span in spans)))
        exact = np.logical_and.reduce(
            np.broadcast_arrays(*(span.low == span.high for span in spans))
        )
        there = np.asarray(found) > 0
        return Truth(some & there, some & ~(exact & there), none)


def with_missing(span: Range) -> Range:
    """Return a range in which missing is a value of its own, below all others."""
    low = np.where(span.none, GAP, span.low)
    high = np.where(span.some, span.high, GAP)
    return Range(low, high, span.some | span.none, np.zeros_like(span.none))


def _value(columns: Columns, place: int, text: str | None, where: str) -> float:
    field, meanings = columns.fields[place], columns.meanings[place]
    if text is None:
        if not field.nullable:
            raise ConfigError(f"In {where}: '{field.name}' is never missing; leave that out.")
        return GAP
    if field.is_lattice:
        try:
            number = float(text or "")
        except ValueError:
            number = np.nan
        if not field.is_number or not np.isfinite(number):
            raise ConfigError(
                f"In {where}: {brief(text)} is no number; combinations are of categories or numbers."
            )
        return number
    labels = dict(zip(field.categories, range(len(field.categories)), strict=True))
    labels |= dict.fromkeys(field.trueValues, 1) if field.type == "boolean" else {}
    labels |= dict.fromkeys(field.falseValues, 0) if field.type == "boolean" else {}
    if text not in labels:
        raise ConfigError(f"In {where}: {brief(text)} is no category of '{field.name}'.")
    assert meanings.points is not None
    return float(meanings.points[labels[text]])
