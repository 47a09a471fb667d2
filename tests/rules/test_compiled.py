"""Derived columns: the codes that are computed, and what a real row may hold in their place."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import SchemaError
from synthvae.rules.domains import Domain
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table import find_problems, inspect
from synthvae.table.decoding import decode
from tests.rules.ruled_table import choice, day, flag, integer, number

INPUTS = [
    integer("a", 0, 10, gaps=True),
    number("h", 0, 9, gaps=True),
    choice("g", ["1", "2", "5"], gaps=True),
    choice("s", ["low", "mid", "high"], gaps=True),
    flag("f", gaps=True),
    day("d", "2020-01-01", "2020-12-31", gaps=True),
    {
        "name": "t",
        "type": "datetime",
        "format": "%Y-%m-%d %H:%M",
        "constraints": {"minimum": "2020-01-01 00:00", "maximum": "2020-12-31 23:59"},
    },
]
PLAIN = {
    "a": 0,
    "h": 0.0,
    "g": "1",
    "s": "low",
    "f": False,
    "d": "2020-01-01",
    "t": "2020-01-01 00:00",
}
TOTAL = integer("z", -20, 100, gaps=True)
DAY = day("z", "2019-12-30", "2021-12-31", gaps=True)
WEEK = day("z", "2020-01-01", "2021-12-31", step="7 days", gaps=True)
HOUR = {
    "name": "z",
    "type": "datetime",
    "format": "%Y-%m-%d %H",
    "constraints": {"minimum": "2020-01-01 00", "maximum": "2021-01-31 23", "required": False},
}
DIGITS = choice("z", ["0", "2", "1"], gaps=True)
FINE = choice("z", ["0.6", "0.3", "0"], gaps=True)
LISTED = {"name": "z", "type": "integer", "constraints": {"enum": [1, 2, 4], "required": False}}
NAMES = choice("z", ["high", "low"], gaps=True)
TRUTH = flag("z", gaps=True)


def schema_of(target: dict[str, Any], formula: str) -> Schema:
    rules = [{"derive": "z", "as": formula}]
    return Schema.from_dict({"name": "derived", "fields": [*INPUTS, target], "rules": rules})


def derived(schema: Schema, rows: list[dict[str, Any]]) -> list[Any]:
    """Return the derived column of some rows as a table would have it."""
    frame = pd.DataFrame([PLAIN | row for row in rows]).assign(z=None)
    codes = schema.rule_set.completed(inspect(frame, schema).codes)
    values = decode(codes, schema)["z"]
    if isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind == "M":
        values = values.dt.strftime("%Y-%m-%d %H")
    return [None if pd.isna(value) else value for value in values.astype(object)]


@pytest.mark.parametrize(
    ("target", "formula", "cases"),
    [
        (TOTAL, "a / 2", [({"a": a}, z) for a, z in ((1, 1), (3, 2), (4, 2), (5, 3), (None, None))]),
        (TOTAL, "-a / 2", [({"a": a}, z) for a, z in ((1, 0), (2, -1), (3, -1))]),
        (TOTAL, "a / h", [({"a": 7, "h": 2}, 4), ({"a": 7, "h": 0}, None), ({"a": 1, "h": 2.1}, 0)]),
        (TOTAL, "a + f + g", [({"a": 1, "f": True, "g": "5"}, 7), ({"a": 1, "f": None}, None)]),
        (TOTAL, "g", [({"g": "5"}, 5), ({"g": None}, None)]),
        (TOTAL, "f", [({"f": True}, 1), ({"f": False}, 0)]),
        (TOTAL, "a > 3", [({"a": 4}, 1), ({"a": 3}, 0), ({"a": None}, None)]),
        (TOTAL, "h * 10", [({"h": 0.7}, 7), ({"h": 2.3}, 23)]),
        (number("z", 0, 9, gaps=True), "h / 2", [({"h": 0.1}, 0.1), ({"h": 0.3}, 0.2)]),
        (number("z", 0.25, 5.25, 2, step=0.5, gaps=True), "a / 4 + 0.25", [
            ({"a": 0}, 0.25), ({"a": 1}, 0.75), ({"a": 2}, 0.75), ({"a": 3}, 1.25), ({"a": 6}, 1.75)]),
        (integer("z", 0, 9, special=[-1, 99]), "a - 1 if a < 10 else 99", [
            ({"a": 0}, -1), ({"a": 1}, 0), ({"a": 10}, 99)]),
        (number("z", 1, 9, special=[0.3]), "h + 0.1", [({"h": 0.2}, 0.3), ({"h": 0.9}, 1.0)]),
        (DAY, "d + a", [({"a": 3}, "2020-01-04 00"), ({"a": None}, None), ({"d": None}, None)]),
        (DAY, "d - h", [({"h": 0.5}, "2019-12-31 00"), ({"h": 1.0}, "2019-12-31 00")]),
        (DAY, "d + h", [({"h": 1.9}, "2020-01-02 00")]),  # the time of a day is cut off
        (DAY, "t", [({"t": "2020-03-01 23:59"}, "2020-03-01 00")]),
        (DAY, "max(d, t) if f else d", [({"f": True, "t": "2020-02-01 01:00"}, "2020-02-01 00")]),
        (HOUR, "t + h", [({"h": 0.5}, "2020-01-01 12"), ({"h": 0.9}, "2020-01-01 21")]),
        (WEEK, "d + a", [({"a": a}, z) for a, z in (
            (0, "2020-01-01 00"), (3, "2020-01-01 00"), (4, "2020-01-08 00"), (10, "2020-01-08 00"))]),
        (DIGITS, "floor(a / 5)", [({"a": a}, z) for a, z in ((0, "0"), (9, "1"), (10, "2"))]),
        (DIGITS, "f + (1 if a > 3 else 0)", [({"f": True, "a": 4}, "2"), ({"f": None}, None)]),
        (DIGITS, "a > 3", [({"a": 4}, "1"), ({"a": 0}, "0")]),
        (FINE, "h + 0.1", [({"h": 0.2}, "0.3"), ({"h": 0.5}, "0.6")]),
        (FINE, "h - 0.1 - 0.2", [({"h": 0.3}, "0"), ({"h": 0.9}, "0.6")]),
        (LISTED, "a", [({"a": 4}, 4), ({"a": 1}, 1)]),
        (TRUTH, "a > 5", [({"a": 6}, True), ({"a": 5}, False), ({"a": None}, None)]),
        (TRUTH, "a > 5 or f", [({"a": None, "f": True}, True), ({"a": None}, None)]),
        (TRUTH, "a is missing", [({"a": None}, True), ({"a": 1}, False)]),
        (NAMES, "'high' if a > 5 else 'low'", [
            ({"a": 6}, "high"), ({"a": 5}, "low"), ({"a": None}, None)]),
        (NAMES, "s", [({"s": "high"}, "high"), ({"s": "low"}, "low"), ({"s": None}, None)]),
        (NAMES, "'high' if f else s", [({"f": True, "s": None}, "high"), ({"s": "low"}, "low")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_computed(
    target: dict[str, Any], formula: str, cases: list[tuple[dict[str, Any], Any]]
) -> None:
    rows, expected = zip(*cases, strict=True)
    assert derived(schema_of(target, formula), list(rows)) == list(expected)


@pytest.mark.parametrize(
    ("target", "formula", "row", "near", "far"),
    [
        (TOTAL, "a / 2", {"a": 3}, [1, 2, 1.5 + 0.5, None], [0, 3]),
        (TOTAL, "a + 1", {"a": 3}, [3, 4, 5], [2, 6]),
        (number("z", 0, 9, gaps=True), "h / 2", {"h": 5}, [2.4, 2.5, 2.6], [2.3, 2.7]),
        (number("z", 0, 9, step=0.5, gaps=True), "a / 4", {"a": 5}, [1, 1.5], [0.0, 2.5, 0.5, 2]),
        (integer("z", 5, 9, special=[-1]), "a - 1", {"a": 0}, [-1], [5]),
        (DAY, "d + a", {"a": 3}, ["2020-01-03", "2020-01-05"], ["2020-01-02", "2020-01-06"]),
        (WEEK, "d + a", {"a": 10}, ["2020-01-08", "2020-01-15"], ["2020-01-01", "2020-01-22"]),
        (TRUTH, "a > 5", {"a": 5}, [False, None], [True]),
        (NAMES, "'high' if a > 5 else 'low'", {"a": 6}, ["high", None], ["low"]),
        (DIGITS, "floor(a / 5)", {"a": 5}, ["1"], ["0", "2"]),
        (TOTAL, "a / h", {"a": 5, "h": 0}, [None, 7], []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_real_row_may_miss_a_step_and_no_more(
    target: dict[str, Any], formula: str, row: dict[str, Any], near: list[Any], far: list[Any]
) -> None:
    schema = schema_of(target, formula)
    for value in (*near, *far):
        problems = find_problems(pd.DataFrame([PLAIN | row | {"z": value}]), schema)
        assert [problem.what for problem in problems] == ["rule"] * (value in far), value


def every_record(schema: Schema) -> np.ndarray:
    """Return all records of the columns that are drawn, with empty derived ones."""
    codes = []
    for place, field in enumerate(schema.modelled):
        points = range(Domain.whole(schema.columns.meanings[place]).high + 1)
        points = points if place < len(schema.drawn) else range(0)
        specials = [-2 - i for i in range(len(field.specials))]
        codes.append([*points, *specials, *[MISSING] * (field.nullable or not points)])
    return np.array(list(product(*codes)))


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ([integer("z", 0, 7)], [{"derive": "z", "as": "a * b / 2"}, "z != 3"]),
        ([integer("z", 2, 4, gaps=True)], [{"derive": "z", "as": "(a + b) / 2"}]),
        ([number("z", 0, 9, step=0.5)], [{"derive": "z", "as": "(a + b) / 4"}, "z > 1.5 or a < 2"]),
        ([integer("z", 0, 6, special=[-4, 9])], [{"derive": "z", "as": "a - b"}, "z < 3"]),
        ([day("z", "2020-01-01", "2020-01-08", step="7 days")], [
            {"derive": "z", "as": "d + a + b"}, "z == '2020-01-01' or b > 2"]),
        ([day("z", "2020-01-02", "2020-01-08")], [
            {"derive": "z", "as": "d + a / 2"}, "z - d >= 1.2", "z - d < b + 1.3"]),
        ([choice("z", ["0.1", "0.3", "0"], gaps=True)], [
            {"derive": "z", "as": "a / 10"}, "b > 0 or z > 0.1"]),
        ([integer("z", 0, 3)], [{"derive": "z", "as": "(a + b) / 2"}, "f or z == 3"]),
        ([choice("z", ["1", "2", "3"], gaps=True)], [{"derive": "z", "as": "a + f"}, "z != 2"]),
        ([choice("z", ["lo", "hi"])], [
            {"derive": "z", "as": "'hi' if a > b else 'lo'"}, {"if": "z == 'hi'", "then": "f"}]),
        ([flag("y"), integer("z", 0, 9)], [
            {"derive": "z", "as": "a + b + y"}, {"derive": "y", "as": "a > b or f"}, "z <= 6"]),
        ([integer("z", 0, 3), choice("s", ["x", "y"])], [
            {"derive": "z", "as": "a"}, {"allowed": ["z", "s"], "values": [[0, "x"], [2, "y"]]}]),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value[0], dict) and "rule" not in value[0] else "",
)  # fmt: skip
def test_sampled_rules_say_of_inputs_what_declared_ones_say_of_the_record(
    fields: list[dict[str, Any]], rules: list[Any]
) -> None:
    inputs = [integer("a", 0, 5, gaps=True), integer("b", 0, 3), flag("f", gaps=True)]
    if any("d +" in str(rule) for rule in rules):
        inputs.append(day("d", "2020-01-01", "2020-01-03"))
    schema = Schema.from_dict({"name": "all", "fields": [*inputs, *fields], "rules": rules})
    rule_set = schema.rule_set
    whole = rule_set.completed(every_record(schema))
    kept = ~rule_set.broken(whole, rule_set.sampled)
    assert 0 < kept.sum() < len(kept)
    assert not rule_set.broken(whole[kept]).any()
    for derivation in rule_set.derivations:  # and nothing is derived beyond its bounds
        value = derivation.value.term.range(rule_set.columns.known(whole[kept]))
        held = rule_set.columns.known(whole[kept])(derivation.place)
        step = 3.5 * 86_400 if derivation.field.step == "7 days" else 86_400
        step = step if derivation.field.is_moment else 0.5 * (derivation.field.step or 1)
        apart = np.abs(value.low - held.low)[np.broadcast_to(value.some, held.low.shape)]
        assert (apart <= step + 1e-6).all()
    # What breaks a rule by the record's own values is not sampled; what fits is.
    stated = [rule for rule in rule_set.declared if not (rule.setting and rule.setting.derive)]
    fits = np.logical_and.reduce(
        [d.fits(rule_set.columns.known(whole)).keeps for d in rule_set.derivations]
    )
    assert np.array_equal(kept, fits & ~rule_set.broken(whole, stated))


@pytest.mark.parametrize(
    ("target", "formula", "known"),
    [
        (choice("z", ["7"]), "a", "a <= 6"),
        (choice("z", ["1", "7"]), "a + 6 if a == 1 else a / 2", "a in [0, 4, 5, 6]"),
        (choice("z", ["7", "8"], gaps=True), "a / (a - a)", "z is not missing"),
        (integer("z", 8, 9), "a", "a < 8"),
        (integer("z", 11, 11), "a + 0.5", "a < 10"),
        (flag("z"), "a > a / (a - a)", "z is not missing"),
    ],
)
def test_a_column_that_nothing_can_be_derived_for_is_refused(
    target: dict[str, Any], formula: str, known: str
) -> None:
    rules = [{"derive": "z", "as": formula}, known]
    fields = [integer("a", 0, 10), target]
    with pytest.raises(SchemaError, match="no record can keep th"):
        Schema.from_dict({"name": "none", "fields": fields, "rules": rules})
