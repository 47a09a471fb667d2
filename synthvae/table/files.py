"""The one way from a file to a table: by the ending, and never against what the file is.

    path -> kind (ending and first bytes) -> reader -> TableFile (frame, dialect, notes, labels)

Not a single value is interpreted: the schema alone decides what cells mean.
"""

import csv
import stat
from dataclasses import dataclass, replace
from dataclasses import field as default
from pathlib import Path

import pandas as pd

from synthvae._text import one_line
from synthvae.declared import as_delimiter
from synthvae.errors import ConfigError, InputFileError
from synthvae.schema import Dialect
from synthvae.table import containers, limits, statistical
from synthvae.table.csv_files import read_csv
from synthvae.table.workbooks import read_workbook

PARQUET = (".parquet", ".pq")
WORKBOOKS = (".xlsx", ".xlsm")
# Endings of formats that are not read, and the way out.
OTHERS = {
    ".xls": "an old Excel workbook; save it as .xlsx",
    ".xlsb": "a binary Excel workbook; save it as .xlsx",
    ".ods": "an OpenDocument spreadsheet; save it as .xlsx or CSV",
    ".sas7bcat": "a catalogue of SAS formats; name the .sas7bdat file",
    ".rds": "a file of R; save the table with write.csv",
    ".rdata": "a file of R; save the table with write.csv",
    ".json": "a JSON file; export the table as CSV",
    ".pdf": "a PDF document; export the table as CSV",
    ".html": "an HTML page; save the table as CSV or .xlsx",
}
# What each ending is to hold, where its first bytes show it.
KINDS = {
    **dict.fromkeys(PARQUET, containers.PARQUET),
    **dict.fromkeys(WORKBOOKS, containers.WORKBOOK),
    ".gz": containers.GZIP,
    ".zip": containers.ZIP,
    ".dta": containers.STATA,
    ".sav": containers.SPSS,
    ".zsav": containers.SPSS,
    ".sas7bdat": containers.SAS,
    ".xpt": containers.XPT,
}
# What Arrow and pandas raise for a file that is no table, besides OSError.
UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError, csv.Error)
USUAL = Dialect()
# What the first cell of a last row says that is nobody's.
TOTALS = frozenset(("summe", "gesamt", "gesamtsumme", "total", "totals", "sum", "grand total"))


@dataclass(frozen=True)
class TableFile:
    """A table as its file has it, and what was taken for granted in reading it.

    Attributes
    ----------
    frame
        Text as it is written where the file is text; otherwise cells of the file's own types. A
        coded column of SAS, Stata or SPSS holds its codes.
    dialect
        What a schema has to say for the file to be read like this again; what is usual (commas,
        UTF-8, an only sheet) is left out.
    notes
        Sentences, for the terminal: what was read off the file, guessed, skipped, or read as missing.
    labels
        By column, the label of each code.
    titles
        By column, what the file calls it at length.
    """

    frame: pd.DataFrame
    dialect: Dialect = USUAL
    notes: tuple[str, ...] = ()
    labels: statistical.Labels = default(default_factory=dict)
    titles: dict[str, str] = default(default_factory=dict)


def read_table(
    path: str | Path,
    delimiter: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    header: bool = True,
) -> pd.DataFrame:
    """Read a table by its file's ending, without interpreting a single value.

    CSV and other separated text, also gzipped or alone in a zip archive; Excel workbooks (.xlsx);
    Parquet; SAS, Stata and SPSS. Columns of a text file come exactly as written (an empty cell is
    an empty string), so that the schema alone decides what they mean; other files keep their types.

    Raises
    ------
    ConfigError
        The delimiter or the encoding is none.
    InputFileError
        The file does not exist, is empty, has two columns of the same name, too many columns or rows
        of uneven length, or is no table.
    """
    return open_table(path, dialect_of(delimiter, encoding, sheet, header)).frame


def dialect_of(
    delimiter: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    header: bool | None = None,
    declared: Dialect | None = None,
) -> Dialect:
    """Return a dialect of options, those of a declared one where they are not given.

    Raises
    ------
    ConfigError
        The delimiter is no single character, or nobody knows the encoding.
    """
    try:
        given = {"delimiter": as_delimiter(delimiter), "encoding": encoding, "sheet": sheet}
    except ValueError as cause:
        raise ConfigError(f"{cause}.") from None
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {} if header is None else {"header": header}
    return Dialect.from_dict((declared or USUAL).model_dump() | changes, "the options of reading")


def open_table(path: str | Path, dialect: Dialect = USUAL, *, guess: bool = False) -> TableFile:
    """Read a table as `read_table` does, and say what was taken for granted.

    Parameters
    ----------
    path
        The file.
    dialect
        How it is laid out; what is not said is read off the file.
    guess
        Whether an encoding may be guessed, for a person to look at. Without, text that is not UTF-8
        is refused: one patient's bytes would decide how the others' are read.
    """
    path = Path(path)
    try:
        _check_kind(path)
        table = _read(path, dialect, guess=guess)
    except (OSError, *UNREADABLE) as cause:
        why = one_line(getattr(cause, "strerror", None) or cause) or type(cause).__name__
        raise InputFileError(f"The file {path} cannot be read as a table: {why}.") from cause
    limits.refuse_repeated([str(name) for name in table.frame.columns], path)
    if table.frame.empty:
        raise InputFileError(f"The file {path} has a header but no rows.")
    last = table.frame.iloc[-1, 0]
    if isinstance(last, str) and last.strip().rstrip(":").casefold() in TOTALS:
        note = f"{path}: the last row begins with {last.strip()!r}: delete it if it holds totals"
        return replace(table, notes=(*table.notes, note))
    return table


def _check_kind(path: Path) -> None:
    """Refuse what is no ordinary file, is empty, or is something else than its ending says."""
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
    ending = path.suffix.lower()
    if ending in OTHERS:
        raise InputFileError(f"The file {path} is {OTHERS[ending]}.")
    found = containers.content_kind(path)
    if found is not None and found[0] != KINDS.get(ending):
        kind, way_out = found
        raise InputFileError(f"The file {path} is {kind}, whatever its name says; {way_out}.")


def _read(path: Path, dialect: Dialect, *, guess: bool) -> TableFile:
    ending = path.suffix.lower()
    if ending in PARQUET:
        return TableFile(_read_parquet(path))
    if ending in WORKBOOKS:
        frame, needed, notes = read_workbook(path, dialect)
        return TableFile(frame, needed, tuple(notes))
    if ending in statistical.ENDINGS:
        table = statistical.read_statistical(path, dialect)
        needed = Dialect(encoding=dialect.encoding)
        return TableFile(table.frame, needed, tuple(table.notes), table.labels, table.titles)
    name = path
    if ending == ".zip":
        member, content = containers.unzip_table(path)
        name = path / member
    elif ending == ".gz":
        inner = Path(path.stem).suffix.lower()
        if inner not in ("", *containers.TEXT_ENDINGS):
            raise InputFileError(
                f"The file {path} is gzipped; unpack it, and name the {inner} file."
            )
        content = containers.gunzip(path)
    else:
        content = path.read_bytes()
    frame, needed, notes = read_csv(content, name, dialect, guess=guess)
    return TableFile(frame, needed, tuple(notes))


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    about = pq.read_metadata(path)
    limits.refuse_width(about.num_columns, path)
    limits.refuse_size(about.num_rows, about.num_columns, path)
    limits.refuse_repeated(pq.read_schema(path).names, path)
    table = pq.read_table(path)
    frame: pd.DataFrame = table.to_pandas()
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(named) if named else frame
