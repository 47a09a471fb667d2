"""Reading a table by rules that look back: which row broke one, in the order of each patient's time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.schema import Schema
from synthvae.table import find_problems, inspect
from synthvae.table.codes import encode_with_notes
from tests.rules.ruled_table import choice, flag, integer

Visit = dict[str, Any]
FIELDS = [
    {"name": "id"},
    choice("sex", ["f", "m"], perPatient=True),
    integer("t", 0, 40),
    integer("x", 0, 9),
    integer("y", 0, 9, gaps=True),
    flag("died"),
    choice("s", ["in", "out"]),
]
# What each rule says of a visit and the one before it, by hand: where a value is missing, all is well.
JUDGES: dict[str, Callable[[Visit, Visit], bool]] = {
    "x >= x_prev": lambda old, new: new["x"] >= old["x"],
    "x - x_prev <= t - t_prev": lambda old, new: new["x"] - old["x"] <= new["t"] - old["t"],
    "not died_prev": lambda old, new: not old["died"],
    "s != s_prev": lambda old, new: new["s"] != old["s"],
    "y_prev is missing or y_prev < 9": lambda old, new: old["y"] is None or old["y"] < 9,
    "y > y_prev": lambda old, new: None in (old["y"], new["y"]) or new["y"] > old["y"],
    "y is missing or y_prev is not missing": lambda old, new: (
        new["y"] is None or old["y"] is not None
    ),
    "sex == 'm' or x + x_prev > 1": lambda old, new: new["sex"] == "m" or new["x"] + old["x"] > 1,
    "t - t_prev in [1, 2, 5]": lambda old, new: new["t"] - old["t"] in (1, 2, 5),
}


def schema_of(rules: list[Any], most: int = 3, *, strict: bool = True, **invalid: str) -> Schema:
    fields = [field | {"invalid": invalid.get(field["name"], "error")} for field in FIELDS]
    order = {"column": "t", "strict": strict}
    table = {"patientKey": "id", "maxRows": most, "orderBy": order, "rules": rules}
    return Schema.from_dict(table | {"fields": fields})


def table(*visits: Visit) -> pd.DataFrame:
    """Return visits of one patient, unless they say otherwise."""
    fine = {"id": "a", "sex": "f", "t": 0, "x": 0, "y": None, "died": False, "s": "in"}
    frame = pd.DataFrame([fine | visit for visit in visits])
    return frame.assign(y=frame["y"].astype("Int64"))


@st.composite
def histories(draw: st.DrawFn) -> list[Visit]:
    """Visits of three patients, of whom some have more than are kept, in any order."""
    visits: list[Visit] = []
    for whose in "abc":
        sex = draw(st.sampled_from("fm"))
        times = draw(st.lists(st.integers(0, 40), min_size=1, max_size=5, unique=True))
        for time in times:
            x, y = draw(st.integers(0, 9)), draw(st.sampled_from([None, 0, 5, 9]))
            died, state = draw(st.booleans()), draw(st.sampled_from(["in", "out"]))
            mine = {"x": x, "y": y, "died": died, "s": state}
            visits.append({"id": whose, "sex": sex, "t": time} | mine)
    return list(draw(st.permutations(visits)))


def broken_by_hand(visits: list[Visit], rule: str) -> list[tuple[int, int]]:
    """Return the rows that break a rule, each with the row before it, counted from 0."""
    found = []
    for row, visit in enumerate(visits):
        mine = [other for other in visits if other["id"] == visit["id"] and other["t"] < visit["t"]]
        if mine:
            before = max(mine, key=lambda other: other["t"])
            if not JUDGES[rule](before, visit):
                found.append((row, visits.index(before)))
    return found


@settings(max_examples=150, deadline=None)
@given(histories(), st.lists(st.sampled_from(list(JUDGES)), min_size=1, max_size=4, unique=True))
def test_rows_are_judged_as_by_hand(visits: list[Visit], rules: list[str]) -> None:
    problems = {
        problem.column: problem for problem in find_problems(table(*visits), schema_of(rules))
    }
    for rule in rules:
        broken = broken_by_hand(visits, rule)
        assert (rule in problems) == bool(broken)
        if broken:
            row, before = broken[0]
            assert problems[rule].rows == len(broken)
            assert problems[rule].example == f"row {row + 1} after row {before + 1}"
    assert set(problems) <= set(rules)


def test_all_is_told_at_once_in_the_order_of_the_schema() -> None:
    rules: list[Any] = ["x >= x_prev", "x < 9", {"rule": "not died_prev", "name": "death"}]
    frame = table({"t": 7, "x": 1}, {"t": 3, "x": 9, "died": True}, {"t": 5, "x": 9, "died": True})
    told = [str(problem) for problem in find_problems(frame, schema_of(rules))]
    assert [text.split(";")[0] for text in told] == [
        "rule 'x >= x_prev': 1 row: broken (first: row 1 after row 3)",
        "rule 'x < 9': 2 rows: broken (first: row 2)",
        "rule 'death': 2 rows: broken (first: row 1 after row 3)",
    ]


def test_rows_of_one_time_are_in_the_order_of_the_file() -> None:
    loose = schema_of(["x >= x_prev"], strict=False)
    assert not find_problems(table({"x": 1}, {"x": 2}, {"x": 3}), loose)
    assert find_problems(table({"x": 1}, {"x": 3}, {"x": 2}), loose)[0].example.startswith("row 3")


def test_a_first_visit_keeps_whatever_looks_back() -> None:
    rules: list[Any] = [{"together": ["y", "y_prev"]}, "y_prev is not missing", "died or died_prev"]
    assert not find_problems(table({"y": 3}, {"y": None, "id": "b"}), schema_of(rules))
    told = find_problems(table({"t": 0}, {"t": 1, "y": 1}), schema_of(rules))
    assert [problem.rows for problem in told] == [1, 1, 1]


def test_nobody_is_judged_whose_times_or_keys_cannot_be_read() -> None:
    frame = table({"x": 5}, {"t": 1, "x": 4}, {"id": "b", "x": 5}, {"id": "b", "t": 1, "x": 4})
    frame = frame.assign(t=pd.Series([0, "soon", 0, 1], dtype=object))
    told = find_problems(frame, schema_of(["x >= x_prev"]))
    assert [(problem.column, problem.rows) for problem in told] == [("t", 1), ("x >= x_prev", 1)]
    nobody = find_problems(frame.assign(id=["", "a", "b", "b"]), schema_of(["x >= x_prev"]))
    assert {problem.column for problem in nobody} == {"id", "t"}


@pytest.mark.parametrize(
    ("rule", "gone", "left"),
    [
        ("y >= y_prev", [False, True, False], []),  # of the visit itself
        ("y_prev < 6", [True, False, False], []),  # of the visit before, where only that is named
        ("x == x_prev and y >= y_prev", [False, True, True], ["x == x_prev and y >= y_prev"]),
    ],
)
def test_cells_are_emptied_where_the_schema_asks(
    rule: str, gone: list[bool], left: list[str]
) -> None:
    frame = table({"y": 7}, {"t": 1, "y": 5}, {"t": 2, "y": 5, "x": 1})
    found = inspect(frame, schema_of([rule], y="missing"))
    y = [field.name for field in schema_of([rule]).modelled].index("y")
    assert (found.codes[:, y] == -1).tolist() == gone
    assert [problem.column for problem in found.problems] == left
    if not left:
        note = encode_with_notes(frame, schema_of([rule], y="missing"))[1][0]
        assert "so that 'y' counts as missing (first: row 2 after row 1)" in str(note)


def test_one_patient_is_judged_alone() -> None:
    generator = np.random.default_rng(0)
    asked = schema_of(list(JUDGES), y="missing")
    for _ in range(20):
        visits = [
            {"id": f"p{i // 4}", "t": int(t), "x": int(x), "y": int(y), "died": bool(x > 6)}
            for i, (t, x, y) in enumerate(generator.integers(0, 10, (12, 3)))
        ]
        frame = table(*visits)
        whole = inspect(frame, asked)
        own = frame["id"] == "p1"
        alone = inspect(frame[own], asked)
        assert np.array_equal(whole.codes[own], alone.codes)
        assert np.array_equal(whole.invalid[own], alone.invalid)
