"""Typed columns as text, each value as its field spells it: the way back for `cells`."""

from collections.abc import Iterable

import pandas as pd

from synthvae.field import Field
from synthvae.schema import Schema


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
    """Return moments as text, the year always with four digits, as `strptime` wants them."""
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
    """Return numbers with their decimal sign, and censored ones as `<5`; as they are if need be."""
    censored = censored_spellings(field)
    if field.decimalChar == "." and not values.isin(list(censored)).any():
        return values
    texts = values.map(lambda value: _number_text(value, field, censored), na_action="ignore")
    return texts.astype(object).where(values.notna(), None)


def censored_spellings(field: Field) -> dict[float, str]:
    """Return the spelling that each censored number is written with; not that of a special value."""
    texts: dict[float, str] = {}
    for text, value in field.censored_numbers.items():
        if value not in field.special:
            texts.setdefault(float(value), text)
    return texts


def _number_text(value: float, field: Field, censored: dict[float, str]) -> str:
    if float(value) in censored:
        return censored[float(value)]
    return str(value).replace(".", field.decimalChar)


def missing_mark(columns: int, schema: Schema) -> str:
    """How a missing cell is spelled; an only column would otherwise be a file of blank lines."""
    marks = schema.missingValues or ("",)
    if "" in marks and (columns > 1 or len(marks) == 1):
        return ""
    return next(filter(None, marks))


def spellings_of(schema: Schema) -> Iterable[tuple[str, str]]:
    """Yield each column's name with every text that a file of the schema holds for it."""
    for field in schema.fields:
        texts = (field.name, *field.categories, *field.censored)
        if field.type == "boolean":
            texts = (field.name, field.trueValues[0], field.falseValues[0])
        yield from ((field.name, text) for text in texts)
