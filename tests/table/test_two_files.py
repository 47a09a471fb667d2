"""Patients and visits in two files: joined, checked all at once, split again."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synthvae.errors import ConfigError, DataError, SchemaError
from synthvae.schema import Schema
from synthvae.table import encode, find_problems, join_visits, split_visits, write_in_files
from synthvae.table.files import read_table

FACTS: dict[str, Any] = {
    "name": "ward",
    "patientKey": "id",
    "maxRows": 4,
    "orderBy": "day",
    "visitsOptional": True,
    "rules": ["pain is not missing", "born < 2000 or sex == 'm'"],
    "fields": [
        {"name": "id", "type": "integer"},
        {"name": "visit", "type": "integer", "role": "identifier"},
        {"name": "sex", "constraints": {"enum": ["f", "m"]}, "perPatient": True},
        {
            "name": "born",
            "type": "integer",
            "constraints": {"minimum": 1900, "maximum": 2020},
            "perPatient": True,
        },
        {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
        {"name": "pain", "type": "boolean"},
        {
            "name": "note",
            "type": "integer",
            "constraints": {"minimum": 0, "maximum": 9, "required": False},
        },
    ],
}
SCHEMA = Schema.from_dict(FACTS)
PATIENTS = pd.DataFrame({"id": [7, 3, 5], "sex": ["f", "m", "f"], "born": [1950, 2010, 1970]})
VISITS = pd.DataFrame(
    {
        "visit": [11, 12, 2**53 + 1],
        "id": [5, 7, 5],
        "day": [4, 8, 2],
        "pain": [True, False, True],
        "note": [None, 1.0, 2.0],
    }
)


def changed(**changes: Any) -> Schema:
    return Schema.from_dict(FACTS | changes)


def test_two_files_are_joined_and_split_again() -> None:
    joined = join_visits(PATIENTS, VISITS, SCHEMA)
    assert joined["id"].tolist() == [5, 7, 5, 3]  # the visits' own order, then who has none
    assert joined["sex"].tolist() == ["f", "f", "f", "m"]
    assert joined["day"].isna().tolist() == [False, False, False, True]
    patients, visits = split_visits(joined, SCHEMA)
    by_id = patients.sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(by_id, PATIENTS.sort_values("id", ignore_index=True))
    # A float would have lost the last digit of the large number.
    assert visits["visit"].tolist() == VISITS["visit"].tolist()
    pd.testing.assert_frame_equal(
        visits[list(VISITS.columns)].astype({"note": float}), VISITS, check_dtype=False
    )


def test_a_patient_without_visits_has_static_columns_alone() -> None:
    joined = join_visits(PATIENTS, VISITS, SCHEMA)
    names = [field.name for field in SCHEMA.modelled]
    codes = dict(zip(names, encode(joined, SCHEMA)[3].tolist(), strict=True))
    assert codes == {"sex": 1, "born": 110, "pain": -1, "note": -1, "day": -1}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"day": 5}, "column 'pain': 1 row: a missing value"),
        ({"pain": True}, "column 'day': 1 row: a missing value"),
        (
            {"id": 5},
            "column 'day': 1 row: nothing of a visit in a row of a patient who has another",
        ),
        ({"born": 2015, "sex": "f"}, r"rule .born < 2000 or .*: 1 row: broken \(first: row 4\)"),
    ],
)
def test_hardly_a_visit_is_no_patient_without_visits(change: dict[str, Any], problem: str) -> None:
    joined = join_visits(PATIENTS, VISITS, SCHEMA).astype({"day": object, "pain": object})
    if "id" in change:
        change |= {"sex": "f", "born": 1970}
    for name, value in change.items():
        joined.loc[3, name] = value
    with pytest.raises(DataError, match=problem):
        encode(joined, SCHEMA)


def test_without_visits_needs_the_schemas_word() -> None:
    joined, plain = join_visits(PATIENTS, VISITS, SCHEMA), changed(visitsOptional=False)
    columns = {problem.column for problem in find_problems(joined, plain)}
    assert columns >= {"day", "pain"}
    match = r"patients: column 'id': 1 row: a patient without visits \(first: row 2\); set `visitsO"
    with pytest.raises(DataError, match=match):
        join_visits(PATIENTS, VISITS, plain)
    with pytest.raises(SchemaError, match="visitsOptional needs orderBy"):
        changed(orderBy=None)


def test_all_problems_are_named_at_once() -> None:
    patients = pd.DataFrame(
        {
            "id": ["1", "2", "2", ""],
            "sex": ["f", "x", "m", "m"],
            "day": ["1"] * 4,
            "note": ["1"] * 4,
        }
    )
    visits = pd.DataFrame(
        {"id": ["9", "1"], "sex": ["f", "f"], "day": ["3", "300"], "age": ["1"] * 2}
    )
    with pytest.raises(DataError) as caught:
        join_visits(patients, visits, SCHEMA)
    lines = str(caught.value).splitlines()
    assert lines[0] == "The patients and the visits do not fit the schema 'ward':"
    expected = [
        "visits: column 'age': is not in the schema; declare it",
        "column 'sex': stands in both files; drop it from the visits, since it is `perPatient`",
        "column 'born': is in the schema, but in neither file; add it to the patients",
        "column 'day': stands in both files; drop it from the patients, unless it is `perPatient`",
        "column 'pain': is in the schema, but in neither file; add it to the visits",
        "patients: column 'note': belongs to the visits, not `perPatient`; move it there, or add",
        "patients: column 'id': 1 row: no patient identifier",
        "patients: column 'sex': 1 row: not one of f, m (first: 'x' in row 2)",
        "visits: column 'day': 1 row: above 99 (first: '300' in row 2)",
        "patients: column 'id': 1 row: the key of an earlier row (first: row 3); keep one row",
        "visits: column 'id': 1 row: a key that no row of the patients has (first: row 1); add",
    ]
    text = " ".join(" ".join(line.split()) for line in lines)
    assert [line for line in expected if line not in text] == []
    assert len(lines) == 1 + len(expected)


def test_what_is_per_patient_does_not_stand_among_visits() -> None:
    visits = VISITS.assign(sex="f")
    match = "visits: column 'sex': belongs to the patients, as it is `perPatient`; move it there"
    with pytest.raises(DataError, match=match):
        join_visits(PATIENTS.drop(columns="sex"), visits, SCHEMA)


def test_files_without_a_key_are_refused() -> None:
    plain = Schema.from_dict({"fields": [{"name": "id", "role": "identifier"}, FACTS["fields"][4]]})
    with pytest.raises(SchemaError, match="has no patientKey, by which"):
        split_visits(VISITS, plain)
    with pytest.raises(ConfigError, match="visits is a list, not a data frame"):
        join_visits(PATIENTS, [], SCHEMA)  # type: ignore[arg-type]
    match = "visits: column 'id': of patientKey is not there; add the column"
    with pytest.raises(DataError, match=match):
        join_visits(PATIENTS, VISITS.drop(columns="id"), SCHEMA)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".dta"])
def test_files_are_written_as_one_reads_them(ending: str, tmp_path: Path) -> None:
    visits = VISITS.assign(visit=[1, 2, 3])
    files = [tmp_path / f"patients{ending}", tmp_path / f"visits{ending}"]
    assert write_in_files(join_visits(PATIENTS, visits, SCHEMA), files, SCHEMA) == [3, 3]
    patients, visits = map(read_table, files)
    assert list(patients.columns) == ["id", "sex", "born"]
    assert list(visits.columns) == ["id", "visit", "day", "pain", "note"]
    assert sorted(map(int, patients["id"])) == [3, 5, 7]
    assert len(encode(join_visits(patients, visits, SCHEMA), SCHEMA)) == 4


def test_neither_file_is_there_where_one_cannot_be_written(tmp_path: Path) -> None:
    joined = join_visits(PATIENTS, VISITS, SCHEMA)
    (tmp_path / "visits.csv").mkdir()
    with pytest.raises(Exception, match=r"visits\.csv"):
        write_in_files(joined, [tmp_path / "patients.csv", tmp_path / "visits.csv"], SCHEMA)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == []
