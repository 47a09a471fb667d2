"""Columns of a table by name, as codes and as numbers, and how columns are spelt in a rule."""

import keyword
import re
from collections.abc import Mapping, Sequence

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.field import Field
from synthvae.rules.ranges import Range
from synthvae.rules.values import MISSING, Columns, Known, digits

_DAY = 86_400.0
_WORDS = ("missing", "true", "false", "abs", "min", "max", "round", "floor", "year")


class View:
    """Rows of some columns: their codes, and the numbers that these stand for.

    Numbers are those of the language of rules: true is 1, a category that is spelt as a number is that
    number, special values are numbers as others are; but a moment counts its days since 1970.
    """

    def __init__(self, codes: Mapping[str, Ints], columns: Columns) -> None:
        self.columns = columns
        self._codes = codes
        self._numbers: dict[str, Floats] = {}

    @classmethod
    def of(cls, codes: Ints, columns: Columns) -> "View":
        """Return the view of a table of codes, shape (rows, columns)."""
        arrays = np.ascontiguousarray(codes.T)
        return cls({field.name: arrays[j] for j, field in enumerate(columns.fields)}, columns)

    def __len__(self) -> int:
        return len(next(iter(self._codes.values())))

    def field(self, name: str) -> Field:
        """Return a column's field."""
        return self.columns.fields[self.columns.places[name]]

    def codes(self, name: str) -> Ints:
        """Return a column's codes, shape (rows,)."""
        return self._codes[name]

    def missing(self, name: str) -> Bools:
        """Return where a column has no value."""
        return np.asarray(self._codes[name] == MISSING)

    def numbers(self, name: str) -> Floats:
        """Return a column's numbers, NaN where there is none."""
        if name not in self._numbers:
            field, codes = self.field(name), self._codes[name]
            labels = None if field.is_lattice or field.type == "boolean" else digits(field)
            if labels is None:
                value = self.columns.meanings[self.columns.places[name]].exact(codes)
                numbers = value.low / _DAY if field.is_moment else value.low
            else:
                numbers = labels[np.maximum(codes, 0)]
            self._numbers[name] = np.where(codes == MISSING, np.nan, numbers)
        return self._numbers[name]

    def matrix(self, names: Sequence[str]) -> Floats:
        """Return the numbers of some columns, shape (rows, columns)."""
        if not names:
            return np.empty((len(self), 0))
        return np.stack([self.numbers(name) for name in names], axis=1)

    def known(self) -> Known:
        """Return the rows as rules see them."""
        found: dict[int, Range] = {}

        def column(place: int) -> Range:
            if place not in found:
                codes = self._codes[self.columns.fields[place].name]
                found[place] = self.columns.meanings[place].exact(codes)
            return found[place]

        return column

    def take(self, rows: Ints | Bools) -> "View":
        """Return some of the rows."""
        return View({name: codes[rows] for name, codes in self._codes.items()}, self.columns)

    def shuffled(self, rows: Ints, names: Sequence[str], generator: np.random.Generator) -> "View":
        """Return some rows of some columns, each column in an order of its own."""
        codes = {name: generator.permutation(self._codes[name][rows]) for name in names}
        return View(codes, self.columns)


def is_numeric(field: Field) -> bool:
    """Whether a column counts as a number, or as a moment, in a rule."""
    return field.is_lattice or field.type == "boolean" or digits(field) is not None


def least_of(field: Field) -> float:
    """Return the least number that a numeric column may hold; -inf of a moment."""
    if field.is_moment:
        return -np.inf
    if field.is_lattice:
        return min(float(field.constraints.minimum or 0), *map(float, field.specials), np.inf)
    numbers = digits(field)
    return 0.0 if numbers is None else float(numbers.min())


def is_spellable(name: str) -> bool:
    """Whether a rule can name a column: nothing quotes a backquote, and blanks in a row are joined."""
    return name.isprintable() and "`" not in name and " ".join(name.split()) == name != ""


def spelt(name: str) -> str:
    """Return a column's name as it stands in a rule, in backquotes where it is no plain word.

    Examples
    --------
    >>> spelt("age"), spelt("days to death"), spelt("is")
    ('age', '`days to death`', '`is`')
    """
    plain = name.isascii() and re.fullmatch(r"[A-Za-z_]\w*", name)
    return name if plain and not keyword.iskeyword(name) and name not in _WORDS else f"`{name}`"


def label_text(field: Field, code: int) -> str:
    """Return a category as it stands in a rule."""
    label = field.categories[code]
    return label if field.is_number else repr(label)
