"""Clashes of rules: found exactly where no record keeps them all, with a smallest set that clashes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.rules import solver
from synthvae.rules.compiled import CompiledRule, compile_rules
from synthvae.rules.domains import Domain, tightened
from synthvae.rules.setting import Rule
from synthvae.rules.solver import can_be_kept, clashing
from synthvae.schema import Schema
from tests.rules.ruled_table import day, integer, number
from tests.rules.tiny_rules import COLUMNS, RECORDS, compiled, kept_by, rules

WHOLE = [Domain.whole(values) for values in COLUMNS.meanings]
WIDE = Schema.from_dict(
    {
        "name": "wide",
        "fields": [
            integer("n", 0, 100_000),
            integer("m", 0, 100_000, gaps=True),
            number("x", 0, 1000, 3),
            day("first", "1900-01-01", "2030-12-31"),
            day("last", "1900-01-01", "2030-12-31"),
        ],
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=6))
def test_a_clash_is_found_exactly_where_no_record_keeps_the_rules(declared: list[Any]) -> None:
    rule_set = compiled(declared)
    some = bool(kept_by(rule_set).any())
    assert can_be_kept(COLUMNS, WHOLE, rule_set.sampled) is some
    clash = clashing(COLUMNS, WHOLE, rule_set.sampled)
    assert bool(clash) is not some
    if clash:
        assert rule_set.broken(RECORDS, clash).all()
        for needed in clash:
            rest = [rule for rule in clash if rule is not needed]
            assert not rule_set.broken(RECORDS, rest).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=3))
def test_domains_lose_only_what_no_record_has(declared: list[Any]) -> None:
    rule_set = compiled(declared)
    left = tightened(COLUMNS, WHOLE, rule_set.sampled)
    for place, domain in enumerate(left):
        codes = np.unique(RECORDS[kept_by(rule_set), place])
        for code in codes.tolist():
            assert domain.low <= code <= domain.high if code >= 0 else code in domain.others


def wide(*declared: str) -> tuple[CompiledRule, ...]:
    settings_ = [Rule.model_validate(rule) for rule in declared]
    return compile_rules(settings_, WIDE.columns, [], frozenset()).sampled


@pytest.mark.parametrize(
    ("declared", "possible"),
    [
        (["n * 3 == m * 7", "n > 50000", "m is not missing"], True),
        (["n + m == 199999", "n < m", "m is not missing"], True),
        (["x * x == 4", "x > 2.001"], False),
        (["n > 99999", "n != 100000"], False),
        (["last - first > 40000", "first > '1930-01-01'"], False),
        (["last - first > 40000", "first > '1915-01-01'"], True),
        (["year(first) == 1999", "first + 400 < last", "last < '2000-06-01'"], True),
        (["m < 0"], True),  # where it is missing
        (["m < 0", "m is not missing"], False),
    ],
)
def test_wide_columns_are_searched(declared: list[str], possible: bool) -> None:
    whole = [Domain.whole(values) for values in WIDE.columns.meanings]
    assert can_be_kept(WIDE.columns, whole, wide(*declared)) is possible


@pytest.mark.parametrize(
    "clash",
    [
        ["first > last", "last > first"],
        ["first >= last", "last - first >= 3"],
        ["n >= m + 2", "n < m", "m is not missing"],
    ],
)
def test_rules_that_contradict_each_other_along_a_diagonal_clash(clash: list[str]) -> None:
    whole = [Domain.whole(values) for values in WIDE.columns.meanings]
    declared = wide("m < n / 7 + (first - last)", *clash, "x * n != 12", "year(last) > 1950")
    found = clashing(WIDE.columns, whole, declared)
    assert [rule.title for rule in found] == clash


def test_what_is_not_decided_counts_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "MOST_BATCHES", 3)
    whole = [Domain.whole(values) for values in WIDE.columns.meanings]
    hard = wide("n * n - 2 * x * x == 1.5", "n > 1000")
    assert can_be_kept(WIDE.columns, whole, hard) is None
    assert clashing(WIDE.columns, whole, hard) == ()
