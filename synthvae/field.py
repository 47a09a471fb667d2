"""One column of a schema: its type, what its values may be, and its lattice or categories."""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, field_validator, model_validator
from pydantic import Field as Setting

from synthvae._frozen import FrozenSettings
from synthvae._text import brief

FieldType = Literal["number", "integer", "boolean", "string", "date", "datetime"]
Bound = float | int | str
DEFAULT_FORMATS = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%dT%H:%M:%S"}
TRUE_LABELS = ("true", "True", "TRUE", "1")
FALSE_LABELS = ("false", "False", "FALSE", "0")
OTHER = "other"
LONGEST_NAME = 1000
LONGEST_FORMAT = 100
LARGEST = 1e15  # beyond, neighbouring whole numbers are no longer told apart
Item = TypeVar("Item")


def _as_bound(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"bound {value} is a boolean; it must be a number or a date")
    if isinstance(value, int | float) and abs(value) > LARGEST:
        raise ValueError(f"a bound must lie between {-LARGEST:g} and {LARGEST:g}")
    return value.isoformat() if isinstance(value, date | datetime) else value


def as_tuple(value: Any) -> Any:
    """Return one value as a tuple, and None as an empty one."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str | int | float | dict | BaseModel) else value


def as_labels(value: Any) -> Any:
    """Return one label or several as a tuple of text; a boolean or a mapping is refused."""
    items = as_tuple(value)
    return tuple(map(_label, items)) if isinstance(items, list | tuple) else items


def _label(item: Any) -> str:
    if isinstance(item, bool):
        raise ValueError(f"{item} is a boolean; put it in quotes or use `type: boolean`")
    if not isinstance(item, str | int | float | date):
        raise ValueError(f"{brief(item)} must be text or a number")
    return str(item)


def first_repeated(items: Iterable[Item]) -> Item | None:
    """Return the first item that comes again, or None."""
    return next((item for item, times in Counter(items).items() if times > 1), None)


class Constraints(FrozenSettings):
    """Bounds of numbers and dates, or categories; and whether a value must be there."""

    minimum: Annotated[Bound | None, BeforeValidator(_as_bound)] = None
    maximum: Annotated[Bound | None, BeforeValidator(_as_bound)] = None
    enum: tuple[str, ...] | None = None
    required: bool = True

    @field_validator("enum", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, list | tuple):
            raise ValueError("enum must be a list of categories")
        return tuple(map(_label, value))

    @field_validator("enum")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("enum must name at least one category")
        twice = first_repeated(value or ())
        if twice is not None:
            raise ValueError(f"enum names {brief(twice)} twice")
        return value


class Field(FrozenSettings):
    """One column: its type, what its values may be, and how values outside are handled.

    A field is modelled as *categories* (booleans, and whatever has an `enum`) or on a *lattice*
    (numbers, integers, dates: every value is `minimum + index * step`), or it is an *identifier*,
    which is never modelled and is regenerated in the output. `perPatient` says that all rows of a
    patient hold the same value, as of sex or of what was asked once at enrolment.
    """

    name: str
    type: FieldType = "string"
    title: str | None = None
    description: str | None = None
    unit: str | None = None
    format: str | None = None
    decimals: Annotated[int | None, Setting(ge=0, le=9)] = None
    constraints: Constraints = Constraints()
    special: Annotated[tuple[float | int, ...], BeforeValidator(as_tuple)] = ()
    invalid: Literal["error", "clip", "missing", "other"] = "error"
    role: Literal["protected", "identifier"] | None = None
    trueValues: Annotated[tuple[str, ...], BeforeValidator(as_labels)] = TRUE_LABELS
    falseValues: Annotated[tuple[str, ...], BeforeValidator(as_labels)] = FALSE_LABELS
    perPatient: bool = False
    review: bool = False

    @field_validator("name")
    @classmethod
    def _has_name(cls, value: str) -> str:
        if not value:
            raise ValueError("a field needs a name")
        if len(value) > LONGEST_NAME:
            raise ValueError(f"a name of {len(value):,} characters; {LONGEST_NAME} are the most")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_settings()
        if self.is_lattice:
            self._check_lattice()
        else:
            self._check_categories()
        return self

    def _check_settings(self) -> None:
        if not self.trueValues or not self.falseValues:
            raise ValueError("trueValues and falseValues need at least one word each")
        if self.type == "boolean" and set(self.trueValues) & set(self.falseValues):
            raise ValueError("trueValues and falseValues must not overlap")
        if self.decimals is not None and self.type != "number":
            raise ValueError(f"decimals goes with `type: number`, not {self.type}")
        if self.special and not self.is_number:
            raise ValueError(f"special values go with numbers, not `type: {self.type}`")
        if any(abs(value) > LARGEST for value in self.special):
            raise ValueError(f"special values must lie between {-LARGEST:g} and {LARGEST:g}")
        if self.type == "integer" and any(value != int(value) for value in self.special):
            raise ValueError("special values of an integer must be whole numbers")
        if len(set(self.special)) < len(self.special):
            raise ValueError("special names a value twice")
        if self.invalid == "missing" and self.constraints.required:
            raise ValueError("`invalid: missing` needs `required: false` under constraints")

    def _check_categories(self) -> None:
        if self.invalid == "clip":
            raise ValueError("`invalid: clip` goes with bounds; use other or missing")
        if self.invalid == "other" and self.type != "string":
            raise ValueError("`invalid: other` goes with `type: string`")
        if self.special:
            raise ValueError("special goes with bounds; list the value under enum")
        if (self.constraints.minimum, self.constraints.maximum) != (None, None):
            raise ValueError("minimum and maximum go with numbers and dates without an enum")
        if self.constraints.enum is None or self.type == "string":
            return
        if not self.is_number:
            raise ValueError(f"enum goes with string, integer or number, not {self.type}")
        for label in self.constraints.enum:
            if not _is_number(label, whole=self.type == "integer"):
                raise ValueError(f"category {brief(label)} is no {self.type}")

    def _check_lattice(self) -> None:
        low, high = self.constraints.minimum, self.constraints.maximum
        if self.invalid == "other":
            raise ValueError("`invalid: other` goes with categories; use clip or missing")
        text = next((bound for bound in (low, high) if isinstance(bound, str)), None)
        if self.format_:
            self._check_format()
        elif text is not None:
            raise ValueError(f"bound {brief(text)} is text; a {self.type} needs a number")
        for bound in (low, high):
            if bound is not None and abs(self.units_of(bound)) > LARGEST:
                raise ValueError(
                    f"bound {brief(bound)} with {self.places} decimals has too many digits; give fewer"
                )
        if low is not None and high is not None and self.lattice_size < 1:
            raise ValueError(f"minimum {low} is above maximum {high}")

    def _check_format(self) -> None:
        if len(self.format_) > LONGEST_FORMAT:
            raise ValueError(f"format {brief(self.format_)} is too long to be a pattern of dates")
        if "%z" in self.format_.lower():
            raise ValueError("format cannot have a time zone; convert the times to one zone")
        try:
            datetime.strptime(datetime(2004, 2, 3, 4, 5, 6).strftime(self.format_), self.format_)
        except (ValueError, re.error) as cause:  # the latter where a part stands twice
            raise ValueError(f"format {self.format_!r} is no pattern of dates: {cause}") from None

    @property
    def nullable(self) -> bool:
        """Whether values may be missing."""
        return not self.constraints.required

    @property
    def is_number(self) -> bool:
        """Whether values are numbers, in categories or on a lattice."""
        return self.type in ("number", "integer")

    @property
    def is_moment(self) -> bool:
        """Whether values are dates or date-times."""
        return self.type in DEFAULT_FORMATS

    @property
    def is_lattice(self) -> bool:
        """Whether values lie on a lattice of numbers or dates (rather than in categories)."""
        return (self.is_number or self.is_moment) and self.constraints.enum is None

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The labels of a categorical field, in order; empty for other fields."""
        if self.type == "boolean":
            return ("false", "true")
        labels = self.constraints.enum or ()
        return (*labels, OTHER) if self.invalid == OTHER and OTHER not in labels else labels

    @property
    def first_categories(self) -> str:
        """The first labels, as a list in a sentence."""
        return ", ".join(self.categories[:6]) + (", ..." if len(self.categories) > 6 else "")

    @cached_property
    def places(self) -> int:
        """Decimals of a number's lattice; where none are declared, a thousandth of its range."""
        if self.type != "number":
            return 0
        if self.decimals is not None:
            return self.decimals
        low, high = float(self.constraints.minimum or 0), float(self.constraints.maximum or 0)
        return min(9, max(0, 3 - math.floor(math.log10(high - low)))) if high > low else 0

    @cached_property
    def step_seconds(self) -> int:
        """Seconds between two points of a date's or date-time's lattice, from its format."""
        if self.type == "date":
            return 86_400
        text = self.format_
        return 1 if "%S" in text or "%T" in text else 60 if "%M" in text else 3600

    @property
    def format_(self) -> str:
        """The strptime pattern of a date or date-time; empty for other types."""
        if not self.is_moment:
            return ""
        given = None if self.format in ("default", "any") else self.format
        return given or DEFAULT_FORMATS[self.type]

    def units_of(self, value: Any, rounded: Any = round) -> int:
        """Return a value as a whole number of lattice steps from zero (or from 1970)."""
        if self.is_moment:
            moment = _moment(value, self.format_)
            seconds = (moment - datetime(1970, 1, 1)) // timedelta(seconds=1)
            return int(rounded(Decimal(seconds) / self.step_seconds))
        return int(rounded(Decimal(str(value)).scaleb(self.places)))

    @cached_property
    def first_unit(self) -> int:
        """The lattice's first point, in steps from zero."""
        return self.units_of(self.constraints.minimum, math.ceil)

    @cached_property
    def lattice_size(self) -> int:
        """Number of lattice points between minimum and maximum, both included."""
        return self.units_of(self.constraints.maximum, math.floor) - self.first_unit + 1


def _is_number(text: str, whole: bool) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and (not whole or value == int(value))


def _moment(value: Any, pattern: str) -> datetime:
    for read in (datetime.fromisoformat, lambda text: datetime.strptime(text, pattern)):
        with contextlib.suppress(ValueError):
            return read(str(value)).replace(tzinfo=None)
    raise ValueError(f"bound {brief(value)} is not a date; write it as 2000-12-31")
