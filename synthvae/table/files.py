"""Read and write tables as CSV or Parquet; a file is written whole or not at all.

`formulas` finds labels of a schema that a spreadsheet would run. They are public and the schema's author
chose them, so records hold them as they are: quoting does not stop a spreadsheet, and another spelling
would no longer be the schema's. What can be done is to say so.
"""

import csv
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthvae._files import whole_file
from synthvae._runtime import machine_memory
from synthvae._text import brief, one_line, shortened
from synthvae.declared import first_repeated
from synthvae.errors import ConfigError, InputFileError
from synthvae.schema import Schema
from synthvae.table.cells import as_float

PARQUET = (".parquet", ".pq")
MOST_COLUMNS = 100_000
BYTES_A_CELL = 8  # the least that a cell takes in memory
# What Arrow and pandas raise for a file that is no table, besides OSError.
UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError, csv.Error)
DELIMITERS = ";\t|,"
FORMULA = re.compile(r"\s*[=+\-@].", re.DOTALL)


def read_table(path: str | Path, delimiter: str = ",") -> pd.DataFrame:
    """Read a CSV or Parquet file, by its ending, without interpreting a single value.

    Columns of a CSV come as text exactly as written (an empty cell is an empty string), so that
    the schema alone decides what they mean; those of a Parquet file keep their types.

    Raises
    ------
    InputFileError
        The file does not exist, is empty, has two columns of the same name, too many columns or rows
        of uneven length, or is no table.
    """
    path = Path(path)
    if len(delimiter) != 1:
        raise ConfigError(f"delimiter is {brief(delimiter)}; it must be a single character.")
    try:
        _check_kind(path)
        frame = _read_parquet(path) if _is_parquet(path) else _read_csv(path, delimiter)
    except UnicodeDecodeError as cause:
        raise InputFileError(
            f"The file {path} is not UTF-8 text (byte {cause.start}); save it as UTF-8."
        ) from cause
    except (OSError, *UNREADABLE) as cause:
        why = one_line(getattr(cause, "strerror", None) or cause) or type(cause).__name__
        raise InputFileError(f"The file {path} cannot be read as a table: {why}.") from cause
    _refuse_repeated([str(name) for name in frame.columns], path)
    if frame.empty:
        raise InputFileError(f"The file {path} has a header but no rows.")
    return frame


def _check_kind(path: Path) -> None:
    try:
        about = path.stat()
    except (FileNotFoundError, ValueError):  # the latter for a NUL byte in the name
        raise InputFileError(f"There is no file {path}.") from None
    if stat.S_ISDIR(about.st_mode):
        raise InputFileError(f"{path} is a folder; name a CSV or Parquet file.")
    if not stat.S_ISREG(about.st_mode):  # a device may have no end
        raise InputFileError(f"{path} is no ordinary file; name a CSV or Parquet file.")
    if about.st_size == 0:
        raise InputFileError(f"The file {path} is empty.")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in PARQUET


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    about = pq.read_metadata(path)
    _refuse_width(about.num_columns, path)
    memory = machine_memory()
    needed = about.num_rows * about.num_columns * BYTES_A_CELL
    if memory is not None and needed > memory:
        raise InputFileError(
            f"The file {path} says that it has {about.num_rows:,} rows, which need at least "
            f"{needed / 2**30:.3g} GB of memory; this machine has {memory / 2**30:.3g}."
        )
    _refuse_repeated(pq.read_schema(path).names, path)
    table = pq.read_table(path)
    frame: pd.DataFrame = table.to_pandas()
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(named) if named else frame


def _refuse_repeated(names: list[str], path: Path) -> None:
    twice = first_repeated(names)
    if twice is not None:
        raise InputFileError(
            f"The column {brief(twice)} stands twice in {path}; rename one of them."
        )


def _refuse_width(columns: int, path: Path) -> None:
    if columns > MOST_COLUMNS:
        raise InputFileError(
            f"The file {path} has {columns:,} columns; at most {MOST_COLUMNS:,} can be read: keep those "
            "that you need."
        )


def _read_csv(path: Path, delimiter: str) -> pd.DataFrame:
    # Arrow's reader, since that of pandas fills up short rows, cuts long ones and ends a cell at a
    # NUL byte, all without a word.
    import pyarrow as pa

    header = _read_header(path, delimiter)
    content = path.read_bytes().lstrip(b"\r\n")
    unclosed = content.count(b'"') % 2 == 1
    never_closes = f"The file {path} has a quotation mark that opens and never closes."
    uneven: list[Any] = []
    try:
        table = _parse(content, header, delimiter, uneven)
    except pa.ArrowInvalid as cause:
        if uneven:
            row = uneven[0]
            raise InputFileError(
                f"Row {row.number - 1} of {path} has {row.actual_columns} cells, but the header "
                f"has {row.expected_columns}; it begins {shortened(row.text, 60)!r}."
            ) from cause
        if "Empty CSV" in str(cause):
            no_rows = f"The file {path} has a header but no rows."
            raise InputFileError(never_closes if unclosed else no_rows) from cause
        if "UTF8" in str(cause):
            raise InputFileError(f"The file {path} is not UTF-8 text; save it as UTF-8.") from cause
        raise
    if unclosed and table.num_rows and "\n" in table.column(-1)[-1].as_py():
        raise InputFileError(never_closes)
    frame: pd.DataFrame = table.to_pandas()
    # A nameless column, such as R's row names, is called as pandas would call it.
    return frame.set_axis([name or f"Unnamed: {i}" for i, name in enumerate(header)], axis=1)


def _read_header(path: Path, delimiter: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        try:
            header: list[str] = next((row for row in rows if row), [])
        except csv.Error as cause:
            limit = csv.field_size_limit()
            raise InputFileError(
                f"The file {path} begins with a column name that is longer than {limit:,} characters, "
                "or with a quotation mark that never closes, so it is no table with a header."
            ) from cause
        lines.seek(0)
        start = lines.read(4 + 2 * len(header[0])).lstrip("\r\n") if len(header) == 1 else ""
    if not header:
        raise InputFileError(f"The file {path} is empty.")
    _refuse_width(len(header), path)
    _refuse_repeated([name for name in header if name], path)
    quoted = '"' + header[0].replace('"', '""') + '"'
    if len(header) == 1 and not start.startswith(quoted):
        other = next((mark for mark in DELIMITERS if mark != delimiter and mark in header[0]), None)
        if other is not None:
            raise InputFileError(
                f"The file {path} seems to be separated by {other!r}, not {delimiter!r}: "
                f"its only column is named {brief(header[0])}; pass --delimiter {other!r}."
            )
    return header


def _parse(content: bytes, header: list[str], delimiter: str, uneven: list[Any]) -> Any:
    """Parse a whole CSV as text; rows of another length than the header's go to `uneven`."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    block_size = max(1 << 20, len(content) + 1)
    reading = arrow_csv.ReadOptions(block_size=block_size, use_threads=False)
    parsing = arrow_csv.ParseOptions(
        delimiter=delimiter,
        newlines_in_values=True,
        ignore_empty_lines=len(header) > 1,
        invalid_row_handler=refuse,
    )
    types = {name: pa.string() for name in header}
    as_text = arrow_csv.ConvertOptions(
        column_types=types, null_values=[], strings_can_be_null=False
    )
    return arrow_csv.read_csv(pa.BufferReader(content), reading, parsing, as_text)


def write_table(frame: pd.DataFrame, path: str | Path, schema: Schema) -> None:
    """Write a typed table as CSV or Parquet, by the file's ending, dates and booleans as declared.

    Raises
    ------
    StorageError
        The disk is full, or the folder cannot be written; nothing half-made is left behind.
    """
    path = Path(path)
    with whole_file(path) as draft:
        if _is_parquet(path):
            frame.to_parquet(draft, index=False)
            return
        text = _as_text(frame, schema)
        text.to_csv(
            draft,
            index=False,
            lineterminator="\n",
            na_rep=_missing_mark(text, schema),
            quoting=csv.QUOTE_ALL if _needs_quotes(text) else csv.QUOTE_MINIMAL,
        )


def _missing_mark(frame: pd.DataFrame, schema: Schema) -> str:
    """How a missing cell is spelled; an only column would otherwise be a file of blank lines."""
    marks = schema.missingValues or ("",)
    if "" in marks and (frame.shape[1] > 1 or len(marks) == 1):
        return ""
    return next(filter(None, marks))


def _needs_quotes(frame: pd.DataFrame) -> bool:
    """Whether there is what the writer would not quote, though a reader may stumble over it.

    That is a carriage return, or an only name that looks like several with another delimiter.
    """
    names = "".join(map(str, frame.columns))
    if frame.shape[1] == 1 and any(mark in names for mark in DELIMITERS):
        return True
    texts = (frame.iloc[:, j] for j in range(frame.shape[1]))
    return "\r" in names or any(
        "\r" in str(item) for text in texts if text.dtype == object for item in text.unique()
    )


def _as_text(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    fields = {field.name: field for field in schema.modelled}
    columns = {}
    for name in frame.columns:
        values, field = frame[name], fields.get(name)
        if field is not None and field.type == "boolean" and pd.api.types.is_bool_dtype(values):
            values = values.map({True: field.trueValues[0], False: field.falseValues[0]})
        elif field is not None and field.format_ and pd.api.types.is_datetime64_any_dtype(values):
            values = values.dt.strftime(field.format_)
        columns[name] = values
    return pd.DataFrame(columns)


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
