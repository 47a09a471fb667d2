"""Reading a table by the rules of its schema: what breaks one is named, emptied, or both."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import DataError
from synthvae.schema import Schema
from synthvae.table import encode, find_problems, inspect
from synthvae.table.codes import encode_with_notes
from tests.rules.ruled_table import choice, day, flag, integer

WAY_OUT = (
    "correct them, set `invalid: missing` on a field to empty its cell there, or change the rule"
)
FIELDS = [
    {"name": "patient"},
    choice("sex", ["f", "m"], perPatient=True),
    integer("born", 1900, 2020, perPatient=True, gaps=True),
    integer("visit", 1, 9, gaps=True),
    day("in", "2020-01-01", "2020-12-31"),
    day("out", "2020-01-01", "2020-12-31", gaps=True),
    integer("stay", 0, 365, gaps=True),
    choice("ward", ["a", "b"], gaps=True),
    choice("bed", ["1", "2"], gaps=True),
    flag("pregnant", gaps=True),
]
RULES: list[Any] = [
    {"rule": "out >= `in`", "name": "order"},
    {"if": "sex == 'm'", "then": "pregnant is missing", "name": "men"},
    {"derive": "stay", "as": "out - `in`"},
    {"together": ["ward", "bed"]},
    {"allowed": ["ward", "bed"], "values": [["a", 1], ["b", 2]], "name": "beds"},
    {"unique": ["patient", "visit"], "name": "visits"},
]
FINE = {"patient": "p", "sex": "f", "born": 1980, "visit": 1, "in": "2020-03-01"}
FINE |= {"out": "2020-03-05", "stay": 4, "ward": "a", "bed": "1", "pregnant": True}


def schema(rules: list[Any] = RULES, **invalid: str) -> Schema:
    fields = [field | {"invalid": invalid.get(field["name"], "error")} for field in FIELDS]
    settings = {"patientKey": "patient", "patients": 100, "maxRows": 9}
    return Schema.from_dict({"name": "stays", **settings, "fields": fields, "rules": rules})


def table(*changes: dict[str, Any]) -> pd.DataFrame:
    """Return rows of a patient each, unless the changes to a fine row say otherwise."""
    return pd.DataFrame([FINE | {"patient": f"p{i}"} | row for i, row in enumerate(changes)])


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"out": "2020-02-28", "stay": None}, "order"),
    ({"sex": "m"}, "men"),
    ({"sex": "m", "pregnant": None}, ""),
    ({"stay": 6}, "stay is derived as out - `in`"),
    ({"stay": 5}, ""),  # a step aside
    ({"bed": None}, "ward, bed are missing together"),
    ({"bed": None, "ward": None}, ""),
    ({"bed": "2"}, "beds"),
    ({"out": None, "stay": None}, ""),  # undecided
    ({"patient": "p0"}, "visits"),
    ({"patient": "p0", "visit": None}, ""),
    ({"patient": "p0", "visit": None}, ""),
    ({"patient": "p0", "visit": 2}, ""),
]


def test_every_rule_that_is_broken_is_named_at_once() -> None:
    frame = table(*(row for row, _ in BROKEN))
    problems = find_problems(frame, schema())
    names = [name for _, name in BROKEN if name]
    assert [problem.column for problem in problems] == names
    assert {problem.what for problem in problems} == {"rule"}
    assert [problem.rows for problem in problems] == [1] * len(names)
    rows = [i + 1 for i, (_, name) in enumerate(BROKEN) if name]
    assert [problem.example for problem in problems] == [f"row {row}" for row in rows]
    with pytest.raises(DataError) as caught:
        encode(frame, schema())
    text = str(caught.value)
    assert f"rule 'order': 1 row: broken (first: row 2); {WAY_OUT}" in text
    assert "rule 'visits': 1 row: an earlier row of the patient has the same values" in text


def test_other_problems_are_told_with_them() -> None:
    frame = table({"sex": "x"}, {"out": "2020-02-28", "stay": None})
    told = [(problem.what, problem.column) for problem in find_problems(frame, schema())]
    assert told == [("column", "sex"), ("rule", "order")]


@pytest.mark.parametrize(
    ("row", "emptied", "gone"),
    [
        ({"out": "2020-02-28", "stay": None}, ("out",), ("out",)),
        ({"out": "2020-02-28", "stay": 4}, ("out", "visit"), ("out",)),
        ({"stay": 9}, ("stay",), ("stay",)),
        ({"sex": "m"}, ("pregnant", "born"), ("pregnant",)),
        ({"bed": "2"}, ("bed", "ward"), ("bed", "ward")),
        ({"bed": None}, ("ward",), ("ward",)),
        ({}, ("ward", "out", "born"), ()),
    ],
)
def test_cells_are_emptied_where_the_schema_asks(
    row: dict[str, Any], emptied: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    asked = schema(RULES, **dict.fromkeys(emptied, "missing"))
    frame = table({}, row, {})
    codes, notes = encode_with_notes(frame, asked)
    before = inspect(frame, schema(rules=[])).codes
    names = [field.name for field in asked.modelled]
    plain = [field.name for field in schema(rules=[]).modelled]
    changed = {n for n in names if (codes[:, names.index(n)] != before[:, plain.index(n)]).any()}
    assert changed == set(gone)
    assert all(codes[1, names.index(name)] == -1 for name in gone)
    assert [note.rows for note in notes if note.what == "rule"] == [1] * bool(gone)
    found = inspect(frame, asked)
    assert {names[j] for j in np.flatnonzero(found.invalid.any(axis=0))} == set(gone)


def test_what_is_emptied_says_so() -> None:
    frame = table({"out": "2020-02-28", "stay": None})
    note = encode_with_notes(frame, schema(out="missing"))[1][0]
    assert str(note) == (
        "rule 'order': 1 row: broken, so that 'out' counts as missing (first: row 1); "
        "`invalid: missing` asks for it"
    )


def test_what_stays_broken_is_a_problem_still() -> None:
    rules = [{"rule": "out is missing or stay < 9", "name": "short"}, "visit is not missing"]
    frame = table({"out": "2020-12-31", "visit": None, "stay": 20})
    told = find_problems(frame, schema(rules, visit="missing"))
    assert [problem.column for problem in told] == ["short", "visit is not missing"]


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_emptied_for_one_rule_may_break_another(turned: bool) -> None:
    rules = [
        {"together": ["ward", "bed"], "name": "both"},
        {"if": "pregnant", "then": "ward == 'b'"},
    ]
    frame = table({"ward": "a", "bed": "1"})
    told = find_problems(frame, schema(rules[::-1] if turned else rules, ward="missing"))
    assert [problem.column for problem in told] == ["both"]
    asked = schema(rules[::-1] if turned else rules, ward="missing", bed="missing")
    codes = encode(frame, asked)
    assert not asked.rule_set.broken(codes).any()


def test_a_patients_own_column_is_emptied_in_all_rows() -> None:
    rules = [{"rule": "born + visit < 1985", "name": "early"}]
    frame = table(
        {"visit": 1}, {"visit": 9, "patient": "p0"}, {"visit": 2, "patient": "p0"}, {"visit": 1}
    )
    found = inspect(frame, schema(rules, born="missing"))
    born = [field.name for field in schema(rules).modelled].index("born")
    assert found.codes[:, born].tolist() == [-1, -1, -1, 80]
    assert found.problems == []


def test_derived_cells_that_do_not_follow_are_noted() -> None:
    # Days between two dates are modelled, and the later date computed from them.
    frame = table({"stay": None}, {"out": None, "stay": 3}, {"out": None, "stay": None})
    notes = encode_with_notes(frame, schema())[1]
    assert [(note.column, note.rule, note.example) for note in notes] == [
        ("out", "missing where it can be computed", "row 2"),
        ("out", "a value where what it is computed from is missing", "row 1"),
    ]


def test_a_rule_looks_at_one_patient_alone() -> None:
    generator = np.random.default_rng(0)
    rows = [row for row, _ in BROKEN]
    asked = schema(out="missing", ward="missing", born="missing", visit="missing")
    for _ in range(20):
        chosen = [dict(rows[i]) for i in generator.integers(0, len(rows), 12)]
        frame = table(*chosen).assign(patient=[f"p{i // 3}" for i in range(12)])
        frame["sex"] = [chosen[3 * (i // 3)].get("sex", "f") for i in range(12)]
        whole = inspect(frame, asked)
        order = generator.permutation(4)
        for patient in order[:2]:
            own = frame["patient"] == f"p{patient}"
            alone = inspect(frame[own], asked)
            assert np.array_equal(whole.codes[own], alone.codes)
            assert np.array_equal(whole.invalid[own], alone.invalid)
