from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from synthvae.errors import SchemaError
from synthvae.field import Field
from synthvae.schema import Schema, Target
from tests.random_schemas import schemas

AGE = {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}}
SEX = {"name": "sex", "constraints": {"enum": ["female", "male"]}}


def one(**field: Any) -> Schema:
    return Schema.from_dict({"fields": [{"name": "x"} | field]})


def number(low: Any, high: Any, **field: Any) -> Schema:
    return one(**{"type": "number", "constraints": {"minimum": low, "maximum": high}} | field)


@settings(deadline=None)
@given(schema=schemas())
def test_survives_dictionaries_and_files(
    tmp_path_factory: pytest.TempPathFactory, schema: Schema
) -> None:
    assert Schema.from_dict(schema.to_dict()) == schema
    path = tmp_path_factory.getbasetemp() / "schema.yaml"
    path.write_text(schema.to_yaml(), encoding="utf-8", newline="")
    again = Schema.load(path)
    assert again == schema
    assert again.digest == schema.digest


def test_every_setting_survives(tmp_path: Path) -> None:
    schema = Schema.from_dict(
        {
            "name": "visits",
            "title": "Visits",
            "patientKey": "id",
            "patients": 100,
            "maxRows": 3,
            "target": ["died", {"column": "age", "without": "sex"}],
            "survival": {"duration": "age", "event": "died"},
            "purposes": {"name": "survival", "kind": "cox", "predictors": ["sex"]},
            "missingValues": ["", ".", -999],
            "fields": [
                AGE | {"unit": "years", "review": True, "special": 0, "invalid": "clip"},
                SEX | {"role": "protected", "invalid": "other"},
                {"name": "died", "type": "boolean", "trueValues": [1], "falseValues": [0]},
                {"name": "id"},
            ],
        }
    )
    (tmp_path / "s.yaml").write_text(schema.to_yaml())
    assert Schema.load(tmp_path / "s.yaml") == schema
    assert schema.target == (Target(column="died"), Target(column="age", without=("sex",)))
    assert schema.missingValues == ("", ".", "-999")
    assert schema["sex"].categories == ("female", "male", "other")
    assert schema.to_review == ("age",)
    assert [field.name for field in schema.modelled] == ["died", "sex", "age"]
    assert schema.replace(patients=7).patients == 7
    assert schema.replace(purposes=[]).digest != schema.digest


def test_a_lattice_counts_its_points() -> None:
    assert number(0, 1, decimals=1)["x"].lattice_size == 11
    assert number(0.05, 0.95, decimals=1)["x"].lattice_size == 9  # 0.1 ... 0.9
    assert number(0, 100)["x"].places == 1
    dates = {"minimum": "1969-12-30", "maximum": "1970-01-02"}
    assert one(type="date", constraints=dates)["x"].lattice_size == 4
    assert one(type="date", constraints=dates)["x"].first_unit == -2
    hours = one(type="datetime", format="%Y-%m-%d %H", constraints=dates)["x"]
    assert hours.lattice_size == 73


def test_categories_are_the_words_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "fields: [{name: a, constraints: {enum: [yes, no, 01, 2]}},"
        " {name: b, constraints: {enum: codes.txt}}]"
    )
    (tmp_path / "codes.txt").write_text("\ufeffI10\n\n E11 \n", encoding="utf-8")
    schema = Schema.load(tmp_path / "s.yaml")
    assert schema["a"].categories == ("yes", "no", "01", "2")
    assert schema["b"].categories == ("I10", "E11")


def test_a_list_of_categories_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("fields: [{name: b, constraints: {enum: codes.txt}}]")
    with pytest.raises(SchemaError, match=r"list of categories .*codes\.txt cannot be read"):
        Schema.load(tmp_path / "s.yaml")


FIELD_ERRORS = [
    ({"name": ""}, "a field needs a name"),
    (
        {"name": "x", "typ": "number"},
        r"field 'x', typ: unknown key 'typ' \(did you mean 'type'\?\)",
    ),
    (
        {"name": "x", "constraints": {"minimun": 1}},
        r"field 'x', constraints, minimun: unknown key 'minimun' \(did you mean 'minimum'\?\)",
    ),
    ({"name": "x", "type": "float"}, "field 'x', type: .*'number'.* \\(got 'float'\\)"),
    ({"name": "x", "type": "number"}, "a number needs minimum and maximum"),
    ({"name": "x"}, "'x' is text without an enum"),
    ({"name": "x", "constraints": {"enum": []}}, "at least one category"),
    ({"name": "x", "constraints": {"enum": ["a", "a"]}}, "enum names 'a' twice"),
    ({"name": "x", "constraints": {"enum": [True, False]}}, "True is a boolean; put it in quotes"),
    ({"name": "x", "constraints": {"enum": [None]}}, "None must be text or a number"),
    ({"name": "x", "constraints": {"enum": ["a", "NA"]}}, "'NA' is listed under missingValues too"),
    ({"name": "x", "type": "integer", "constraints": {"enum": ["1.5"]}}, "'1.5' is no integer"),
    ({"name": "x", "type": "date", "constraints": {"enum": ["a"]}}, "enum goes with string"),
    ({"name": "x", "type": "boolean", "trueValues": ["0"]}, "must not overlap"),
    ({"name": "x", "type": "boolean", "trueValues": []}, "at least one word"),
    ({"name": "x", "type": "boolean", "invalid": "clip"}, "`invalid: clip` goes with bounds"),
    ({"name": "x", "type": "boolean", "invalid": "other"}, "goes with `type: string`"),
    ({"name": "x", "type": "boolean", "invalid": "missing"}, "needs `required: false`"),
    (AGE | {"decimals": 1}, "decimals goes with `type: number`, not integer"),
    (AGE | {"special": [0.5]}, "must be whole numbers"),
    (AGE | {"special": [1e300]}, "special values must lie between -1e"),
    (AGE | {"special": [0, 0]}, "special names a value twice"),
    (AGE | {"invalid": "other"}, "`invalid: other` goes with categories"),
    (SEX | {"special": [0]}, "special values go with numbers"),
    ({"name": "x", "constraints": {"enum": ["a"], "minimum": 0}}, "minimum and maximum go with"),
]


@pytest.mark.parametrize(("field", "message"), FIELD_ERRORS)
def test_refuses_a_field(field: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_dict({"fields": [field]})


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (2, 1, "minimum 2.* is above maximum 1"),
        ("a", 1, "bound 'a' is text; a number needs a number"),
        (True, 1, "bound True is a boolean"),
        (0, float("inf"), "a bound must lie between -1e"),
        (0, float("nan"), "finite number"),
        (0, 1e308, "a bound must lie between -1e"),
        (0, 10**400, "a bound must lie between -1e"),
    ],
)
def test_refuses_bounds(low: Any, high: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        number(low, high)


def test_refuses_more_digits_than_doubles_have() -> None:
    with pytest.raises(SchemaError, match="with 9 decimals has too many digits"):
        number(0, 1e12, decimals=9)


@pytest.mark.parametrize(
    ("form", "low", "message"),
    [
        ("%Y-%m-%d", "soon", "bound 'soon' is not a date; write it as 2000-12-31"),
        ("%Q", "2000-01-01", "format '%Q' is no pattern of dates"),
        ("%Y-%m-%d %z", "2000-01-01", "needs `timezone`"),
    ],
)
def test_refuses_dates(form: str, low: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        one(type="date", format=form, constraints={"minimum": low, "maximum": "2010-01-01"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": []}, "fields is empty"),
        ({"fields": {"age": 1}}, "fields: "),
        ({"fields": [AGE, AGE]}, "the field 'age' is declared twice"),
        ({"fields": [{"name": "id", "role": "identifier"}]}, "every field is an identifier"),
        (
            {"patientKey": "agee", "maxRows": 2},
            r"patientKey names 'agee', .*\(did you mean 'age'\?\)",
        ),
        ({"patientKey": "age"}, "patientKey needs maxRows"),
        ({"maxRows": 2}, "maxRows goes with patientKey"),
        ({"target": "agee"}, "target names 'agee', which is no field"),
        ({"target": {"column": "age", "without": ["x"]}}, "target names 'x'"),
        ({"survival": {"duration": "age", "event": "x"}}, "survival names 'x'"),
        ({"survival": {"duration": "age"}}, "survival, event: missing"),
        ({"patients": 0}, r"patients: .*greater than or equal to 1 \(got 0\)"),
        ({"patient": 5}, r"patient: unknown key 'patient' \(did you mean 'patients'\?\)"),
        ({"missingValues": []}, "'sex' may be missing, but missingValues names no spelling"),
        ({"name": {"a": 1}}, "name: Input should be a valid string"),
    ],
)
def test_refuses_a_schema(changes: dict[str, Any], message: str) -> None:
    sex = SEX | {"constraints": {"enum": ["female"], "required": False}}
    with pytest.raises(SchemaError, match=message):
        Schema.from_dict({"fields": [AGE, sex]} | changes)


def test_an_error_stays_short_where_the_value_is_long() -> None:
    with pytest.raises(SchemaError) as caught:
        one(type="x" * 10**6)
    assert len(str(caught.value)) < 500


def test_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        one(type="boolean")["x"].name = "y"  # type: ignore[misc]


def test_an_unknown_field_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="did you mean 'x'"):
        one(type="boolean")["X"]


def test_takes_thousands_of_fields_quickly() -> None:
    fields = tuple(Field(name=f"f{i}", type="boolean") for i in range(5_000))
    assert len(Schema(fields=fields, target=Target(column="f7")).modelled) == 5_000
