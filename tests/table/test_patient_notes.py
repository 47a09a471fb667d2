"""Notes on patients: tiny tables, each with one oddity, and one without any."""

import numpy as np
import pandas as pd
import pytest

from synthvae.schema import Schema
from synthvae.table import encode
from synthvae.table.patient_notes import patient_notes

PATIENTS = 40
VISITS = Schema.from_dict(
    {
        "patientKey": "id",
        "maxRows": 2,
        "fields": [
            {"name": "id"},
            {"name": "sex", "constraints": {"enum": ["f", "m"]}, "perPatient": True},
            {"name": "visit", "type": "integer", "constraints": {"minimum": 1, "maximum": 9}},
            {"name": "score", "type": "integer", "constraints": {"minimum": 0, "maximum": 999}},
        ],
    }
)


def visits(rows: int = 2) -> pd.DataFrame:
    """Each patient's visits, all with another score."""
    whose = np.repeat(np.arange(PATIENTS), rows)
    return pd.DataFrame(
        {
            "id": [f"p{each}" for each in whose],
            "sex": np.where(whose % 2, "f", "m"),
            "visit": np.tile(np.arange(rows) + 1, PATIENTS),
            "score": np.arange(len(whose)) * 7 % 1000,
        }
    )


def notes(frame: pd.DataFrame, schema: Schema = VISITS, **changes: object) -> dict[str, str]:
    schema = schema.replace(**changes) if changes else schema
    return {note.kind: str(note) for note in patient_notes(frame, encode(frame, schema), schema)}


def free(schema: Schema = VISITS) -> Schema:
    """The schema without `perPatient`."""
    value = schema.to_dict()
    for field in value["fields"]:
        field.pop("perPatient", None)
    return Schema.from_dict(value)


def test_a_table_as_it_should_be_gets_one_note_on_the_order_of_visits() -> None:
    found = notes(visits())
    assert found.keys() == {"order"}
    assert "column 'visit' holds no value twice in any patient" in found["order"]


def test_rows_beyond_max_rows_are_counted() -> None:
    frame = pd.concat([visits(5).head(50), visits(1).tail(30)])
    text = notes(frame)["dropped rows"]
    assert "maxRows is 2, and 10 patients of 40 have more rows (up to 5): 30 rows of 80" in text


def test_a_max_rows_that_few_patients_need_is_named_with_its_price() -> None:
    text = notes(visits(), maxRows=6)["noise"]
    assert "at least 95% of the patients have at most 2 rows" in text
    assert "`maxRows: 2` would divide it by 3" in text


def test_a_column_that_hardly_can_vary_and_does_in_a_few_is_named() -> None:
    frame = visits()
    frame.loc[[0, 8], "sex"] = "f"
    found = notes(frame, free())
    assert "column 'sex' varies within 2 patients of 40 with several rows" in found["varying"]
    assert "constant" not in found


def test_a_column_that_never_varies_should_be_per_patient() -> None:
    found = notes(visits(), free())
    assert "column 'sex' varies within no patient of 40 with several rows" in found["constant"]


def test_a_rare_event_that_varies_in_no_patient_says_nothing() -> None:
    frame = visits().assign(sex=["f", "f"] + ["m"] * (2 * PATIENTS - 2))
    assert "constant" not in notes(frame, free())


def test_a_visit_that_was_entered_twice_is_counted() -> None:
    frame = visits()
    frame.loc[1, "visit"] = 1
    assert "'visit' holds a value twice in 1 patient of 40" in notes(frame)["repeated"]


def test_equal_rows_of_a_patient_are_counted_and_do_not_speak_for_more_rows() -> None:
    frame = pd.concat([visits(1), visits(1).head(3)])
    found = notes(frame)
    assert "3 rows of 3 patients equal an earlier row of the same patient" in found["duplicates"]
    assert (
        "at most 1 row (equal rows counted once)"
        in notes(pd.concat([visits(1), visits(1).head(10)]))["noise"]
    )


@pytest.mark.parametrize(("columns", "says"), [(["visit", "score"], True), (["sex"], False)])
def test_equal_rows_without_a_key_are_counted_where_they_hardly_come_by_chance(
    columns: list[str], says: bool
) -> None:
    fields = [field for field in free().to_dict()["fields"] if field["name"] in columns]
    schema = Schema.from_dict({"fields": fields})
    frame = pd.concat([visits(), visits().head(2)])[columns]
    found = notes(frame, schema)
    assert ("duplicates" in found) is says
    if says:
        assert "2 rows of 82 equal an earlier row in every column" in found["duplicates"]


def test_identifiers_tell_rows_apart() -> None:
    value = free().to_dict() | {"patientKey": None, "maxRows": None, "primaryKey": "id"}
    frame = visits(1).assign(visit=1, score=1)
    assert notes(frame, Schema.from_dict(value)) == {}


@pytest.mark.parametrize("key", ["id", None])
def test_rows_without_any_value_are_counted(key: str | None) -> None:
    value = free().to_dict() | {"patientKey": key, "maxRows": key and 2}
    for field in value["fields"][1:]:
        field["constraints"]["required"] = False
    if key is None:
        value["fields"][0]["role"] = "omit"
    frame = visits().astype(object)
    frame.loc[[3, 5], ["sex", "visit", "score"]] = None
    frame.loc[7, ["sex", "visit"]] = None
    text = notes(frame, Schema.from_dict(value))["empty rows"]
    assert text.startswith("2 rows have no value in any modelled column: remove them unless")
