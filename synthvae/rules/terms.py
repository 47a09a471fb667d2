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
class Order:
    """How two values of one kind compare: `<` where `strict`, else `<=`; or `==`, or `!=` `negated`.

    `slack` is the absolute tolerance, None for that of numbers.
    """

    slack: float | None
    equal: bool = False
    strict: bool = False
    negated: bool = False

    def __call__(self, first: Range, second: Range) -> Truth:
        """Return whether the comparison holds."""
        if self.equal:
            same = ranges.equal(first, second, self.slack)
            return ~same if self.negated else same
        # What is not at most as large is strictly larger.
        if self.strict:
            return ~ranges.at_most(second, first, self.slack)
        return ranges.at_most(first, second, self.slack)


@dataclass(frozen=True)
class Term:
    """A part of a statement: what kind of value it has, and how to find it for what is known.

    `field` is the column that the term is, at a `place`, `constant` the value that it spells out;
    `choices` are the constants that it is one of, where a condition chooses. `parts` are the terms that
    it is made of, by an `operation` on their values where that is all there is to it.
    """

    kind: Kind
    of: Callable[[Known], Value]
    field: Field | None = None
    constant: Any = None
    choices: tuple["Term", ...] = ()
    place: int | None = None
    operation: Callable[..., Value] | None = None
    parts: tuple["Term", ...] = ()

    @property
    def places(self) -> frozenset[int]:
        """The places of the columns that it is made of."""
        own = frozenset() if self.place is None else frozenset((self.place,))
        return own.union(*(part.places for part in self.parts))

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

        return Term("truth", holds, field, place=place)
    kind: Kind = "date" if field.is_moment else "number" if field.is_number else "text"
    return Term(kind, lambda known: known(place), field, place=place)


def as_number(term: Term) -> Term:
    return Term("number", term.range, parts=(term,))


def applied(kind: Kind, function: Callable[..., Value], *terms: Term) -> Term:
    """Return a function of the values of other terms."""
    return Term(
        kind,
        lambda known: function(*(term.of(known) for term in terms)),
        operation=function,
        parts=terms,
    )


def is_missing(term: Term) -> Term:
    """Return whether a term has no value."""
    return Term(
        "truth",
        lambda known: ranges.is_missing(term.range(known)),
        operation=ranges.is_missing,
        parts=(term,),
    )


def compared(op: ast.cmpop, left: Term, right: Term) -> Term:
    """Return how two values of the same kind compare, undecided where either is missing."""
    slack = ranges.MOMENT if left.kind == "date" else None
    if isinstance(op, ast.Gt | ast.GtE):
        left, right = right, left
    equal, strict = not isinstance(op, ORDERS), isinstance(op, ast.Lt | ast.Gt)
    order = Order(slack, equal, strict, negated=isinstance(op, ast.NotEq))

    def judged(known: Known) -> Truth:
        return order(left.range(known), right.range(known))

    return Term("truth", judged, operation=order, parts=(left, right))


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
