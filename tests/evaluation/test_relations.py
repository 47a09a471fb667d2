"""Relations of real rows that no rule declares, and how often synthetic rows break them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.evaluation.relations import check_relations, find_undeclared
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Tables, prepare
from synthvae.levels import judge, with_threshold
from synthvae.schema import Schema
from tests.relations.hospital_stays import RULES, STAYS, stays

LEAST = '{derive: "visits", as: "v0 + v1 + v2"}'
LATER = '{derive: "discharged", as: "admitted + stay"}'


def tables(synthetic: pd.DataFrame, schema: Schema = STAYS) -> Tables:
    train, holdout = stays(3000, 1), stays(1000, 2)
    return prepare(train, holdout, synthetic, schema, np.random.default_rng(0))


def scores(synthetic: pd.DataFrame, schema: Schema = STAYS) -> tuple[Score, ...]:
    found = tables(synthetic, schema)
    return check_relations(found, find_undeclared(found, np.random.default_rng(0)))


@pytest.mark.parametrize(("rows", "expected"), [(0, "green"), (12, "amber"), (100, "red")])
def test_rows_that_break_a_relation_are_counted_and_it_is_named_as_a_rule(
    rows: int, expected: str
) -> None:
    made = stays(1000, 3)
    made.loc[: rows - 1, "visits"] += 3
    made.loc[: rows // 4 - 1, "discharged"] = "2000-01-01"  # in rows that are broken already
    (score,) = scores(made)
    assert score.value == rows / 1000
    assert score.references == {"train": 0, "holdout": 0, "independent": pytest.approx(1)}
    assert judge(with_threshold(score, {})) == expected
    assert (LEAST in score.detail) == (LATER in score.detail) == bool(rows)
    if rows:
        assert score.detail.index(LEAST) < score.detail.index(LATER)
        assert f"broken by {rows / 10:g} % of 1,000 rows" in score.detail
    else:
        assert "break none more often" in score.detail


def test_a_share_is_of_the_rows_that_a_relation_concerns() -> None:
    made = stays(1000, 3)
    relapsed = made["relapsed"].to_numpy()
    made.loc[~relapsed, "relapse"] -= 1
    (score,) = scores(made)
    assert score.value == pytest.approx((~relapsed).mean())
    assert f"(broken by 100 % of {(~relapsed).sum()} rows that it concerns" in score.detail


def test_what_a_rule_names_is_left_out_whatever_the_rule_says() -> None:
    declared = STAYS.replace(
        rules=[
            {"derive": "visits", "as": "v0 + v1 + v2"},
            "discharged - admitted == stay",
            {"if": "not died", "then": "cause is missing"},
        ]
    )
    found = find_undeclared(tables(stays(500, 3), declared), np.random.default_rng(0))
    assert {relation.text for relation in found} == {
        text for text in RULES if not any(c in text for c in ("visits", "cause", "stay"))
    }


@pytest.mark.parametrize(
    ("rule", "implied"),
    [
        ("relapse <= follow_up <= 900 + age", {"relapse <= follow_up"}),
        ("follow_up <= 900 + age", set()),
        ({"derive": "stay", "as": "discharged - admitted"}, {LATER}),
    ],
)
def test_what_follows_from_rules_is_left_out(rule: Any, implied: set[str]) -> None:
    declared = tables(stays(500, 3), STAYS.replace(rules=[rule]))
    found = find_undeclared(declared, np.random.default_rng(0))
    assert RULES - {relation.text for relation in found} == implied


def test_columns_without_relations_have_no_score() -> None:
    names = ["sbp", "bmi", "age", "rate"]
    fields = [STAYS[name].model_dump(mode="json", exclude_defaults=True) for name in names]
    schema = Schema.from_dict({"fields": fields})
    train, holdout, made = (stays(500, seed)[names] for seed in range(3))
    found = prepare(train, holdout, made, schema, np.random.default_rng(0))
    assert check_relations(found, find_undeclared(found, np.random.default_rng(0))) == ()
