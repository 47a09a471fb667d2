"""Visits in time: the columns of a visit together with those of the visit before it.

A model of visits draws a patient's static columns, the number of visits and the time of the first; then
visit after visit, given all of that, the visit before, its own place, and the time since. So what the
model of one row does for a table's columns it does for these:

    static | number of visits | first time | the visit before | place | visits that follow | gap | time |
    the visit's columns

Which columns there are follows from the schema alone.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae.field import Constraints, Field
from synthvae.rules.compiled import RuleSet
from synthvae.rules.setting import BEFORE
from synthvae.rules.steps import before_fields, visit_rules
from synthvae.rules.values import Columns, Elapsed
from synthvae.rules.visits import VisitPlaces, with_look_ahead
from synthvae.schema import Schema

__all__ = ["BEFORE", "FIRST", "GAP", "PLACE", "VISITS", "Timeline"]
VISITS, FIRST, PLACE, GAP = "number of visits", "first", "place of the visit", "gap"
LEFT = "visits that follow"


@dataclass(frozen=True)
class Timeline:
    """The columns of a visit with the visit before it, in the order in which they are known."""

    schema: Schema

    @cached_property
    def order(self) -> Field:
        """The column by which a patient's visits are ordered."""
        assert self.schema.orderBy is not None
        return self.schema[self.schema.orderBy.column]

    @cached_property
    def shared(self) -> tuple[Field, ...]:
        """The schema's columns that are the same in all visits of a patient."""
        return tuple(field for field in self.schema.drawn if field.perPatient)

    @cached_property
    def varying(self) -> tuple[Field, ...]:
        """The columns that are drawn anew for each visit, but for the time."""
        return tuple(
            field
            for field in self.schema.drawn
            if not field.perPatient and field.name != self.order.name
        )

    @cached_property
    def columns(self) -> tuple[Field, ...]:
        """All columns, in order."""
        most = self.most_visits
        low, high, step = self.schema.gap_codes or (0, 0, 1)
        time = self.order.model_copy(update={"name": self._own(f"{self.order.name} {FIRST}")})
        before = before_fields((self.order, *self.varying))
        return (
            *self.shared,
            _count(self._own(VISITS), self.least_visits, most),
            time if self.least_visits else _optional(time),
            *before,
            _count(self._own(PLACE), 1, most),
            _count(self._own(LEFT), 0, most - 1),
            _count(self._own(GAP), low, high, step),
            self.order,
            *self.varying,
        )

    @cached_property
    def rules(self) -> RuleSet:
        """All rules of the schema, over `columns` and the derived ones, and what they look ahead to.

        Those about the visit before say nothing at a first visit. To draw the columns in their order by
        these rules seldom ends in a visit that nothing may follow.
        """
        schema = self.schema
        derived = schema.modelled[len(schema.drawn) :]
        backward = before_fields(derived) if self._names_derived else ()
        fields = (*self.columns, *derived, *backward)
        others = frozenset(schema.names) - {field.name for field in fields}
        at = self._places
        elapsed = Elapsed(at.time, at.time_before, at.gap, at.unit)
        columns = Columns(fields, others, self.order.name, elapsed)
        keys = frozenset(schema.key_columns)
        return with_look_ahead(visit_rules(schema.rules, columns, derived, keys), at)

    @property
    def _names_derived(self) -> bool:
        """Whether a rule names a derived column of the visit before."""
        columns, drawn = self.schema.step_columns, {field.name for field in self.schema.drawn}
        before = [
            place
            for place, field in enumerate(columns.fields[len(self.schema.modelled) :])
            if field.name.removesuffix(BEFORE) not in drawn
        ]
        first = len(self.schema.modelled)
        return any(
            first + place in rule.places for rule in self.schema.step_rules for place in before
        )

    @property
    def _places(self) -> VisitPlaces:
        steps = self.order.first_unit + np.arange(2)
        values = self.order.seconds_at if self.order.is_moment else self.order.numbers_at
        unit = float(np.diff(np.asarray(values(steps), float))[0])
        return VisitPlaces(
            self.visits, self.first, self.place, self.gap, self.time, self.time_before, unit
        )

    def _own(self, name: str) -> str:
        """Return a name that no column of the schema has."""
        while any(field.name == name for field in self.schema.fields):
            name += "'"
        return name

    @property
    def static(self) -> int:
        """Number of first columns that are drawn once a patient."""
        return len(self.shared) + 2

    @property
    def visits(self) -> int:
        """The column that holds the number of visits."""
        return len(self.shared)

    @property
    def first(self) -> int:
        """The column that holds the time of the first visit."""
        return len(self.shared) + 1

    @property
    def time_before(self) -> int:
        """The column that holds the time of the visit before; the other columns of it follow."""
        return self.static

    @property
    def place(self) -> int:
        """The column that holds a visit's place among its patient's, from 1."""
        return self.static + 1 + len(self.varying)

    @property
    def left(self) -> int:
        """The column that holds how many visits follow: nothing does after a death, say."""
        return self.place + 1

    @property
    def gap(self) -> int:
        """The column that holds the time since the visit before."""
        return self.place + 2

    @property
    def time(self) -> int:
        """The column that holds a visit's time."""
        return self.place + 3

    @property
    def own(self) -> range:
        """The columns that are drawn anew for each visit, but for gap and time."""
        return range(self.time + 1, self.time + 1 + len(self.varying))

    @property
    def before(self) -> range:
        """The columns of the visit before that `own` are of the visit itself."""
        return range(self.static + 1, self.place)

    @property
    def shift(self) -> int:
        """How many columns a visit's own column stands after the same one of the visit before."""
        return self.own.start - self.before.start

    @property
    def gap_low(self) -> int:
        """The least gap, in steps of the time's lattice."""
        return (self.schema.gap_codes or (0, 0, 1))[0]

    @property
    def gap_step(self) -> int:
        """Steps of the time's lattice from one gap to the next."""
        return (self.schema.gap_codes or (0, 0, 1))[2]

    @property
    def least_visits(self) -> int:
        """How many visits a patient has at least: none where the schema says that they are optional."""
        return 0 if self.schema.visitsOptional else 1

    @property
    def most_visits(self) -> int:
        """How many visits a patient may have: those that are kept, and for which there is time."""
        most, low = self.schema.rows_per_patient, self.gap_low
        return most if low == 0 else min(most, 1 + (self.order.lattice_size - 1) // low)

    @cached_property
    def of_schema(self) -> list[int]:
        """The place among these columns of each column that the schema's model draws, in its order."""
        places = {field.name: place for place, field in enumerate(self.columns)}
        return [places[field.name] for field in self.schema.drawn]


def _optional(field: Field) -> Field:
    constraints = field.constraints.model_copy(update={"required": False})
    return field.model_copy(update={"constraints": constraints})


def _count(name: str, low: int, high: int, step: int = 1) -> Field:
    bounds = Constraints(minimum=low, maximum=high, required=True)
    return Field(name=name, type="integer", step=step, constraints=bounds)
