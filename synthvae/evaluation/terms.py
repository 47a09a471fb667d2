"""The parts of a statement about one record, as functions of codes, with missing values in mind.

Truth has three values (Kleene 1952, Introduction to Metamathematics, section 64): what depends on a
missing value is undecided, unless the rest decides it.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthvae.evaluation.codes import number_of
from synthvae.evaluation.tables import Bools, Ints
from synthvae.field import Field

TOLERANCE = 1e-9  # relative, of numbers: 0.1 + 0.2 equals 0.3
MOMENT = 1e-3  # seconds, of dates
ORDERS = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}

Kind = Literal["number", "text", "date", "truth"]
Cells = tuple[NDArray[Any], Bools]  # the value of each row, and whether it is known


@dataclass(frozen=True)
class Term:
    """A part of a statement: what kind of value it has, and how to find it for rows of codes.

    `field` is the column that the term is, `constant` the value that it spells out.
    """

    kind: Kind
    of: Callable[[Ints], Cells]
    field: Field | None = None
    constant: Any = None


def fixed(kind: Kind, value: Any) -> Term:
    """Return the same value for every row."""

    def of(codes: Ints) -> Cells:
        return np.full(len(codes), value), np.ones(len(codes), bool)

    return Term(kind, of, constant=value)


def column_of(field: Field, place: int) -> Term:
    """Return a column's values: dates in seconds since 1970, special values as numbers."""
    if field.type == "boolean":
        return Term("truth", lambda codes: (codes[:, place] == 1, codes[:, place] >= 0), field)
    if not field.is_lattice:
        kind: Kind = "number" if field.type in ("integer", "number") else "text"
        blank = np.nan if kind == "number" else ""
        labels = [float(x) if kind == "number" else x for x in field.categories]
        values = np.array([*labels, blank])
        return Term(kind, lambda codes: (values[codes[:, place]], codes[:, place] >= 0), field)
    is_date = field.type in ("date", "datetime")

    def of(codes: Ints) -> Cells:
        units = number_of(field, codes[:, place]) + field.first_unit
        values = units * field.step_seconds if is_date else units / 10.0**field.places
        return values, np.isfinite(values)

    return Term("date" if is_date else "number", of, field)


def as_number(term: Term) -> Term:
    """Return a truth as 0 or 1."""

    def of(codes: Ints) -> Cells:
        values, known = term.of(codes)
        return values.astype(float), known

    return Term("number", of)


def combined(function: Callable[[Any, Any], Any], left: Term, right: Term) -> Term:
    """Return a number made of two; what is not finite, as after dividing by 0, is unknown."""

    def of(codes: Ints) -> Cells:
        (a, first), (b, second) = left.of(codes), right.of(codes)
        values = np.asarray(function(a, b))
        return values, first & second & np.isfinite(values)

    return Term("number", of)


def compared(op: ast.cmpop, left: Term, right: Term) -> Term:
    """Return how two values of the same kind compare, unknown where either is."""

    def of(codes: Ints) -> Cells:
        (a, first), (b, second) = left.of(codes), right.of(codes)
        known = first & second
        if left.kind in ("text", "truth"):
            same = np.asarray(a == b)
        else:
            scale = np.maximum(1, np.maximum(np.abs(a), np.abs(b))) * TOLERANCE
            same = np.abs(a - b) <= (MOMENT if left.kind == "date" else scale)
        if isinstance(op, ast.Eq | ast.NotEq):
            return (same if isinstance(op, ast.Eq) else ~same), known
        loosely = isinstance(op, ast.LtE | ast.GtE)
        return np.where(same, loosely, ORDERS[type(op)](a, b)), known

    return Term("truth", of)


def both(left: Term, right: Term) -> Term:
    """Return whether both hold: decided where one is known to fail, too."""

    def of(codes: Ints) -> Cells:
        (a, first), (b, second) = left.of(codes), right.of(codes)
        false = (first & ~a) | (second & ~b)
        return ~false, (first & second) | false

    return Term("truth", of)


def opposite(term: Term) -> Term:
    """Return whether it does not hold."""

    def of(codes: Ints) -> Cells:
        values, known = term.of(codes)
        return ~values, known

    return Term("truth", of)


def either(left: Term, right: Term) -> Term:
    """Return whether one of the two holds, or both."""
    return opposite(both(opposite(left), opposite(right)))
