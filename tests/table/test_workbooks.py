import datetime as dt
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from synthvae.errors import InputFileError
from synthvae.schema import Dialect
from synthvae.table import open_table
from tests.hostile.limits import said_within

DAY, MOMENT = dt.datetime(2020, 1, 31), dt.datetime(2020, 1, 31, 10, 30)


def save(folder: Path, rows: list[list[Any]], change: Callable[[Any], None] | None = None) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    if change is not None:
        change(book)
    book.save(folder / "t.xlsx")
    return folder / "t.xlsx"


def replace(path: Path, old: bytes, new: bytes, name: str = "xl/worksheets/sheet1.xml") -> Path:
    """Replace bytes in a part of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    assert old in parts[name]
    parts[name] = parts[name].replace(old, new, 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return path


def test_cells_keep_what_they_are(tmp_path: Path) -> None:
    row = [7, 1.5, "007", " =text ", True, DAY, MOMENT, dt.time(10, 30), None]
    frame = open_table(save(tmp_path, [list("abcdefghi"), row, [None] * 8 + ["x"]])).frame
    assert frame.iloc[0].tolist() == row
    assert list(map(type, frame.iloc[0, :5])) == [int, float, str, str, bool]
    assert frame.iloc[1].isna().sum() == 8


def test_a_sheet_is_chosen_and_named(tmp_path: Path) -> None:
    def further(book: Any) -> None:
        book.create_sheet("hidden", 0).sheet_state = "hidden"
        book.create_sheet("visits").append(["v"])
        book["visits"].append([1])

    path = save(tmp_path, [["a"], [1]], further)
    table = open_table(path)
    assert (list(table.frame), table.dialect) == (["a"], Dialect(sheet="Sheet"))
    assert (
        "the sheet 'Sheet' is read; --sheet chooses another: 'hidden', 'visits'" in table.notes[0]
    )
    assert list(open_table(path, Dialect(sheet="visits")).frame) == ["v"]
    with pytest.raises(
        InputFileError, match=r"no sheet 'visit' \(did you mean 'visits'\?\); it has"
    ):
        open_table(path, Dialect(sheet="visit"))


def test_formulas_count_as_their_saved_values(tmp_path: Path) -> None:
    path = save(tmp_path, [["a", "b"], ["=1+1", "x"], ["=2+2", "y"]])
    replace(path, b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
    table = open_table(path)
    assert table.frame["a"].tolist() == [2, None]
    assert "1 cell holds a formula without its value and counts as missing" in table.notes[0]


def merge(where: str) -> Callable[[Any], None]:
    return lambda book: book.active.merge_cells(where)


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        ([[], [], ["a"], [1]], None, "begins with empty rows; delete them"),
        (
            [["Our study"], [], ["a", "b"], [1, 2]],
            None,
            "begins with a title .'Our study'. in place",
        ),
        (
            [["a", "b"], [1, 2, 3]],
            None,
            r"Row 2 of the sheet 'Sheet' .* beyond the last column \(2\)",
        ),
        ([["a", None], [1, 2]], merge("A1:B1"), "has merged cells in its first row"),
        ([["a", "b"]], None, "has a header but no rows"),
        ([["a", "a"], [1, 2]], None, "The column 'a' stands twice"),
        ([], None, "is empty"),
    ],
)
def test_sheets_that_are_no_tables_are_refused_with_advice(
    tmp_path: Path, rows: list[list[Any]], change: Callable[[Any], None] | None, message: str
) -> None:
    with pytest.raises(InputFileError, match=message):
        open_table(save(tmp_path, rows, change))


def test_what_is_done_to_merged_and_empty_rows_is_noted(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["a", "b"], ["x", 1], [None, 2], [], ["z", 3], []]
    table = open_table(save(tmp_path, rows, merge("A2:A3")))
    assert table.frame["a"].tolist() == ["x", None, "z"]
    assert "1 empty row is left out" in table.notes[0]
    assert "has 1 merged range: the first cell of each has the value" in table.notes[1]


def test_no_names(tmp_path: Path) -> None:
    table = open_table(save(tmp_path, [[1, 2], [3, 4]]), Dialect(header=False))
    assert table.frame.to_dict("list") == {"column_1": [1, 3], "column_2": [2, 4]}


def test_no_names_and_a_first_row_that_ends_early(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[1], [], [2, 3, 4], [5, 6]]
    table = open_table(save(tmp_path, rows), Dialect(header=False))
    assert table.frame["column_1"].tolist() == [1, 2, 5]
    assert table.frame["column_3"].isna().tolist() == [True, False, True]
    assert "1 empty row is left out" in table.notes[0]


@pytest.mark.parametrize("rows", [[["Cover"]], [["Cover"], [], ["of", "May"]], [], [[], ["x"]]])
def test_where_the_first_sheet_is_no_table_the_others_are_named(
    tmp_path: Path, rows: list[list[Any]]
) -> None:
    def further(book: Any) -> None:
        book.create_sheet("visits").append(["v"])
        book["visits"].append([1])

    path = save(tmp_path, rows, further)
    with pytest.raises(InputFileError, match=r"in another sheet, name it by --sheet: 'visits'\.$"):
        open_table(path)
    assert open_table(path, Dialect(sheet="visits")).frame["v"].tolist() == [1]
    with pytest.raises(InputFileError, match=r"^(?!.*--sheet)"):
        open_table(path, Dialect(sheet="Sheet"))


ENTITY = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"<worksheet", ENTITY + b"<worksheet"), (b'r="A2"', b'r="ZZZZZZZ2"')],
)
def test_entities_and_impossible_cells_are_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = replace(save(tmp_path, [["a"], [1]]), old, new)
    with pytest.raises(InputFileError, match="holds what no workbook of Excel does"):
        open_table(path)


def test_a_claim_of_a_huge_sheet_costs_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, [["a", "b"], [1, 2]])
    replace(path, b'<dimension ref="A1:B2"', b'<dimension ref="A1:XFD1048576"')
    call = "from synthvae.table import read_table; assert read_table('t.xlsx').shape == (1, 2)"
    assert said_within(call, tmp_path, seconds=60, gigabytes=2) == "READ"


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml"])
def test_a_damaged_part_is_refused(tmp_path: Path, part: str) -> None:
    path = replace(save(tmp_path, [["a"], [1]]), b">", b"><broken", part)
    with pytest.raises(
        InputFileError, match=r"is no whole Excel workbook|cannot be read as a table"
    ):
        open_table(path)
