from pathlib import Path

import pytest

from synthvae.errors import ConfigError, InputFileError
from synthvae.schema import Dialect
from synthvae.table import open_table, read_table


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    ("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_the_first_line_shows_the_separator(tmp_path: Path, sign: str, name: str) -> None:
    path = write(tmp_path, f"age{sign}bmi{sign}a,b\n53{sign}21,4{sign}B\n")
    table = open_table(path)
    assert table.frame.to_dict("list") == {"age": ["53"], "bmi": ["21,4"], "a,b": ["B"]}
    assert table.dialect == Dialect(delimiter=sign)
    assert f"cells are separated by {name}, as its first line shows" in table.notes[0]
    assert open_table(path, table.dialect).notes == ()


def test_the_rows_below_have_no_say_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"Row 1 of .* has 1 cells, but the header has 2"):
        open_table(write(tmp_path, "a,b\n" + "1;2;3\n" * 50))


@pytest.mark.parametrize(
    "header", ['"a;b;c",d', '"a,b"', '"a;b"', 'a,"b;c\n;d"', 'a,"b ""x;y;z"""']
)
def test_what_is_quoted_separates_nothing(tmp_path: Path, header: str) -> None:
    columns = 1 + header.startswith("a,") + header.endswith("d")
    table = open_table(write(tmp_path, f"{header}\n" + ",".join("12"[:columns]) + "\n"))
    assert (table.frame.shape, table.notes) == ((1, columns), ())


@pytest.mark.parametrize("name", ["t.tsv", "t.tab", "t.TSV"])
def test_tabs_are_usual_in_files_of_tabs(tmp_path: Path, name: str) -> None:
    table = open_table(write(tmp_path, "a\tb,c\n1\t2\n", name))
    assert (list(table.frame.columns), table.notes) == (["a", "b,c"], ())


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_a_line_that_says_the_separator_is_skipped(tmp_path: Path, line: str) -> None:
    table = open_table(write(tmp_path, f"{line}a;b\n1;2,5\n"))
    assert table.frame.to_dict("list") == {"a": ["1"], "b": ["2,5"]}
    assert ("begins with the line sep=;, which is skipped" in table.notes[0], len(table.notes)) == (
        True,
        1,
    )


@pytest.mark.parametrize("word", ["semicolon", ";", "Semicolon"])
def test_a_delimiter_by_name(tmp_path: Path, word: str) -> None:
    assert read_table(write(tmp_path, "a,b;c\n1;2\n"), word).shape == (1, 2)


def test_a_wrong_delimiter_is_pointed_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b\n1;2\n")
    with pytest.raises(
        InputFileError, match=r"separated by ';', not ',': .*pass --delimiter semicolon"
    ):
        read_table(path, ",")
    with pytest.raises(ConfigError, match="delimiter is '::'; it must be a single character"):
        read_table(path, "::")
    with pytest.raises(ConfigError, match="encoding 'klingon' is none that is known"):
        read_table(path, encoding="klingon")


def test_a_file_without_names(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "61,f\n47,m\n"), Dialect(header=False))
    assert table.frame.to_dict("list") == {"column_1": ["61", "47"], "column_2": ["f", "m"]}
    assert table.dialect == Dialect(header=False)


def test_nameless_columns_are_noted(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, '"","a",""\n1,2,3\n'))
    assert list(table.frame.columns) == ["Unnamed: 0", "a", "Unnamed: 2"]
    assert table.notes[0].endswith("2 columns have no name and are called 'Unnamed: 0', ...")


NAMELESS = Dialect(header=False)


@pytest.mark.parametrize("first", ["1;2", "1,5;2", "sep=;", "1;1"])
def test_without_names_the_first_line_decides_nothing(tmp_path: Path, first: str) -> None:
    path = write(tmp_path, f"{first}\n1,5;3\n2,5;4\n")
    declared = open_table(path, Dialect(header=False, delimiter=";"))
    assert declared.frame.iloc[-1].tolist() == ["2,5", "4"]
    other = write(tmp_path, f"{first.replace(',', '')},x\n1,2\n")
    assert list(open_table(other, NAMELESS).frame.columns) == ["column_1", "column_2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "# exported in May\nid;sex\n1;f\n",
            "a comment .'# exported in May'. in place of the names",
        ),
        (
            "# exported in May\nid,sex\n1,f\n",
            "a comment .'# exported in May'. in place of the names",
        ),
        ("# in May, by me\na,b,c\n1,2,3\n", "The first line seems to be a comment: delete"),
    ],
)
def test_a_comment_above_the_names_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        open_table(write(tmp_path, text))


@pytest.mark.parametrize("text", ["#id,sex\n1,f\n", "# of children\n1\n"])
def test_a_name_may_begin_with_a_number_sign(tmp_path: Path, text: str) -> None:
    assert open_table(write(tmp_path, text)).notes == ()


@pytest.mark.parametrize(
    "rows", ['1,"a,x\n2,"b,y\n', '1,"a,x\n2,b,y\n3,"c,z\n', '1,a,"x\n2,b,y\n3,c,"z\n']
)
def test_rows_that_stray_quotation_marks_swallow_are_noted(tmp_path: Path, rows: str) -> None:
    table = open_table(write(tmp_path, f"id,name,note\n0,m,n\n{rows}4,d,w\n"))
    assert len(table.frame) == 3
    (note,) = table.notes
    assert "1 row holds a cell of several lines" in note
    assert "(first: row 2): look whether a stray quotation mark" in note


def test_prose_of_several_lines_is_no_swallowed_row(tmp_path: Path) -> None:
    text = 'id,name,note\n1,a,"pain, mild\nno fever\n"\n2,b,"\n"\n'
    assert open_table(write(tmp_path, text)).notes == ()


@pytest.mark.parametrize("word", ["Summe", "TOTAL", " Gesamt: ", "sum"])
def test_a_last_row_of_totals_is_noted(tmp_path: Path, word: str) -> None:
    (note,) = open_table(write(tmp_path, f"id,x\n1,2\n{word},2\n")).notes
    assert f"the last row begins with {word.strip()!r}: delete it if it holds totals" in note
    assert open_table(write(tmp_path, f"id,x\n{word},2\n1,2\n")).notes == ()
