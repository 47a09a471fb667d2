"""The parts of a statement about one record, as functions of codes, with missing values in mind.

A value that is missing is null. Truth has three values (Kleene 1952, Introduction to Metamathematics,
section 64): what depends on a missing value is undecided, unless the rest decides it.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthvae.evaluation.codes import number_of
from synthvae.evaluation.tables import Ints
from synthvae.field import Field

TOLERANCE = 1e-9  # relative, of numbers: 0.1 + 0.2 equals 0.3
MOMENT = 1e-3  # seconds, of dates
ORDERS = {ast.Lt: pc.less, ast.LtE: pc.less, ast.Gt: pc.greater, ast.GtE: pc.greater}

Kind = Literal["number", "text", "date", "truth"]
Values = Any  # an Arrow array of one value for each row, or a scalar for all


@dataclass(frozen=True)
class Term:
    """A part of a statement: what kind of value it has, and how to find it for rows of codes.

    `field` is the column that the term is, `constant` the value that it spells out.
    """

    kind: Kind
    of: Callable[[Ints], Values]
    field: Field | None = None
    constant: Any = None


def fixed(kind: Kind, value: Any) -> Term:
    """Return the same value for every row."""
    return Term(kind, lambda _: pa.scalar(value), constant=value)


def column_of(field: Field, place: int) -> Term:
    """Return a column's values: dates in seconds since 1970, special values as numbers."""
    is_date = field.type in ("date", "datetime")
    is_number = field.type in ("integer", "number")
    kind: Kind = "date" if is_date else "number" if is_number else "text"

    def on_lattice(codes: Ints) -> Values:
        units = number_of(field, codes[:, place]) + field.first_unit
        values = units * field.step_seconds if is_date else units / 10.0**field.places
        return pa.array(values, mask=np.isnan(values))

    if field.is_lattice:
        return Term(kind, on_lattice, field)
    if field.type == "boolean":
        kind, labels = "truth", np.array([False, True])
    else:
        labels = np.array([float(x) if is_number else x for x in field.categories])
    texts = pa.array(labels)

    def of_category(codes: Ints) -> Values:
        column, absent = codes[:, place], codes[:, place] < 0
        if kind == "text":
            return texts.take(pa.array(column, mask=absent))
        return pa.array(labels[column], mask=absent)

    return Term(kind, of_category, field)


def applied(kind: Kind, function: Callable[..., Values], *terms: Term) -> Term:
    """Return a function of the values of other terms."""
    return Term(kind, lambda codes: function(*(term.of(codes) for term in terms)))


def as_number(term: Term) -> Term:
    """Return a truth as 0 or 1."""
    return applied("number", lambda values: pc.cast(values, pa.float64()), term)


def combined(function: Callable[[Values, Values], Values], left: Term, right: Term) -> Term:
    """Return a number made of two; what is not finite, as after dividing by 0, is unknown."""

    def finite(a: Values, b: Values) -> Values:
        values = function(a, b)
        return pc.if_else(pc.is_finite(values), values, None)

    return applied("number", finite, left, right)


def compared(op: ast.cmpop, left: Term, right: Term) -> Term:
    """Return how two values of the same kind compare, unknown where either is."""

    def same(a: Values, b: Values) -> Values:
        if left.kind in ("text", "truth"):
            return pc.equal(a, b)
        largest = pc.max_element_wise(1.0, pc.abs(a), pc.abs(b))
        slack = MOMENT if left.kind == "date" else pc.multiply(largest, TOLERANCE)
        return pc.less_equal(pc.abs(pc.subtract(a, b)), slack)

    def ordered(a: Values, b: Values) -> Values:
        alike, strictly = same(a, b), ORDERS[type(op)](a, b)
        if isinstance(op, ast.LtE | ast.GtE):
            return pc.or_(strictly, alike)
        return pc.and_(strictly, pc.invert(alike))

    if isinstance(op, ast.Eq | ast.NotEq):
        equal = applied("truth", same, left, right)
        return equal if isinstance(op, ast.Eq) else opposite(equal)
    return applied("truth", ordered, left, right)


def both(left: Term, right: Term) -> Term:
    """Return whether both hold: decided where one is known to fail, too."""
    return applied("truth", pc.and_kleene, left, right)


def either(left: Term, right: Term) -> Term:
    """Return whether one of the two holds, or both: decided where one is known to hold, too."""
    return applied("truth", pc.or_kleene, left, right)


def opposite(term: Term) -> Term:
    """Return whether it does not hold."""
    return applied("truth", pc.invert, term)


def missing(term: Term) -> Term:
    """Return whether there is no value."""
    return applied("truth", pc.is_null, term)
