"""Statements solved for one column, against every value that the column may have."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.domains import Domain
from synthvae.rules.inverse import Span
from synthvae.rules.ranges import Range
from synthvae.rules.values import Columns
from synthvae.schema import Schema
from tests.rules.ruled_table import day, flag, integer, number
from tests.rules.tiny_rules import COLUMNS, PLACES, RECORDS, compiled, rules


def solved_points(
    columns: Columns, rule: CompiledRule, place: int, others: dict[int, Range], count: int
) -> tuple[Ints, Ints] | None:
    """Return the first and the last point that a rule leaves, given others, each of shape (count,)."""
    values = columns.meanings[place]
    whole = values.between(np.array(0), np.array(values.size - 1))
    span = rule.solve(place, {**others, place: whole}.__getitem__)
    if span is None:
        return None
    first, last = values.points_between(span.low, span.high)
    return np.broadcast_to(first, count), np.broadcast_to(last, count)


def kept_points(
    columns: Columns, rule: CompiledRule, place: int, others: dict[int, Range], count: int
) -> Bools:
    """Return whether each point may keep a rule, shape (count, points)."""
    points = np.arange(columns.meanings[place].size)
    wide = {
        p: Range(
            r.low.reshape(-1, 1),
            r.high.reshape(-1, 1),
            r.some.reshape(-1, 1),
            r.none.reshape(-1, 1),
        )
        for p, r in others.items()
    }
    wide[place] = columns.meanings[place].exact(points)
    return np.broadcast_to(rule.judge(wide.__getitem__).keeps, (count, len(points)))


def assert_alike(
    columns: Columns, rule: CompiledRule, place: int, others: dict[int, Range], count: int
) -> bool:
    """Check that a solution, if there is one, has the points that may be; return if there is."""
    ends = solved_points(columns, rule, place, others, count)
    if ends is None:
        return False
    points = np.arange(columns.meanings[place].size)
    inside = (points >= ends[0][:, None]) & (points <= ends[1][:, None])
    kept = kept_points(columns, rule, place, others, count)
    wrong = np.flatnonzero((inside != kept).any(axis=1))
    assert wrong.tolist() == [], (rule.title, place, wrong[:3])
    return True


@settings(max_examples=150, deadline=None)
@given(
    rules(), st.sampled_from(["a", "h", "b"]), st.sets(st.sampled_from(range(5))), st.integers(0)
)
def test_a_solution_has_the_points_that_may_be(
    declared: Any, name: str, open_places: set[int], seed: int
) -> None:
    (rule,), place = compiled([declared]).declared, PLACES[name]
    records = np.random.default_rng(seed).permutation(RECORDS)[:200]
    others = {}
    for p, values in enumerate(COLUMNS.meanings):
        others[p] = values.exact(records[:, p])
        if p in open_places:
            others[p] = Domain.whole(values).hull(values)
    assume("abs(" not in rule.title)  # a gap is not told from a column of which nothing is left
    assert_alike(COLUMNS, rule, place, others, 200)


FIELDS = [
    day("start", "2020-01-01", "2020-12-31"),
    day("end", "2020-01-01", "2020-12-31", gaps=True),
    flag("dead"),
    integer("days", 0, 400),
    number("x", 0, 20, 2),
    number("y", -9, 20, 2),
    integer("weeks", 0, 60, gaps=True),
]
WEEKS = {"derive": "weeks", "as": "floor((end - start) / 7)"}
STUDY = Schema.from_dict({"name": "study", "fields": FIELDS, "rules": [WEEKS]})


def study_rule(declared: Any) -> CompiledRule:
    values = {"name": "study", "fields": FIELDS, "rules": [WEEKS, declared]}
    sampled = Schema.from_dict(values).rule_set.sampled
    return next(rule for rule in sampled if rule.setting and not rule.setting.derive)


def study_records(count: int) -> dict[int, Range]:
    generator = np.random.default_rng(8)
    found = {}
    for place, values in enumerate(STUDY.columns.meanings):
        codes = generator.integers(-values.field.nullable, values.size, count)
        found[place] = values.exact(codes)
    return found


@pytest.mark.parametrize(
    ("declared", "names"),
    [
        ("start < end", ["start", "end"]),
        ("end - start <= 30", ["start", "end"]),
        ("end == start + days", ["start", "end", "days"]),
        ("weeks <= 8", ["start", "end"]),
        ("x + y == 11.37", ["x", "y"]),
        ("3 * x - y / 2 > 1.1", ["x", "y"]),
        ("abs(x - y) <= 0.3", ["x", "y"]),
        ("-x >= -y - 4", ["x", "y"]),
        ("y < x <= 10 and not (x < 2)", ["x", "y"]),
        ({"if": "dead", "then": "end is not missing and days >= end - start"}, ["start", "days"]),
        ({"if": "days > 200", "then": "x == y"}, ["days", "x", "y"]),
    ],
)
def test_orders_and_sums_are_solved(declared: Any, names: list[str]) -> None:
    rule, others = study_rule(declared), study_records(300)
    for name in names:
        assert assert_alike(STUDY.columns, rule, STUDY.columns.places[name], others, 300), name


@pytest.mark.parametrize(
    "declared", ["x != y", "x in [1, 2, 5]", "x * y <= 4", "x + y / x <= 3", "max(x, y) >= 3"]
)
def test_what_may_have_a_gap_or_no_inverse_is_left_unsolved(declared: str) -> None:
    place = STUDY.columns.places["x"]
    assert solved_points(STUDY.columns, study_rule(declared), place, study_records(5), 5) is None


def test_a_gap_is_told_for_each_record_by_itself() -> None:
    place, others = STUDY.columns.places["y"], study_records(3)
    zero = STUDY.columns.meanings[STUDY.columns.places["x"]].exact(np.array([0, 100, 0]))
    others[STUDY.columns.places["x"]] = zero
    ends = solved_points(STUDY.columns, study_rule("abs(y) == x"), place, others, 3)
    assert ends is not None
    assert (ends[0] <= ends[1]).tolist() == [True, False, True]


def test_spans_meet_and_join() -> None:
    one, everything = Span(np.array([1.0]), np.array([3.0])), Span.all_where(np.array([True]))
    nothing = Span.all_where(np.array([False]))
    assert (one & everything) == one
    assert (one | nothing) == one
    assert (one | everything) == everything
    assert (one & nothing).low > (one & nothing).high
