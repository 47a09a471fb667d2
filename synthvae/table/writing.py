"""A typed table to a file, by the ending, so that the same schema reads it again; whole or not at all.

`formulas` finds labels of a schema that a spreadsheet would run. They are public and the schema's author
chose them, so records hold them as they are: quoting does not stop a spreadsheet, and another spelling
would no longer be the schema's. What can be done is to say so.
"""

import contextlib
import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from synthvae._files import whole_file
from synthvae._text import brief
from synthvae.errors import ConfigError
from synthvae.schema import Schema
from synthvae.table import cell_text, statistical_output, workbook_output
from synthvae.table.cells import as_float
from synthvae.table.csv_files import DELIMITERS
from synthvae.table.two_files import split_visits

TEXT = (".csv", ".txt", ".tsv", ".tab")
PARQUET = (".parquet", ".pq")
STATISTICAL = (".dta", ".sav", ".zsav", ".xpt")
ENDINGS = (*TEXT, *(f"{ending}.gz" for ending in TEXT), *PARQUET, ".xlsx", *STATISTICAL)
FORMULA = re.compile(r"\s*[=+\-@].", re.DOTALL)


def check_writable(path: str | Path, schema: Schema, rows: int | None = None) -> None:
    """Refuse a file that could not hold a schema's table, before one is made.

    Parameters
    ----------
    path
        Where the table is to go: the ending says the format.
    schema
        Its names and categories have to fit the format.
    rows
        The number of rows, if it is known.

    Raises
    ------
    ConfigError
        The ending says no format, or the format does not allow a column's name, a category, or the
        number of rows; the message names the column and the way out.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind == ".xlsx":
        workbook_output.check_workbook(schema, rows)
    elif kind in STATISTICAL:
        statistical_output.check_names(schema, kind)
    elif kind in TEXT and schema.dialect.encoding is not None:
        _check_encoding(schema, schema.dialect.encoding)


def file_kind(path: Path) -> str:
    """Return the ending that says a file's format, without the .gz of what is packed.

    Raises
    ------
    ConfigError
        It says no format that can be written.
    """
    name = path.name.lower()
    ending = next((each for each in ENDINGS if name.endswith(each)), None)
    if ending is None:
        known = ", ".join((*TEXT, ".csv.gz", *PARQUET, ".xlsx", *STATISTICAL))
        raise ConfigError(f"out is {path}; its name must end in one of {known}.")
    return ending.removesuffix(".gz")


def write_table(frame: pd.DataFrame, path: str | Path, schema: Schema) -> None:
    """Write a typed table by the file's ending, its values as the schema spells them.

    CSV follows the schema's dialect. A file of Stata, SPSS or SAS holds the `codes` of categories with
    their labels. Any other ending means CSV.

    Raises
    ------
    ConfigError
        The format does not allow a name or a value.
    StorageError
        The disk is full, or the folder cannot be written; nothing half-made is left behind.
    """
    _write([(frame, Path(path))], schema)


def write_in_files(frame: pd.DataFrame, files: Sequence[Path], schema: Schema) -> list[int]:
    """Write a typed table as `write_table` does: to one file, or to one of patients and one of visits.

    Neither is there before both are written. Returns the rows of each.
    """
    parts = (frame,) if len(files) == 1 else split_visits(frame, schema)
    _write([*zip(parts, files, strict=True)], schema)
    return [len(part) for part in parts]


def _write(tables: list[tuple[pd.DataFrame, Path]], schema: Schema) -> None:
    with contextlib.ExitStack() as drafts:
        for frame, path in tables:
            kind = file_kind(path) if path.name.lower().endswith(ENDINGS) else ".csv"
            check_writable(path if kind != ".csv" else path.with_suffix(".csv"), schema, len(frame))
            _write_draft(frame, drafts.enter_context(whole_file(path)), path, kind, schema)


def _write_draft(frame: pd.DataFrame, draft: Path, path: Path, kind: str, schema: Schema) -> None:
    if kind in PARQUET:
        frame.to_parquet(draft, index=False)
    elif kind == ".xlsx":
        workbook_output.write_workbook(frame, draft, schema)
    elif kind in STATISTICAL:
        statistical_output.write_statistical(frame, draft, kind, schema)
    else:
        _write_text(frame, draft, schema, packed=path.name.lower().endswith(".gz"), kind=kind)


def _write_text(
    frame: pd.DataFrame, draft: Path, schema: Schema, *, packed: bool, kind: str
) -> None:
    text, dialect = cell_text.as_text(frame, schema), schema.dialect
    usual = "\t" if kind in (".tsv", ".tab") else ","
    text.to_csv(
        draft,
        index=False,
        header=dialect.header,
        sep=dialect.delimiter or usual,
        encoding=dialect.encoding or "utf-8",
        compression={"method": "gzip", "mtime": 0} if packed else None,
        lineterminator="\n",
        na_rep=cell_text.missing_mark(text.shape[1], schema),
        quoting=csv.QUOTE_ALL if _needs_quotes(text) else csv.QUOTE_MINIMAL,
    )


def _needs_quotes(frame: pd.DataFrame) -> bool:
    """Whether there is what the writer would not quote, though a reader may stumble over it.

    That is a carriage return, or a name that looks like several with another delimiter.
    """
    names = "".join(map(str, frame.columns))
    if "\r" in names or any(mark in names for mark in DELIMITERS):
        return True
    texts = (frame.iloc[:, j] for j in range(frame.shape[1]))
    return any(
        "\r" in str(item) for text in texts if text.dtype == object for item in text.unique()
    )


def _check_encoding(schema: Schema, encoding: str) -> None:
    for name, text in cell_text.spellings_of(schema):
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            raise ConfigError(
                f"column {brief(name)}: {brief(text)} cannot be written in {encoding}; set "
                "`dialect: {encoding: utf-8}` in the schema, or write another format."
            ) from None


def formulas(schema: Schema) -> list[str]:
    """Return a note for each column whose name or categories begin like a formula (CWE-1236).

    Examples
    --------
    >>> schema = Schema.from_dict({"fields": [
    ...     {"name": "ward", "constraints": {"enum": ["north", "=1+1", "-1"]}}]})
    >>> formulas(schema)[0]
    "column 'ward': '=1+1' begins like a formula, which a spreadsheet would run; name it otherwise"
    """
    notes = []
    for field in schema.fields:
        for text in (field.name, *field.trueValues, *field.falseValues, *field.categories):
            if FORMULA.match(text) and np.isnan(as_float(text)):
                notes.append(
                    f"column {brief(field.name)}: {brief(text)} begins like a formula, which a "
                    "spreadsheet would run; name it otherwise"
                )
                break
    return notes
