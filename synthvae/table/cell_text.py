"""Typed columns as text, each value as its field spells it: the way back for `cells`."""

import re
from collections.abc import Iterable

import pandas as pd

from synthvae.field import Field
from synthvae.schema import Schema

OFFSET = re.compile(r"(?<!%)((?:%%)*)%z")
BASIC = re.compile(r"%[Yy]%[mj]")  # of ISO 8601, in which an offset has no colon
PLAIN_NUMBER = re.compile(r"([+-]?)(\d+)(\.\d*)?")


def as_text(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a typed table with booleans, dates and numbers spelled as the schema says."""
    fields = {field.name: field for field in schema.modelled}
    columns = {
        name: _spelled(frame[name], fields[name]) if name in fields else frame[name]
        for name in frame.columns
    }
    return pd.DataFrame(columns)


def _spelled(values: pd.Series, field: Field) -> pd.Series:
    if field.type == "boolean" and pd.api.types.is_bool_dtype(values):
        return values.map({True: field.trueValues[0], False: field.falseValues[0]})
    if field.format_ and pd.api.types.is_datetime64_any_dtype(values):
        return _spelled_moments(values, field.format_)
    if field.is_number and pd.api.types.is_numeric_dtype(values):
        return spelled_numbers(values, field)
    return values


def _spelled_moments(values: pd.Series, pattern: str) -> pd.Series:
    """Return moments as text, the year with four digits, as `strptime` wants it, offsets as `+01:00`."""
    if values.dt.tz is not None and OFFSET.search(pattern) and not BASIC.search(pattern):
        texts = pd.Series(None, values.index, object, values.name)
        offsets = values.dt.strftime("%z")
        for offset in offsets.dropna().unique():
            here, colons = offsets == offset, re.sub(r"(?<=\d)(?=(\d\d)+$)", ":", offset)
            texts[here] = _with_whole_years(values[here], OFFSET.sub(rf"\g<1>{colons}", pattern))
        return texts
    return _with_whole_years(values, pattern)


def _with_whole_years(values: pd.Series, pattern: str) -> pd.Series:
    texts = pd.Series(
        values.dt.strftime(pattern).to_numpy(object), values.index, object, values.name
    )
    early = values.dt.year < 1000  # which some systems write with fewer
    if early.any() and "%Y" in pattern:
        texts[early] = [
            moment.strftime(pattern.replace("%Y", f"{moment.year:04d}")) for moment in values[early]
        ]
    return texts


def spelled_numbers(values: pd.Series, field: Field) -> pd.Series:
    """Return numbers with the field's signs, categories and censored ones as it spells them.

    They stay numbers where the field asks for nothing.
    """
    known = _category_spellings(field) | censored_spellings(field)
    is_bare = field.decimalChar == "." and field.groupChar is None
    if is_bare and not values.isin(list(known)).any():
        return values
    texts = values.astype(object).map(  # a column of whole numbers would pass them as floats
        lambda value: known.get(float(value)) or _dressed(str(value), field), na_action="ignore"
    )
    return texts.astype(object).where(values.notna(), None)


def censored_spellings(field: Field) -> dict[float, str]:
    """Return the spelling that each censored number is written with; not that of a special value."""
    texts: dict[float, str] = {}
    for text, value in field.censored_numbers.items():
        if value not in field.special:
            texts.setdefault(float(value), text)
    return texts


def _category_spellings(field: Field) -> dict[float, str]:
    """Return the spelling of each number that is a category: `0.50` stays `0.50`, or is `0,50`."""
    texts: dict[float, str] = {}
    for label in field.categories if field.is_number else ():
        dressed = _dressed(label, field)
        # What reads as another category with its signs is written without them.
        is_other = dressed != label and dressed in field.categories
        texts.setdefault(float(label), label if is_other else dressed)
    return texts


def _dressed(number: str, field: Field) -> str:
    """Return the plain text of a number with the field's decimal sign and groups of thousands."""
    parts = PLAIN_NUMBER.fullmatch(number)
    if parts is None or field.groupChar is None:
        return number.replace(".", field.decimalChar)
    groups = f"{int(parts[2]):,}" if len(parts[2]) > 3 else parts[2]
    decimals = (parts[3] or "").replace(".", field.decimalChar)
    return parts[1] + groups.replace(",", field.groupChar) + decimals


def missing_mark(columns: int, schema: Schema) -> str:
    """How a missing cell is spelled: as the first mark, if no only column becomes blank lines by it."""
    marks = schema.missingValues or ("",)
    return marks[0] if columns > 1 else next(filter(None, marks), "")


def spellings_of(schema: Schema) -> Iterable[tuple[str, str]]:
    """Yield each column's name with every text that a file of the schema holds for it."""
    for field in schema.fields:
        texts = (field.name, *field.categories, *field.censored)
        if field.type == "boolean":
            texts = (field.name, field.trueValues[0], field.falseValues[0])
        yield from ((field.name, text) for text in texts)
