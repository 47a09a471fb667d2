import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.errors import ConfigError, InputFileError, StorageError
from synthvae.schema import Schema
from synthvae.table import decode, encode, read_table, write_table
from tests.fields import random_codes, schemas


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@settings(deadline=None)
@given(schema=schemas(), seed=st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, ending: str, schema: Schema, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"table{ending}"
    frame = decode(random_codes(schema, 6, seed), schema)
    write_table(frame, path, schema)
    raw = read_table(path)
    pd.testing.assert_frame_equal(decode(encode(raw, schema), schema), frame)


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_cells_come_as_written(tmp_path: Path) -> None:
    text = '\ufeffa,"b ""c""\nd",é.f\r\n007,NA,\r\n\r\n"x,\ny", 1 ,null\r\n'
    frame = read_table(write(tmp_path, text))
    assert frame.columns.tolist() == ["a", 'b "c"\nd', "é.f"]
    assert frame.to_numpy().tolist() == [["007", "NA", ""], ["x,\ny", " 1 ", "null"]]


def test_other_delimiters_and_endings(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a;b\n1;2"), ";").to_numpy().tolist() == [["1", "2"]]
    assert read_table(write(tmp_path, "a\tb\n1\t2", "t.tsv"), "\t").shape == (1, 2)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.PARQUET")
    assert read_table(tmp_path / "t.PARQUET")["a"].tolist() == [1]


def test_blank_lines_are_missing_values_of_an_only_column(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a\n1\n\n2\n"))["a"].tolist() == ["1", "", "2"]


def test_a_nameless_column_gets_the_name_that_pandas_gives(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, '"",a\n1,2\n')).columns.tolist() == ["Unnamed: 0", "a"]


def test_parquet_keeps_an_index_that_has_a_name(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}, index=pd.Index(["p1"], name="patient")).to_parquet(tmp_path / "t.pq")
    assert read_table(tmp_path / "t.pq").to_dict("list") == {"patient": ["p1"], "a": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "has a header but no rows"),
        ("a,b", "has a header but no rows"),
        ("a;b\n1;2\n", "separated by ';', not ',': .*pass --delimiter ';'"),
        ("a,b,a\n1,2,3\n", "The column 'a' stands twice"),
        ("a,b\n1,2\n\n3\n", "Row 2 of .* has 1 cells, but the header has 2; it begins '3'"),
        ("a,b\n1,2,3\n", "Row 1 of .* has 3 cells, but the header has 2"),
        ("a,b\n1,2,\n3,4,\n", "Row 1 of .* has 3 cells"),
        ("a,b\n1,2\n3,4,5\n", "Row 2 of .* has 3 cells"),
        ('a,b\n1,"2\n3,4\n', "quotation mark that opens and never closes"),
        ("a,b\n1,é\n".encode("latin-1"), r"is not UTF-8 text \(byte 6\); save it as UTF-8"),
        ("é,b\n1,2\n".encode("latin-1"), r"is not UTF-8 text \(byte 0\)"),
        (b"a,b\n" + b"1,2\n" * 9_000 + b"1,\xe9\n", "is not UTF-8 text; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
        (
            "x" * 200_000 + "\n1\n",
            "begins with a column name that is longer than 131,072 characters",
        ),
    ],
)
def test_refuses_what_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        read_table(write(tmp_path, content))


def test_refuses_paths_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="There is no file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(InputFileError, match="There is no file"):
        read_table("a\0b")
    with pytest.raises(InputFileError, match="is a folder; name a CSV or Parquet file"):
        read_table(tmp_path)
    with pytest.raises(ConfigError, match="delimiter is '::'; it must be a single character"):
        read_table(write(tmp_path, "a\n1"), "::")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read anything")
def test_refuses_a_file_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path, "a\n1\n")
    path.chmod(0)
    with pytest.raises(InputFileError, match="Permission denied"):
        read_table(path)


@pytest.mark.parametrize("content", [b"PAR1 not really", b"a,b\n1,2\n"])
def test_refuses_what_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputFileError, match="cannot be read as a table"):
        read_table(write(tmp_path, content, "t.parquet"))


def test_large_cells_control_characters_and_many_columns(tmp_path: Path) -> None:
    big = "x" * 10_000_000
    frame = read_table(write(tmp_path, f"a,b\n{big},p\0q\x07\x1b\n"))
    assert frame.to_numpy().tolist() == [[big, "p\0q\x07\x1b"]]
    names = [f"c{i}" for i in range(100_000)]
    wide = read_table(write(tmp_path, ",".join(names) + "\n" + ",".join(["1"] * 100_000)))
    assert wide.shape == (1, 100_000)


def schema_of(*fields: dict[str, object], missing: list[str]) -> Schema:
    return Schema.from_dict({"fields": list(fields), "missingValues": missing})


FLAG = {
    "name": "x",
    "type": "boolean",
    "trueValues": ["yes"],
    "falseValues": ["no"],
    "constraints": {"required": False},
}


def test_writes_values_as_the_schema_spells_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    day = {
        "name": "d",
        "type": "date",
        "format": "%d/%m/%Y",
        "constraints": {"minimum": "1960-01-01", "maximum": "2030-01-01", "required": False},
    }
    schema = schema_of(FLAG, day, missing=["."])
    frame = decode(np.array([[1, 0], [0, 366], [-1, -1]]), schema)
    write_table(frame, path, schema)
    assert path.read_text() == "x,d\nyes,01/01/1960\nno,01/01/1961\n.,.\n"


def test_an_only_column_is_never_a_blank_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    schema = schema_of(FLAG, missing=["", "NA"])
    write_table(decode(np.array([[1], [-1]]), schema), path, schema)
    assert path.read_text() == "x\nyes\nNA\n"


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "old")
    schema = schema_of(FLAG, missing=[""])
    frame = decode(np.array([[1]]), schema)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(StorageError, match="no room left on the disk"):
        write_table(frame, path, schema)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    schema = schema_of(FLAG, missing=[""])
    inside_a_file = write(tmp_path, "x") / "t.csv"
    with pytest.raises(StorageError, match="cannot be written"):
        write_table(decode(np.array([[1]]), schema), inside_a_file, schema)


def test_flags_that_are_not_booleans_are_written_as_they_are(tmp_path: Path) -> None:
    schema = Schema.from_dict(
        {"fields": [{"name": "flag", "type": "boolean", "trueValues": ["1"], "falseValues": ["0"]}]}
    )
    write_table(pd.DataFrame({"flag": [1, 0]}), tmp_path / "flags.csv", schema)
    assert read_table(tmp_path / "flags.csv")["flag"].tolist() == ["1", "0"]
