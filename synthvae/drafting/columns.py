"""One column's draft: what it seems to be, by its name, the dictionary and its values.

A draft from the dictionary depends on the column's name and on the form of its values alone. Whatever
depends on the values themselves (bounds, categories, a step, whether any is missing) is marked for
review, with the reason.
"""

import itertools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from synthvae.drafting import moment_formats, number_fields, numerals
from synthvae.drafting.dictionary import Range, Variable, load_words, look_up
from synthvae.drafting.moment_fields import moment_field
from synthvae.drafting.number_fields import COMMON, Numbers, describe_numbers, tidy
from synthvae.drafting.profile import FEW, MISSING_SPELLINGS, TRUE_FALSE, Profile
from synthvae.table.codes import KEY_LIKE
from synthvae.table.spelling import spelling_hint

MOST_CATEGORIES = 200
FEW_CATEGORIES = 20  # up to so many, also those of few rows are listed
MOSTLY_COMMON = 0.8  # of the rows hold categories that are common
MOST_LABELS = 20_000  # of a file's own categories
LONGEST_CATEGORY = 200  # characters; beyond, it is free text
MOSTLY_USUAL = 0.9  # of the rows within a unit's usual values: it is that unit
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
LONG_NUMBER = 8  # digits of numbers that name persons or cases

FEWER_NOISE = "narrower public bounds cost less noise"
NOT_PUBLIC = (
    "the bounds are the least and largest value, rounded outward: replace them by publicly known "
    "ones"
)


@dataclass(frozen=True)
class ColumnDraft:
    """A drafted field as plain values, with remarks for its reader.

    Attributes
    ----------
    is_patient_key
        Whether the column may say whose row it is.
    left_out
        Why it is neither modelled nor made up; empty where it is.
    """

    field: dict[str, Any]
    notes: tuple[str, ...] = ()
    is_patient_key: bool = False
    left_out: str = ""

    @property
    def name(self) -> str:
        return str(self.field["name"])

    @property
    def is_modelled(self) -> bool:
        return self.field.get("role") not in ("identifier", "omit", "empty")

    def for_review(self, reason: str, **settings: Any) -> "ColumnDraft":
        """Return the draft with further settings, which a person has to confirm."""
        field = {key: value for key, value in self.field.items() if key != "review"}
        return replace(
            self,
            field=field | settings | {"review": True},
            notes=(*self.notes, f"REVIEW: {reason}"),
        )

    def with_remark(self, text: str) -> "ColumnDraft":
        """Return the draft with a further remark."""
        return replace(self, notes=(*self.notes, text))

    def omitted(self, reason: str) -> "ColumnDraft":
        """Return the draft of a column that is left out."""
        return left_out(self.name, reason)


def left_out(name: str, reason: str, role: str = "omit") -> ColumnDraft:
    """Return the draft of a column that is left out of the output, or stays empty in it."""
    return ColumnDraft({"name": name, "role": role}, (reason,), left_out=reason)


def draft_column(
    name: str,
    values: pd.Series,
    labels: Mapping[Any, str] | None = None,
    title: str | None = None,
    comma_decimals: bool = False,
) -> ColumnDraft:
    """Return the draft of one column's field.

    Parameters
    ----------
    labels
        The labels of the column's codes, where the file has them.
    title
        The column's title, where the file has one.
    comma_decimals
        Whether the file is of a kind that has decimal commas.
    """
    profile = Profile(values, comma_decimals, keep_signs=False)  # a whole table's draft knows more
    return draft_profile(name, profile, labels, title)


def draft_profile(
    name: str,
    profile: Profile,
    labels: Mapping[Any, str] | None = None,
    title: str | None = None,
) -> ColumnDraft:
    """Return the draft of a column whose profile is known; arguments as for `draft_column`."""
    drafted = _labelled(name, profile, labels or {}) or _identifier(name, profile)
    if drafted is None:
        variable = look_up(name)
        drafted = _by_dictionary(name, profile, variable) if variable else None
        drafted = drafted or _by_values(name, profile, variable)
    if title and title != name:
        first = {key: drafted.field[key] for key in ("name", "type") if key in drafted.field}
        drafted = replace(drafted, field=first | {"title": title[:1000]} | drafted.field)
    return drafted


def _finish(
    field: dict[str, Any], profile: Profile, review: list[str], notes: list[str]
) -> ColumnDraft:
    """Add what every field has: whether values may be missing, and the mark for review."""
    if profile.missing or field.get("invalid") == "missing":
        field.setdefault("constraints", {})["required"] = False
    if profile.missing:
        named = [f"`{text}`" if text else "empty cells" for text in profile.blanks]
        review = [
            *review,
            "values are missing, so the draft allows that: is it so by design? Read as missing: "
            + ", ".join(named),
        ]
    if review:
        field["review"] = True
    return ColumnDraft(field, tuple(f"REVIEW: {text}" for text in review) + tuple(notes))


def _labelled(name: str, profile: Profile, labels: Mapping[Any, str]) -> ColumnDraft | None:
    """Return the field of a column whose file names its codes: categories, or special numbers."""
    coded = {
        code: str(label).strip()
        for code, label in labels.items()
        if isinstance(code, int | float) and str(label).strip() not in MISSING_SPELLINGS
    }
    if not coded or profile.kind == "empty":
        return None
    texts = list(coded.values())
    known = {*map(float, coded)} if len(coded) == len(labels) else set[float]()
    as_codes = profile.kind in ("number", "boolean") and known.issuperset(profile.numbers)
    whole = as_codes or set(profile.distinct) <= set(texts)
    if whole and len(set(texts)) == len(texts) <= MOST_LABELS:
        field: dict[str, Any] = {"name": name, "type": "string", "constraints": {"enum": texts}}
        variable = look_up(name)
        if variable is not None and variable.role:
            field["role"] = variable.role
        field["codes"] = [tidy(float(code)) for code in coded]
        reason = (
            "the categories are the file's own labels: where these were made from the rows, as pandas "
            "and R do, they show who is in it"
        )
        return _finish(field, profile, [reason], [])
    if profile.kind != "number":
        return None
    drafted = _by_values(name, profile, look_up(name))
    if not drafted.is_modelled or "enum" in drafted.field.get("constraints", {}):
        return drafted
    special = [tidy(float(code)) for code in coded if float(code) in profile.numbers]
    if drafted.field.get("type") == "integer":
        special = [value for value in special if value == int(value)]
    if special and drafted.field.get("type") in ("number", "integer"):
        every = list(dict.fromkeys([*drafted.field.get("special", []), *special]))
        return drafted.for_review("`special` has the numbers that the file labels", special=every)
    return drafted


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    signs = unicodedata.normalize("NFKD", spaced)
    plain = "".join(sign for sign in signs if not unicodedata.combining(sign)).lower()
    return re.findall(r"[^\W_]+", plain)


def has_word(name: str, kind: str) -> bool:
    """Whether a column's name has one of the dictionary's words of a kind, alone or among others."""
    words = _words(name)
    return bool(load_words(kind) & {*words, "".join(words)})


def _identifier(name: str, profile: Profile) -> ColumnDraft | None:
    if profile.kind == "empty":
        empty = left_out(name, "no value at all: stays empty", "empty")
        return empty.for_review("no value stands in the data: is it empty by design?")
    words = _words(name)
    plain, persons = "".join(words), load_words("persons")
    keyed = bool(words) and words[-1] in load_words("keys")
    field: dict[str, Any] = {"name": name, "role": "identifier"}
    if profile.kind == "number" and profile.decimals == 0 and profile.numerals is None:
        field["type"] = "integer"  # so that made-up identifiers are whole numbers too
    if plain in persons | load_words("person numbers") or (keyed and persons & set(words)):
        if profile.kind in ("date", "datetime") or _is_small(profile):
            return None
        return ColumnDraft(field, is_patient_key=len(profile.distinct) < profile.rows)
    pairs = {first + second for first, second in itertools.pairwise(words)}  # as of first_name
    direct = load_words("direct identifiers") & {*words, *pairs} or plain in load_words(
        "full names"
    )
    note = ""
    nameless = re.fullmatch(r"unnamed \d+", " ".join(words)) and profile.is_unique
    if nameless or direct or _are_emails(profile):
        note = "never modelled, and made up in the output"
    elif profile.nearly_unique and keyed and profile.kind in ("text", "number"):
        note = "nearly every row has another value: made up in the output"
    elif _are_long_numbers(profile):
        note = "every row has another number of as many digits: made up in the output"
    elif profile.is_running_number and not look_up(name) and not has_word(name, "dates"):
        note = "a running number, each once: made up in the output"
    return ColumnDraft(field, (note,)) if note else None


def _is_small(profile: Profile) -> bool:
    """Whether a column that is called like a person is a flag or a category."""
    return profile.rows >= FEW and len(profile.distinct) <= 5


def _are_emails(profile: Profile) -> bool:
    some = profile.distinct[:50]
    return profile.kind == "text" and sum(map(bool, map(EMAIL.fullmatch, some))) > 0.8 * len(some)


def _are_long_numbers(profile: Profile) -> bool:
    if profile.rows < FEW or not profile.nearly_unique:
        return False
    lengths = {len(text.strip()) for text in profile.distinct}
    if len(lengths) > 1 or max(lengths) < LONG_NUMBER or profile.kind not in ("text", "number"):
        return False
    return all(text.strip().isdecimal() for text in profile.distinct)


def _unread_text(profile: Profile) -> str:
    """Return why text is left out, and what it seems to be; empty where it can be categories."""
    some = profile.distinct[:200]
    if max(map(len, profile.distinct)) > LONGEST_CATEGORY:
        return "free text"
    common, share = _common(profile)
    if len(common) <= MOST_CATEGORIES and share >= MOSTLY_COMMON and not profile.nearly_unique:
        return ""
    if numerals.has_several_units(some):
        return numerals.SEVERAL_UNITS
    if moment_formats.is_named_month(some):
        return "dates that are not of one form, or with months in words: write them as 2012-12-31"
    hint = spelling_hint(some)
    what = "nearly every row has another value" if profile.nearly_unique else "too many texts"
    advice = hint or "for codes, list the public ones under enum"
    return f"{what} for categories; {advice}"


def _common(profile: Profile) -> tuple[list[str], float]:
    """Return the categories that a draft may list, and the share of the rows that they hold.

    Of few categories these are all: they were designed. Of many, what stands in few rows is left out:
    a list of rare texts is a list of persons.
    """
    if len(profile.distinct) <= FEW_CATEGORIES or profile.rows < FEW:
        return sorted(profile.distinct), 1.0
    common = profile.counts >= COMMON
    return sorted(itertools.compress(profile.distinct, common)), profile.share_of(common)


def _categories(profile: Profile, review: list[str]) -> dict[str, Any]:
    """Return the settings of a field whose categories are those of the data."""
    common, share = _common(profile)
    review.append("these are the categories that stand in the data")
    if len({text.strip().casefold() for text in common}) < len(common):
        review.append("some differ in capitals or blanks alone: are they one?")
    settings: dict[str, Any] = {"type": "string", "constraints": {"enum": common}}
    if share == 1 and len(common) == len(profile.distinct):
        return settings
    review.append("texts of few rows are read as `other`: list the public ones under enum")
    return settings | {"invalid": "other"}


def _by_dictionary(name: str, profile: Profile, variable: Variable) -> ColumnDraft | None:
    """Return a field as in the dictionary; None where the values do not match it."""
    known = f"dictionary: {variable.name}; {variable.basis}"
    field: dict[str, Any] = {"name": name}
    review: list[str] = []
    if variable.ranges:
        return _by_range(field, profile, variable, known) if profile.kind == "number" else None
    if variable.flag:
        if profile.spelling is None and not pd.api.types.is_bool_dtype(profile.dtype):
            return None
        return _finish(field | _boolean(profile, review), profile, review, [known])
    if _unread_text(profile) or profile.kind in ("date", "datetime"):
        return None
    if profile.kind == "number" and len(profile.distinct) > MOST_CATEGORIES:
        return None
    field |= {"type": "string", "role": variable.role} if variable.role else {"type": "string"}
    usual = next((enum for enum in variable.enums if set(profile.distinct) <= set(enum)), None)
    field |= {"constraints": {"enum": list(usual)}} if usual else _categories(profile, review)
    return _finish(field, profile, review, [known])


def _by_range(
    field: dict[str, Any], profile: Profile, variable: Variable, known: str
) -> ColumnDraft | None:
    numbers = describe_numbers(profile)
    chosen = _fitting(numbers, variable)
    if chosen is None or _is_coded(numbers, chosen):
        return None
    review: list[str] = []
    first = variable.ranges[0]
    if chosen is not first and numbers.share_inside(first.minimum, first.maximum) < 1:
        review.append(f"the values do not fit {first.unit}, but {chosen.unit}: which is it?")
    elif chosen is not first:
        review.append(
            f"most values are usual in {chosen.unit} rather than in {first.unit}: which is it?"
        )
    bounds = (chosen.minimum, chosen.maximum)
    if chosen.is_wide and chosen.usual is not None:
        widest = f"{tidy(chosen.minimum)} to {tidy(chosen.maximum)}"
        if numbers.share_inside(*chosen.usual) == 1:
            bounds = chosen.usual
            review.append(f"usual bounds of adults; the widest are {widest}: {FEWER_NOISE}")
        else:
            usual = " to ".join(f"{tidy(end)}" for end in chosen.usual)
            review.append(
                f"wide bounds: {FEWER_NOISE}, such as the usual {usual} with `invalid: clip`"
            )
    if numbers.share_inside(*bounds) < 1:
        review.append("some values lie outside these bounds, as `invalid` says: are they errors?")
    drafted = number_fields.lattice_field(numbers, bounds, chosen.decimals)
    if chosen.decimals < numbers.decimals <= 6:
        review.append("the values have more decimals than are usual for it; they are kept")
    field["type"] = drafted.pop("type")
    if chosen.unit:
        field["unit"] = chosen.unit
    field |= _numeral_settings(profile, review, chosen.unit) | drafted
    return _finish(field, profile, review + numbers.reasons, [known])


def _fitting(numbers: Numbers, variable: Variable) -> Range | None:
    """Return the dictionary's range of the unit in which the values are usual."""
    possible = [
        each for each in variable.ranges if numbers.share_inside(each.minimum, each.maximum) >= 0.95
    ]
    shares = [
        numbers.share_inside(*(each.usual or (each.minimum, each.maximum))) for each in possible
    ]
    usual = [each for each, share in zip(possible, shares, strict=True) if share >= MOSTLY_USUAL]
    if usual:
        return usual[0]
    if not possible or max(shares) < 0.5:
        return None
    return possible[int(np.argmax(shares))]


def _is_coded(numbers: Numbers, limits: Range) -> bool:
    """Whether the values are a code of few small whole numbers rather than a measurement."""
    values = numbers.points
    if numbers.decimals or len(values) > 6 or values.min() < 0:
        return False
    if set(values) <= {0.0, 1.0}:
        return limits.maximum > 6
    return bool(numbers.counts.sum() >= 20 and values.max() <= 6 and limits.maximum >= 60)


def _numeral_settings(
    profile: Profile, review: list[str], unit: str | None = None
) -> dict[str, Any]:
    """Return how a field's numbers are spelled, where it is not plainly."""
    if profile.numerals is None:
        return {}
    review += profile.numerals.reasons
    settings = dict(profile.numerals.settings)
    written = settings.get("unit")
    if written is not None and unit is not None and written.casefold() != unit.casefold():
        review.append(f"the dictionary's bounds are in {unit}: is that the unit in the cells?")
    return settings


def _by_values(name: str, profile: Profile, variable: Variable | None) -> ColumnDraft:
    """Return a field whose bounds or categories are read off the data, all for review."""
    field: dict[str, Any] = {"name": name}
    notes = [f"not as in the dictionary: {variable.name}; {variable.basis}"] if variable else []
    review: list[str] = []
    if profile.kind == "boolean" or profile.words:
        field |= _boolean(profile, review)
    elif profile.kind == "number":
        field |= _number(name, profile, review)
        if variable and any(each.unit for each in variable.ranges):
            review.append("the values do not fit the dictionary's range; check the unit")
    elif profile.kind in ("date", "datetime"):
        field |= moment_field(profile, review)
    elif reason := _unread_text(profile):
        return left_out(name, f"{reason}: left out of the model and the output")
    else:
        field |= _categories(profile, review)
        hint = spelling_hint(profile.distinct[:50])
        if hint:
            notes.append(f"if they are no categories, {hint}")
    if variable is not None and variable.role:
        field["role"] = variable.role
    if "id" in _words(name) and KEY_LIKE.search(name) and len(profile.distinct) * 10 > profile.rows:
        notes.append("if it says whose row it is, name it under patientKey")
    return _finish(field, profile, review, notes)


def _boolean(profile: Profile, review: list[str]) -> dict[str, Any]:
    review += [] if profile.kind == "boolean" else ["no other values stand in the data"]
    field: dict[str, Any] = {"type": "boolean"}
    if profile.words is None or profile.spelling in TRUE_FALSE:
        return field
    true, false = profile.words
    return field | {"trueValues": list(true), "falseValues": list(false)}


def _number(name: str, profile: Profile, review: list[str]) -> dict[str, Any]:
    numbers = describe_numbers(profile)
    spelled = set() if profile.numerals is None else set(profile.numerals.settings)
    bare = spelled <= {"decimalChar", "groupChar"}  # what an enum of numbers may go with
    if number_fields.as_categories(numbers) and bare and not numbers.unread:
        review.append("these are the numbers that stand in the data, as categories")
        settings = _numeral_settings(profile, review)
        return number_fields.category_field(numbers) | settings
    drafted = number_fields.lattice_field(numbers, number_fields.outward_bounds(numbers))
    kind = {"type": drafted.pop("type")}
    review.append(NOT_PUBLIC)
    whole = kind["type"] == "integer"
    if whole and has_word(name, "dates") and moment_formats.excel_serial(numbers.points):
        review.append(
            "these seem to be dates as a spreadsheet counts them, in days since 1899-12-30: write them "
            "as 2012-12-31 in the file, and declare `type: date`"
        )
    settings = _numeral_settings(profile, review)
    review += numbers.reasons
    return kind | settings | drafted
