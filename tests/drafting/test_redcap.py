from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synthvae.drafting.draft import draft_table
from synthvae.drafting.redcap import HEADINGS, fields_from_redcap, is_redcap, redcap_yaml
from synthvae.errors import DataError
from synthvae.schema import Schema
from synthvae.table import find_problems
from tests.cli.in_process import runner

# Field name, type, choices or calculation, validation, least, largest, further settings.
ROWS: list[tuple[str, str, str, str, str, str, dict[str, str]]] = [
    ("record_id", "text", "", "", "", "", {}),
    ("first_name", "text", "", "", "", "", {"identifier": "y"}),
    (
        "sex",
        "radio",
        "1, Male | 2, Female; or other | 9, Unknown",
        "",
        "",
        "",
        {"required_field": "y"},
    ),
    ("race", "checkbox", "0, White | A1, Black | -9, Other", "", "", "", {}),
    ("age", "text", "", "integer", "18", "99", {"required_field": "y"}),
    ("weight", "text", "", "number_1dp", "30", "250.5", {}),
    ("height", "text", "", "number_2dp_comma_decimal", "0,5", "2,5", {}),
    ("crp", "text", "", "number", "", "", {}),
    ("born", "text", "", "date_dmy", "1920-01-01", "2005-12-31", {}),
    ("visit", "text", "", "datetime_mdy", "2019-01-01 00:00", "2021-12-31 23:59", {}),
    ("done", "text", "", "datetime_seconds_ymd", "", "", {}),
    ("bedtime", "text", "", "time", "", "", {}),
    ("smoker", "yesno", "", "", "", "", {"required_field": "y", "branching_logic": "[age]>20"}),
    ("bmi", "calc", "[weight]/2", "", "", "", {}),
    ("pain", "slider", "none | | worst", "number", "", "10", {}),
    ("comment", "notes", "", "", "", "", {}),
    ("greeting", "descriptive", "", "", "", "", {}),
    ("upload", "file", "", "", "", "", {}),
    ("mail", "text", "", "email", "", "", {}),
]


def dictionary(headings: str = "export") -> pd.DataFrame:
    keys = ["field_name", "field_type", "select_choices_or_calculations"]
    keys += [
        "text_validation_type_or_show_slider_number",
        "text_validation_min",
        "text_validation_max",
    ]
    rows = [
        dict.fromkeys(HEADINGS.values(), "")
        | {"form_name": "base", "field_label": f"The <b>{row[0]}</b>"}
        | dict(zip(keys, row[:6], strict=True))
        | row[6]
        for row in ROWS
    ]
    names = {key: heading for heading, key in HEADINGS.items()} if headings == "export" else {}
    return pd.DataFrame(rows).rename(columns=names)


@pytest.mark.parametrize("headings", ["export", "interface"])
def test_what_a_dictionary_declares(headings: str) -> None:
    assert is_redcap(dictionary(headings))
    fields = fields_from_redcap(dictionary(headings))
    assert list(fields)[:7] == [
        *("record_id", "first_name", "sex", "race___0", "race___a1", "race____9", "age")
    ]
    assert not {"greeting", "race"} & set(fields)
    roles = {name: field.get("role") for name, field in fields.items() if "role" in field}
    assert roles == {
        **dict.fromkeys(("record_id", "first_name"), "identifier"),
        **dict.fromkeys(("comment", "upload", "mail"), "omit"),
    }
    rules = {name: field["constraints"] for name, field in fields.items() if name not in roles}
    assert rules["sex"] == {"enum": ["1", "2", "9"], "required": True}
    assert rules["age"] == {"minimum": 18, "maximum": 99, "required": True}
    assert rules["weight"] == {"minimum": 30, "maximum": 250.5, "required": False}
    assert rules["height"] == {"minimum": 0.5, "maximum": 2.5, "required": False}
    assert rules["born"] == {"minimum": "1920-01-01", "maximum": "2005-12-31", "required": False}
    assert rules["visit"]["maximum"] == "2021-12-31T23:59"
    assert rules["smoker"] == {"required": False}  # not every form shows it
    assert rules["pain"] == {"minimum": 0, "maximum": 10, "required": False}
    assert rules["base_complete"]["enum"] == ["0", "1", "2"]
    assert (fields["height"]["decimals"], fields["height"]["decimalChar"]) == (2, ",")
    assert (fields["visit"]["format"], fields["bedtime"]["format"]) == ("%Y-%m-%d %H:%M", "%H:%M")
    assert fields["sex"]["title"] == "The sex"
    assert fields["race___a1"]["title"] == "The race: Black"


def test_only_bounds_that_the_dictionary_does_not_say_are_for_review() -> None:
    schema = Schema.from_dict({"fields": list(fields_from_redcap(dictionary()).values())})
    assert set(schema.to_review) == {"crp", "done", "bmi"}
    based = [field.name for field in schema.modelled if field.basis is not None]
    assert {"sex", "age", "race___0", "base_complete"} <= set(based)
    assert not set(based) & set(schema.to_review)


def test_an_export_of_labels_has_labels_as_categories() -> None:
    table = pd.DataFrame(
        {
            "record_id": ["1", "2", "3"],
            "The sex": ["Male", "Female; or other", "Male"],
            "smoker": ["Yes", "No", ""],
            "race___0": ["Checked", "Unchecked", "Checked"],
            "base_complete": ["Complete", "", "Incomplete"],
            "another": ["x", "y", "z"],
        }
    )
    fields = fields_from_redcap(dictionary(), [*map(str, table)], table)
    assert "another" not in fields
    enums = [field["constraints"].get("enum") for field in list(fields.values())[1:]]
    assert enums[0] == ["Male", "Female; or other", "Unknown"]
    assert enums[-1] == ["Incomplete", "Unverified", "Complete"]
    schema = Schema.from_dict({"fields": list(fields.values())})
    assert find_problems(table.drop(columns="another"), schema) == []


def test_rows_of_other_events_and_names_of_persons() -> None:
    table = pd.DataFrame(
        {
            "record_id": ["1", "1"],
            "redcap_event_name": ["a", "b"],
            "age": ["50", ""],
            "first_name": ["A", "A"],
        }
    )
    fields = fields_from_redcap(dictionary(), [*map(str, table)], table)
    assert fields["age"]["constraints"]["required"] is False
    assert fields["first_name"]["role"] == "omit"
    assert fields["record_id"]["role"] == "identifier"


def test_another_table_is_no_dictionary() -> None:
    with pytest.raises(DataError, match="is no data dictionary of REDCap: it lacks the columns"):
        fields_from_redcap(pd.DataFrame({"a": ["1"]}))


def test_a_dictionary_alone_becomes_a_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dictionary().to_csv("dictionary.csv", index=False)
    ended = runner(capsys)("schema", "init", "dictionary.csv", "--out", "schema.yaml")
    assert (ended.code, "for which no record was read" in ended.out) == (0, True)
    text = Path("schema.yaml").read_text()
    assert text == redcap_yaml(dictionary(), "dictionary")
    assert Schema.load("schema.yaml").name == "dictionary"


def test_a_dictionary_beside_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dictionary().to_csv("dictionary.csv", index=False)
    row: dict[str, Any] = {"record_id": "1", "sex": "1", "age": "40", "ward": "A"}
    pd.DataFrame([row | {"record_id": str(i), "ward": "AB"[i % 2]} for i in range(30)]).to_csv(
        "t.csv", index=False
    )
    words = ("t.csv", "--dictionary", "dictionary.csv", "--out", "schema.yaml")
    ended = runner(capsys)("schema", "init", *words)
    assert ended.code == 0, ended.err
    schema = Schema.load("schema.yaml")
    assert schema["age"].constraints.maximum == 99
    assert schema.to_review == ("ward",)


def drafted(**columns: list[str]) -> tuple[dict[str, Any], str]:
    table = pd.DataFrame(columns)
    known = fields_from_redcap(dictionary(), list(columns), table)
    draft = draft_table(table, known=known)
    assert find_problems(table, draft.schema) == []
    return {field["name"]: field for field in draft.value["fields"]}, draft.text


def test_bounds_that_the_dictionary_does_not_say_are_drafted_from_the_data_for_review() -> None:
    numbers = [f"{5000 + 7.125 * i:.3f}" for i in range(100)]
    fields, text = drafted(crp=numbers, bmi=numbers, done=["2020-01-01 10:00:00"] * 99 + [""])
    for name in ("crp", "bmi"):
        rules = fields[name]["constraints"]
        assert (rules["minimum"], rules["maximum"]) == (5000, 5800)
        assert (fields[name]["decimals"], fields[name]["review"]) == (3, True)
        assert "invalid" not in fields[name]
    assert fields["done"]["constraints"]["minimum"].startswith("2020")
    assert "REVIEW: the bounds are the least and largest value" in text


def test_a_dictionary_takes_no_decimals_away_without_a_mark() -> None:
    fields, text = drafted(
        weight=[f"{60 + i / 8:.3f}" for i in range(80)],
        age=[f"{30 + i / 2:.1f}" for i in range(80)],
    )
    assert (fields["weight"]["decimals"], fields["weight"]["review"]) == (3, True)
    assert (fields["age"]["type"], fields["age"]["decimals"]) == ("number", 1)
    assert fields["age"]["constraints"]["maximum"] == 99
    assert "more decimals than the data dictionary's 1; they are kept" in text


def test_values_that_break_a_dictionary_are_missing_only_where_they_are_few() -> None:
    ages = [str(20 + i % 60) for i in range(100)]
    fields, text = drafted(age=[*ages[:98], "140", "150"])
    assert (fields["age"]["invalid"], fields["age"]["constraints"]["maximum"]) == ("missing", 99)
    assert "REVIEW: 2.0% of the values do not fit, and are read as missing" in text
    fields, text = drafted(age=[str(240 + 3 * (i % 60)) for i in range(100)])  # in months
    assert "invalid" not in fields["age"]
    assert (
        "REVIEW: 100% of the values do not fit the data dictionary: drafted from the data" in text
    )


@pytest.mark.parametrize(
    ("yes", "no"), [("Checked", "Unchecked"), ("TRUE", "FALSE"), ("Yes", "No"), ("1", "0")]
)
def test_an_export_comes_back_as_it_is_spelled(yes: str, no: str) -> None:
    fields, _ = drafted(race___0=[yes, no] * 20, race___a1=[no] * 40)
    for field in fields.values():
        assert (field["trueValues"][0], field["falseValues"][0]) == (yes, no)
        assert "review" not in field
