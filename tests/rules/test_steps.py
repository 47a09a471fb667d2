"""Rules that look back at the visit before: what they may name, and where they clash."""

from typing import Any

import numpy as np
import pytest

from synthvae.errors import SchemaError
from synthvae.rules.steps import rows_before
from synthvae.schema import Schema
from tests.rules.ruled_table import choice, flag, integer

FIELDS = [
    {"name": "id"},
    choice("sex", ["f", "m"], perPatient=True),
    integer("year", 1, 5),
    integer("age", 0, 99),
    integer("crp", 0, 9, gaps=True),
    flag("died"),
]
DERIVED = integer("half", 0, 60)
HALF = {"derive": "half", "as": "age / 2"}


def schema_of(rules: list[Any], *more: dict[str, Any], **settings: Any) -> Schema:
    table = {"patientKey": "id", "maxRows": 5, "orderBy": "year"} | settings
    return Schema.from_dict(table | {"fields": [*FIELDS, *more], "rules": rules})


def test_rules_about_a_row_and_about_a_step_are_told_apart() -> None:
    rules = [
        "age - age_prev == year - year_prev",
        "age < 90",
        {"if": "died_prev and sex == 'f'", "then": "crp is missing"},
        {"together": ["crp", "crp_prev"]},
        {"allowed": ["died_prev", "died"], "values": [[False, False], [False, True]]},
        HALF,
        "half >= half_prev",
        {"unique": ["id", "crp"]},
    ]
    schema = schema_of(rules, DERIVED)
    assert [rule.title for rule in schema.step_rules] == [
        "age - age_prev == year - year_prev",
        "if died_prev and sex == 'f' then crp is missing",
        "crp, crp_prev are missing together",
        "died_prev, died: 2 combinations",
        "half >= half_prev",
    ]
    assert [r.title for r in schema.rule_set.declared] == ["age < 90", "half is derived as age / 2"]
    assert Schema.from_dict(schema.to_dict()) == schema


@pytest.mark.parametrize(
    ("rules", "more", "settings", "message"),
    [
        (["age > age_prev"], [], {"orderBy": None}, "rows are in no order: set `orderBy`"),
        (["sex_prev == 'f'"], [], {}, "'sex' is perPatient, so the same .*: write 'sex'"),
        (["agee_prev > 3"], [], {}, r"no column \(did you mean 'age_prev'\?\)"),
        (["id_prev > 3"], [], {}, "'id' is an identifier"),
        (
            [{"derive": "half", "as": "age_prev / 2"}],
            [DERIVED],
            {},
            "'age_prev' is of the visit bef",
        ),
        ([{"unique": ["id", "age_prev"]}], [], {}, "'age_prev' is of the visit before, which only"),
        ([{"together": ["crp", "sex_prev"]}], [], {}, "write 'sex'"),
        ([], [integer("age_prev", 0, 9)], {}, "'age_prev' is named as 'age' .*: rename it, or set"),
        (["age > age_prev + 99"], [], {}, "no visit that follows another can keep the rule 'age >"),
        (
            ["age > age_prev", "age < age_prev"],
            [],
            {},
            "no visit that .* keep them: .*; 'age < age",
        ),
        (
            ["died_prev", "not died"],
            [],
            {},
            "that follows another can keep them: 'died_prev'; 'not",
        ),
        (
            [HALF, "half > half_prev", "age <= age_prev"],
            [DERIVED],
            {},
            "keep them: 'half > half_prev'; 'age <= age_prev'; 'half is derived",
        ),
    ],
)
def test_refuses_rules(
    rules: list[Any], more: list[dict[str, Any]], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        schema_of(rules, *more, **settings)


def test_a_column_that_is_left_out_gives_its_name_away() -> None:
    left_out = {"name": "age_prev", "role": "omit"}
    assert len(schema_of(["age >= age_prev"], left_out).step_rules) == 1
    free = schema_of(["age >= age_prev"], integer("age_prev", 0, 99), orderBy=None)
    assert (free.step_rules, len(free.rule_set.declared)) == ((), 1)


def test_the_time_of_a_visit_is_never_computed_from_days() -> None:
    day = {"type": "date", "constraints": {"minimum": "2020-01-01", "maximum": "2020-12-31"}}
    fields = [{"name": "seen", **day}, {"name": "born", "perPatient": False, **day}]
    rule = {"derive": "age", "as": "seen - born"}
    schema = Schema.from_dict(
        {
            "patientKey": "id",
            "maxRows": 2,
            "orderBy": "seen",
            "fields": [{"name": "id"}, *fields, integer("age", 0, 365)],
            "rules": [rule],
        }
    )
    assert [field.name for field in schema.drawn] == ["seen", "born"]


def test_rows_before_are_those_in_time_and_of_one_time_those_of_the_file() -> None:
    whose = np.array([0, 1, 0, 0, 1, 2, 2])
    times = np.array([5, 3, 2, 5, 3, 1, -1])
    assert rows_before(times, whose).tolist() == [2, -1, -1, 0, 1, -1, -1]
