"""Files of SAS, Stata and SPSS: values as they are stored, and what the file says of them.

A coded column keeps its numbers: whether one patient's code has a label must not decide how the
others' are read. The labels go beside the table, for a draft to write as `codes` and `enum`.
"""

import codecs
import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from synthvae._text import brief, counted, one_line
from synthvae.errors import InputFileError
from synthvae.schema import Dialect
from synthvae.table import limits

Labels = dict[str, dict[float | int | str, str]]
ENDINGS = (".sas7bdat", ".xpt", ".dta", ".sav", ".zsav", ".por")
SPSS_ENDINGS = (".sav", ".zsav", ".por")
ICONV = {"cp1252": "WINDOWS-1252", "iso8859-1": "ISO-8859-1", "utf-8": "UTF-8"}
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
PERIODS = ("%tw", "%tm", "%tq", "%th", "%ty", "%tC")  # counts that are no dates yet
SHOWN = 6
UNREADABLE = (ValueError, OverflowError)  # of dates beyond Python's, or of damaged numbers


@dataclass(frozen=True)
class StatisticalTable:
    """A table, the labels of its codes and the titles of its columns, and notes."""

    frame: pd.DataFrame
    labels: Labels
    titles: dict[str, str]
    notes: list[str]


def read_statistical(path: Path, dialect: Dialect) -> StatisticalTable:
    """Return the table in a file of SAS, Stata or SPSS, by its ending.

    What the file declares as missing (SPSS), and the missing kinds .a to .z of Stata and SAS, are
    read as missing; a note names them.

    Raises
    ------
    InputFileError
        It is no such file, was cut off, is in another encoding, or is larger than the memory.
    """
    ending = path.suffix.lower()
    if ending == ".dta":
        _refuse_cut(path)
    # Only with this option does the file's word on missing values come along.
    kinds = {} if ending in (".por", ".xpt") else {"user_missing": True}
    about = _call(path, dialect, metadataonly=True, **kinds)[1]
    columns = list(about.column_names)
    limits.refuse_width(len(columns), path)
    limits.refuse_repeated(columns, path)
    limits.refuse_size(max(0, about.number_rows or 0), len(columns), path)
    ranges = about.missing_ranges if ending in SPSS_ENDINGS else {}
    notes = _missing_notes(about, path)
    frame, about = _call(path, dialect, **({} if ending in SPSS_ENDINGS else kinds))
    if ending not in SPSS_ENDINGS:
        notes += _without_letters(frame, about, path)
    notes += _period_notes(about, path)
    titles = {name: text for name, text in about.column_names_to_labels.items() if text}
    return StatisticalTable(_as_read(frame), _labels(about, ranges or {}), titles, notes)


def _refuse_cut(path: Path) -> None:
    """Refuse a Stata file (version 117 and later) without its end, where the labels stand."""
    with path.open("rb") as file:
        begins = file.read(11)
        file.seek(-min(100, path.stat().st_size), 2)
        ends = file.read()
    if begins == b"<stata_dta>" and b"</stata_dta>" not in ends:
        raise InputFileError(
            f"The file {path} cannot be read as a table: it was cut off; get it again."
        )


def _call(path: Path, dialect: Dialect, **options: Any) -> tuple[pd.DataFrame, Any]:
    """Call the reader of a file's ending; `InputFileError` where it cannot read it."""
    import pyreadstat

    readers: dict[str, Callable[..., tuple[Any, Any]]] = {
        ".sas7bdat": pyreadstat.read_sas7bdat,
        ".xpt": pyreadstat.read_xport,
        ".dta": pyreadstat.read_dta,
        ".por": pyreadstat.read_por,
    }
    reader = readers.get(path.suffix.lower(), pyreadstat.read_sav)
    name = None if dialect.encoding is None else codecs.lookup(dialect.encoding).name
    # One attempt alone: to fall back where a cell cannot be decoded would make one patient's bytes
    # decide how everybody's are read.
    word = {} if name is None else {"encoding": ICONV.get(name, name.upper())}
    try:
        frame, about = reader(str(path), **options, **word)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, *UNREADABLE) as cause:
        why, failure = one_line(cause), cause
    else:
        return frame, about
    advice = "; pass its encoding, such as `--encoding cp1252`" if _is_about_text(why) else ""
    raise InputFileError(f"The file {path} cannot be read as a table: {why}{advice}.") from failure


def _is_about_text(why: str) -> bool:
    return "byte sequence" in why or "decode" in why or "conversion" in why


def _missing_notes(about: Any, path: Path) -> list[str]:
    """Say which values an SPSS file declares as missing."""
    ranges: dict[str, list[dict[str, Any]]] = about.missing_ranges or {}
    notes = []
    for name, spans in list(ranges.items())[:SHOWN]:
        known = (about.variable_value_labels or {}).get(name, {})
        said = [
            _span(span["lo"], span["hi"])
            + (f" ({known[span['lo']]})" if span["lo"] in known else "")
            for span in spans
        ]
        notes.append(
            f"{path}, column {brief(name)}: {', '.join(said)} read as missing, as the file declares"
        )
    more = len(ranges) - SHOWN
    if more > 0:
        notes.append(
            f"{path}: values that {counted(more, 'more column')} declare missing, likewise"
        )
    return notes


def _span(low: Any, high: Any) -> str:
    if low == high:
        return f"{low:g}" if isinstance(low, float) else str(low)
    return f"{low:g} to {high:g}" if isinstance(low, float) else f"{low} to {high}"


def _without_letters(frame: pd.DataFrame, about: Any, path: Path) -> list[str]:
    """Empty the cells that are missing of a kind (.a to .z), in place, and say which kinds there are."""
    notes = []
    for name in frame.columns:
        if about.readstat_variable_types.get(name) == "string" or frame[name].dtype != object:
            continue
        is_letter = frame[name].map(lambda cell: isinstance(cell, str) and cell in LETTERS)
        if not is_letter.any():
            continue
        found = sorted(set(frame.loc[is_letter, name]))
        known = (about.variable_value_labels or {}).get(name, {})
        said = [f".{mark}" + (f" ({known[mark]})" if mark in known else "") for mark in found]
        numbers = frame[name].mask(is_letter, None)
        plain = numbers.map(lambda cell: cell is None or isinstance(cell, int | float)).all()
        frame[name] = pd.to_numeric(numbers) if plain else numbers
        notes.append(f"{path}, column {brief(name)}: {', '.join(said)} read as missing")
    return notes


def _period_notes(about: Any, path: Path) -> list[str]:
    """Name the columns of Stata that count weeks, months or quarters, which stay numbers."""
    formats: dict[str, str] = about.original_variable_types or {}
    periods = [name for name, form in formats.items() if str(form).startswith(PERIODS)]
    if not periods:
        return []
    listed = ", ".join(map(brief, periods[:SHOWN]))
    return [f"{path}: {listed} count weeks, months, quarters or years, and are read as numbers"]


def _labels(about: Any, missing: dict[str, list[dict[str, Any]]]) -> Labels:
    """Return {code: label} by column, without the codes that are missing values."""
    labels: Labels = {}
    for name, known in (about.variable_value_labels or {}).items():
        is_text = about.readstat_variable_types.get(name) == "string"
        kept = {
            _plain(code): str(label)
            for code, label in known.items()
            if (is_text or code not in LETTERS)
            and not any(_within(code, span) for span in missing.get(name, []))
        }
        if kept:
            labels[name] = kept
    return labels


def _within(code: Any, span: dict[str, Any]) -> bool:
    try:
        return bool(span["lo"] <= code <= span["hi"])
    except TypeError:
        return False


def _plain(code: Any) -> float | int | str:
    if isinstance(code, float) and code.is_integer():
        return int(code)
    return code if isinstance(code, int | str) else float(code)


def _as_read(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose cells of objects are text, dates, or absent."""
    columns = {
        name: frame[name].map(_cell) if frame[name].dtype == object else frame[name]
        for name in frame.columns
    }
    return pd.DataFrame(columns)


def _cell(cell: Any) -> Any:
    if isinstance(cell, float) and math.isnan(cell):
        return None
    return cell.isoformat() if isinstance(cell, dt.time) else cell
