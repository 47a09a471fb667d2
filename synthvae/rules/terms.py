"""The parts of statements: what kind of value each has, and how to find it for what is known."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from synthvae._types import Ints
from synthvae.field import Field
from synthvae.rules import ranges
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.values import Known, nearest_of

Kind = Literal["number", "text", "date", "truth"]
Value = Any  # a Range, or the Truth of a term of that kind

ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Term:
    """A part of a statement: what kind of value it has, and how to find it for what is known.

    `field` is the column that the term is, `constant` the value that it spells out; `choices` are the
    constants that it is one of, where a condition chooses.
    """

    kind: Kind
    of: Callable[[Known], Value]
    field: Field | None = None
    constant: Any = None
    choices: tuple["Term", ...] = ()

    def range(self, known: Known) -> Range:
        """Return the value as a range; a truth counts as 1 or 0."""
        value = self.of(known)
        return value.as_range if isinstance(value, Truth) else value


def fixed(kind: Kind, value: Any, number: float) -> Term:
    """Return the same value for every row; `number` stands for it."""
    constant = Truth.constant(bool(number)) if kind == "truth" else Range.constant(number)
    return Term(kind, lambda _: constant, constant=value)


def column_of(field: Field, place: int) -> Term:
    """Return a column's values: dates in seconds since 1970, special values as numbers."""
    if field.type == "boolean":

        def holds(known: Known) -> Truth:
            value = known(place)
            return Truth(value.some & (value.high > 0), value.some & (value.low < 1), value.none)

        return Term("truth", holds, field)
    kind: Kind = "date" if field.is_moment else "number" if field.is_number else "text"
    return Term(kind, lambda known: known(place), field)


def as_number(term: Term) -> Term:
    return Term("number", term.range)


def applied(kind: Kind, function: Callable[..., Value], *terms: Term) -> Term:
    """Return a function of the values of other terms."""
    return Term(kind, lambda known: function(*(term.of(known) for term in terms)))


def compared(op: ast.cmpop, left: Term, right: Term) -> Term:
    """Return how two values of the same kind compare, undecided where either is missing."""
    slack = ranges.MOMENT if left.kind == "date" else None
    if isinstance(op, ast.Gt | ast.GtE):
        left, right = right, left
    strict = isinstance(op, ast.Lt | ast.Gt)

    def judged(known: Known) -> Truth:
        first, second = left.range(known), right.range(known)
        if not isinstance(op, ORDERS):
            same = ranges.equal(first, second, slack)
            return same if isinstance(op, ast.Eq) else ~same
        # What is not at most as large is strictly larger.
        return (
            ~ranges.at_most(second, first, slack)
            if strict
            else ranges.at_most(first, second, slack)
        )

    return Term("truth", judged)


def numbered(of: Callable[[Known], Range], labels: Ints, numbers: Any, known: Known) -> Range:
    """Return the numbers of categories that are known by the numbers of their labels."""
    value = of(known)
    table = np.full(int(labels.max()) + 1, numbers[0])
    table[labels] = numbers
    if value.is_exact:
        found = table[np.clip(value.low, 0, len(table) - 1).astype(np.int64)]
        return Range(found, found, value.some, value.none)
    same = value.low == value.high
    found = table[np.clip(value.low, 0, len(table) - 1).astype(np.int64)]
    low = np.where(same, found, numbers.min())
    return Range(low, np.where(same, found, numbers.max()), value.some, value.none)


def labelled(of: Callable[[Known], Range], labels: Ints, numbers: Any, known: Known) -> Range:
    """Return the numbers of labels, of categories that are known as numbers: the inverse of `numbered`.

    A number that is no category has -1 for a label.
    """
    value, order = of(known), np.argsort(numbers, kind="stable")
    place = order[nearest_of(numbers[order], value.low)]
    near = np.abs(numbers[place] - value.low) <= ranges.tolerance(numbers[place], value.low)
    found = np.where(near, labels[place], -1).astype(float)
    if value.is_exact:
        return Range(found, found, value.some, value.none)
    same = value.low == value.high
    low = np.where(same, found, float(min(labels.min(), -1)))
    return Range(low, np.where(same, found, float(labels.max())), value.some, value.none)
