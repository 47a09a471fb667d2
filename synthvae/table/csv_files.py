"""Text files of separated cells: their layout off the first line, their cells as they are written."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synthvae._text import brief, counted, shortened
from synthvae.errors import InputFileError
from synthvae.schema import Dialect
from synthvae.table import limits
from synthvae.table.encodings import decode_text

DELIMITERS = ",;\t|"
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
OPTIONS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
TAB_ENDINGS = (".tsv", ".tab")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(\r\n|\r|\n)', re.IGNORECASE)  # Excel's
FIRST_RECORD = re.compile(r'(?:[^"\r\n]|"(?:[^"]|"")*"|")*')
LONGEST_RECORD = 4_000_000  # characters in which the first line has to end


def read_csv(
    content: bytes, path: Path, dialect: Dialect, *, guess: bool
) -> tuple[pd.DataFrame, Dialect, list[str]]:
    """Return a table of text cells, what has to be said of its layout, and notes.

    Raises
    ------
    InputFileError
        The file is empty, is no text in its encoding, has too many columns, two of one name, or
        rows of uneven length.
    """
    text, encoding, notes = decode_text(content, dialect.encoding, path, guess=guess)
    del content
    # Without a line of names the first line is a patient's, which decides nothing.
    line = SEPARATOR_LINE.match(text) if dialect.header else None
    if line is not None:
        text = text[line.end() :]
        notes.append(f"{path} begins with the line sep={line[1]}, which is skipped")
    text = text.lstrip("\r\n")
    declared = dialect.delimiter or (None if line is None else str(line[1]))
    usual = "\t" if path.name.lower().removesuffix(".gz").endswith(TAB_ENDINGS) else ","
    delimiter: str = declared or usual
    if declared is None and (dialect.header or guess):
        delimiter = _delimiter_of(text, usual)
    if declared is None and delimiter != usual:
        notes.append(
            f"{path}: cells are separated by {NAMES[delimiter]}, as its first line shows; "
            "--delimiter says otherwise"
        )
    header = _read_header(text, delimiter, path, has_names=dialect.header)
    table = _parse(text.encode(), header, delimiter, path)
    frame: pd.DataFrame = (table.slice(1) if dialect.header else table).to_pandas()
    names = named(header, path, notes) if dialect.header else numbered_names(len(header))
    if '"' in text:
        notes += _swallowed_notes(table, delimiter, path, first_row=0 if dialect.header else 1)
    needed = Dialect(
        delimiter=None if delimiter == "," else delimiter, encoding=encoding, header=dialect.header
    )
    return frame.set_axis(names, axis=1), needed, notes


def numbered_names(columns: int) -> list[str]:
    """Return the names of columns that have none: column_1, column_2, ..."""
    return [f"column_{number}" for number in range(1, columns + 1)]


def named(header: Sequence[str], path: Path, notes: list[str]) -> list[str]:
    """Return the names of columns; a nameless one, such as R's row names, as pandas would call it."""
    nameless = [f"Unnamed: {i}" for i, name in enumerate(header) if not name]
    if len(nameless) == 1:
        notes.append(f"{path}: a column has no name and is called {nameless[0]!r}")
    elif nameless:
        notes.append(
            f"{path}: {len(nameless)} columns have no name and are called {nameless[0]!r}, ..."
        )
    return [name or f"Unnamed: {i}" for i, name in enumerate(header)]


def _delimiter_of(text: str, usual: str) -> str:
    """Return the sign that divides the first line into the most cells; what is quoted aside."""
    record = FIRST_RECORD.match(text[:LONGEST_RECORD])
    bare = re.sub(r'"(?:[^"]|"")*"', "", record.group() if record else "")
    signs: tuple[str, ...] = (usual, *DELIMITERS)
    return max(signs, key=bare.count)


def _read_header(text: str, delimiter: str, path: Path, *, has_names: bool) -> list[str]:
    rows = csv.reader(io.StringIO(text[:LONGEST_RECORD], newline=""), delimiter=delimiter)
    try:
        header: list[str] = next((row for row in rows if row), [])
    except csv.Error as cause:
        limit = csv.field_size_limit()
        raise InputFileError(
            f"The file {path} begins with a column name that is longer than {limit:,} characters, "
            "or with a quotation mark that never closes, so it is no table with a header."
        ) from cause
    if not header:
        raise InputFileError(f"The file {path} is empty.")
    limits.refuse_width(len(header), path)
    if has_names:
        limits.refuse_repeated([name for name in header if name], path)
    quoted = '"' + header[0].replace('"', '""') + '"'
    if has_names and len(header) == 1 and header[0].startswith("#"):
        following = next((row for row in rows if row), [])
        if any(mark in cell for cell in following for mark in DELIMITERS) or len(following) > 1:
            raise InputFileError(
                f"The file {path} begins with a line that seems to be a comment ({brief(header[0])}) "
                "in place of the names of its columns; delete the lines above the names."
            )
    if len(header) == 1 and not text.startswith(quoted):
        other = next((mark for mark in DELIMITERS if mark != delimiter and mark in header[0]), None)
        if other is not None:
            raise InputFileError(
                f"The file {path} seems to be separated by {other!r}, not {delimiter!r}: "
                f"its only column is named {brief(header[0])}; pass --delimiter {OPTIONS[other]}."
            )
    return header


def _parse(content: bytes, header: Sequence[str], delimiter: str, path: Path) -> Any:
    """Return all rows as an Arrow table of text, the first line's among them."""
    # Arrow's reader, since that of pandas fills up short rows, cuts long ones and ends a cell at a
    # NUL byte, all without a word.
    import pyarrow as pa

    unclosed = content.count(b'"') % 2 == 1
    never_closes = f"The file {path} has a quotation mark that opens and never closes."
    uneven: list[Any] = []
    try:
        table = _arrow_table(content, len(header), delimiter, uneven)
    except pa.ArrowInvalid as cause:
        if unclosed and not uneven:
            raise InputFileError(never_closes) from cause
        if "Empty CSV" in str(cause):
            raise InputFileError(f"The file {path} has a header but no rows.") from cause
        if not uneven:
            raise
        row = uneven[0]
        comment = ""
        if header[0].startswith("#"):
            comment = " The first line seems to be a comment: delete the lines above the names."
        raise InputFileError(
            f"Row {row.number - 1} of {path} has {row.actual_columns} cells, but the header "
            f"has {row.expected_columns}; it begins {shortened(row.text, 60)!r}.{comment}"
        ) from cause
    if unclosed and (table.num_rows < 2 or "\n" in table.column(table.num_columns - 1)[-1].as_py()):
        raise InputFileError(never_closes)
    return table


def _swallowed_notes(table: Any, delimiter: str, path: Path, *, first_row: int) -> list[str]:
    """Return a note on cells of several lines that hold whole rows, as stray quotation marks make them.

    Each swallowed line end leaves the separators of one row in the cell. Below three columns prose
    does so, too.
    """
    import pyarrow.compute as pc

    columns, rows = table.num_columns, set[int]()
    for column in table.columns if columns > 2 else ():
        for row in pc.indices_nonzero(pc.match_substring(column, "\n")).to_pylist():
            text = column[row].as_py().strip("\n")
            lines = text.count("\n")
            if lines and text.count(delimiter) == lines * (columns - 1):
                rows.add(row + first_row)
    if not rows:
        return []
    cells = counted(len(rows), "row holds", "rows hold")
    return [
        f"{path}: {cells} a cell of several lines with as many separators as whole rows have (first: "
        f"row {min(rows)}): look whether a stray quotation mark swallows rows"
    ]


def _arrow_table(content: bytes, columns: int, delimiter: str, uneven: list[Any]) -> Any:
    """Parse a whole CSV as text; rows of another length than the first go to `uneven`."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    block_size = max(1 << 20, len(content) + 1)
    reading = arrow_csv.ReadOptions(
        block_size=block_size, use_threads=False, autogenerate_column_names=True
    )
    parsing = arrow_csv.ParseOptions(
        delimiter=delimiter,
        newlines_in_values=True,
        ignore_empty_lines=columns > 1,
        invalid_row_handler=refuse,
    )
    types = {f"f{number}": pa.string() for number in range(columns)}
    as_text = arrow_csv.ConvertOptions(
        column_types=types, null_values=[], strings_can_be_null=False
    )
    return arrow_csv.read_csv(pa.BufferReader(content), reading, parsing, as_text)
