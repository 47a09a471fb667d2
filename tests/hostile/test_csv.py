import gzip
import os
from pathlib import Path

import pandas as pd
import pytest

from synthvae.drafting import draft_yaml
from synthvae.drafting.dictionary import look_up
from synthvae.errors import ConfigError, InputFileError
from synthvae.schema import Schema
from synthvae.table import find_problems, formulas, read_table, write_table
from tests.hostile.limits import said_within

FORMULAS = ("=cmd|' /C calc'!A0", "@SUM(A1:A9)", "+1+1", "-2+3", '=HYPERLINK("http://x","y")')
WARDS = Schema.from_dict(
    {"fields": [{"name": "ward", "constraints": {"enum": ["north", *FORMULAS, "-1", "+2.5"]}}]}
)


def write(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def test_formula_cells_are_text_and_go_in_and_out_unaltered(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ward": ["north", *FORMULAS]})
    write_table(frame, tmp_path / "t.csv", WARDS)
    assert read_table(tmp_path / "t.csv").equals(frame)
    assert not find_problems(read_table(tmp_path / "t.csv"), WARDS)


def test_a_schema_whose_words_a_spreadsheet_would_run_is_pointed_out() -> None:
    (note,) = formulas(WARDS)
    assert "column 'ward': \"=cmd|' /C calc'!A0\" begins like a formula" in note
    numbers = {"name": "code", "constraints": {"enum": ["-1", "+2.5", "-", "a=b", "N/A"]}}
    assert formulas(Schema.from_dict({"fields": [numbers]})) == []
    named = {"name": "=A1", "type": "boolean", "trueValues": ["yes"], "falseValues": ["@no()"]}
    assert len(formulas(Schema.from_dict({"fields": [named]}))) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\r\n\r\n", "is empty"),
        ("a,b\n", "has a header but no rows"),
        ("a,b", "has a header but no rows"),
        ("a,b,a\n1,2,3\n", "The column 'a' stands twice"),
        ("a,b\n1,2\n\n3\n", "Row 2 of .* has 1 cells, but the header has 2; it begins '3'"),
        ("a,b\n1,2,3\n", "Row 1 of .* has 3 cells, but the header has 2"),
        ("a,b\n1,2,\n3,4,\n", "Row 1 of .* has 3 cells"),
        ("a,b\n1,2\n3,4,5\n", "Row 2 of .* has 3 cells"),
        (
            gzip.compress(b"sex,age\na,1\n", mtime=0),
            r"is a gzip file, .*name it \.csv\.gz",
        ),
        ("a,b\n1,2\n".encode("utf-16-le"), "it seems to be utf-16-le"),
        ("a,b\n1,é\n".encode("latin-1"), r"is not UTF-8 text \(byte 6\); it seems to be cp1252"),
        ("é,b\n1,2\n".encode("latin-1"), r"is not UTF-8 text \(byte 0\)"),
        (b"a,b\n" + b"1,2\n" * 9_000 + b"1,\xe9\n", "is not UTF-8 text .*save it as UTF-8"),
        (b"PK\x03\x04" + b"\0" * 100, "is a damaged zip archive or workbook"),
        (b"\0" * 300_000, "begins with a column name that is longer than 131,072 characters"),
        (b'"sex,age\n' + b"f,1\n" * 100_000, "a quotation mark that never closes"),
        (b'"sex,age\nf,1\n', "a quotation mark that opens and never closes"),
        (b'sex,age\nf,"1\nm,2\n', "never closes|Row 1 of"),
        (b"," * 100_001 + b"\n1\n", "has 100,002 columns; at most 100,000 can be read"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(InputFileError, match=message) as refused:
        read_table(write(tmp_path, content))
    assert len(str(refused.value)) < 500


def test_cells_are_kept_to_the_last_control_character(tmp_path: Path) -> None:
    cells = ["\0", "\x1b[31m", "\u202e", "e\u0301", "é", "\ufeff", "[red]", " "]
    frame = read_table(write(tmp_path, "a\n" + "".join(f'"{cell}"\n' for cell in cells)))
    assert frame["a"].tolist() == cells


def test_a_byte_order_mark_counts_once(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path, "\ufeffa,b\n1,2\n")).columns) == ["a", "b"]
    assert list(read_table(write(tmp_path, "\ufeff\ufeffa,b\n1,2\n")).columns) == ["\ufeffa", "b"]


def test_mixed_line_ends_end_lines(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a,b\r\n1,2\n3,4\r\n5,6"))
    assert frame.to_numpy().tolist() == [["1", "2"], ["3", "4"], ["5", "6"]]


@pytest.mark.parametrize(
    ("name", "other"), [("age", "\u0430ge"), ("caf\u00e9", "cafe\u0301"), ("sex", "ｓｅｘ")]
)
def test_names_that_look_alike_are_two_and_the_message_tells_them_apart(
    tmp_path: Path, name: str, other: str
) -> None:
    twice = read_table(write(tmp_path, f"{name},{other}\n1,2\n"))
    assert list(twice.columns) == [name, other]
    schema = Schema.from_dict({"fields": [{"name": name, "constraints": {"enum": ["1"]}}]})
    problems = find_problems(read_table(write(tmp_path, f"{other}\n1\n")), schema)
    said = " ".join(map(str, problems))
    assert "did you mean" not in said or f"which is {other!a} and not {name!a}" in said


def test_a_category_that_looks_like_another_is_another(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "ward\nn\u043erth\n"))
    (problem,) = find_problems(frame, WARDS)
    assert "not one of north" in str(problem)


def test_free_text_is_never_drafted_as_categories(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "note,age\n" + "x" * 5_000_000 + ",60\n"))
    text = draft_yaml(frame)
    assert len(text) < 3000
    assert "free text: left out of the model" in text


def test_a_message_shows_no_more_of_a_cell_than_it_needs(tmp_path: Path) -> None:
    name = "n" * 100_000
    frame = read_table(write(tmp_path, f"ward,{name}\n" + "x" * 3_000_000 + ",1\n"))
    for problem in find_problems(frame, WARDS):
        assert len(str(problem)) < 500


def test_a_name_of_many_words_stands_for_no_variable() -> None:
    assert look_up("age " * 20_000) is None


def test_what_is_no_ordinary_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "circle.csv").symlink_to(tmp_path / "circle.csv")
    for name, message in {
        "pipe.csv": "is no ordinary file",
        "zero.csv": "is no ordinary file",
        "folder.csv": "is a folder; name a CSV or Parquet file",
        "absent.csv": "There is no file",
        "circle.csv": "cannot be read as a table: Too many levels of symbolic links",
        "n" * 300 + ".csv": "cannot be read as a table: File name too long",
        "a\0b.csv": "There is no file",
    }.items():
        with pytest.raises(InputFileError, match=message):
            read_table(tmp_path / name)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read anything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a\n1\n")
    path.chmod(0)
    with pytest.raises(InputFileError, match="Permission denied"):
        read_table(path)


@pytest.mark.parametrize("delimiter", ["\n", "\r", "\0", "é", "", "::", "x" * 10_000])
def test_a_delimiter_that_is_none_is_refused(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, "a,b\n1,2\n")
    with pytest.raises((InputFileError, ConfigError)) as refused:
        read_table(path, delimiter)
    assert len(str(refused.value)) < 500


@pytest.mark.slow
def test_large_input_is_read_or_refused_in_bounded_time_and_memory(tmp_path: Path) -> None:
    write(tmp_path, b"a,b\n" + b"x" * 10_000_000 + b",1\n", "cell.csv")
    write(tmp_path, ",".join(map(str, range(100_000))) + "\n" + "1," * 99_999 + "1\n", "wide.csv")
    call = (
        "from synthvae.table import read_table; "
        "assert read_table('cell.csv').to_numpy().tolist() == [['x' * 10_000_000, '1']]; "
        "assert read_table('wide.csv').shape == (1, 100_000)"
    )
    assert said_within(call, tmp_path, seconds=60, gigabytes=3) == "READ"
