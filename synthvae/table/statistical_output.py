"""A typed table as a file of Stata, SPSS or SAS: categories as their codes, with labels."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from synthvae._text import brief, shortened
from synthvae.declared import first_repeated
from synthvae.errors import ConfigError
from synthvae.field import OTHER, Field
from synthvae.schema import Schema
from synthvae.table import cell_text

# Of each format: its name, the form of a column's name, that in words, and the longest column label.
FORMATS: dict[str, tuple[str, str, str, int]] = {
    ".dta": ("Stata", r"[^\W\d]\w{0,31}", "32 letters, digits and underscores", 80),
    ".sav": ("SPSS", r"[^\W\d_][\w.@#$]{0,63}", "64 letters, digits and underscores", 120),
    ".xpt": ("SAS (.xpt)", r"[A-Za-z_]\w{0,7}", "8 plain letters, digits and underscores", 40),
}
FORMATS[".zsav"] = FORMATS[".sav"]
SPSS_WORDS = frozenset(
    ("ALL", "AND", "BY", "EQ", "GE", "GT", "LE", "LT", "NE", "NOT", "OR", "TO", "WITH")
)
STATA_WORDS = frozenset(
    ("byte", "double", "float", "if", "in", "int", "long", "str", "strL", "using", "with")
)
LONGEST_TEXT = {".dta": 2045, ".sav": 32_767, ".zsav": 32_767, ".xpt": 200}  # bytes
LONGEST_LABEL = 120  # bytes of a category's label in SPSS


def check_names(schema: Schema, kind: str) -> None:
    """Raise `ConfigError` where a format does not allow a column's name or a category's text."""
    format_, form, words, _ = FORMATS[kind]
    flags = re.ASCII if kind == ".xpt" else 0
    taken = {".dta": STATA_WORDS, ".xpt": frozenset[str]()}.get(kind, SPSS_WORDS)
    way_out = "rename it in the table and in the schema, or write CSV or Parquet"
    for name in schema.names:
        word = name if kind == ".dta" else name.upper()
        too_long = kind != ".dta" and len(name.encode()) > 64
        if not re.fullmatch(form, name, flags) or word in taken or too_long:
            raise ConfigError(
                f"column {brief(name)}: a name in a file of {format_} has at most {words}, begins "
                f"with a letter, and is no word of the language; {way_out}."
            )
    twice = None if kind == ".dta" else first_repeated(name.upper() for name in schema.names)
    if twice is not None:
        raise ConfigError(
            f"columns {brief(twice)}: a file of {format_} does not tell capital letters from small "
            f"ones; {way_out}."
        )
    for name, text in cell_text.spellings_of(schema):
        if len(text.encode()) > LONGEST_TEXT[kind] or "\0" in text:
            raise ConfigError(
                f"column {brief(name)}: {brief(text)} is too long for a file of {format_}; write CSV or "
                "Parquet."
            )


def write_statistical(frame: pd.DataFrame, draft: Path, kind: str, schema: Schema) -> None:
    """Write a typed table in a format of statistical software."""
    import pyreadstat

    fields = {field.name: field for field in schema.fields}
    columns, labels = {}, {}
    mark = cell_text.missing_mark(frame.shape[1], schema)
    for name in frame.columns:
        field = fields.get(str(name))
        columns[name] = _values(frame[name], field, schema, mark)
        if field is not None and field.codes and field.type == "string":
            labels[str(name)] = {
                code: shortened(label, LONGEST_LABEL) for label, code in _codes(field).items()
            }
    longest = FORMATS[kind][3]
    titles = {
        name: shortened(field.title, longest) for name, field in fields.items() if field.title
    }
    options: dict[str, Any] = {"column_labels": titles}
    table = pd.DataFrame(columns)
    if kind == ".xpt" and len(table) and (table.iloc[-1] == "").all():
        raise ConfigError(
            "All values of the last row are missing text, which a SAS transport file does not tell from "
            "its padding; write another format."
        )
    try:
        if kind == ".dta":
            pyreadstat.write_dta(table, str(draft), variable_value_labels=labels, **options)
        elif kind == ".xpt":
            pyreadstat.write_xport(table, str(draft), file_format_version=5, **options)
        else:
            options |= {"variable_value_labels": labels, "compress": kind == ".zsav"}
            pyreadstat.write_sav(table, str(draft), **options)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError) as cause:
        raise ConfigError(
            f"The table cannot be written as a file of {FORMATS[kind][0]}: {cause}; write CSV or "
            "Parquet."
        ) from cause


def _codes(field: Field) -> dict[str, float]:
    """Return the code of each category; `other` gets the next whole number that is free."""
    codes = dict(zip(field.constraints.enum or (), map(float, field.codes), strict=True))
    if OTHER in field.categories and OTHER not in codes:
        codes[OTHER] = float(int(max(codes.values())) + 1)
    return codes


def _values(values: pd.Series, field: Field | None, schema: Schema, mark: str) -> pd.Series:
    """Return a column as the formats keep it: numbers as floats, dates as such, the rest as text."""
    if field is not None and field.codes and field.type == "string":
        return values.map(_codes(field)).astype(float)
    if pd.api.types.is_bool_dtype(values) and field is not None:
        spellings = pd.to_numeric(pd.Series([field.trueValues[0], field.falseValues[0]]), "coerce")
        if {*field.trueValues, *field.falseValues} >= {"1", "0"} or spellings.notna().all():
            return pd.Series(values.to_numpy(float, na_value=float("nan")))
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return pd.Series(values.to_numpy(float, na_value=float("nan")))
    if pd.api.types.is_datetime64_any_dtype(values) and values.dt.tz is None:
        if field is not None and field.type == "date":
            return values.map(lambda day: None if pd.isna(day) else day.date()).astype(object)
        return values.astype("datetime64[ns]")
    text = cell_text.as_text(values.to_frame(), schema).iloc[:, 0]
    return text.astype(object).where(values.notna(), mark).map(str)
