"""The order of a patient's rows in time: by which column, and how far apart two visits may be."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

from synthvae._frozen import FrozenSettings
from synthvae._text import brief, counted
from synthvae.declared import as_bound, step_seconds
from synthvae.field import Field

Span = Annotated[float | int | str | None, BeforeValidator(as_bound)]
DAY, MINUTE = 86_400, 60  # seconds: in these, a number says how far dates and date-times are apart
# At which visit a condition on a column that varies is meant, before the column's name.
WHEN_MET = FIRST, ANY = "first:", "any:"
SPANS = ("day", DAY), ("h", 3600), ("min", MINUTE), ("s", 1)


class Gap(FrozenSettings):
    """How far apart two neighbouring visits of a patient may be: `minimum` and whole steps more.

    In the units of a number's column, in whole days between dates, and between date-times as a span
    (`15 min`, `1 h`) or in minutes. By default, the minimum is one step where the order is strict and
    else 0, the maximum the column's whole range, and the step the column's own.
    """

    minimum: Span = None
    maximum: Span = None
    step: Span = None


class OrderBy(FrozenSettings):
    """The column by which a patient's rows come in order, and how far apart they may be.

    A `strict` order has no two rows of a patient at one time.
    """

    column: str
    strict: bool = True
    gap: Gap = Gap()


def as_order(value: Any) -> Any:
    """Return a column's name as the order by it."""
    return {"column": value} if isinstance(value, str) else value


def check_order(
    order: OrderBy | None, fields: Mapping[str, Field], has_key: bool, needy: Mapping[str, bool]
) -> None:
    """Raise `ValueError` where rows cannot be ordered as it is declared.

    Parameters
    ----------
    fields
        The fields that a model draws, by name: neither identifiers nor derived ones.
    needy
        Settings that mean nothing without an order, and whether they are set.
    """
    if order is None:
        for name in (name for name, is_set in needy.items() if is_set):
            raise ValueError(f"{name} needs orderBy, which says what comes first and what last")
        return
    column = brief(order.column)
    if not has_key:
        raise ValueError(
            f"orderBy names {column}, but there is no patientKey, and without one each row is one "
            "patient: name the column that says whose row it is, or take orderBy out"
        )
    if order.column not in fields:
        raise ValueError(
            f"orderBy names {column}, which is an identifier or derived, and so not learned: take it "
            "out of the keys, roles and rules that make it so, or order by another column"
        )
    if misfit := _misfit(fields[order.column]):
        raise ValueError(f"orderBy names {column}, {misfit}")
    gap_codes(order, fields[order.column])


def _misfit(field: Field) -> str | None:
    """Return why a column puts no rows in order, and what to do, None where it does."""
    if not field.is_lattice:
        return "which has categories: give it a type of number or date with minimum and maximum"
    if field.perPatient:
        return "which is perPatient, so the same in all rows: take `perPatient` off it"
    if field.nullable:
        return (
            "whose values may be missing, and a row without a time has no place: fill them in and "
            "leave out `required: false`"
        )
    if field.specials:
        return (
            f"whose special value {field.specials[0]:g} has no place in time: take `special` and "
            "`censored` off it"
        )
    return None


def gap_codes(order: OrderBy, field: Field) -> tuple[int, int, int]:
    """Return the least gap, the largest and their step, in lattice steps of the order's column.

    Examples
    --------
    >>> bounds = {"minimum": "2020-01-01", "maximum": "2020-12-31"}
    >>> seen = Field.model_validate({"name": "seen", "type": "date", "constraints": bounds})
    >>> gap_codes(OrderBy(column="seen"), seen)
    (1, 365, 1)
    >>> gap_codes(OrderBy(column="seen", gap=Gap(step=7, maximum=30 * 7)), seen)
    (7, 210, 7)

    Raises
    ------
    ValueError
        A gap is no multiple of the column's step, or no two rows of a patient could keep all that is
        declared.
    """
    gap, whole = order.gap, field.lattice_size - 1
    step = 1 if gap.step is None else _steps(gap.step, "step", field)
    if step < 1:
        raise ValueError(f"orderBy: gap.step {brief(gap.step)} must be above 0")
    least = step if order.strict else 0
    low = least if gap.minimum is None else _steps(gap.minimum, "minimum", field)
    if low < order.strict:
        raise ValueError(
            f"orderBy: gap.minimum {brief(gap.minimum)} lets two visits be at one time, or before each "
            f"other: write {gap_text(1, field)} or more, or `strict: false` with 0 or more"
        )
    high = whole if gap.maximum is None else _steps(gap.maximum, "maximum", field)
    if gap.maximum is not None and high >= low and (high - low) % step:
        raise ValueError(
            f"orderBy: gap.maximum {brief(gap.maximum)} is not the minimum and whole steps more: write "
            f"{gap_text(low + (high - low) // step * step, field)}, say"
        )
    if low > min(high, whole):
        declared = gap.maximum is not None and high < low
        most = "gap.maximum" if declared else f"the whole range of {brief(order.column)}"
        raise ValueError(
            f"orderBy: gap.minimum, {gap_text(low, field)}, is above {most}, "
            f"{gap_text(min(high, whole), field)}: lower it, or widen the other"
        )
    return low, low + (min(high, whole) - low) // step * step, step


def _steps(value: float | int | str, name: str, field: Field) -> int:
    """Return a gap in lattice steps of a column."""
    if field.is_moment:
        unit = DAY if field.type == "date" else MINUTE
        span = step_seconds(value) if isinstance(value, str) else Decimal(str(value)) * unit
        own = int(field.seconds_at(1) - field.seconds_at(0))
        steps = None if span is None else Decimal(span) / own
    elif isinstance(value, str):
        steps = None
    else:
        steps = Decimal(str(value)).scaleb(field.places) / field.stride
    if steps is None:
        form = "15 min, 1 h or 7 days" if field.is_moment else "a number"
        raise ValueError(
            f"orderBy: gap.{name} {brief(value)} is no gap of {field.kind}: write {form}"
        )
    if steps % 1:
        raise ValueError(
            f"orderBy: gap.{name} {brief(value)} is no multiple of {gap_text(1, field)}, the step of "
            f"{brief(field.name)}: write one that is"
        )
    return int(steps)


def gap_text(steps: int, field: Field) -> str:
    """Return a number of lattice steps of a column in its own units.

    Examples
    --------
    >>> gap_text(3, Field(name="dose", type="number", step=0.5, constraints={"minimum": 0}))
    '1.5'
    """
    if not field.is_moment:
        return f"{steps * field.stride / 10**field.places:.12g}"
    seconds = steps * int(field.seconds_at(1) - field.seconds_at(0))
    word, unit = next(span for span in SPANS if seconds % span[1] == 0)
    return counted(seconds // unit, word) if word == "day" else f"{seconds // unit:,} {word}"
