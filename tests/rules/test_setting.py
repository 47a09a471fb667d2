"""Rules as a schema declares them: each mistake has one error of its own; what is right is kept."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from synthvae.errors import ConfigError, SchemaError
from synthvae.rules.setting import Rule
from synthvae.schema import Schema
from tests.rules.ruled_table import choice, day, flag, integer

FIELDS = [
    {"name": "patient"},
    {"name": "visit", "role": "identifier"},
    integer("born", 1900, 2020, perPatient=True),
    integer("a", 0, 9),
    integer("b", 0, 9, gaps=True),
    integer("total", 0, 18, gaps=True),
    integer("first", 0, 9, perPatient=True),
    choice("ward", ["north", "south"]),
    choice("bed", ["1", "2", "3"], gaps=True),
    flag("died"),
    day("in", "2020-01-01", "2020-12-31"),
]
KEY = {"patientKey": "patient", "maxRows": 3}
FORMS = (
    "a rule has one of `rule`, `if` and `then`, `derive` and `as`, `together`, `allowed` and "
    "`values`, `unique`"
)
SEVERAL = "the rules clash, so that no record can keep them:"
ALONE = "no record can keep the rule"
WAY_OUT = "; change one of them, or bounds and categories."
Rules = list[Any]
BEDS = {"allowed": ["ward", "bed"], "values": [["north", "1"]], "name": "beds"}


def schema(rules: Any, **settings: Any) -> Schema:
    return Schema.from_dict(
        {"name": "stays", "patients": 100, **KEY, **settings, "fields": FIELDS, "rules": rules}
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"rule": "a > 1", "then": "a > 2"}], f"rules[0]: {FORMS}; this one has rule, then."),
        (["a > 1", {}], f"rules[1]: {FORMS}."),
        ([{"if": "a > 1"}], f"rules[0]: {FORMS}."),
        ([{"if": "a > 1", "rule": "b > 1"}], "rules[0]: `if` goes with `then`."),
        ([{"as": "a + b", "rule": "b > 1"}], "rules[0]: `as` goes with `derive`."),
        ([{"then": "a > 1"}], "rules[0]: `then` needs an `if`; a statement alone is a `rule`."),
        ([{"derive": "total"}], "rules[0]: `derive` needs `as`, what the column is computed from."),
        ([{"together": ["b", "b"]}], "rules[0]: `together` names a column twice."),
        ([{"together": "b"}], "rules[0]: `together` needs two columns or more."),
        ([{"unique": ["patient", "a", "a"]}], "rules[0]: `unique` names a column twice."),
        (
            [{"rule": "a > 1", "them": "b"}],
            "rules[0], them: unknown key 'them' (did you mean 'then'?).",
        ),
        (
            [{"allowed": ["ward", "bed"]}],
            "rules[0]: `allowed` goes with `values`, the combinations that there are.",
        ),
        (
            [{"rule": "a > 1", "values": [["x"]]}],
            "rules[0]: `allowed` goes with `values`, the combinations that there are.",
        ),
        (
            [{"allowed": ["ward", "bed"], "values": [["north", 1], ["south"]]}],
            "rules[0]: a combination has 1 values, for 2 columns in `allowed`.",
        ),
        (
            [{"allowed": ["ward", "bed"], "values": [["north", 4]]}],
            "In the rule 'ward, bed: 1 combination': '4' is no category of 'bed'.",
        ),
        (
            [{"allowed": ["ward", "bed"], "values": [[None, 4]]}],
            "In the rule 'ward, bed: 1 combination': 'ward' is never missing; leave that out.",
        ),
        (
            [{"allowed": ["ward", "a"], "values": [["north", "few"]], "name": "wards"}],
            "In the rule 'wards': 'few' is no number; combinations are of categories or numbers.",
        ),
        (
            [{"together": ["b", "totl"]}],
            "In the rule 'b, totl are missing together': 'totl' is no column (did you mean 'total'?).",
        ),
        (
            [{"together": ["b", "visit"]}],
            "In the rule 'b, visit are missing together': 'visit' is an identifier, which is never "
            "modelled, or left out.",
        ),
        (
            [{"if": "a > 1", "then": "bb > 1"}],
            "`then` of the rule 'if a > 1 then bb > 1', 'bb > 1' at character 1: 'bb' is no column "
            "(did you mean 'b'?).",
        ),
        (
            [{"unique": ["a", "b"]}],
            "In the rule 'a, b together come once': `unique` never looks at two patients, so it names "
            "the patient key; name 'patient' too.",
        ),
        (
            [{"unique": ["patient", "born"]}],
            "In the rule 'patient, born together come once': every column is the same in all rows of a "
            "patient; name one that varies.",
        ),
        (
            [{"derive": "first", "as": "a + 0"}],
            "field 'first' is perPatient, but derived from 'a', which is not.",
        ),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, list) else "",
)
def test_a_mistake_has_one_error(rules: Rules, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema(rules)
    said = str(caught.value).removeprefix("In the schema: ")
    assert said.removeprefix("In ") == message.removeprefix("In ")


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([{"derive": "totl", "as": "a + b"}], r"'totl' is no column \(did you mean 'total'\?\)"),
        ([{"derive": "visit", "as": "a + b"}], "'visit' is an identifier"),
        (
            [{"derive": "total", "as": "a"}, {"derive": "total", "as": "b"}],
            "'total' is derived twice",
        ),
        ([{"derive": "total", "as": "total / 2"}], "derive 'total' from itself"),
        (
            [{"derive": "total", "as": "a + b"}, {"derive": "b", "as": "total - 1"}],
            "derive 'total' from itself, by way of 'total', 'b'",
        ),
        ([{"derive": "total", "as": "ward"}], "it is text, but 'total' is a number"),
        ([{"derive": "died", "as": "a"}], "it is a number, but 'died' is true or false"),
        ([{"derive": "in", "as": "a + 1"}], "it is a number, but 'in' is a date"),
        (
            [{"derive": "ward", "as": "'east' if died else 'north'"}],
            "'east' is no category of 'ward'",
        ),
        ([{"derive": "total", "as": "5"}], "it names no column"),
    ],
)
def test_what_cannot_be_derived_is_refused(rules: Rules, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        schema(rules)


def test_unique_needs_a_patient_key() -> None:
    fields = [field for field in FIELDS if not field.get("perPatient")]
    rules = [{"unique": ["a", "b"]}]
    with pytest.raises(SchemaError, match="so it names the patient key; declare patientKey"):
        Schema.from_dict({"fields": fields, "primaryKey": "patient", "rules": rules})


def test_all_columns_derived_leave_nothing_to_model() -> None:
    fields = [integer("a", 0, 9), integer("b", 0, 9)]
    with pytest.raises((SchemaError, ConfigError), match="from itself"):
        Schema.from_dict({"fields": fields, "rules": [
            {"derive": "a", "as": "b"}, {"derive": "b", "as": "a"}]})  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        (["a > 9"], ["a > 9"]),
        (
            ["a >= 0", "a < b", "b < 5", "b is not missing", "a > 4", "died"],
            ["a < b", "b < 5", "b is not missing", "a > 4"],
        ),
        (
            [{"derive": "total", "as": "a + b"}, "total > 15", "a < 7", "b is not missing", "died"],
            ["total > 15", "a < 7", "b is not missing", "total is derived as a + b"],
        ),
        (
            [BEDS, "bed == 2", "a > 1", "bed is not missing"],
            ["beds", "bed == 2", "bed is not missing"],
        ),
        (
            [{"together": ["b", "bed"]}, "b is missing", "bed is not missing", "a < 3"],
            ["b, bed are missing together", "b is missing", "bed is not missing"],
        ),
        (
            [{"if": "died", "then": "b > 3"}, "died", "b < 2", "b is not missing", "a == a"],
            ["if died then b > 3", "died", "b < 2", "b is not missing"],
        ),
    ],
)  # fmt: skip
def test_rules_that_clash_are_named_and_no_others(rules: Rules, needed: list[str]) -> None:
    with pytest.raises(SchemaError) as caught:
        schema(rules)
    clash = SEVERAL if len(needed) > 1 else ALONE
    listed = "; ".join(map(repr, needed))
    assert str(caught.value) == f"In the schema: {clash} {listed}{WAY_OUT}"
    for name in needed:  # without any of them there are records
        schema([rule for rule in rules if Rule.model_validate(rule).title != name])


EVERY: Rules = [
    "a >= 1",
    {"rule": "b < 9", "name": "few", "review": True},
    {
        "if": "ward == 'north'",
        "then": "bed != '3'",
        "basis": {"source": "plan", "on": "2024-01-02"},
    },
    {"derive": "total", "as": "a + b"},
    {"together": ["b", "bed"]},
    {"allowed": ["ward", "bed"], "values": [["north", "1"], ["south", "2"], ["south", "3"]]},
    {"unique": ["patient", "a"]},
]


def test_rules_come_back_as_they_were_declared(tmp_path: Path) -> None:
    first = schema(EVERY)
    path = tmp_path / "stays.yaml"
    path.write_text(first.to_yaml(), encoding="utf-8")
    for again in (
        Schema.from_dict(first.to_dict()),
        Schema.load(path),
        first.replace(patients=100),
    ):
        assert again == first
        assert again.digest == first.digest
    assert first.to_dict()["rules"] == EVERY
    assert [rule.title for rule in first.rules][:4] == [
        "a >= 1", "few", "if ward == 'north' then bed != '3'", "total is derived as a + b",
    ]  # fmt: skip
    assert first.to_review == ("few",)


@pytest.mark.parametrize("changed", [[], EVERY[1:], ["a >= 2", *EVERY[1:]], EVERY[::-1]])
def test_other_rules_are_another_schema(changed: Rules) -> None:
    assert schema(changed).digest != schema(EVERY).digest


def test_no_rules_leave_a_schema_as_it_was() -> None:
    assert "rules" not in schema([]).to_dict()


def test_labels_of_combinations_may_be_written_plainly() -> None:
    names = {"allowed": ["died", "bed", "a"]}
    plain = schema([names | {"values": [[True, 1, 2], [False, 2, 3]]}])
    assert plain.to_dict()["rules"][0]["values"] == [["true", "1", "2"], ["false", "2", "3"]]
    assert Schema.from_dict(plain.to_dict()).digest == plain.digest


@pytest.mark.parametrize("head", ["ward,bed\n", "", "\ufeffward, bed\r\n"])
def test_combinations_may_stand_in_a_file(head: str, tmp_path: Path) -> None:
    listed = [["north", "1"], ["south", "2"]]
    inline = schema([{"allowed": ["ward", "bed"], "values": listed}])
    (tmp_path / "beds.csv").write_text(f'{head}north,1\n\n south , "2"\n', encoding="utf-8")
    loaded = _with_file(tmp_path, "beds.csv")
    assert loaded.digest == inline.digest


def _with_file(folder: Path, name: str) -> Schema:
    rule = {"allowed": ["ward", "bed"], "values": name}
    path = folder / "stays.yaml"
    path.write_text(yaml.safe_dump(schema([]).to_dict() | {"rules": [rule]}), encoding="utf-8")
    return Schema.load(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("beds.csv", "The list of combinations .*beds.csv cannot be read: No such file"),
        (
            "../beds.csv",
            "The list of combinations '../beds.csv' does not lie in the schema's folder",
        ),
        ("uneven.csv", "a combination has 3 values, for 2 columns in `allowed`"),
        ("unknown.csv", "'west' is no category of 'ward'"),
    ],
)
def test_a_file_of_combinations_that_is_not_there(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "uneven.csv").write_text("ward,bed\nnorth,1,2\n")
    (tmp_path / "unknown.csv").write_text("ward,bed\nwest,1\n")
    (tmp_path / "beds.csv").write_text("north,1\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    for kept in ("uneven.csv", "unknown.csv"):
        (inner / kept).write_text((tmp_path / kept).read_text())
    with pytest.raises(SchemaError, match=reason):
        _with_file(inner, name)
