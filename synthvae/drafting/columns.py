"""One column's draft: what it seems to be, by its name, the dictionary and its values.

A draft from the dictionary depends on the column's name and on the form of its values alone (whole
numbers or not, which spelling of true and false). Whatever depends on the values themselves (bounds,
categories, whether any is missing) is marked for review.
"""

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.drafting.dictionary import Range, Variable, load_words, look_up
from synthvae.table.cells import RawColumn, as_float, text_of

MISSING_SPELLINGS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", ".", "-")
TRUE_FALSE = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))
SPELLINGS = (
    *(("1", "0"), ("yes", "no"), ("Yes", "No"), ("YES", "NO")),
    *(("y", "n"), ("Y", "N"), ("t", "f"), ("T", "F")),
)
DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d-%b-%Y")
TIME_FORMATS = (
    *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M"),
    *("%Y-%m-%dT%H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"),
)
MOST_CATEGORIES = 200
LONGEST_CATEGORY = 200  # characters; beyond, it is free text
MOST_DECIMALS = 6
FINEST = 1e-9  # the finest lattice of a schema
LARGEST = 1e12  # what lies beyond is an error of entry and gives no bound

Kind = Literal["boolean", "number", "date", "datetime", "text", "empty"]


@dataclass(frozen=True)
class ColumnDraft:
    """A drafted field as plain values, remarks for its reader, and whether it may be the patientKey."""

    field: dict[str, Any]
    notes: tuple[str, ...] = ()
    is_patient_key: bool = False


class _Profile:
    """A column's present values, distinct and as text, and their common form."""

    def __init__(self, values: pd.Series) -> None:
        self.dtype = values.dtype
        blank = RawColumn(values).blank(MISSING_SPELLINGS)
        self.missing = bool(blank.any())
        self.rows = int((~blank).sum())
        present = RawColumn(values[~blank])
        present.factorize()
        texts = [text_of(cell) for cell in present.distinct]
        by_text = dict(zip(texts, present.distinct, strict=True))
        order = {text: place for place, text in enumerate(by_text)}
        self.objects: list[Any] = list(by_text.values())
        self.distinct = list(by_text)
        self.counts = np.bincount(present.spread([order[text] for text in texts], -1, np.int64))

    @property
    def nearly_unique(self) -> bool:
        return self.rows >= 20 and len(self.distinct) > 0.9 * self.rows

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The distinct values as numbers; NaN for other text."""
        return np.array([as_float(text) for text in self.distinct], float)

    @cached_property
    def usable(self) -> NDArray[np.float64]:
        """The numbers that can give a bound."""
        return self.numbers[np.isfinite(self.numbers) & (np.abs(self.numbers) <= LARGEST)]

    @cached_property
    def kind(self) -> Kind:
        if not self.distinct:
            return "empty"
        if pd.api.types.is_bool_dtype(self.dtype) or self.spelling in TRUE_FALSE:
            return "boolean"
        if self._is_numeric():
            return "number"
        pattern = self.pattern
        if pattern:
            return "datetime" if "%H" in pattern else "date"
        return "text"

    def _is_numeric(self) -> bool:
        if isinstance(self.dtype, pd.CategoricalDtype):
            return False
        if any(re.fullmatch(r"0\d+", text.strip()) for text in self.distinct):
            return False  # codes: leading zeros would be lost
        share = self.counts[~np.isnan(self.numbers)].sum() / self.rows
        return bool(share >= 0.9 and self.usable.size)

    @cached_property
    def decimals(self) -> int:
        """The most decimals that a value is written with."""
        finite = np.flatnonzero(np.isfinite(self.numbers))[:20_000]
        numbers = (Decimal(self.distinct[i]).normalize() for i in finite)
        return max([0, *(-int(number.as_tuple().exponent) for number in numbers)])

    @cached_property
    def spelling(self) -> tuple[str, str] | None:
        """How true and false are spelled, where these are the only values."""
        texts = {re.sub(r"(?<=^[01])\.0+$", "", text) for text in self.distinct[:5]}
        pairs = (*TRUE_FALSE, *SPELLINGS)
        return next((pair for pair in pairs if len(self.distinct) < 5 and texts <= set(pair)), None)

    @cached_property
    def pattern(self) -> str | None:
        """The date format that every value follows."""
        types = {type(item) for item in self.objects}
        if types == {pd.Timestamp}:
            midnight = all(item.time() == time() for item in self.objects)
            return DATE_FORMATS[0] if midnight else TIME_FORMATS[0]
        if types == {date}:
            return DATE_FORMATS[0]
        fitting = (form for form in (*DATE_FORMATS, *TIME_FORMATS) if self.follows(form))
        return next(fitting, None)

    def follows(self, form: str) -> bool:
        """Whether every value is a date of one format."""
        return all(_parse(text, form) for text in self.distinct[:50]) and all(
            _parse(text, form) for text in self.distinct
        )


def _parse(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip(), form)
    except ValueError:
        return None


def draft_column(name: str, values: pd.Series) -> ColumnDraft:
    """Return the draft of one column's field."""
    profile = _Profile(values)
    identifier = _identifier(name, profile)
    if identifier is not None:
        return identifier
    variable = look_up(name)
    drafted = _by_dictionary(name, profile, variable) if variable else None
    return drafted or _by_values(name, profile, variable)


def _finish(
    field: dict[str, Any], profile: _Profile, review: list[str], notes: list[str]
) -> ColumnDraft:
    """Add what every field has: whether values may be missing, and the mark for review."""
    if profile.missing:
        field.setdefault("constraints", {})["required"] = False
        review = [*review, "values are missing, so the draft allows that: is it so by design?"]
    if review:
        field["review"] = True
    return ColumnDraft(field, tuple(f"REVIEW: {text}" for text in review) + tuple(notes))


def _identifier(name: str, profile: _Profile) -> ColumnDraft | None:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word]
    plain = "".join(words)
    keyed = bool(words) and words[-1] in load_words("keys")
    persons = load_words("persons")
    field: dict[str, Any] = {"name": name, "role": "identifier"}
    if profile.kind == "number" and profile.decimals == 0:
        field["type"] = "integer"  # so that made-up identifiers are whole numbers too
    if profile.kind == "empty":
        return ColumnDraft(field, ("no value at all: left out of the model",))
    if plain in persons | load_words("person numbers") or (keyed and persons & set(words)):
        return ColumnDraft(field, is_patient_key=len(profile.distinct) < profile.rows)
    unnamed = re.fullmatch(r"unnamed \d+", " ".join(words))
    if unnamed or load_words("direct identifiers") & set(words):
        return ColumnDraft(field, ("never modelled",))
    is_text, note = profile.kind == "text", None
    if is_text and max(map(len, profile.distinct)) > LONGEST_CATEGORY:
        note = "free text"
    elif profile.nearly_unique and (keyed or is_text):
        note = "nearly every row has another value"
    elif is_text and len(profile.distinct) > MOST_CATEGORIES:
        note = "too many texts for categories (for codes, list the public ones under enum)"
    return None if note is None else ColumnDraft(field, (f"{note}: left out of the model",))


def _by_dictionary(name: str, profile: _Profile, variable: Variable) -> ColumnDraft | None:
    """Return a field as in the dictionary; None where the values do not match it."""
    known = f"dictionary: {variable.name}; {variable.basis}"
    field: dict[str, Any] = {"name": name}
    if variable.ranges:
        return _by_range(field, profile, variable, known) if profile.kind == "number" else None
    if variable.flag:
        if profile.spelling is None and not pd.api.types.is_bool_dtype(profile.dtype):
            return None
        return _finish(field | _boolean(profile), profile, [], [known])
    if len(profile.distinct) > MOST_CATEGORIES:
        return None
    field |= {"type": "string", "role": variable.role} if variable.role else {"type": "string"}
    usual = next((enum for enum in variable.enums if set(profile.distinct) <= set(enum)), None)
    field["constraints"] = {"enum": list(usual or sorted(profile.distinct))}
    review = [] if usual else ["these are the categories that stand in the data"]
    return _finish(field, profile, review, [known])


def _by_range(
    field: dict[str, Any], profile: _Profile, variable: Variable, known: str
) -> ColumnDraft | None:
    usual = variable.ranges[0]
    review: list[str] = []
    fitting = [each for each in variable.ranges if _share_inside(profile, each) == 1]
    if fitting:
        chosen = fitting[0]
        if chosen is not usual:
            review.append(f"the values do not fit {usual.unit}, but {chosen.unit}: which is it?")
    elif _share_inside(profile, usual) >= 0.95:
        chosen = usual
        review.append("some values lie outside these bounds; if they are errors, set `invalid`")
    else:
        return None
    decimals = min(chosen.decimals, profile.decimals)
    whole = decimals == 0 and profile.decimals == 0
    field["type"] = "integer" if whole else "number"
    if chosen.unit:
        field["unit"] = chosen.unit
    if not whole:
        field["decimals"] = decimals
    low, high = _tidy(chosen.minimum), _tidy(chosen.maximum)
    if whole:
        low, high = math.ceil(low), math.floor(high)
    field["constraints"] = {"minimum": low, "maximum": high}
    return _finish(field, profile, review + _unreadable(profile), [known])


def _share_inside(profile: _Profile, limits: Range) -> float:
    inside = (profile.numbers >= limits.minimum) & (profile.numbers <= limits.maximum)
    return float(profile.counts[inside].sum() / profile.counts[~np.isnan(profile.numbers)].sum())


def _unreadable(profile: _Profile) -> list[str]:
    remarks = []
    if np.isnan(profile.numbers).any():
        remarks.append("some values are not numbers: correct them, or list them in missingValues")
    if profile.usable.size < (~np.isnan(profile.numbers)).sum():
        remarks.append("some values are infinite or absurdly large: correct them, or set `invalid`")
    return remarks


def _by_values(name: str, profile: _Profile, variable: Variable | None) -> ColumnDraft:
    """Return a field whose bounds or categories are read off the data, all for review."""
    field: dict[str, Any] = {"name": name}
    notes = [f"not as in the dictionary: {variable.name}; {variable.basis}"] if variable else []
    if profile.kind == "boolean" or profile.spelling:
        field |= _boolean(profile)
        sure = profile.kind == "boolean"
        review = [] if sure else ["no other values stand in the data"]
    elif profile.kind == "number":
        field |= _number(profile)
        review = [
            "the bounds are the least and largest value, rounded outward",
            *_unreadable(profile),
        ]
        if variable:
            review.append("the values do not fit the dictionary's range; check the unit")
    elif profile.kind in ("date", "datetime"):
        field |= _dates(profile)
        review = ["the bounds are the first and last year in the data"]
        if "%d/%m" in field.get("format", "") and profile.follows(
            field["format"].replace("%d/%m", "%m/%d")
        ):
            review.append("the day and the month might as well be the other way around")
    elif len(profile.distinct) > MOST_CATEGORIES:
        field |= {"role": "identifier"}
        return ColumnDraft(field, ("too many different values: left out",))
    else:
        field |= {"type": "string", "constraints": {"enum": sorted(profile.distinct)}}
        review = ["these are the categories that stand in the data"]
    if variable is not None and variable.role:
        field["role"] = variable.role
    return _finish(field, profile, review, notes)


def _boolean(profile: _Profile) -> dict[str, Any]:
    if profile.spelling is None or profile.spelling in TRUE_FALSE:
        return {"type": "boolean"}
    true, false = profile.spelling
    return {"type": "boolean", "trueValues": [true], "falseValues": [false]}


def _number(profile: _Profile) -> dict[str, Any]:
    low, high = float(profile.usable.min()), float(profile.usable.max())
    width = high - low or abs(high) or 1.0
    step = max(10.0 ** math.floor(math.log10(width)), FINEST)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    high = high if high > low else low + step
    digits = max(0, -math.floor(math.log10(step)))
    bounds = {"minimum": _tidy(round(low, digits)), "maximum": _tidy(round(high, digits))}
    if profile.decimals == 0:
        return {"type": "integer", "constraints": bounds}
    decimals = profile.decimals
    if decimals > MOST_DECIMALS:  # digits of a computation, not of a measurement
        decimals = min(9, max(0, 3 - math.floor(math.log10(high - low))))
    most = 14 - math.floor(math.log10(max(abs(low), abs(high), 1)))
    return {"type": "number", "decimals": min(decimals, most), "constraints": bounds}


def _tidy(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _dates(profile: _Profile) -> dict[str, Any]:
    form = profile.pattern or DATE_FORMATS[0]
    parsed = [
        cell if isinstance(cell, date) else _parse(text, form)
        for text, cell in zip(profile.distinct, profile.objects, strict=True)
    ]
    years = [moment.year for moment in parsed if moment]
    ends = [f"{min(years):04d}-01-01", f"{max(years):04d}-12-31"]
    field: dict[str, Any] = {"type": "date", "format": form}
    if "%H" in form:
        ends = [f"{ends[0]}T00:00:00", f"{ends[1]}T23:59:59"]
        field["type"] = "datetime"
    if form in (DATE_FORMATS[0], TIME_FORMATS[0]):
        del field["format"]
    return field | {"constraints": {"minimum": ends[0], "maximum": ends[1]}}
