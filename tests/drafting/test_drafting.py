import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.drafting import draft_schema, draft_yaml
from synthvae.drafting.dictionary import DICTIONARY, load_dictionary, look_up
from synthvae.errors import DataError, SchemaError
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table import find_problems


def drafted(name: str, cells: Any) -> Field:
    frame = pd.DataFrame({name: cells, "flag": pd.Series(["true"] * len(cells))})
    return draft_schema(frame)[name]


def bounds(field: Field) -> tuple[Any, Any]:
    return field.constraints.minimum, field.constraints.maximum


def test_the_dictionary_is_large_and_names_its_sources() -> None:
    variables = {id(variable): variable for variable in load_dictionary().values()}.values()
    assert len(variables) >= 80
    for variable in variables:
        assert variable.basis
        for each in variable.ranges:
            assert each.minimum < each.maximum
    raw = yaml.safe_load(DICTIONARY.read_text(encoding="utf-8"))
    assert set(raw["sources"]) == {entry["source"] for entry in raw["variables"]}


@pytest.mark.parametrize(
    ("column", "variable"),
    [
        *(("Age", "age"), ("AGE_YEARS", "age"), ("gender", "sex"), ("Ethnicity", "race")),
        *(("hrt", "heart rate"), ("heartRate_max", "heart rate"), ("Pulse", "heart rate")),
        *(("sbp", "systolic blood pressure"), ("SysBP (mmHg)", "systolic blood pressure")),
        *(("meanbp", "mean arterial pressure"), ("Mean BP day1", "mean arterial pressure")),
        *(("wblc", "white blood cells"), ("sod", "sodium"), ("crea", "creatinine")),
        *(("creatinine_mg_dl", "creatinine"), ("HbA1c", "hba1c"), ("Hämoglobin", None)),
        *(
            ("LOS", "length of stay"),
            ("totcst", "cost"),
            ("eGFR", "egfr"),
            ("NT-proBNP", "nt probnp"),
        ),
        *(("postcode", None), ("agent", None), ("", None), ("max", None)),
    ],
)
def test_names_are_recognised_in_common_spellings(column: str, variable: str | None) -> None:
    found = look_up(column)
    assert (found.name if found else None) == variable


def test_a_known_variable_that_fits_needs_no_review() -> None:
    field = drafted("ph", ["7.4", "7.25"])
    assert (field.type, field.decimals, field.unit, field.review) == ("number", 2, None, False)
    assert bounds(field) == (6.3, 8.2)


def test_usual_bounds_are_for_review_and_give_way_to_the_widest() -> None:
    usual, widest = drafted("crea", ["0.9", "1.25", "12"]), drafted("crea", ["0.9", "1.25", "32"])
    assert (usual.unit, bounds(usual), usual.review) == ("mg/dL", (0.1, 20), True)
    assert (widest.unit, bounds(widest), widest.review) == ("mg/dL", (0, 40), True)


def test_a_known_variable_is_drafted_from_its_name_whatever_fits_it() -> None:
    assert drafted("age", ["30", "40"]) == drafted("age", ["0", "101", "5"])


def test_the_form_of_the_values_decides_on_whole_numbers() -> None:
    assert drafted("age", ["61", "47"]).type == "integer"
    assert drafted("age", ["61.5", "47"]).decimals == 1
    assert drafted("sod", ["140.5", "138"]).decimals == 1
    assert drafted("ph", ["7.4", "7"]).constraints.minimum == 6.3


def test_another_unit_is_for_review() -> None:
    field = drafted("creatinine", ["80", "105", "1200"])
    assert (field.unit, bounds(field), field.review) == ("µmol/L", (10, 1800), True)
    field = drafted("temp", ["98", "101"])
    assert (field.unit, field.review) == ("°F", True)


def test_values_outside_the_dictionary_are_for_review() -> None:
    mistyped = drafted("age", ["50"] * 99 + ["999"])
    assert (bounds(mistyped), mistyped.review) == ((0, 122), True)
    elsewhere = drafted("age", ["18000", "25000", "21000"])  # days
    assert (bounds(elsewhere), elsewhere.review) == ((18000, 25000), True)


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["3", "17"], "integer", (0, 20)),
        (["-3", "1204"], "integer", (-1000, 2000)),
        (["0.013", "0.071"], "number", (0.01, 0.08)),
        (["5", "5"], "integer", (1, 5)),
        (["0", "0.5", "inf"], "number", (0, 0.5)),
        (["1", "2.5", "1e308"], "number", (1, 3)),
        ([1.0, None, 30.0], "integer", (0, 30)),
    ],
)
def test_unknown_numbers_are_rounded_outward(
    cells: list[Any], kind: str, expected: tuple[float, float]
) -> None:
    field = drafted("score_x", cells)
    assert (field.type, bounds(field), field.review) == (kind, expected, True)


@pytest.mark.parametrize(
    ("cells", "words", "review"),
    [
        (["true", "false"], None, False),
        ([True, False], None, False),
        (["1", "0"], ("1", "0"), True),
        ([1.0, 0.0, None], ("1", "0"), True),
        (["yes", "no"], ("yes", "no"), True),
        (["Y", "N"], ("Y", "N"), True),
    ],
)
def test_two_usual_words_are_booleans(
    cells: list[Any], words: tuple[str, str] | None, review: bool
) -> None:
    field = drafted("seen", cells)
    assert (field.type, field.review) == ("boolean", review)
    if words:
        assert (field.trueValues, field.falseValues) == ((words[0],), (words[1],))


@pytest.mark.parametrize(("cells", "review"), [(["0", "1"], True), ([True, False], False)])
def test_the_spellings_of_a_known_flag_are_for_review_as_of_any_other(
    cells: list[Any], review: bool
) -> None:
    field = drafted("died", cells)
    assert (field.type, field.review) == ("boolean", review)


@pytest.mark.parametrize(
    ("cells", "kind", "form", "expected"),
    [
        (["2011-03-04", "2013-01-01"], "date", None, ("2011-01-01", "2013-12-31")),
        (["31/12/2011", "01/02/2012"], "date", "%d/%m/%Y", ("2011-01-01", "2012-12-31")),
        (["12/31/2011", "01/02/2012"], "date", "%m/%d/%Y", ("2011-01-01", "2012-12-31")),
        ([date(2011, 3, 4)], "date", None, ("2011-01-01", "2011-12-31")),
        ([pd.Timestamp("2011-03-04")], "date", None, ("2011-01-01", "2011-12-31")),
        (
            [datetime(2011, 3, 4, 5)],
            "datetime",
            None,
            ("2011-01-01T00:00:00", "2011-12-31T23:59:59"),
        ),
        (
            ["2011-03-04 10:30", "2011-03-05 01:00"],
            "datetime",
            "%Y-%m-%d %H:%M",
            ("2011-01-01T00:00:00", "2011-12-31T23:59:59"),
        ),
    ],
)
def test_dates_span_whole_years(
    cells: list[Any], kind: str, form: str | None, expected: tuple[str, str]
) -> None:
    field = drafted("admitted", cells)
    assert (field.type, field.format, bounds(field)) == (kind, form, expected)
    assert field.review


def test_ambiguous_days_and_months_are_remarked_on() -> None:
    frame = pd.DataFrame({"seen": ["01/02/2012"], "x": ["true"]})
    assert "the other way around" in draft_yaml(frame)


def test_protected_attributes_are_marked() -> None:
    sex = drafted("Gender", ["F", "M", "F"])
    assert (sex.role, sex.categories, sex.review) == ("protected", ("F", "M"), False)
    assert drafted("sex", ["F", "F"]).categories == ("F", "M")
    coded = drafted("sex", ["1", "2"])
    assert (coded.role, coded.categories, coded.review) == ("protected", ("1", "2"), True)
    race = drafted("ethnic_group", ["b", "a", ""])
    assert (race.role, race.categories, race.review) == ("protected", ("a", "b"), True)


def test_missing_values_are_recognised_and_for_review() -> None:
    field = drafted("age", ["61", "NA", "", ".", "-", "N/A", "NULL", None])
    assert (field.nullable, field.review, bounds(field)) == (True, True, (0, 122))


def test_codes_with_leading_zeros_are_categories() -> None:
    field = drafted("ward", ["01", "02", "01"])
    assert (field.type, field.categories) == ("string", ("01", "02"))


def test_identifiers_are_left_out() -> None:
    rows = 300
    frame = pd.DataFrame(
        {
            "Unnamed: 0": range(rows),
            "NHS number": [f"{i:010d}" for i in range(rows)],
            "encounter_id": range(rows),
            "note": [f"seen on day {i}" for i in range(rows)],
            "icd": [f"I{i % 250}" for i in range(rows)],
            "email": ["a@b.c"] * rows,
            "empty": [""] * rows,
            "hospital_id": [i % 3 for i in range(rows)],
            "cost": [float(i) for i in range(rows)],
        }
    )
    schema = draft_schema(frame)
    assert [field.name for field in schema.modelled] == ["hospital_id", "cost"]
    assert schema.patientKey is None


def test_a_patient_who_repeats_is_the_unit() -> None:
    frame = pd.DataFrame({"patient_id": ["a", "a", "b"], "visit_id": [1, 2, 3], "age": [4, 4, 5]})
    schema = draft_schema(frame)
    assert (schema.patientKey, schema.maxRows, schema.patients) == ("patient_id", 5, None)
    assert "patient_id" in schema.identifiers


def test_the_text_explains_itself_and_is_read_back(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"mrn": ["a", "a", "b"], "crea": ["1.1", "80", "90"], "it's\nodd": ["x", "y", ""]}
    )
    text = draft_yaml(frame, "ward: one")
    path = tmp_path / "draft.yaml"
    path.write_text(text, encoding="utf-8")
    assert Schema.load(path) == draft_schema(frame, "ward: one")
    assert text.startswith("# A DRAFT, made from private data")
    assert "# patients:   # how many patients" in text
    assert "the values do not fit mg/dL, but µmol/L" in text
    assert text.count("review: true") == 1 + 2  # the head, and two fields


def test_the_remarks_hold_no_value_and_no_count() -> None:
    frame = pd.DataFrame({"mrn": ["a", "a", "b"] * 20, "age": ["7331"] * 59 + ["<18>"]})
    remarks = "".join(line for line in draft_yaml(frame).splitlines() if "#" in line)
    assert not re.search(r"7331|<18>|\b60\b|\b59\b", remarks)


CELLS = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "NA", "1", "0", "x", "2020-01-01", "1e308", "-inf", "007", " 5 ", "\n"]
        ),
        st.floats().map(str),
        st.text(max_size=4),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(cells=CELLS, name=st.sampled_from(["val", "age", "sex", "died", "id", "patient", "crea"]))
def test_any_text_gives_a_draft_that_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], name: str
) -> None:
    frame = pd.DataFrame({name: cells, "flag": ["true"] * len(cells)})
    path = tmp_path_factory.getbasetemp() / "draft.yaml"
    path.write_text(draft_yaml(frame), encoding="utf-8", newline="")
    schema = Schema.load(path)
    assert schema == draft_schema(frame)
    if not schema[name].review and name not in schema.identifiers:
        assert find_problems(frame, schema) == []


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (pd.DataFrame(), DataError, "no rows or no columns"),
        (pd.DataFrame({"a": []}), DataError, "no rows or no columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), DataError, "column 'a' stands twice"),
        (pd.DataFrame([[1, 2]], columns=["a", ""]), DataError, "Column 2 of the table has no name"),
        (pd.DataFrame({"id": [1, 2]}), SchemaError, "every field is an identifier"),
    ],
)
def test_refuses_what_cannot_be_drafted(
    frame: pd.DataFrame, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draft_schema(frame)
