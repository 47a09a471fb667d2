"""Visits side by side: one row a patient, for methods that know neither patients nor order.

A row holds what never changes, the number of visits and the time of the first, then each visit's own
columns, from the second on behind the time since the visit before. A visit that a patient does not have
is missing in all of its columns:

    static | number of visits | first time | visit 1 | gap 2 | visit 2 | gap 3 | ...

Times are kept as gaps, so that order holds whatever is drawn. A patient is one row, so that counts
have a sensitivity of 1.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.histories import visit_codes
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.timeline import Timeline

MOST_COLUMNS = {"mst": 250, "aim": 40, "aim-3way": 25, "plain-vae": 1000, "independent": 20_000}


def columns_side_by_side(schema: Schema) -> int:
    """Return the number of columns that a schema's visits have side by side."""
    timeline = Timeline(schema)
    return timeline.static + timeline.most_visits * (len(timeline.varying) + 1) - 1


def why_unfit(method: str, schema: Schema) -> str | None:
    """Return why a method makes no sense for a schema's visits; None where it does.

    Public: it depends on the schema alone.
    """
    if schema.orderBy is None:
        return None
    columns, most = columns_side_by_side(schema), MOST_COLUMNS[method]
    if columns <= most:
        return None
    return f"visits side by side are {columns:,} columns; it takes hours or fails beyond {most:,}"


@dataclass(frozen=True)
class SideBySide:
    """The columns of all visits side by side, and how visits become rows and rows visits."""

    schema: Schema

    @cached_property
    def timeline(self) -> Timeline:
        """The columns of a visit together with those of the visit before it."""
        return Timeline(self.schema)

    @property
    def most(self) -> int:
        """How many visits a row has room for."""
        return self.timeline.most_visits

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The columns of a row, in order."""
        timeline = self.timeline
        fields = list(timeline.columns[: timeline.static])
        for place in range(self.most):
            columns = [timeline.gap, *timeline.own] if place else list(timeline.own)
            fields += [_of_visit(timeline.columns[j], place) for j in columns]
        return tuple(fields)

    def own(self, place: int) -> slice:
        """Return the columns of a visit's own, by its place from 0."""
        width = len(self.timeline.varying)
        start = self.timeline.static + place * (width + 1)
        return slice(start, start + width)

    def gap(self, place: int) -> int:
        """Return the column of the time since the visit before, of a later visit."""
        return self.timeline.static - 1 + place * (len(self.timeline.varying) + 1)

    def flatten(self, codes: Ints, rows: Ints) -> Ints:
        """Return the row of each patient, shape (patients, columns).

        Parameters
        ----------
        codes
            Of the schema's columns, those that are drawn first, shape (rows, columns).
        rows
            Rows of each patient in the order of time, padded with -1, shape (patients, visits).
        """
        timeline = self.timeline
        visits, numbered = visit_codes(timeline, codes, rows)
        flat = np.full((len(rows), len(self.fields)), MISSING, np.int64)
        flat[:, : timeline.static] = visits[numbered[:, 0], : timeline.static]
        for place in range(self.most):
            has = numbered[:, place] >= 0
            visit = visits[numbered[has, place]]
            flat[has, self.own(place)] = visit[:, list(timeline.own)]
            if place:
                flat[has, self.gap(place)] = visit[:, timeline.gap]
        return flat

    def counts(self, flat: Ints) -> Ints:
        """Return the number of visits of each patient, shape (patients,)."""
        return flat[:, self.timeline.visits] + self.timeline.least_visits

    def mean_entries(self, marginals: tuple[ColumnMarginal, ...]) -> float:
        """Return the mean number of visits by its noisy marginal; a patient without counts as one."""
        marginal = marginals[self.timeline.visits]
        entries = np.maximum(np.arange(marginal.size) + self.timeline.least_visits, 1)
        mass = np.repeat(marginal.cell_mass / marginal.cell_sizes, marginal.cell_sizes)
        return float(entries @ mass / mass.sum())

    def agreed(
        self, flat: Ints, marginals: tuple[ColumnMarginal, ...], generator: np.random.Generator
    ) -> tuple[Ints, Bools]:
        """Return rows whose visits agree with their number and with the end of time, and who did not.

        The number of visits holds: what lies beyond is no visit. Where a visit lacks a value that it
        must have, one is drawn from that column's margin. A time that leaves no room for the visits to
        come is as late as it may be.
        """
        timeline, given, flat, counts = self.timeline, flat, flat.copy(), self.counts(flat)
        for place in range(self.most):
            here = counts > place
            behind = [self.gap(place) if place else timeline.first, *self._columns(place)]
            flat[np.ix_(~here, behind)] = MISSING
            for column, field in zip(behind, (None, *timeline.varying), strict=True):
                lacking = here & (flat[:, column] == MISSING)
                if lacking.any() and (field is None or not field.nullable):
                    marginal, number = without_missing(marginals[column]), int(lacking.sum())
                    flat[lacking, column] = _drawn(marginal, number, generator)
        last, first = timeline.columns[timeline.time].lattice_size - 1, timeline.first
        latest = last - (counts - 1) * timeline.gap_low
        flat[:, first] = np.minimum(flat[:, first], latest)
        time = flat[:, first].copy()
        for place in range(1, self.most):
            here, gap = counts > place, self.gap(place)
            room = last - time - (counts - place) * timeline.gap_low
            flat[here, gap] = np.minimum(flat[here, gap], room[here] // timeline.gap_step)
            time[here] += timeline.gap_low + timeline.gap_step * flat[here, gap]
        return flat, np.asarray((flat != given).any(axis=1))

    def _columns(self, place: int) -> range:
        return range(self.own(place).start, self.own(place).stop)

    def of_visit(
        self, marginals: tuple[ColumnMarginal, ...], place: int
    ) -> tuple[ColumnMarginal, ...]:
        """Return the marginals of the timeline's columns at a place of a visit, from those of rows.

        Of the columns that are not drawn there, nothing but their size is told.
        """
        timeline = self.timeline
        whole = [unknown(field) for field in timeline.columns]
        whole[: timeline.static] = marginals[: timeline.static]
        known = whole[timeline.place]
        whole[timeline.place] = replace(_at_point(known.size, place), nullable=known.nullable)
        past = self.own(max(0, place - 1))
        for j, marginal in zip(timeline.before, marginals[past], strict=True):
            whole[j] = marginal
        if place:
            whole[timeline.gap] = without_missing(marginals[self.gap(place)])
        absent = 1 - self._share_with(marginals, place)
        for j, field, marginal in zip(
            timeline.own, timeline.varying, marginals[self.own(place)], strict=True
        ):
            whole[j] = _if_visited(marginal, absent if field.nullable else 1.0)
        return tuple(whole)

    def _share_with(self, marginals: tuple[ColumnMarginal, ...], place: int) -> float:
        """Return the share of patients who have a visit at a place."""
        marginal = marginals[self.timeline.visits]
        inside = marginal.mass_within(place + 1 - self.timeline.least_visits, marginal.size - 1)
        return float(inside.sum() / marginal.mass_within(0, marginal.size - 1).sum())


def _of_visit(field: Field, place: int) -> Field:
    """Return a column of one visit, which may be missing."""
    free = field.constraints.model_copy(update={"required": False})
    return field.model_copy(update={"name": f"{field.name} {place + 1}", "constraints": free})


def _if_visited(marginal: ColumnMarginal, absent: float) -> ColumnMarginal:
    """Return the marginal of a visit's column where there is a visit, which a share lacks.

    Nothing is missing there where that share is 1.
    """
    if absent >= 1.0:
        return without_missing(marginal)
    mass: Floats = marginal.mass.copy()
    mass[-1] = max(mass[-1] - absent, 1e-9)
    cells = marginal.cell_mass / mass.sum()
    return replace(marginal, cell_mass=cells, mass=mass / mass.sum())


def without_missing(marginal: ColumnMarginal) -> ColumnMarginal:
    """Return the marginal of the values that are there, of a column that may be missing."""
    if not marginal.nullable:
        return marginal
    left = marginal.mass[:-1].sum()
    return replace(
        marginal,
        cell_mass=marginal.cell_mass / left,
        mass=marginal.mass[:-1] / left,
        nullable=False,
    )


def unknown(field: Field) -> ColumnMarginal:
    """Return the marginal of a column of which nothing is counted."""
    size = ColumnMarginal.cells_of(field)
    tokens = np.ones(1 + len(field.specials) + field.nullable)
    nowhere = np.zeros(1, np.int64)
    mass = tokens / tokens.sum()
    return ColumnMarginal(
        nowhere, mass[:1], nowhere, mass, size, len(field.specials), field.nullable
    )


def _at_point(size: int, point: int) -> ColumnMarginal:
    mass = np.full(size, 1e-9)
    mass[point] = 1.0
    mass /= mass.sum()
    points = np.arange(size)
    return ColumnMarginal(points, mass, points, mass, size, 0, False)


def _drawn(marginal: ColumnMarginal, number: int, generator: np.random.Generator) -> Ints:
    """Return codes drawn from a marginal."""
    tokens = generator.choice(marginal.tokens, number, p=marginal.mass / marginal.mass.sum())
    return marginal.decode(tokens, generator.random(number))
