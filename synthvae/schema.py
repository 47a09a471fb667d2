"""Public facts about a table: a Frictionless Table Schema with a few additions.

Every bound and category stands in the schema because a person declared it; none is ever learned
from the data. The additions to Table Schema (Frictionless Standards, v1) are `patientKey`,
`patients`, `maxRows`, `target`, `survival`, and per field `decimals`, `unit`, `special`,
`invalid`, `role`, `perPatient` and `review`. Unlike there, a value is `required` unless the field says
`required: false`.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic import Field as Setting

from synthvae._checks import nearest
from synthvae._yaml import read_mapping, write_yaml
from synthvae.errors import SchemaError

FieldType = Literal["number", "integer", "boolean", "string", "date", "datetime"]
Bound = float | int | str
DEFAULT_FORMATS = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%dT%H:%M:%S"}
TRUE_WORDS = ("true", "True", "TRUE", "1")
FALSE_WORDS = ("false", "False", "FALSE", "0")
OTHER = "other"


LARGEST = 1e15  # beyond, neighbouring whole numbers are no longer told apart


def _as_bound(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"bound {value} is a boolean; it must be a number or a date")
    if isinstance(value, int | float) and abs(value) > LARGEST:
        raise ValueError(f"a bound must lie between {-LARGEST:g} and {LARGEST:g}")
    return value.isoformat() if isinstance(value, date | datetime) else value


def _as_tuple(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str | int | float | dict | BaseModel) else value


def _as_labels(value: Any) -> Any:
    items = _as_tuple(value)
    return tuple(map(_label, items)) if isinstance(items, list | tuple) else items


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)


class Constraints(_Frozen):
    """What a value may be: bounds of numbers and dates, or categories; and if it may be missing."""

    minimum: Annotated[Bound | None, BeforeValidator(_as_bound)] = None
    maximum: Annotated[Bound | None, BeforeValidator(_as_bound)] = None
    enum: tuple[str, ...] | None = None
    required: bool = True

    @field_validator("enum", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        return tuple(_label(item) for item in value)

    @field_validator("enum")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None:
            if not value:
                raise ValueError("enum must name at least one category")
            twice = _first_repeated(value)
            if twice is not None:
                raise ValueError(f"enum names {twice!r} twice")
        return value


def _label(item: Any) -> str:
    if isinstance(item, bool):
        raise ValueError(f"{item} is a boolean; put it in quotes or use `type: boolean`")
    if not isinstance(item, str | int | float | date):
        raise ValueError(f"{_brief(item)} must be text or a number")
    return str(item)


def _brief(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _first_repeated(items: Sequence[str]) -> str | None:
    return next((item for item, times in Counter(items).items() if times > 1), None)


class Field(_Frozen):
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
    special: Annotated[tuple[float | int, ...], BeforeValidator(_as_tuple)] = ()
    invalid: Literal["error", "clip", "missing", "other"] = "error"
    role: Literal["protected", "identifier"] | None = None
    trueValues: Annotated[tuple[str, ...], BeforeValidator(_as_labels)] = TRUE_WORDS
    falseValues: Annotated[tuple[str, ...], BeforeValidator(_as_labels)] = FALSE_WORDS
    perPatient: bool = False
    review: bool = False

    @field_validator("name")
    @classmethod
    def _has_name(cls, value: str) -> str:
        if not value:
            raise ValueError("a field needs a name")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_words()
        if self.is_lattice:
            self._check_lattice()
        else:
            self._check_categories()
        return self

    def _check_words(self) -> None:
        if not self.trueValues or not self.falseValues:
            raise ValueError("trueValues and falseValues need at least one word each")
        if self.type == "boolean" and set(self.trueValues) & set(self.falseValues):
            raise ValueError("trueValues and falseValues must not overlap")
        if self.decimals is not None and self.type != "number":
            raise ValueError(f"decimals goes with `type: number`, not {self.type}")
        if self.special and self.type not in ("number", "integer"):
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
        if self.type not in ("integer", "number"):
            raise ValueError(f"enum goes with string, integer or number, not {self.type}")
        for label in self.constraints.enum:
            if not _is_number(label, whole=self.type == "integer"):
                raise ValueError(f"category {label!r} is no {self.type}")

    def _check_lattice(self) -> None:
        low, high = self.constraints.minimum, self.constraints.maximum
        if self.invalid == "other":
            raise ValueError("`invalid: other` goes with categories; use clip or missing")
        for bound in (low, high):
            if isinstance(bound, str) and not self.format_:
                raise ValueError(f"bound {_brief(bound)} is text; a {self.type} needs a number")
        if self.format_:
            self._check_format()
        for bound in (low, high):
            if bound is not None and abs(self.units_of(bound)) > LARGEST:
                raise ValueError(
                    f"bound {bound} with {self.places} decimals has too many digits; give fewer"
                )
        if low is not None and high is not None and self.lattice_size < 1:
            raise ValueError(f"minimum {low} is above maximum {high}")

    def _check_format(self) -> None:
        if "%z" in self.format_.lower():
            raise ValueError("format cannot have a time zone; convert the times to one zone")
        try:
            datetime.strptime(datetime(2004, 2, 3, 4, 5, 6).strftime(self.format_), self.format_)
        except ValueError as cause:
            raise ValueError(f"format {self.format_!r} is no pattern of dates: {cause}") from None

    @property
    def nullable(self) -> bool:
        """Whether values may be missing."""
        return not self.constraints.required

    @property
    def is_lattice(self) -> bool:
        """Whether values lie on a lattice of numbers or dates (rather than in categories)."""
        return self.type not in ("boolean", "string") and self.constraints.enum is None

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The labels of a categorical field, in order; empty for others."""
        if self.type == "boolean":
            return ("false", "true")
        labels = self.constraints.enum or ()
        return (*labels, OTHER) if self.invalid == OTHER and OTHER not in labels else labels

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
        if self.type not in DEFAULT_FORMATS:
            return ""
        given = None if self.format in ("default", "any") else self.format
        return given or DEFAULT_FORMATS[self.type]

    def units_of(self, value: Any, rounded: Any = round) -> int:
        """Return a value as a whole number of lattice steps from zero (or from 1970)."""
        if self.type in DEFAULT_FORMATS:
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
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        pass
    try:
        return datetime.strptime(str(value), pattern).replace(tzinfo=None)
    except ValueError:
        raise ValueError(f"bound {_brief(value)} is not a date; write it as 2000-12-31") from None


class Target(_Frozen):
    """A column that analysts predict, and the columns that would give it away."""

    column: str
    without: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()


class Survival(_Frozen):
    """A pair of columns for survival analysis: follow-up time, and whether the event happened."""

    duration: str
    event: str


def _as_targets(value: Any) -> Any:
    items = _as_tuple(value)
    return tuple({"column": item} if isinstance(item, str) else item for item in items)


class Schema(_Frozen):
    """Public facts about one table.

    Examples
    --------
    >>> schema = Schema.from_dict({"name": "demo", "patients": 100, "fields": [
    ...     {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}},
    ...     {"name": "sex", "constraints": {"enum": ["female", "male"]}}]})
    >>> [field.name for field in schema.modelled]
    ['age', 'sex']
    >>> schema["age"].lattice_size
    111
    """

    name: str = "table"
    title: str | None = None
    description: str | None = None
    primaryKey: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    patientKey: str | None = None
    patients: Annotated[int | None, Setting(ge=1)] = None
    maxRows: Annotated[int | None, Setting(ge=1, le=1000)] = None
    target: Annotated[tuple[Target, ...], BeforeValidator(_as_targets)] = ()
    survival: Survival | None = None
    missingValues: Annotated[tuple[str, ...], BeforeValidator(_as_labels)] = ("", "NA")
    fields: tuple[Field, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.fields:
            raise ValueError("fields is empty; declare at least one column")
        names = [field.name for field in self.fields]
        twice = _first_repeated(names)
        if twice is not None:
            raise ValueError(f"the field {twice!r} is declared twice")
        for where, name in self._mentions():
            if name not in names:
                raise ValueError(f"{where} names {name!r}, which is no field{nearest(name, names)}")
        if self.patientKey is not None and self.maxRows is None:
            raise ValueError(
                "patientKey needs maxRows, the declared largest number of rows kept per patient"
            )
        if self.patientKey is None and any(field.perPatient for field in self.fields):
            raise ValueError("perPatient goes with patientKey; without one each row is one patient")
        if self.patientKey is None and self.maxRows is not None:
            raise ValueError("maxRows goes with patientKey; without one each row is one patient")
        for field in self.fields:
            if field.name in self.identifiers:
                continue
            if field.is_lattice and None in (field.constraints.minimum, field.constraints.maximum):
                raise ValueError(
                    f"field {field.name!r}: a {field.type} needs minimum and maximum under "
                    "constraints (public bounds, not read off the data)"
                )
            if not field.is_lattice and not field.categories:
                raise ValueError(
                    f"field {field.name!r} is text without an enum: list its categories under "
                    "constraints, or set `role: identifier` to leave it out of the model"
                )
            self._check_missing(field)
        if not self.modelled:
            raise ValueError("every field is an identifier; there is nothing to model")
        return self

    def _check_missing(self, field: Field) -> None:
        if field.nullable and not self.missingValues:
            raise ValueError(
                f"field {field.name!r} may be missing, but missingValues names no spelling for that"
            )
        spellings = field.constraints.enum or ()
        if field.type == "boolean":
            spellings = field.trueValues + field.falseValues
        both = [label for label in spellings if label in self.missingValues]
        if both:
            raise ValueError(
                f"field {field.name!r}: the category {both[0]!r} is listed under missingValues too"
            )

    def _mentions(self) -> list[tuple[str, str]]:
        found = [("primaryKey", name) for name in self.primaryKey]
        if self.patientKey is not None:
            found.append(("patientKey", self.patientKey))
        for target in self.target:
            found += [("target", target.column), *(("target", name) for name in target.without)]
        if self.survival is not None:
            found += [("survival", self.survival.duration), ("survival", self.survival.event)]
        return found

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Names of the fields that are never modelled: keys, and fields of that role."""
        keys = {*self.primaryKey, *([self.patientKey] if self.patientKey else [])}
        return frozenset(keys | {f.name for f in self.fields if f.role == "identifier"})

    @cached_property
    def modelled(self) -> tuple[Field, ...]:
        """The fields that the model sees: those of patients first, else in the order of the file."""
        known = [field for field in self.fields if field.name not in self.identifiers]
        return tuple(sorted(known, key=lambda field: not field.perPatient))

    @property
    def rows_per_patient(self) -> int:
        """The largest number of rows that one patient contributes (1 without a patientKey)."""
        return self.maxRows or 1

    @property
    def names(self) -> tuple[str, ...]:
        """All column names, in the order of the file."""
        return tuple(field.name for field in self.fields)

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"no field {name!r}{nearest(name, self.names)}")

    @property
    def to_review(self) -> tuple[str, ...]:
        """Names of the fields that were drafted from data and not yet confirmed by a person."""
        return tuple(field.name for field in self.fields if field.review)

    @classmethod
    def from_dict(cls, value: dict[str, Any], source: str = "the schema") -> "Schema":
        """Build a schema from plain values; `SchemaError` names each field that is wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as cause:
            raise SchemaError(f"In {source}: {explain(cause, cls, value)}") from None

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Read a schema from a YAML or JSON file.

        An `enum` may be the name of a text file, relative to the schema, with one category a line.

        Raises
        ------
        SchemaError
            The file does not exist, is not valid, or contradicts itself; every problem is named.
        """
        path = Path(path)
        value = read_mapping(path, SchemaError, "schema")
        fields = value.get("fields")
        for field in fields if isinstance(fields, list) else []:
            rules = field.get("constraints") if isinstance(field, dict) else None
            if isinstance(rules, dict) and isinstance(rules.get("enum"), str):
                rules["enum"] = _read_codes(path.parent / rules["enum"])
        return cls.from_dict(value, str(path))

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, without what equals the default."""
        return self.model_dump(mode="json", exclude_defaults=True) | {
            "fields": [
                {"name": field.name, "type": field.type}
                | field.model_dump(mode="json", exclude_defaults=True)
                for field in self.fields
            ]
        }

    def to_yaml(self) -> str:
        """Return the schema as the text of a YAML file."""
        return write_yaml(self.to_dict())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the schema's content, to recognise it by."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def replace(self, **changes: Any) -> "Schema":
        """Return a copy with some top-level settings changed, validated again."""
        return Schema.from_dict(self.to_dict() | changes)


def _read_codes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise SchemaError(f"The list of categories {path} cannot be read: {cause}.") from cause
    return [line.strip() for line in lines if line.strip()]


def explain(cause: ValidationError, model: type[BaseModel], value: dict[str, Any]) -> str:
    """Return pydantic's findings as sentences that name the setting, its value and the rule."""
    sentences = []
    for error in cause.errors(include_url=False):
        where, owner = _where(error["loc"], model, value)
        if error["type"] == "extra_forbidden":
            word = str(error["loc"][-1])
            known = owner.model_fields if owner else {}
            sentences.append(f"{where}: unknown key '{word}'{nearest(word, known)}")
        elif error["type"] == "missing":
            sentences.append(f"{where}: missing")
        else:
            message = error["msg"].removeprefix("Value error, ")
            if error["type"] in ("model_type", "dict_type"):
                message = "must be a mapping of names to values"
            shown = error.get("input")
            got = f" (got {_brief(shown)})" if isinstance(shown, str | int | float | bool) else ""
            sentences.append(f"{where}: {message}{got}" if where else message)
    return "; ".join(dict.fromkeys(sentences)) + "."


def _where(
    location: tuple[int | str, ...], model: type[BaseModel], value: Any
) -> tuple[str, type[BaseModel] | None]:
    """Return a location as text (a field by its column's name) and the model that owns it."""
    words: list[str] = []
    owner: type[BaseModel] | None = model
    for depth, part in enumerate(location):
        if isinstance(part, str) and depth < len(location) - 1:
            owner = _model_of(owner, part) or owner
        value = _step(value, part)
        if isinstance(part, int):
            named = value.get("name") if isinstance(value, dict) else None
            words[-1:] = [f"field {named!r}" if named else f"{words[-1]}[{part}]"]
        elif not part.startswith(("function-", "constrained-")) and part not in (
            "float",
            "int",
            "str",
        ):
            words.append(part)
    return ", ".join(words), owner


def _model_of(owner: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """Return the model that a key's value is read as (or is a list of), where it is one."""
    fields = owner.model_fields if owner else {}
    field = next((f for name, f in fields.items() if key in (name, f.alias)), None)
    kinds: list[Any] = [field.annotation] if field else []
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        kinds += get_args(kind)
    return None


def _step(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None
