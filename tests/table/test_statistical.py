import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from synthvae.errors import InputFileError
from synthvae.schema import Dialect, Schema
from synthvae.table import encode, inspect, limits, open_table

FRAME = pd.DataFrame(
    {
        "sex": [1.0, 2.0, 9.0],
        "income": [10.0, -9.0, -8.0],
        "born": [dt.date(1950, 2, 3), None, dt.date(1850, 1, 1)],
        "seen": [dt.datetime(2020, 1, 31, 10, 30), None, dt.datetime(2020, 2, 1)],
        "town": ["Zürich", "", "b"],
    }
)
LABELS: dict[str, dict[int | float, str]] = {"sex": {1: "male", 2: "female", 9: "unknown"}}
TITLES: dict[str, str | None] = {"sex": "Sex of the patient"}
SEX = Schema.from_dict(
    {
        "fields": [
            {
                "name": "sex",
                "constraints": {"enum": ["female", "male"], "required": False},
                "codes": [2, 1],
            }
        ]
    }
)


def save(folder: Path, ending: str, **options: Any) -> Path:
    path = folder / f"t{ending}"
    if ending == ".xpt":
        pyreadstat.write_xport(FRAME, str(path), column_labels=TITLES, file_format_version=5)
        return path
    writer = pyreadstat.write_dta if ending == ".dta" else pyreadstat.write_sav
    writer(FRAME, str(path), variable_value_labels=LABELS, column_labels=TITLES, **options)
    return path


@pytest.mark.parametrize("ending", [".dta", ".sav", ".xpt"])
def test_values_labels_and_titles(tmp_path: Path, ending: str) -> None:
    table = open_table(save(tmp_path, ending))
    assert table.frame["sex"].tolist() == [1, 2, 9]
    assert table.frame["born"].tolist() == FRAME["born"].tolist()
    assert pd.to_datetime(table.frame["seen"]).tolist()[::2] == FRAME["seen"].tolist()[::2]
    assert table.frame["town"].tolist() == ["Zürich", "", "b"]
    assert table.titles == TITLES
    assert table.labels == ({} if ending == ".xpt" else LABELS)
    assert table.notes == ()


def test_what_spss_declares_missing_is_missing_and_named(tmp_path: Path) -> None:
    ranges: dict[str, Any] = {"sex": [9], "income": [{"lo": -9, "hi": -8}]}
    table = open_table(save(tmp_path, ".sav", missing_ranges=ranges))
    assert table.frame["sex"].isna().tolist() == [False, False, True]
    assert table.frame["income"].isna().tolist() == [False, True, True]
    assert table.labels == {"sex": {1: "male", 2: "female"}}
    first, second = table.notes
    assert "column 'sex': 9 (unknown) read as missing, as the file declares" in first
    assert "column 'income': -9 to -8 read as missing" in second


def test_the_missing_kinds_of_stata_are_missing_and_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": pd.Series([1.5, "a", "b", 2.5], dtype=object), "y": list("abca")})
    pyreadstat.write_dta(
        frame,
        str(tmp_path / "t.dta"),
        missing_user_values={"x": ["a", "b"]},
        variable_value_labels={"x": {"a": "refused"}},  # type: ignore[dict-item]
    )
    table = open_table(tmp_path / "t.dta")
    np.testing.assert_array_equal(table.frame["x"], [1.5, np.nan, np.nan, 2.5])
    assert table.frame["y"].tolist() == list("abca")
    assert table.labels == {}
    assert table.notes[0].endswith("column 'x': .a (refused), .b read as missing")


@pytest.mark.parametrize("ending", [".dta", ".sav"])
def test_a_schema_reads_codes_as_its_categories_row_by_row(tmp_path: Path, ending: str) -> None:
    frame = open_table(save(tmp_path, ending)).frame[["sex"]]
    assert encode(frame.iloc[:2], SEX)[:, 0].tolist() == [1, 0]
    found = inspect(frame, SEX)  # of which the third has no category
    assert found.codes[:, 0].tolist() == [1, 0, -1]
    assert "1 row: not one of female, male" in str(found.problems[0])


@pytest.mark.parametrize("ending", [".dta", ".sav", ".por", ".sas7bdat", ".xpt"])
@pytest.mark.parametrize("content", [b"nothing of the kind\n" * 40, b"\0" * 999])
def test_what_is_no_such_file_is_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    (tmp_path / f"t{ending}").write_bytes(content)
    with pytest.raises(InputFileError, match="cannot be read as a table"):
        open_table(tmp_path / f"t{ending}")


@pytest.mark.parametrize("ending", [".dta", ".sav", ".xpt"])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path, ending)
    path.write_bytes(path.read_bytes()[: 200 if ending == ".xpt" else -60])
    with pytest.raises(InputFileError, match="cannot be read as a table"):
        open_table(path)


def test_more_cells_than_the_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, ".dta")
    monkeypatch.setattr(limits, "machine_memory", lambda: 100)
    with pytest.raises(InputFileError, match="says that it has 3 rows, which need at least"):
        open_table(path)


@pytest.mark.parametrize("encoding", [None, "cp1252"])
def test_one_cell_that_cannot_be_decoded_changes_no_other(
    tmp_path: Path, encoding: str | None
) -> None:
    frame = pd.DataFrame({"city": ["Köln", "Bonn"], "note": ["zQz", "x"]})
    pyreadstat.write_sav(frame, str(tmp_path / "a.sav"))
    content = (tmp_path / "a.sav").read_bytes()
    (tmp_path / "b.sav").write_bytes(content.replace(b"zQz", b"z\xe4z"))
    before = open_table(tmp_path / "a.sav", Dialect(encoding=encoding)).frame["city"].tolist()
    try:
        after = open_table(tmp_path / "b.sav", Dialect(encoding=encoding)).frame["city"].tolist()
    except InputFileError:
        return
    assert after == before
