from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.errors import StorageError
from synthvae.schema import Schema
from synthvae.table import decode, encode, read_table, write_table
from tests.random_schemas import random_codes, schemas


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


def schema_of(*fields: Mapping[str, object], missing: list[str]) -> Schema:
    return Schema.from_dict({"fields": list(fields), "missingValues": missing})


FLAG: dict[str, Any] = {
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
