"""Clinical rules as scores, and what else is asked of an evaluation, checked before work begins."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.config import EvaluationRequest, Limit, Rule
from synthvae.console import read_evaluation_request
from synthvae.errors import ConfigError
from synthvae.evaluation.intervals import clopper_pearson, clustered_share
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import prepare
from synthvae.evaluation.validity import check_rules, read_rules
from synthvae.levels import METRICS, check_limits, with_threshold
from synthvae.purposes import AnalysisRequest
from synthvae.request import check_request, default_analyses
from synthvae.schema import Schema
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, yes_no

BIRTHS = Schema.from_dict(
    {
        "name": "births",
        "fields": [
            {"name": "sex", "constraints": {"enum": ["female", "male"], "required": False}},
            {
                "name": "births",
                "type": "integer",
                "constraints": {"minimum": 0, "maximum": 20, "required": False},
            },
        ],
    }
)
MEN = Rule.model_validate(
    {"name": "Men do not give birth", "if": "sex == 'male'", "then": "births == 0"}
)


def births(*rows: tuple[str | None, int | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sex", "births"])


def test_a_rule_worked_out_by_hand() -> None:
    made = births(
        ("male", 1),  # breaks it
        ("male", 0),
        ("female", 3),
        ("male", None),  # cannot be judged
        (None, 2),  # cannot be judged
        (None, 0),  # kept, whoever it is
        ("male", 99),  # 99 is invalid, so it counts as missing
        ("female", None),
    )
    real = births(("male", 0), ("female", 2), ("male", 1), ("female", 0))
    tables = prepare(real, births(("male", 0)), made, BIRTHS, np.random.default_rng(0))
    (score,) = check_rules(tables, read_rules([MEN], BIRTHS))
    assert score.key == "rule.men-do-not-give-birth"
    assert score.value == 1 / 8
    assert score.interval == clopper_pearson(1, 8)
    assert (score.references["train"], score.references["holdout"]) == (0.25, 0.0)
    assert score.detail == (
        "1 of 8 rows break it. It concerns 4 rows. 3 rows cannot be judged, because a value is "
        "missing or invalid, and count as keeping it."
    )


def test_rules_reach_the_evaluation_and_the_steward_may_set_limits() -> None:
    asked = EvaluationRequest(
        rules=(Rule(name="adults", then="age >= 18"), Rule(name="old", then="age >= 60")),
        limits={"rule.adults": Limit(good=0, poor=0, reason="no child was admitted")},
    )
    found = evaluate(clinic(80, 1), clinic(40, 2), clinic(80, 3), SCHEMA, asked=asked)
    adults, old = found.score("rule.adults"), found.score("rule.old")
    assert (adults.value, adults.topic, adults.references["holdout"]) == (0.0, "validity", 0.0)
    assert adults.threshold is not None
    assert (adults.threshold.basis, adults.threshold.poor) == ("steward-set", 0)
    assert old.threshold is not None
    assert old.threshold.good == pytest.approx(old.references["train"] + 0.005, abs=1e-6)
    assert old.value is not None
    assert 0.3 < old.value < 0.7
    assert found.depth == "standard"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"rules": [{"name": "a", "then": "agee > 3"}]}, "In the rule 'a'"),
        ({"rules": [{"name": "a", "if": "agee > 3", "then": "age > 3"}]}, "`if` of the rule 'a'"),
        ({"rules": [{"name": "a!", "then": "age > 3"}] * 2}, "two rules are named 'a!'"),
        (
            {
                "analyses": [
                    {"name": "m", "kind": "logistic", "outcome": "dead", "predictors": ["age"]}
                ]
            },
            r"the analysis 'm' names 'dead', which is no column",
        ),
        (
            {
                "analyses": [
                    {"name": "m", "kind": "logistic", "outcome": "age", "predictors": ["crea"]}
                ]
            },
            "is logistic, but its outcome 'age' has 83 values, not two",
        ),
        (
            {
                "analyses": [
                    {"name": "m", "kind": "linear", "outcome": "died", "predictors": ["crea"]}
                ]
            },
            "is linear, but its outcome 'died' is no number",
        ),
        (
            {
                "analyses": [
                    {"name": "m", "kind": "linear", "outcome": "age", "predictors": ["age"]}
                ]
            },
            "has its outcome 'age' among its predictors",
        ),
        (
            {
                "analyses": [
                    {"name": "m", "kind": "linear", "outcome": "age", "predictors": ["sex", "sex"]}
                ]
            },
            "names the predictor 'sex' twice",
        ),
        (
            {"analyses": [{"name": "m", "kind": "cox", "predictors": ["age"]}]},
            "cannot be done: the schema declares no survival columns",
        ),
        (
            {"limits": {"tvd4": {"good": 0, "poor": 1, "reason": "x"}}},
            r"limits names 'tvd4', which is no score \(did you mean 'tvd",
        ),
        (
            {"limits": {"rule.b": {"good": 0, "poor": 1, "reason": "x"}}},
            "limits names 'rule.b', no rule",
        ),
        (
            {"limits": {"tvd2": {"good": 0.2, "poor": 0.1, "reason": "x"}}},
            "has good 0.2 and poor 0.1, but lower is better",
        ),
        (
            {"limits": {"overlap.m": {"good": 0.2, "poor": 0.9, "reason": "x"}}},
            "has good 0.2 and poor 0.9, but higher is better",
        ),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_first(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_request(EvaluationRequest.model_validate(asked), SCHEMA)


def test_more_that_does_not_fit() -> None:
    keyed = Schema.from_dict(
        {
            "primaryKey": "id",
            "survival": {"duration": "days", "event": "event"},
            "fields": [
                {"name": "id"},
                {"name": "days", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
                {"name": "event", "constraints": {"enum": ["a", "b", "c"]}},
            ],
        }
    )
    with pytest.raises(ConfigError, match="names 'id', which is never modelled"):
        check_request(
            EvaluationRequest(
                analyses=(
                    AnalysisRequest(name="m", kind="linear", outcome="days", predictors=("id",)),
                )
            ),
            keyed,
        )
    with pytest.raises(ConfigError, match="survival column 'event' has 3 values, not two"):
        check_request(
            EvaluationRequest(
                analyses=(AnalysisRequest(name="m", kind="cox", predictors=("days",)),)
            ),
            keyed,
        )
    pair = SCHEMA.replace(survival={"duration": "days", "event": "died"})
    with pytest.raises(ConfigError, match="has the group 'age', which has no categories"):
        check_request(
            EvaluationRequest(
                analyses=(AnalysisRequest(name="m", kind="kaplan-meier", group="age"),)
            ),
            pair,
        )
    curves = AnalysisRequest.model_validate(
        {
            "name": "m", "kind": "kaplan-meier", "predictors": ["sex", "age"],
            "interactions": [["sex", "age"]],
        }
    )  # fmt: skip
    with pytest.raises(
        ConfigError, match="has the interaction sex x age, but curves have no effects"
    ):
        check_request(EvaluationRequest(analyses=(curves,)), pair)
    with pytest.raises(ConfigError, match="has its outcome 'days' among its predictors"):
        check_request(
            EvaluationRequest(
                analyses=(AnalysisRequest(name="m", kind="cox", predictors=("days",)),)
            ),
            pair,
        )


def test_purposes_of_the_schema_are_analyses_that_need_no_repeating() -> None:
    purpose = {"name": "age", "kind": "linear", "outcome": "age", "predictors": ["sex", "ward"]}
    other = AnalysisRequest(name="crea", kind="linear", outcome="crea", predictors=("age",))
    schema = SCHEMA.replace(purposes=[purpose])
    asked = EvaluationRequest(analyses=(other, *schema.purposes))
    for request, names in ((EvaluationRequest(), ["age"]), (asked, ["age", "crea"])):
        checked = check_request(request, schema)
        assert [one.name for one in checked.analyses] == names
        assert checked.declared
        assert checked.notes[0].startswith("A purpose of the schema")
        assert all(note.startswith("An undeclared use") for note in checked.notes[1:])
    defaults = check_request(EvaluationRequest(), SCHEMA)
    assert {note[:9] for note in defaults.notes} == {"A default"}
    again = other.model_copy(update={"name": "Age"})
    with pytest.raises(ConfigError, match="two analyses are named 'age' or nearly so"):
        check_request(EvaluationRequest(analyses=(again,)), schema)


def test_defaults_stand_in_where_no_analysis_is_declared() -> None:
    pair = SCHEMA.replace(survival={"duration": "days", "event": "died"})
    found = default_analyses(pair)
    assert [one.kind for one in found] == ["logistic", "cox", "kaplan-meier"]
    assert found[0].predictors == ("age", "crea", "sex", "ward")
    assert found[2].group == "sex"
    assert default_analyses(yes_no(2)) == ()


def test_the_section_of_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("name: x\nevaluation: {depth: screen, rules: [{name: a, then: b > 1}]}\n")
    assert read_evaluation_request(file, None).rules[0].then == "b > 1"
    assert read_evaluation_request(file, "deep").depth == "deep"
    assert read_evaluation_request(None, None) == EvaluationRequest()
    with pytest.raises(ConfigError, match="depth is 'deeper'; it must be one of screen, standard"):
        read_evaluation_request(file, "deeper")
    file.write_text("evaluation: {rule: []}\n")
    with pytest.raises(ConfigError, match=r"unknown key 'rule' \(did you mean 'rules'\?\)"):
        read_evaluation_request(file, None)
    file.write_text("name: x\n")
    with pytest.raises(ConfigError, match="has no `evaluation` section"):
        read_evaluation_request(file, None)


def score(key: str, direction: str, goal: float | None = None, **references: float) -> Score:
    return Score(
        key=key,
        topic="utility",
        title="",
        meaning="",
        value=0.5,
        direction=direction,
        goal=goal,
        references=references,
    )


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        (score("tvd2", "lower", bootstrap=0.03), (0.07, 0.15)),
        (score("c2st", "towards", 0.5), (0.1, 0.2)),
        (score("tstr.died.linear", "higher", real=0.7), (0.67, 0.6)),
        (score("rmse.age.linear", "lower", real=10), (10.5, 12)),
        (score("calibration_slope.died.linear", "towards", 1.0, real=0.8), (0.3, 0.5)),
        (score("attack.domias.auc", "towards", 0.5), (0.05, 0.1)),
    ],
)
def test_thresholds_stand_beside_what_real_rows_reach(
    given: Score, ends: tuple[float, float]
) -> None:
    found = with_threshold(given, {}).threshold
    assert found is not None
    assert (found.good, found.poor) == pytest.approx(ends)


def test_a_threshold_without_its_reference_is_none() -> None:
    assert with_threshold(score("tvd2", "lower"), {}).threshold is None
    assert with_threshold(score("unheard", "lower"), {}).threshold is None


@pytest.mark.parametrize("key", ["sdmetrics_pairs", "sdmetrics_quality"])
def test_a_figure_for_information_has_only_a_stewards_threshold(key: str) -> None:
    given = score(key, "higher", holdout=0.85, independent=0.96)
    assert with_threshold(given, {}).threshold is None
    own = {key: Limit(good=0.8, poor=0.7, reason="what we agreed on")}
    check_limits(own)
    found = with_threshold(given, own).threshold
    assert found is not None
    assert found.basis == "steward-set"
    wrong = {key: Limit(good=0.7, poor=0.8, reason="what we agreed on")}
    with pytest.raises(ConfigError, match="but higher is better"):
        check_limits(wrong)


@pytest.mark.parametrize("key", ["tvd2.x", "tstr.died", "attack.unheard.auc", "group_tstr"])
def test_a_limit_of_a_key_that_is_nearly_one_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"limits names '{key}', which is no score"):
        check_limits({key: Limit(good=0.1, poor=0.2, reason="x")})


def test_the_page_names_every_figure_and_its_example_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for metric in METRICS:
        if metric.threshold and metric.family not in ("attacks", "sdmetrics"):
            assert f"`{metric.key.partition('<')[0]}" in page, metric.key
    example = page.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "asked.yaml").write_text(example, encoding="utf-8")
    asked = EvaluationRequest.load(tmp_path / "asked.yaml")
    schema = Schema.from_dict(
        {
            "survival": {"duration": "age", "event": "died"},
            "fields": [
                *(
                    {"name": n, "type": "integer", "constraints": {"minimum": 0, "maximum": 9}}
                    for n in ("age", "births", "creatinine", "cost")
                ),
                *(
                    {
                        "name": n,
                        "type": "date",
                        "constraints": {"minimum": "2000-01-01", "maximum": "2009-12-31"},
                    }
                    for n in ("admitted", "discharged")
                ),
                {"name": "sex", "constraints": {"enum": ["female", "male"]}},
                *({"name": n, "type": "boolean"} for n in ("died", "drug", "marker")),
            ],
        }
    )
    with pytest.raises(ConfigError, match="has its outcome 'age' among its predictors"):
        check_request(asked, schema)
    ready = check_request(asked, schema.replace(survival={"duration": "cost", "event": "died"}))
    assert [one.kind for one in ready.analyses][2:] == ["cox", "cox", "kaplan-meier"]


def test_shares_of_rows_of_the_same_patients() -> None:
    single = np.array([True, False, False, True])
    assert clustered_share(single, np.arange(4)) == clopper_pearson(2, 4)
    # Every patient's rows are alike: three patients are what is known, not twelve rows.
    rows, whose = np.repeat([True, False, False], 4), np.repeat([0, 1, 2], 4)
    wide = clustered_share(rows, whose)
    assert wide.low < clopper_pearson(1, 3).low + 0.05
    assert wide.high > clopper_pearson(1, 3).high - 0.05
    assert clustered_share(np.zeros(12, bool), whose).high == clopper_pearson(0, 3).high
    assert clustered_share(np.ones(12, bool), whose).low == clopper_pearson(3, 3).low


@pytest.mark.slow
def test_shares_of_clustered_rows_are_covered() -> None:
    g, covered, too_narrow = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        sizes = g.integers(1, 6, 120)
        whose = np.repeat(np.arange(120), sizes)
        chance = g.beta(0.5, 2.0, 120)  # patients differ: a mean of 0.2
        rows = g.random(len(whose)) < chance[whose]
        found = clustered_share(rows, whose)
        covered += found.low <= 0.2 <= found.high
        naive = clopper_pearson(int(rows.sum()), len(rows))
        too_narrow += naive.low <= 0.2 <= naive.high
    assert covered >= 935
    assert too_narrow < 915
