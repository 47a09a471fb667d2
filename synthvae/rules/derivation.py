"""Columns that are computed from others: their codes, and what may stand in their place."""

from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.field import Field
from synthvae.rules import ranges
from synthvae.rules.language import Statement
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.terms import Order, Term, applied, fixed
from synthvae.rules.values import FIRST_SPECIAL, MISSING, Columns, Known, nearest_of


@dataclass(frozen=True)
class Derivation:
    """A column that is computed from others."""

    place: int
    field: Field
    value: Statement

    def codes(self, columns: Columns, codes: Ints) -> Ints:
        """Return the column's codes for records, shape (rows,): the nearest to what is computed."""
        value = self.value.term.range(columns.known(codes))
        shape = len(codes)
        return self._nearest(
            columns, np.broadcast_to(value.low, shape), np.broadcast_to(value.some, shape)
        )

    def _nearest(self, columns: Columns, values: Floats, some: Bools) -> Ints:
        field, meanings = self.field, columns.meanings[self.place]
        if meanings.points is not None:
            order = np.argsort(meanings.points, kind="stable")
            return np.where(some, order[nearest_of(meanings.points[order], values)], MISSING)
        codes = np.clip(_units(field, values) - field.first_unit, 0, field.lattice_size - 1)
        codes = codes.astype(np.int64)
        for i, special in enumerate(field.specials):
            near = np.abs(values - special) <= ranges.tolerance(values, np.asarray(special))
            codes = np.where(near, FIRST_SPECIAL - i, codes)
        return np.where(some, codes, MISSING)

    def fits(self, known: Known) -> Truth:
        """Return whether what is computed lies within the column's bounds or categories."""
        value = self.value.term.range(known)
        field = self.field
        missing = Truth(value.none & field.nullable, value.none & (not field.nullable), ~value.some)
        inside = Truth.constant(True) if self._names_categories else self._inside(value)
        never = np.zeros_like(value.none)
        return Truth(
            (value.some & inside.yes) | (value.none & missing.yes),
            (value.some & inside.no) | (value.none & missing.no),
            never,
        )

    @cached_property
    def bounds(self) -> Term | None:
        """That what is computed lies within the column's bounds; None where there is more to it."""
        if self._names_categories:
            return fixed("truth", True, 1.0)
        if not self.field.is_lattice or self.field.specials:
            return None
        term = self.value.term
        low, high = (fixed(term.kind, end, end) for end in self._ends)
        slack = ranges.MOMENT if self.field.is_moment else None
        sides = (Order(slack), low, term), (Order(slack), term, high)
        return applied("truth", Truth.__and__, *(applied("truth", *side) for side in sides))

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The values of a lattice's ends."""
        meanings = self.value.columns.meanings[self.place]
        low, high = meanings.at(np.array([0, meanings.size - 1]))
        return float(low), float(high)

    def _inside(self, value: Range) -> Truth:
        field = self.field
        if not field.is_lattice:
            return reduce(
                Truth.__or__, (ranges.equal(value, Range.constant(p)) for p in self._points)
            )
        low, high = self._ends
        slack, rounded = ranges.MOMENT if field.is_moment else None, rounded_to_step(self, value)
        within = ranges.at_most(Range.constant(low), rounded, slack)
        within &= ranges.at_most(rounded, Range.constant(high), slack)
        specials = (ranges.equal(value, Range.constant(s)) for s in field.specials)
        return reduce(Truth.__or__, specials, within)

    @cached_property
    def _names_categories(self) -> bool:
        """Whether what is computed is a truth, or a choice of categories, and so never another value."""
        choices = self.value.term.choices
        named = bool(choices) and all(choice.constant is not None for choice in choices)
        return self.field.type == "boolean" or (self.field.type == "string" and named)

    @cached_property
    def _points(self) -> Floats:
        points = self.value.columns.meanings[self.place].points
        assert points is not None
        return points

    def agrees(self, known: Known) -> Truth:
        """Return whether the column holds what is computed, but for its rounding by up to one step."""
        value, held = self.value.term.range(known), known(self.place)
        if not self.field.is_lattice:
            return ranges.equal(held, value)
        first = np.array([0, 1]) + self.field.first_unit
        ends = (self.field.seconds_at if self.field.is_moment else self.field.numbers_at)(first)
        step = float(ends[1] - ends[0])
        apart = ranges.absolute(ranges.subtract(held, value))
        slack = ranges.MOMENT if self.field.is_moment else step * 1e-6
        return ranges.at_most(apart, Range.constant(step), slack)


def _units(field: Field, values: Floats) -> Floats:
    """Return the nearest points of a lattice, in steps; of moments, what is finer is cut off."""
    if field.is_moment:
        return ranges.half_up(np.asarray(field.seconds_to_units(np.floor(values + ranges.MOMENT))))
    return ranges.half_up(np.asarray(field.numbers_to_units(values)))


def rounded_to_step(derivation: Derivation, value: Range) -> Range:
    """Return what is computed as its column holds it: at the nearest step of a lattice."""
    field = derivation.field
    if not field.is_lattice:
        return value
    at = field.seconds_at if field.is_moment else field.numbers_at
    return value.mapped(lambda v: at(_units(field, v)))
