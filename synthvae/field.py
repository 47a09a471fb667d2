"""One column of a schema: its type, how a file spells its values, and its lattice or categories."""

import contextlib
import math
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, field_validator, model_validator
from pydantic import Field as Setting

from synthvae import declared
from synthvae._frozen import FrozenSettings
from synthvae._text import brief
from synthvae.declared import LARGEST, as_bound, as_censored, as_label, as_labels, as_tuple

FieldType = Literal["number", "integer", "boolean", "string", "date", "datetime"]
Bound = float | int | str
DEFAULT_FORMATS = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%dT%H:%M:%S"}
TRUE_LABELS = ("true", "True", "TRUE", "1")
FALSE_LABELS = ("false", "False", "FALSE", "0")
OTHER = "other"
LONGEST_NAME = 1000
LONGEST_FORMAT = 100


class Constraints(FrozenSettings):
    """Bounds of numbers and dates, or categories; and whether a value must be there."""

    minimum: Annotated[Bound | None, BeforeValidator(as_bound)] = None
    maximum: Annotated[Bound | None, BeforeValidator(as_bound)] = None
    enum: tuple[str, ...] | None = None
    required: bool = True

    @field_validator("enum", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, list | tuple):
            raise ValueError("enum must be a list of categories")
        return tuple(map(as_label, value))

    @field_validator("enum")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("enum must name at least one category")
        twice = declared.first_repeated(value or ())
        if twice is not None:
            raise ValueError(f"enum names {brief(twice)} twice")
        return value


class Basis(FrozenSettings):
    """Where a field's bounds or categories are publicly known, and who said so on which day.

    `fromData` is for what rests on the private rows alone: the guarantee names it as an assumption.
    """

    source: str
    by: str | None = None
    on: date | None = None
    fromData: bool = False


class Field(FrozenSettings):
    """One column: its type, what its values may be, and how values outside are handled.

    A field is modelled as *categories* (booleans, and whatever has an `enum`) or on a *lattice*
    (numbers, integers, dates: every value is `minimum + index * step`), or it is an *identifier*,
    which is never modelled and is invented in the output, or *omitted* from the output as from the
    model, or always *empty*. `perPatient` says that all rows of a patient hold the same value, as of
    sex or of what was asked once at enrolment.

    How a file spells values is public, too. `decimalChar`, `groupChar` and `bareNumber` are Table
    Schema's (a number that is not bare may carry the field's `unit`); `censored` lists spellings such
    as `<5` or `90+`, with the number that each is read as; `timezone` is the one in whose clock moments
    are kept; `codes` are the numbers that a file of SAS, Stata or SPSS holds for the categories.
    """

    name: str
    type: FieldType = "string"
    title: str | None = None
    description: str | None = None
    unit: str | None = None
    format: str | None = None
    decimals: Annotated[int | None, Setting(ge=0, le=9)] = None
    step: float | int | str | None = None
    decimalChar: Annotated[str, Setting(min_length=1, max_length=1)] = "."
    groupChar: Annotated[str | None, Setting(min_length=1, max_length=1)] = None
    bareNumber: bool = True
    censored: Annotated[dict[str, float | None], BeforeValidator(as_censored)] = {}
    timezone: str | None = None
    constraints: Constraints = Constraints()
    special: Annotated[tuple[float | int, ...], BeforeValidator(as_tuple)] = ()
    invalid: Literal["error", "clip", "missing", "other"] = "error"
    role: Literal["protected", "identifier", "omit", "empty"] | None = None
    trueValues: Annotated[tuple[str, ...], BeforeValidator(as_labels)] = TRUE_LABELS
    falseValues: Annotated[tuple[str, ...], BeforeValidator(as_labels)] = FALSE_LABELS
    codes: Annotated[tuple[float | int, ...], BeforeValidator(as_tuple)] = ()
    perPatient: bool = False
    review: bool = False
    basis: Basis | None = None

    def __hash__(self) -> int:
        return hash((self.name, self.type, self.constraints))

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
        if self.codes and len(self.codes) != len(self.constraints.enum or ()):
            raise ValueError("codes must be as many as the categories under enum")
        if len(set(self.codes)) < len(self.codes):
            raise ValueError("codes names a number twice")
        self._check_spelling()

    def _check_spelling(self) -> None:
        settings = ("decimalChar", "groupChar", "bareNumber", "censored")
        given = [name for name in settings if getattr(self, name) != _default_of(name)]
        if given and not self.is_number:
            raise ValueError(f"{given[0]} goes with numbers, not `type: {self.type}`")
        if self.decimalChar == self.groupChar:
            raise ValueError("decimalChar and groupChar must not be the same")
        for sign in filter(None, (self.decimalChar, self.groupChar)):
            if sign.isalnum() or sign in "+-":
                raise ValueError(f"{brief(sign)} cannot separate the digits of a number")
        if self.timezone is not None:
            if self.type != "datetime":
                raise ValueError(f"timezone goes with `type: datetime`, not {self.type}")
            if declared.zone_of(self.timezone) is None:
                raise ValueError(
                    f"timezone {brief(self.timezone)} is none that is known; write UTC, +01:00, or a "
                    "place such as Europe/Berlin"
                )
        if "%z" in self.format_ and self.timezone is None:
            raise ValueError(
                "a format with %z needs `timezone`, in whose clock the times are kept: UTC, say"
            )

    def _check_categories(self) -> None:
        if self.step is not None:
            raise ValueError("step goes with numbers and dates without an enum")
        if self.censored:
            raise ValueError("censored goes with bounds; list the spelling under enum")
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
            if not declared.is_number_text(label, whole=self.type == "integer"):
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
        self._check_step()
        for bound in (low, high):
            if bound is not None and abs(self._fine_units(bound)) > LARGEST:
                raise ValueError(
                    f"bound {brief(bound)} with {self.places} decimals has too many digits; give fewer"
                )
        if low is not None and high is not None and self.lattice_size < 1:
            raise ValueError(f"minimum {low} is above maximum {high}")

    def _check_step(self) -> None:
        if self.step is None:
            return
        if self.is_moment:
            seconds = declared.step_seconds(self.step)
            if seconds is None:
                raise ValueError(
                    f"step {brief(self.step)} is no span of time; write it as 15 min, 1 h or 7 days"
                )
            if seconds % self._fine_seconds:
                what = "a day" if self.type == "date" else "the last part of its format"
                raise ValueError(f"step {brief(self.step)} is no whole multiple of {what}")
        elif isinstance(self.step, str) or not 0 < self.step <= LARGEST:
            raise ValueError(f"step {brief(self.step)} must be a number above 0")
        elif Decimal(str(self.step)).scaleb(self.places) % 1:
            raise ValueError(f"step {self.step:g} is no whole multiple of the last decimal")

    def _check_format(self) -> None:
        if len(self.format_) > LONGEST_FORMAT:
            raise ValueError(f"format {brief(self.format_)} is too long to be a pattern of dates")
        if "%Z" in self.format_:
            raise ValueError("format cannot have the name of a time zone; %z reads its offset")
        try:
            example = datetime(2004, 2, 3, 4, 5, 6, tzinfo=UTC)
            datetime.strptime(example.strftime(self.format_), self.format_)
        except (ValueError, re.error) as cause:  # the latter where a part stands twice
            raise ValueError(f"format {self.format_!r} is no pattern of dates: {cause}") from None

    @property
    def nullable(self) -> bool:
        """Whether values may be missing."""
        return not self.constraints.required

    @property
    def kind(self) -> str:
        """The type with its article, for a sentence."""
        return f"{'an' if self.type == 'integer' else 'a'} {self.type}"

    @property
    def is_left_out(self) -> bool:
        """Whether no value is read or made: the column is omitted, or always empty."""
        return self.role in ("omit", "empty")

    @property
    def has_domain(self) -> bool:
        """Whether categories or bounds are declared."""
        bounds = (self.constraints.minimum, self.constraints.maximum)
        return self.type == "boolean" or self.constraints.enum is not None or bounds != (None, None)

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
        if self.step is not None and not isinstance(self.step, str):
            return declared.decimals_of(self.step, self.constraints.minimum or 0)
        low, high = float(self.constraints.minimum or 0), float(self.constraints.maximum or 0)
        return min(9, max(0, 3 - math.floor(math.log10(high - low)))) if high > low else 0

    @cached_property
    def _fine_seconds(self) -> int:
        """Seconds between two moments that the format tells apart."""
        if self.type == "date":
            return 86_400
        text = self.format_
        return 1 if "%S" in text or "%T" in text else 60 if "%M" in text else 3600

    @cached_property
    def stride(self) -> int:
        """Last decimals, or what the format tells apart, from one lattice point to the next."""
        if self.step is None:
            return 1
        if self.is_moment:
            return (declared.step_seconds(self.step) or 0) // self._fine_seconds
        return int(Decimal(str(self.step)).scaleb(self.places))

    @cached_property
    def _first_fine(self) -> int:
        """The least point, counted from zero or 1970 in last decimals or seconds."""
        return self._fine_units(self.constraints.minimum, math.ceil)

    @cached_property
    def _offset(self) -> int:
        return self._first_fine % self.stride

    @property
    def format_(self) -> str:
        """The strptime pattern of a date or date-time; empty for other types."""
        if not self.is_moment:
            return ""
        given = None if self.format in ("default", "any") else self.format
        return given or DEFAULT_FORMATS[self.type]

    @cached_property
    def zone(self) -> tzinfo | None:
        """The time zone in whose clock moments are kept, or None."""
        return None if self.timezone is None else declared.zone_of(self.timezone)

    @cached_property
    def specials(self) -> tuple[float | int, ...]:
        """Numbers with a code of their own: the special values, then those of censored spellings."""
        return tuple(dict.fromkeys((*self.special, *self.censored_numbers.values())))

    @cached_property
    def censored_numbers(self) -> dict[str, float | int]:
        """The number that each censored spelling is read as: one step beyond `<5`, and 90 for `90+`."""
        numbers: dict[str, float | int] = {}
        for text, given in self.censored.items():
            value = self._beyond(text) if given is None else given
            numbers[text] = int(value) if value == int(value) else value
        return numbers

    def _beyond(self, text: str) -> float:
        parts = declared.CENSORED.fullmatch(text)
        assert parts is not None, "checked when it was read"
        aside = {"<": -1, ">": 1}.get(parts["sign"] or "", 0) * self.stride
        number = float(parts["number"].replace(",", "."))
        return round(number + aside / 10.0**self.places, self.places)

    def in_century(self, moment: datetime) -> datetime:
        """Return a moment of a year of two digits in the century that lies within the bounds."""
        low, high = self.constraints.minimum, self.constraints.maximum
        if "%y" not in self.format_ or low is None or high is None:
            return moment
        first, last = (declared.moment_of(bound, self.format_) for bound in (low, high))
        for years in (0, -100, 100):
            with contextlib.suppress(ValueError):  # the 29th of February of a year without one
                other = moment.replace(year=moment.year + years)
                if first <= other.replace(tzinfo=None) <= last:
                    return other
        return moment

    def _fine_units(self, value: Any, rounded: Any = round) -> int:
        """Return a value as a whole number of last decimals, or of what the format tells apart."""
        if self.is_moment:
            moment = declared.moment_of(value, self.format_)
            seconds = (moment - datetime(1970, 1, 1)) // timedelta(seconds=1)
            return int(rounded(Decimal(seconds) / self._fine_seconds))
        return int(rounded(Decimal(str(value)).scaleb(self.places)))

    def units_of(self, value: Any, rounded: Any = round) -> int:
        """Return a value as a whole number of lattice steps from zero (or from 1970)."""
        if self.stride == 1:
            return self._fine_units(value, rounded)
        fine = self._fine_units(value, rounded) - self._offset
        return int(rounded(Decimal(fine) / self.stride))

    @cached_property
    def first_unit(self) -> int:
        """The lattice's first point, in steps from zero."""
        return (self._first_fine - self._offset) // self.stride

    @cached_property
    def lattice_size(self) -> int:
        """Number of lattice points between minimum and maximum, both included."""
        last = self._fine_units(self.constraints.maximum, math.floor)
        return (last - self._first_fine) // self.stride + 1

    def numbers_at(self, units: Any) -> Any:
        """Return the numbers that lie so many lattice steps from zero, of the same shape."""
        return (units * self.stride + self._offset) / 10.0**self.places

    def numbers_to_units(self, numbers: Any) -> Any:
        """Return numbers as lattice steps from zero, whole ones for points of the lattice."""
        return (numbers * 10.0**self.places - self._offset) / self.stride

    def seconds_at(self, units: Any) -> Any:
        """Return the seconds since 1970 of moments that lie so many lattice steps from it."""
        return (units * self.stride + self._offset) * self._fine_seconds

    def seconds_to_units(self, seconds: Any) -> Any:
        """Return seconds since 1970 as lattice steps, whole ones for points of the lattice.

        What is finer than the format is cut off.
        """
        fine = seconds // self._fine_seconds
        return fine if self.stride == 1 else (fine - self._offset) / self.stride


def _default_of(name: str) -> Any:
    return Field.model_fields[name].default
