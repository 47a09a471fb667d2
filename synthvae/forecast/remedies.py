"""What would help: changes of what is declared, each with the plan made again under it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from synthvae._frozen import Frozen
from synthvae._text import brief
from synthvae.field import Field
from synthvae.forecast.prospect import Prospect, make_prospect
from synthvae.privacy.budget import LARGEST_EPSILON
from synthvae.schema import Schema
from synthvae.settings import ASSUMED_PATIENTS

FEW_COLUMNS = 6  # from which on leaving some out is a remedy
MANY_CATEGORIES, GROUPED = 20, 10  # of a column, and after grouping
MOST_GENERAL = 3  # remedies that help all columns
SPENDING = 1.3  # how much better than others one is that spends more
LEAST_FACTOR = 1.05  # of an error, to be named as a remedy


class Remedy(Frozen):
    """A change to what is declared, and the error of a figure before and after it."""

    change: str
    figure: str
    before: float
    after: float

    @property
    def factor(self) -> float:
        """What the error is divided by."""
        return self.before / self.after if self.after > 0 else math.inf


Planner = Callable[[Schema], Prospect]


@dataclass(frozen=True)
class _Change:
    """A change of what is declared: in words, and the prospect that follows."""

    words: str
    after: Prospect
    only: str | None = None  # the column that it helps; None for all
    is_declaring: bool = False  # whether it declares a number of patients
    is_spending: bool = False  # whether it spends more


def find_remedies(prospect: Prospect) -> tuple[Remedy, ...]:
    """Return the changes that help most, each with the plan made again under it.

    Those that help all columns come first, then declaring the patients where they are not declared,
    however little it helps, then the best that helps a single column.
    """
    changes = [(change, _remedy(prospect, change)) for change in _changes(prospect)]
    helpful = [pair for pair in changes if pair[1].factor >= LEAST_FACTOR]
    # More of the budget is named after what costs no privacy and helps nearly as much.
    helpful.sort(key=lambda pair: -pair[1].factor / (SPENDING if pair[0].is_spending else 1))
    all_columns = [remedy for change, remedy in helpful if change.only is None][:MOST_GENERAL]
    one_column = [remedy for change, remedy in helpful if change.only is not None][:1]
    declaring = [r for change, r in changes if change.is_declaring and r not in all_columns]
    return (*all_columns, *declaring, *one_column)


def _remedy(before: Prospect, change: _Change) -> Remedy:
    """Return a change with the error that it lessens: of one column, or the largest that stays."""
    after = {column.name: column for column in change.after.columns}
    kept = [column for column in before.columns if column.name in after]
    names = [c.name for c in kept if change.only in (None, c.name)]
    shares = [c for c in kept if c.share is not None and c.name in names]
    worst = max(shares or [c for c in kept if c.name in names], key=lambda c: c.relative)
    new = after[worst.name]
    if worst.share is not None and change.only is None:
        return Remedy(
            change=change.words,
            figure=f"a share of {brief(worst.name)}, in points",
            before=100 * worst.relative,
            after=100 * new.relative,
        )
    if worst.misplaced is not None and new.misplaced is not None:
        return Remedy(
            change=change.words,
            figure=f"rows in a wrong category of {brief(worst.name)}, in %",
            before=100 * worst.misplaced,
            after=100 * new.misplaced,
        )
    assert worst.mean is not None
    assert new.mean is not None
    return Remedy(
        change=change.words,
        figure=f"the mean of {brief(worst.name)}" + (f", in {worst.unit}" if worst.unit else ""),
        before=worst.mean.absolute,
        after=new.mean.absolute,
    )


def _changes(prospect: Prospect) -> Iterator[_Change]:
    """Yield changes that might help, each with the plan under it."""
    plan, schema = prospect.plan, prospect.plan.schema
    epsilon = plan.epsilon or 1.0
    most = schema.rows_per_patient

    def planned(new: Schema, budget: float = epsilon, rows: float | None = None) -> Prospect:
        delta = plan.delta if new.patients == schema.patients else None
        rows = prospect.rows_per_patient if rows is None else rows
        return make_prospect(new, budget, delta, rows)

    if most > 1:
        fewer = 2 if most > 2 else 1
        # The mean number of rows keeps its place between 1 and the most: the root stays the root.
        rows = fewer ** (math.log(prospect.rows_per_patient) / math.log(most))
        new = planned(schema.replace(maxRows=fewer), rows=rows)
        counts = "counts of visits'" if prospect.in_time else "counts'"
        words = f"maxRows {most} -> {fewer}, which divides {counts} noise by {most / fewer:g}"
        yield _Change(words, new)
    if 2 * epsilon <= LARGEST_EPSILON:
        words = f"epsilon {epsilon:g} -> {2 * epsilon:g}"
        yield _Change(words, planned(schema, 2 * epsilon), is_spending=True)
    if schema.patients is None:
        new = planned(schema.replace(patients=ASSUMED_PATIENTS))
        yield _Change("declaring `patients` (a public number, not counted)", new, is_declaring=True)
    yield from _fewer_columns(prospect, planned)
    yield from _coarser_columns(prospect, planned)


def _fewer_columns(prospect: Prospect, planned: Planner) -> Iterator[_Change]:
    """Yield leaving out a third of the columns: the last ones that nothing else names."""
    schema = prospect.plan.schema
    targets = {name for target in schema.target for name in (target.column, *target.without)}
    pair = () if schema.survival is None else (schema.survival.duration, schema.survival.event)
    purposes = {name for purpose in schema.purposes for name in purpose.columns}
    named = {*schema.primaryKey, *schema.key_columns, *targets, *pair, *purposes}
    named |= set() if schema.orderBy is None else {schema.orderBy.column}
    free = [field.name for field in schema.drawn if field.name not in named]
    dropped = len(schema.drawn) // 3
    if len(schema.drawn) < FEW_COLUMNS or len(free) < dropped:
        return
    kept = max(
        prospect.columns, key=lambda column: (column.share is not None, column.relative)
    ).name
    left_out = {name for name in free if name != kept}
    left_out = set(sorted(left_out, key=free.index)[-dropped:])
    fields = tuple(
        field.model_copy(update={"role": "omit", "perPatient": False})
        if field.name in left_out
        else field
        for field in schema.fields
    )
    words = f"{len(schema.drawn)} columns -> {len(schema.drawn) - dropped} (`role: omit`)"
    yield _Change(words, planned(_changed(schema, fields)))


def _coarser_columns(prospect: Prospect, planned: Planner) -> Iterator[_Change]:
    """Yield narrower bounds of the number whose mean is worst, and grouping of many categories."""
    schema = prospect.plan.schema
    many = [c for c in prospect.columns if (c.categories or 0) >= MANY_CATEGORIES]
    if many:
        worst = max(many, key=lambda column: column.misplaced or 0.0)
        field = schema[worst.name]
        labels = (field.constraints.enum or ())[:GROUPED]
        rules = field.constraints.model_copy(update={"enum": labels})
        new = field.model_copy(update={"constraints": rules, "codes": field.codes[:GROUPED]})
        words = f"{worst.categories} categories of {brief(worst.name)} -> {GROUPED}"
        yield _Change(words, planned(_with(schema, new)), worst.name)
    numbers = [
        c
        for c in prospect.columns
        if c.kind == "number"
        and schema[c.name].lattice_size > 8
        and not (schema.orderBy and schema.orderBy.column == c.name)
    ]
    if numbers:
        worst = max(numbers, key=lambda column: column.relative)
        field = schema[worst.name]
        low, high = (float(b or 0) for b in (field.constraints.minimum, field.constraints.maximum))
        middle = field.numbers_at(field.first_unit + field.lattice_size // 2)
        rules = field.constraints.model_copy(update={"maximum": _as_declared(field, float(middle))})
        new = Field.model_validate(field.model_dump() | {"constraints": rules.model_dump()})
        words = f"bounds of {brief(worst.name)} half as wide as {low:g} to {high:g}"
        yield _Change(words, planned(_with(schema, new)), worst.name)


def _as_declared(field: Field, number: float) -> float | int:
    return round(number) if field.type == "integer" else round(number, field.places)


def _with(schema: Schema, new: Field) -> Schema:
    """Return a schema with a field in place of the one of its name."""
    fields = tuple(new if field.name == new.name else field for field in schema.fields)
    return _changed(schema, fields)


def _changed(schema: Schema, fields: tuple[Field, ...]) -> Schema:
    """Return a schema with other fields, for its counts alone, on which neither rules nor uses bear.

    They might name what is no longer there. What is derived is left out: it costs nothing either way.
    """
    derived = {field.name for field in schema.modelled} - {field.name for field in schema.drawn}
    omitted = {"role": "omit", "perPatient": False}
    plain = [
        field.model_dump() | (omitted if field.name in derived - {*schema.key_columns} else {})
        for field in fields
    ]
    unnamed = {"rules": (), "target": (), "survival": None, "purposes": ()}
    return Schema.model_validate(schema.model_dump() | unnamed | {"fields": plain})
