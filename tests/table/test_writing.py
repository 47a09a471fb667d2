from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.errors import ConfigError
from synthvae.schema import Schema
from synthvae.table import check_writable, decode, encode, open_table, write_table
from tests.random_schemas import random_codes

ENDINGS = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".xlsx", ".dta", ".sav", ".zsav", ".xpt")
MOMENTS = {"minimum": "2000-01-01T00:00:00", "maximum": "2020-12-31T23:59:59", "required": False}


def field(name: str, type_: str = "string", **settings_: Any) -> dict[str, Any]:
    rules: dict[str, Any] = {"required": False}
    rules |= {key: settings_.pop(key) for key in ("enum", "minimum", "maximum") if key in settings_}
    return {"name": name, "type": type_, "constraints": rules, **settings_}


FIELDS = [
    field("sex", enum=["männlich", "weiblich"], codes=[1, 2], title="Sex"),
    field("stage", enum=["I", "II"], codes=[10, 7], invalid="other"),
    field("ward", enum=["A", "=1+1", "b;c, d", "#N/A", "007"], invalid="other"),
    field("smoker", "boolean", trueValues=["ja"], falseValues=["nein"]),
    field("died", "boolean"),
    field("flag", "boolean", trueValues=["1"], falseValues=["0"]),
    field("bmi", "number", decimals=1, decimalChar=",", minimum=10, maximum=60, special=[0]),
    field("crp", "number", decimals=1, minimum=5, maximum=500, censored=["<5"]),
    field("age", "integer", minimum=0, maximum=89, censored=["90+"]),
    field("grade", "integer", enum=[1, 2, 5]),
    field("level", "number", enum=[0.5, 1, 2.5], decimalChar=","),
    field("born", "date", minimum="1850-01-01", maximum="2020-12-31"),
    field("day", "date", format="%d.%m.%Y", minimum="2000-01-01", maximum="2020-12-31"),
    field("seen", "datetime", format="%d.%m.%Y %H:%M") | {"constraints": MOMENTS},
    field("local", "datetime", timezone="Europe/Berlin") | {"constraints": MOMENTS},
    field("stamp", "datetime", format="%Y-%m-%d %H:%M:%S%z", timezone="+01:00")
    | {"constraints": MOMENTS},
    field("basic", "datetime", format="%Y%m%d %H%M%S%z", timezone="Europe/Berlin")
    | {"constraints": MOMENTS},
    field(
        "cost",
        "number",
        decimals=2,
        decimalChar=",",
        groupChar=".",
        minimum=0,
        maximum=10**7,
        special=[-99999],
        censored=["<0"],
    ),
    field("units", "integer", groupChar=" ", minimum=-(10**6), maximum=10**6),
    field("dose", "number", enum=["0.50", "1.00", "1000", "5"], groupChar=","),
]
EVERYTHING = Schema.from_dict(
    {
        "missingValues": ["", "."],
        "fields": FIELDS,
        "dialect": {"delimiter": ";", "encoding": "cp1252"},
    }
)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_again_by_the_same_schema(
    tmp_path_factory: pytest.TempPathFactory, ending: str, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"everything{ending}"
    # Read once already, since an hour that a clock skips is moved on.
    codes = encode(decode(random_codes(EVERYTHING, 40, seed), EVERYTHING), EVERYTHING)
    write_table(decode(codes, EVERYTHING), path, EVERYTHING)
    table = open_table(path, EVERYTHING.dialect)
    assert table.notes == ()
    np.testing.assert_array_equal(encode(table.frame, EVERYTHING), codes)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("missing", [["", "NA"], [""], ["."]])
def test_an_only_column_with_missing_cells(tmp_path: Path, ending: str, missing: list[str]) -> None:
    schema = Schema.from_dict({"missingValues": missing, "fields": [field("x", enum=["a", "b"])]})
    codes = np.array([[0], [-1], [1], [-1]])
    if ending == ".xpt" and missing == [""]:
        with pytest.raises(ConfigError, match="does not tell from its padding"):
            write_table(decode(codes, schema), tmp_path / "t.xpt", schema)
        codes = codes[:3]
    write_table(decode(codes, schema), tmp_path / f"t{ending}", schema)
    table = open_table(tmp_path / f"t{ending}")
    np.testing.assert_array_equal(encode(table.frame, schema), codes)


def test_a_text_file_spells_as_the_schema_does(tmp_path: Path) -> None:
    names = ("smoker", "bmi", "crp", "age", "day", "stamp")
    fields = [each for each in FIELDS if each["name"] in names]
    schema = Schema.from_dict({"fields": fields, "dialect": {"delimiter": "semicolon"}})
    codes = np.array([[1, 114, -2, -2, 30, 0], [0, -2, 0, 7, -1, -1]])
    write_table(decode(codes, schema), tmp_path / "t.csv", schema)
    assert (tmp_path / "t.csv").read_text().split("\n") == [
        "smoker;bmi;crp;age;day;stamp",
        "ja;21,4;<5;90+;31.01.2000;2000-01-01 00:00:00+01:00",
        "nein;0,0;5.0;7;;",
        "",
    ]


def lines(folder: Path, fields: list[dict[str, Any]], codes: list[list[int]], **more: Any) -> Any:
    """The lines below the names of a written CSV, which must be read to the same codes."""
    schema = Schema.from_dict({"fields": fields, "dialect": {"delimiter": ";"}, **more})
    ordered = np.array(codes)[:, [schema.names.index(each.name) for each in schema.modelled]]
    write_table(decode(ordered, schema)[list(schema.names)], folder / "t.csv", schema)
    table = open_table(folder / "t.csv", schema.dialect)
    np.testing.assert_array_equal(encode(table.frame, schema), ordered)
    return (folder / "t.csv").read_text().split("\n")[1:-1]


def test_thousands_are_written_in_groups(tmp_path: Path) -> None:
    fields = [
        field("a", "number", decimals=2, decimalChar=",", groupChar=".", minimum=0, maximum=10**7),
        field("b", "number", decimals=1, groupChar=",", minimum=-(10**7), maximum=10**7),
        field("c", "integer", groupChar=" ", minimum=0, maximum=10**7),
    ]
    codes = [[1205614, 10**8 - 12345678, 1234567], [99999, 10**8 + 9995, 999], [-1, -1, -1]]
    assert lines(tmp_path, fields, codes) == [
        "12.056,14;-1,234,567.8;1 234 567",
        "999,99;999.5;999",
        ";;",
    ]


def test_categories_of_numbers_are_spelled_as_the_schema_has_them(tmp_path: Path) -> None:
    fields = [
        field("a", "number", enum=["0.50", "1.00", "5"]),
        field("b", "number", enum=["0.50", "1000.25", "5"], decimalChar=",", groupChar="."),
        field("c", "integer", enum=["007", "8"]),
        field("d", "number", enum=["1.234", "1234"], groupChar=".", decimalChar=","),
    ]
    codes = [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, -1, -1]]
    texts = ["0.50;0,50;007;1,234", "1.00;1.000,25;8;1234", "5;5;;"]
    assert lines(tmp_path, fields, codes) == texts
    table = pd.read_excel(_workbook(tmp_path, fields[0]))
    assert table["a"].tolist() == [0.5, 1, 5]


def _workbook(folder: Path, field_: dict[str, Any]) -> Path:
    schema = Schema.from_dict({"fields": [field_]})
    write_table(decode(np.array([[0], [1], [2]]), schema), folder / "t.xlsx", schema)
    return folder / "t.xlsx"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%d.%m.%Y %H:%M %z", "01.07.2000 02:00 +02:00"),
        ("%Y%m%dT%H%M%S%z", "20000701T020000+0200"),
        ("%Y-%m-%dT%H:%M:%S%z%%z", "2000-07-01T02:00:00+02:00%z"),
    ],
)
def test_offsets_have_a_colon_unless_the_date_is_basic(
    tmp_path: Path, pattern: str, text: str
) -> None:
    seen = field("seen", "datetime", format=pattern, timezone="Europe/Berlin")
    seen["constraints"] = {
        "minimum": "2000-07-01T02:00:00",
        "maximum": "2001-12-31T23:59:59",
        "required": False,
    }
    assert lines(tmp_path, [seen, field("x", enum=["a"])], [[0, 0], [-1, 0]]) == [
        f"{text};a",
        ";a",
    ]


@pytest.mark.parametrize(("marks", "text"), [(["", "NA"], ""), (["NA", ""], "NA"), (["."], ".")])
def test_missing_cells_are_spelled_as_the_first_mark(
    tmp_path: Path, marks: list[str], text: str
) -> None:
    fields = [field("x", enum=["a"]), field("y", enum=["b"])]
    assert lines(tmp_path, fields, [[0, -1]], missingValues=marks) == [f"a;{text}"]


def test_utf_16_goes_back_to_utf_16(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("sex;x\nmännlich;a\n".encode("utf-16"))
    table = open_table(tmp_path / "t.csv")
    schema = Schema.from_dict(
        {
            "fields": [field("sex", enum=["männlich"]), field("x", enum=["a"])],
            "dialect": {"delimiter": table.dialect.delimiter, "encoding": table.dialect.encoding},
        }
    )
    write_table(table.frame, tmp_path / "u.csv", schema)
    assert (tmp_path / "u.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


@pytest.mark.parametrize("ending", [".dta", ".sav"])
def test_codes_labels_and_titles_are_written(tmp_path: Path, ending: str) -> None:
    schema = Schema.from_dict({"fields": FIELDS[:2]})
    write_table(decode(np.array([[1, 2], [0, 0]]), schema), tmp_path / f"t{ending}", schema)
    table = open_table(tmp_path / f"t{ending}")
    assert table.frame.to_dict("list") == {"sex": [2, 1], "stage": [11, 10]}
    assert table.labels["stage"] == {10: "I", 7: "II", 11: "other"}
    assert table.labels["sex"] == {1: "männlich", 2: "weiblich"}
    assert table.titles == {"sex": "Sex"}


def test_a_file_without_names_is_read_again(tmp_path: Path) -> None:
    schema = Schema.from_dict(
        {
            "fields": [field("column_1", enum=["a"]), field("column_2", "boolean")],
            "dialect": {"header": False},
        }
    )
    codes = np.array([[0, 1], [-1, 0]])
    for name in ("t.csv", "t.xlsx"):
        write_table(decode(codes, schema), tmp_path / name, schema)
        table = open_table(tmp_path / name, schema.dialect)
        np.testing.assert_array_equal(encode(table.frame, schema), codes)


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        (
            "crea mg/dL",
            "t.dta",
            "column 'crea mg/dL': a name in a file of Stata has at most 32",
        ),
        ("x" * 33, "t.dta", "rename it in the table and in the schema, or write CSV or Parquet"),
        ("long", "t.dta", "is no word of the language"),
        ("and", "t.sav", "a name in a file of SPSS has at most 64"),
        ("1st", "t.sav", "begins with a letter"),
        ("creatinine", "t.xpt", r"a name in a file of SAS \(.xpt\) has at most 8"),
        ("größe", "t.xpt", "at most 8 plain letters"),
        ("Sex", "t.sav", "columns 'SEX': a file of SPSS does not tell capital letters from small"),
        ("a\x01b", "t.xlsx", r"column 'a\\x01b': .* cannot stand in a cell of Excel"),
        ("Łódź", "t.csv", "column 'Łódź': 'Łódź' cannot be written in cp1252; set `dialect:"),
        ("x", "t.pdf", r"out is t.pdf; its name must end in one of .csv, .txt"),
    ],
)
def test_what_a_format_does_not_allow_is_said_before_anything_is_made(
    name: str, file: str, message: str
) -> None:
    schema = Schema.from_dict(
        {
            "dialect": {"encoding": "cp1252"},
            "fields": [field(name, enum=["a"]), field("sex", enum=["b"])],
        }
    )
    with pytest.raises(ConfigError, match=message):
        check_writable(file, schema)


def test_more_rows_than_a_sheet_has() -> None:
    schema = Schema.from_dict({"fields": [field("x", enum=["a"])]})
    check_writable("t.xlsx", schema, 1_048_575)
    with pytest.raises(
        ConfigError, match="has 1,048,576 rows; a sheet of Excel has at most 1,048,575"
    ):
        check_writable("t.xlsx", schema, 1_048_576)


def test_values_of_columns_that_the_schema_does_not_model_are_written_as_they_are(
    tmp_path: Path,
) -> None:
    schema = Schema.from_dict(
        {"fields": [field("x", enum=["a"]), {"name": "id", "role": "identifier"}]}
    )
    frame = pd.DataFrame({"x": ["a"], "id": ["p1"], "more": [1.5]})
    for ending in ENDINGS:
        write_table(frame, tmp_path / f"t{ending}", schema)
        assert open_table(tmp_path / f"t{ending}").frame["more"].astype(float).tolist() == [1.5]
