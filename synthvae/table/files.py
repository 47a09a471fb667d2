"""Read and write tables as CSV or Parquet; a file is written whole or not at all."""

import csv
from pathlib import Path

import pandas as pd

from synthvae._files import whole_file
from synthvae.errors import InputFileError
from synthvae.schema import Schema

PARQUET = (".parquet", ".pq")
DELIMITERS = ";\t|,"


def read_table(path: str | Path, delimiter: str = ",") -> pd.DataFrame:
    """Read a CSV or Parquet file, by its ending, without interpreting a single value.

    Columns of a CSV come as text exactly as written (an empty cell is an empty string), so that
    the schema alone decides what they mean; those of a Parquet file keep their types.

    Raises
    ------
    InputFileError
        The file does not exist, is empty, has two columns of the same name, or is no table.
    """
    path = Path(path)
    if not path.exists():
        raise InputFileError(f"There is no file {path}.")
    if path.is_dir():
        raise InputFileError(f"{path} is a folder; name a CSV or Parquet file.")
    if path.stat().st_size == 0:
        raise InputFileError(f"The file {path} is empty.")
    try:
        frame = _read_parquet(path) if path.suffix in PARQUET else _read_csv(path, delimiter)
    except InputFileError:
        raise
    except UnicodeDecodeError as cause:
        raise InputFileError(
            f"The file {path} is not UTF-8 text (byte {cause.start}); save it as UTF-8."
        ) from cause
    except (OSError, ValueError, csv.Error) as cause:
        reason = " ".join(str(cause).split())
        raise InputFileError(f"The file {path} cannot be read as a table: {reason}") from cause
    if frame.empty:
        raise InputFileError(f"The file {path} has a header but no rows.")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


def _read_csv(path: Path, delimiter: str) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines, delimiter=delimiter), [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputFileError(f"The column '{twice[0]}' stands twice in {path}; rename one of them.")
    if len(header) == 1:
        other = next((mark for mark in DELIMITERS if mark != delimiter and mark in header[0]), None)
        if other is not None:
            raise InputFileError(
                f"The file {path} seems to be separated by {other!r}, not {delimiter!r}: "
                f"its only column is named {header[0][:60]!r}; pass --delimiter {other!r}."
            )
    frame = pd.read_csv(
        path,
        sep=delimiter,
        dtype=str,
        keep_default_na=False,
        na_filter=False,
        encoding="utf-8-sig",
        index_col=False,
        skip_blank_lines=len(header) > 1,
    )
    short = frame.isna().any(axis=1)
    if short.any():
        line = int(short.to_numpy().argmax()) + 2
        raise InputFileError(f"Line {line} of {path} has fewer cells than the header.")
    return frame


def write_table(frame: pd.DataFrame, path: str | Path, schema: Schema) -> None:
    """Write a typed table as CSV or Parquet, by the file's ending, dates and booleans as declared.

    Raises
    ------
    StorageError
        The disk is full, or the folder cannot be written; nothing half-made is left behind.
    """
    path = Path(path)
    with whole_file(path) as draft:
        if path.suffix in PARQUET:
            frame.to_parquet(draft, index=False)
        else:
            _as_text(frame, schema).to_csv(draft, index=False, lineterminator="\n")


def _as_text(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    columns = {}
    for name in frame.columns:
        values = frame[name]
        field = schema[name] if name in schema.names else None
        if field is not None and name not in schema.identifiers:
            if field.type == "boolean":
                values = values.map({True: field.trueValues[0], False: field.falseValues[0]})
            elif field.format_:
                values = values.dt.strftime(field.format_)
        columns[name] = values
    text = pd.DataFrame(columns)
    mark = next((word for word in schema.missingValues if word != ""), "")
    return text.fillna(mark) if len(text.columns) == 1 else text
