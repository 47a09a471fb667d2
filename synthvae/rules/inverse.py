"""What a statement leaves of one column, solved for it: `a + b <= c` says how large `b` may be.

The statement is followed from its comparisons down to the column (the backward step of HC4-revise;
Benhamou, Goualard, Granvilliers and Puget 1999, "Revising Hull and Box Consistency"), as far as each
step has an inverse that rises or falls and the column comes once in each comparison. Whoever uses what
comes out of it judges the statement on both sides of its ends: rounding, or the step of a column that
is computed on the way, may move these by a point.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Floats
from synthvae.rules import ranges
from synthvae.rules.ranges import UNBOUNDED, Range, Truth
from synthvae.rules.terms import Order, Term
from synthvae.rules.values import Known

BELOW = 1e-9  # a whole number, by so much: the floor of what lies there is one less


@dataclass(frozen=True)
class Span:
    """Numbers between `low` and `high`; nothing where `low` is larger."""

    low: Floats
    high: Floats

    @classmethod
    def all_where(cls, may: Bools) -> "Span":
        """Return all numbers where something may be, and nothing elsewhere."""
        return cls(np.where(may, -np.inf, np.inf), np.where(may, np.inf, -np.inf))

    def __and__(self, other: "Span") -> "Span":
        return Span(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def __or__(self, other: "Span") -> "Span":
        """Return the union with all numbers or nothing."""
        return Span(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


class _UnsolvedError(Exception):
    """A step has no inverse, or what is left may have a gap."""


def solved(statement: Term, place: int, known: Known, computed: Mapping[int, Term]) -> Span | None:
    """Return the values of a column of numbers or dates with which a statement may be kept.

    What they keep has no gap: of two values that may keep it, all between may, too.

    Parameters
    ----------
    known
        What is known of all columns; of the column itself, that it holds some number.
    computed
        What derived columns are computed from, by place.

    Returns
    -------
    Span or None
        None where the statement is not of a form that can be solved.
    """
    try:
        return _Inverse(place, known, computed).of_truth(statement, wanted=True)
    except _UnsolvedError:
        return None


@dataclass(frozen=True)
class _Inverse:
    """Solves terms for the column at a place."""

    place: int
    known: Known
    computed: Mapping[int, Term]

    def of_truth(self, term: Term, *, wanted: bool) -> Span:
        """Return the values with which a statement may hold, or, if not `wanted`, may fail."""
        if not self._names(term):
            truth = term.of(self.known)
            return Span.all_where((truth.yes if wanted else truth.no) | truth.unknown)
        operation = term.operation
        if term.place is not None and term.place in self.computed:
            return self.of_truth(self.computed[term.place], wanted=wanted)
        if operation is Truth.__invert__:
            return self.of_truth(term.parts[0], wanted=not wanted)
        if operation in (Truth.__and__, Truth.__or__):
            both = (operation is Truth.__and__) == wanted
            if not both and all(map(self._names, term.parts)):
                raise _UnsolvedError  # there may be a gap between the two
            first, second = (self.of_truth(part, wanted=wanted) for part in term.parts)
            return first & second if both else first | second
        if isinstance(operation, Order):
            return self._compared(operation, *term.parts, wanted=wanted)
        raise _UnsolvedError

    def _compared(self, order: Order, left: Term, right: Term, *, wanted: bool) -> Span:
        if order.equal:
            if order.negated == wanted:
                raise _UnsolvedError  # all but one value
            own, other = (left, right) if self._names(left) else (right, left)
            low, high = self._ends(other)
            return self._of_number(own, low - _slack(order, low), high + _slack(order, high))
        strict = order.strict
        if not wanted:
            left, right, strict = right, left, not strict
        sign = -1 if strict else 1
        if self._names(left):
            _, high = self._ends(right)
            return self._of_number(left, np.asarray(-np.inf), high + sign * _slack(order, high))
        low, _ = self._ends(left)
        return self._of_number(right, low - sign * _slack(order, low), np.asarray(np.inf))

    def _of_number(self, term: Term, low: Floats, high: Floats) -> Span:
        """Return the column's values with which a term may lie between two numbers."""
        if term.place == self.place:
            return Span(low, high)
        if term.place is not None and term.place in self.computed:
            return self._of_number(self.computed[term.place], low, high)
        if len(term.parts) == 1:
            return self._of_number(term.parts[0], *self._of_part(term, low, high))
        if len(term.parts) != 2:
            raise _UnsolvedError
        left, right = term.parts
        first = self._names(left)
        own, other = (left, right) if first else (right, left)
        return self._of_number(own, *self._of_side(term, other, low, high, first=first))

    def _of_part(self, term: Term, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Return between which numbers the only part of a term lies."""
        if term.operation == Range.turned:
            return -high, -low
        if term.operation is ranges.floor:
            return np.ceil(low), np.floor(high) + 1 - BELOW
        if term.operation is ranges.absolute:
            # Larger than something, it has a gap. That is decided for each record by itself.
            whole = low <= 0
            return np.where(whole, -high, UNBOUNDED), np.where(whole, high, -UNBOUNDED)
        raise _UnsolvedError

    def _of_side(
        self, term: Term, other: Term, low: Floats, high: Floats, *, first: bool
    ) -> tuple[Floats, Floats]:
        """Return between which numbers one side of a sum or product lies: the `first`, or the second."""
        operation, (least, most) = term.operation, self._ends(other)
        if operation is ranges.add:
            return low - most, high - least
        if operation is ranges.subtract:
            return (low + least, high + most) if first else (least - high, most - low)
        if other.constant is not None and other.constant > 0:
            if operation is ranges.multiply:
                return low / least, high / least
            if operation is ranges.divide and first:
                return low * least, high * least
        raise _UnsolvedError

    def _ends(self, term: Term) -> tuple[Floats, Floats]:
        """Return the ends of a term without the column: no ends where it may be missing."""
        if self._names(term):
            raise _UnsolvedError
        value = term.range(self.known)
        return np.where(value.none, -np.inf, value.low), np.where(value.none, np.inf, value.high)

    def _names(self, term: Term) -> bool:
        """Return whether a term depends on which value the column has, if it has one."""
        if term.place is not None:
            computed = self.computed.get(term.place)
            return term.place == self.place if computed is None else self._names(computed)
        if term.operation is ranges.is_missing and term.parts[0].place == self.place:
            return False
        return any(map(self._names, term.parts))


def _slack(order: Order, value: Floats) -> Floats | float:
    if order.slack is not None:
        return order.slack
    return ranges.tolerance(np.where(np.isfinite(value), value, 0.0), np.asarray(0.0))
