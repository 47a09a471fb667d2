"""Excel workbooks: one sheet's values, its first row the names; read within limits, nothing run."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from synthvae._text import brief, counted, nearest, one_line
from synthvae.errors import InputFileError
from synthvae.schema import Dialect
from synthvae.table import limits
from synthvae.table.csv_files import named, numbered_names

MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 1_048_576, 16_384, 32_767  # of a sheet
PIECE, OVERLAP = 1 << 20, 4096
ENTITIES = re.compile(rb"<!DOCTYPE|<!ENTITY|\A\xff\xfe|\A\xfe\xff")  # which no workbook needs
FAR_CELL = re.compile(rb"""\br\s*=\s*["'](?:[A-Za-z]{4,}\d*|[A-Za-z]*\d{8,})["']""")
# A formula that was saved without the value that it had.
UNCOUNTED = re.compile(
    rb"<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v(?:\s[^>]*)?>\s*</v>)?\s*</c>"
)
MERGED = re.compile(rb'<mergeCell\s[^>]*ref="[A-Z]+(\d+):[A-Z]+(\d+)"')


@dataclass
class _Facts:
    """What the XML of a sheet shows, and its reader does not."""

    uncounted: int = 0
    merged: int = 0
    merged_in_header: bool = False


def read_workbook(path: Path, dialect: Dialect) -> tuple[pd.DataFrame, Dialect, list[str]]:
    """Return a sheet as a table, what has to be said of its layout, and notes.

    Cells keep what they are: numbers, text, truth values, dates. A formula counts as the value that
    was saved with it. The sheet is the first visible one unless the dialect names it.

    Raises
    ------
    InputFileError
        It is no workbook or a hostile one, has no such sheet or too many cells, or its first row
        does not hold the names of columns.
    """
    facts = _scan(path)
    try:
        return _read_sheet(path, dialect, facts)
    except (
        AttributeError,
        SyntaxError,
        AssertionError,
    ) as cause:  # which openpyxl raises for many faults
        raise InputFileError(
            f"The file {path} is no whole Excel workbook ({one_line(cause, 100)}); save it again as "
            ".xlsx."
        ) from cause


def _read_sheet(
    path: Path, dialect: Dialect, facts: dict[str, _Facts]
) -> tuple[pd.DataFrame, Dialect, list[str]]:
    from openpyxl import load_workbook

    notes: list[str] = []
    with path.open("rb") as file:  # which is closed whatever openpyxl meets
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheet = _choose(book, dialect.sheet, path, notes)
        others = [each.title for each in book.worksheets if each.title != sheet.title]
        way_out = ""
        if others and dialect.sheet is None:
            way_out = f" If the table is in another sheet, name it by --sheet: {_listed(others)}."
        sheet.reset_dimensions()  # what a file claims of its size need not be so
        where = f"The sheet {brief(sheet.title)} of {path}"
        seen = facts.get(sheet._worksheet_path.lstrip("/"), _Facts())
        if seen.merged_in_header and dialect.header:
            raise InputFileError(
                f"{where} has merged cells in its first row; let one row of single cells hold the names "
                f"of the columns.{way_out}"
            )
        try:
            frame = _frame(_rows(sheet, path), dialect, where, path, notes)
        except InputFileError as cause:
            raise InputFileError(f"{cause}{way_out}") from None
        if frame.empty and way_out:
            raise InputFileError(f"{where} has a header but no rows.{way_out}")
    needed = sheet.title if len(book.worksheets) > 1 else dialect.sheet
    notes += _fact_notes(seen, where)
    return frame, Dialect(sheet=needed, header=dialect.header), notes


def _fact_notes(seen: _Facts, where: str) -> list[str]:
    notes = []
    if seen.uncounted:
        formulas = counted(seen.uncounted, "cell holds a formula", "cells hold a formula")
        notes.append(
            f"{where}: {formulas} without its value and counts as missing; open and save it in Excel "
            "to have it computed"
        )
    if seen.merged:
        notes.append(
            f"{where} has {counted(seen.merged, 'merged range')}: the first cell of each has the value, "
            "and the others are missing"
        )
    return notes


def _scan(path: Path) -> dict[str, _Facts]:
    """Refuse a workbook that would fill the memory or define entities; return facts of its sheets."""
    most, size = limits.most_bytes(), 0
    facts: dict[str, _Facts] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.lower().endswith((".xml", ".rels", ".vml")):
                    continue
                seen = facts.setdefault(member.filename, _Facts())
                is_sheet = member.filename.startswith("xl/worksheets/")
                for piece, new in _overlapping(archive, member):
                    size += new
                    if size > most:
                        raise InputFileError(
                            f"The file {path} unpacks to more than {most / 2**30:.3g} GB, which this "
                            "machine has no memory for; save the sheet as CSV."
                        )
                    if ENTITIES.search(piece) or (is_sheet and FAR_CELL.search(piece)):
                        raise InputFileError(
                            f"The file {path} holds what no workbook of Excel does (entities, or cells "
                            "beyond the last column); it is not opened: save it anew."
                        )
                    if is_sheet:
                        _note_facts(seen, piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as cause:
        raise InputFileError(
            f"The file {path} is no whole Excel workbook ({cause}); save it again as .xlsx."
        ) from None
    return facts


def _overlapping(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[tuple[bytes, int]]:
    """Yield a member's content in pieces that end with a whole tag, and how much of it is new."""
    rest = b""
    with archive.open(member) as file:
        while new := file.read(PIECE):
            piece = rest + new
            end = piece.rfind(b"</c>", 0, len(piece) - 1) + len(b"</c>")
            end = end if end > len(b"</c>") else max(0, len(piece) - OVERLAP)
            yield piece[:end], len(new)
            rest = piece[end:] if len(piece) - end < PIECE else piece[-OVERLAP:]
    yield rest, 0


def _note_facts(seen: _Facts, piece: bytes) -> None:
    if b"<f" in piece:
        seen.uncounted += sum(1 for _ in UNCOUNTED.finditer(piece))
    if b"<mergeCell" in piece:
        for first, _ in MERGED.findall(piece):
            seen.merged += 1
            seen.merged_in_header |= int(first) == 1


def _choose(book: Any, wanted: str | None, path: Path, notes: list[str]) -> Any:
    """Return the sheet of a name, or the first that is not hidden."""
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if not sheets:
        raise InputFileError(f"The workbook {path} has no sheet with cells.")
    if wanted is not None:
        if wanted not in sheets:
            raise InputFileError(
                f"The workbook {path} has no sheet {brief(wanted)}{nearest(wanted[:100], sheets)}; it "
                f"has {_listed(list(sheets))}."
            )
        return sheets[wanted]
    visible = [sheet for sheet in sheets.values() if sheet.sheet_state == "visible"]
    chosen = (visible or list(sheets.values()))[0]
    if len(sheets) > 1:
        others = _listed([title for title in sheets if title != chosen.title])
        notes.append(
            f"{path}: the sheet {brief(chosen.title)} is read; --sheet chooses another: {others}"
        )
    return chosen


def _listed(titles: list[str]) -> str:
    return ", ".join(map(brief, titles[:6])) + (", ..." if len(titles) > 6 else "")


def _rows(sheet: Any, path: Path) -> Iterator[list[Any]]:
    """Yield the rows of a sheet without the empty cells at their ends."""
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        if number >= MOST_ROWS:
            raise InputFileError(f"The sheet of {path} has more than {MOST_ROWS:,} rows.")
        width = next((i for i in range(len(row), 0, -1) if row[i - 1] is not None), 0)
        yield list(row[:width])


def _frame(
    rows: Iterator[list[Any]], dialect: Dialect, where: str, path: Path, notes: list[str]
) -> pd.DataFrame:
    first = next(rows, None)
    if first is None:
        raise InputFileError(f"{where} is empty.")
    if not first:
        raise InputFileError(
            f"{where} begins with empty rows; delete them, so that the names of the columns stand in "
            "its first row."
        )
    body, empty = _body(first, rows, dialect, where, path)
    width = len(first) if dialect.header else max(map(len, body))
    if empty:
        notes.append(f"{where}: {counted(empty, 'empty row is', 'empty rows are')} left out")
    names = numbered_names(width)
    if dialect.header:
        names = named(["" if cell is None else str(cell) for cell in first], path, notes)
    padded = (row + [None] * (width - len(row)) for row in body)
    columns = {
        i: pd.Series(list(cells), dtype=object) for i, cells in enumerate(zip(*padded, strict=True))
    }
    frame = pd.DataFrame(columns) if body else pd.DataFrame(columns=range(width))
    return frame.set_axis(names, axis=1)


def _body(
    first: list[Any], rows: Iterator[list[Any]], dialect: Dialect, where: str, path: Path
) -> tuple[list[list[Any]], int]:
    """Return the rows of patients, and how many empty ones are left out.

    Without a row of names the first row is a patient's, whose empty last cells narrow nobody's row.
    """
    body = [] if dialect.header else [first]
    width, empty, cells = len(first), 0, 0
    for number, row in enumerate(rows, 2):
        if not row and width > 1:
            empty += 1
            continue
        if not dialect.header:
            width = max(width, len(row))
        elif len(row) > width:
            if len([cell for cell in first if cell is not None]) == 1:
                raise InputFileError(
                    f"{where} begins with a title ({brief(first[0])}) in place of the names of its "
                    "columns; delete the rows above the names."
                )
            raise InputFileError(
                f"Row {number} of {where[0].lower()}{where[1:]} has a cell beyond the last column "
                f"({width}); name that column in the first row, or clear the cell."
            )
        body.append(row)
        cells += width
        if cells % 1_000_000 < width:
            limits.refuse_size(len(body), width, path)
    filled = body if width == 1 else [row for row in body if row]
    return filled, empty + len(body) - len(filled)
