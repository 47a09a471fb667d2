"""A typed table as an Excel workbook of one sheet: text stays text, numbers and dates are such."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthvae._text import brief
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table import cell_text
from synthvae.table.workbooks import LONGEST_CELL, MOST_COLUMNS, MOST_ROWS

FIRST_DAY = dt.datetime(1900, 3, 1)  # Excel has a day before it that never was
DAY, MOMENT = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"
LONGEST_TITLE = 31


def check_workbook(schema: Schema, rows: int | None) -> None:
    """Raise `ConfigError` where a sheet of Excel could not hold a schema's table."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    way_out = "write CSV or Parquet"
    if len(schema.names) > MOST_COLUMNS:
        raise ConfigError(
            f"The table has {len(schema.names):,} columns; a sheet of Excel has at most "
            f"{MOST_COLUMNS:,}: {way_out}."
        )
    if rows is not None and rows >= MOST_ROWS:
        raise ConfigError(
            f"The table has {rows:,} rows; a sheet of Excel has at most {MOST_ROWS - 1:,} below the "
            f"names: {way_out}."
        )
    for name, text in cell_text.spellings_of(schema):
        if ILLEGAL_CHARACTERS_RE.search(text) or "\r" in text or len(text) > LONGEST_CELL:
            raise ConfigError(
                f"column {brief(name)}: {brief(text)} cannot stand in a cell of Excel (a control "
                f"character, or more than {LONGEST_CELL:,} characters); {way_out}."
            )


def write_workbook(frame: pd.DataFrame, draft: Path, schema: Schema) -> None:
    """Write a typed table as a workbook, its only sheet called as the schema's dialect or name says."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet(_title(schema))
    names = [str(name) for name in frame.columns]
    if schema.dialect.header:
        sheet.append([_cell(sheet, name) for name in names])
    mark = cell_text.missing_mark(len(names), schema) or None
    mark = mark if len(names) == 1 else None
    columns = [_values(frame[name], schema) for name in frame.columns]
    for row in zip(*columns, strict=True):
        sheet.append([_cell(sheet, mark if value is None else value) for value in row])
    book.save(draft)


def _title(schema: Schema) -> str:
    title = schema.dialect.sheet or schema.name
    plain = "".join(
        "_" if sign in r"[]:*?/\'" or not sign.isprintable() else sign for sign in title
    )
    return plain[:LONGEST_TITLE].strip() or "table"


def _values(values: pd.Series, schema: Schema) -> list[Any]:
    """Return a column's cells as Excel keeps them; None where they are missing."""
    field = next((each for each in schema.modelled if each.name == values.name), None)
    if field is not None and _stays_numbers(field):
        return [None if pd.isna(value) else value for value in values.tolist()]
    texts = cell_text.as_text(values.to_frame(), schema).iloc[:, 0]
    spelled = [
        None if missing else text for text, missing in zip(texts, values.isna(), strict=True)
    ]
    if field is None or not pd.api.types.is_datetime64_any_dtype(values) or "%z" in field.format_:
        return [value.item() if isinstance(value, np.generic) else value for value in spelled]
    clock = values if values.dt.tz is None else values.dt.tz_localize(None)
    moments = [None if pd.isna(moment) else moment.to_pydatetime() for moment in clock]
    if field.type == "date":
        return [
            moment.date() if moment is not None and moment >= FIRST_DAY else text
            for moment, text in zip(moments, spelled, strict=True)
        ]
    return [
        moment if moment is not None and moment >= FIRST_DAY else text
        for moment, text in zip(moments, spelled, strict=True)
    ]


def _stays_numbers(field: Field) -> bool:
    """Whether numbers are categories that no sign of the field makes text."""
    is_bare = field.decimalChar == "." and field.groupChar is None
    return field.is_number and not field.is_lattice and is_bare


def _cell(sheet: Any, value: Any) -> Any:
    from openpyxl.cell import WriteOnlyCell

    if not isinstance(value, str | dt.date):
        return value
    cell = WriteOnlyCell(sheet, value)
    if isinstance(value, str):
        cell.data_type = "s"  # also of what begins like a formula or an error
    else:
        cell.number_format = MOMENT if isinstance(value, dt.datetime) else DAY
    return cell
