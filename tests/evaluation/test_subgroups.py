"""Effects within subgroups, and products of terms, against what is worked out without them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from synthvae.evaluation.analyses import compare_analyses
from synthvae.evaluation.regression import Terms, fit_model
from synthvae.evaluation.results import Analysis, Score
from synthvae.evaluation.tables import prepare
from synthvae.purposes import AnalysisRequest
from synthvae.schema import Schema

SCHEMA = Schema.from_dict(
    {
        "name": "trial",
        "survival": {"duration": "days", "event": "died"},
        "fields": [
            {"name": "arm", "constraints": {"enum": ["placebo", "drug"]}},
            {"name": "marker", "constraints": {"enum": ["no", "yes", "unclear"]}},
            {"name": "age", "type": "integer", "constraints": {"minimum": 18, "maximum": 99}},
            {"name": "score", "type": "integer", "constraints": {"minimum": 0, "maximum": 100}},
            {"name": "days", "type": "integer", "constraints": {"minimum": 0, "maximum": 2000}},
            {"name": "died", "type": "boolean"},
        ],
    }
)
NOTE = "A note. "
LINEAR = {"name": "benefit", "kind": "linear", "outcome": "score"}


def trial(rows: int, seed: int, effect: float = 8.0, unclear: float = 0.0) -> pd.DataFrame:
    """Return rows in which the drug lowers the score of those with the marker, and raises others'."""
    g = np.random.default_rng(seed)
    drug = g.random(rows) < 0.5
    marker = g.choice(["no", "yes", "unclear"], rows, p=[0.5 - unclear / 2] * 2 + [unclear])
    change = np.where(drug, np.where(marker == "yes", -effect, effect / 2), 0)
    lasted = g.exponential(1500 * np.exp(change / 10))
    return pd.DataFrame(
        {
            "arm": np.where(drug, "drug", "placebo"),
            "marker": marker,
            "age": g.integers(40, 90, rows),
            "score": np.clip(g.normal(50 + change, 12), 0, 100).round(),
            "days": np.minimum(lasted, 1500).round(),
            "died": lasted < 1500,
        }
    )


def compare(
    train: pd.DataFrame, made: pd.DataFrame, interactions: Any, **more: Any
) -> tuple[Analysis, dict[str, Score]]:
    facts = LINEAR | {"predictors": ["arm", "marker", "age"], "interactions": interactions} | more
    tables = prepare(train, trial(700, 99), made, SCHEMA, np.random.default_rng(0))
    request = AnalysisRequest.model_validate(facts)
    analyses, scores = compare_analyses(tables, [request], [NOTE], np.random.default_rng(1))
    return analyses[0], {score.key.partition(".")[0]: score for score in scores}


def test_a_difference_in_means_is_that_of_the_subgroup() -> None:
    train, made = trial(800, 1), trial(600, 2)
    analysis, scores = compare(train, made, [["arm", "marker"]])
    (found,) = analysis.subgroups
    assert analysis.detail.startswith(f"{NOTE}4 coefficients")
    assert not any(NOTE in score.detail for score in scores.values())
    assert (found.predictor, found.within, found.measure) == (
        "arm", ("marker",), "difference in means",
    )  # fmt: skip
    assert [effect.subgroup for effect in found.effects] == ["marker = no", "marker = yes"]
    assert analysis.formula == "score ~ arm + marker + age + arm:marker"
    for effect in found.effects:
        inside = train[train.marker == effect.subgroup[-3:].strip()]
        drug, placebo = (inside.score[inside.arm == arm] for arm in ("drug", "placebo"))
        assert effect.real == pytest.approx(drug.mean() - placebo.mean(), abs=1e-5)
        assert effect.real_rows == len(inside)
        pooled = sm.stats.CompareMeans(sm.stats.DescrStatsW(drug), sm.stats.DescrStatsW(placebo))
        low, high = pooled.tconfint_diff(usevar="pooled")
        interval = effect.real_interval
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("more", "measure"),
    [
        ({}, "difference in means"),
        ({"kind": "logistic", "outcome": "died"}, "log odds ratio"),
        ({"kind": "cox", "outcome": None}, "log hazard ratio"),
    ],
)
def test_conclusions_are_kept_by_fresh_rows_and_lost_where_no_pair_shows_them(
    more: dict[str, Any], measure: str
) -> None:
    train, fresh = trial(1200, 3), trial(1200, 4)
    g = np.random.default_rng(5)
    lost = fresh.assign(marker=g.permutation(fresh.marker))
    turned = fresh.assign(marker=fresh.marker.map({"yes": "no", "no": "yes"}))
    interaction = [["arm", "marker"]]
    kept, scores = compare(train, fresh, interaction, **more)
    assert kept.subgroups[0].measure == measure
    assert scores["subgroup_conclusions"].value == 1
    assert scores["subgroup_conclusions"].references["expected"] > 0.8
    assert scores["subgroup_overlap"].value > 0.4
    assert scores["interaction_signs"].value == 1
    for made, most in ((lost, 0.5), (turned, 0.0)):
        _, scores = compare(train, made, interaction, **more)
        assert scores["subgroup_conclusions"].value <= most
        assert scores["subgroup_overlap"].value < 0.3
        assert scores["interaction_overlap"].value < 0.3
    assert scores["interaction_signs"].value == 0


def test_what_is_barely_told_from_zero_need_not_be_found_again() -> None:
    # Of many sizes, since nothing is known beforehand.
    effects = np.random.default_rng(0).normal(0, 8, 80)
    scores = [
        compare(trial(900, seed, effect), trial(900, 100 + seed, effect), [["arm", "marker"]])[1][
            "subgroup_conclusions"
        ]
        for seed, effect in enumerate(effects)
    ]
    ran = [score for score in scores if score.value is not None]
    assert len(ran) >= 40
    expected = np.mean([score.references["expected"] for score in ran])
    assert 0.8 < expected < 0.95
    assert np.mean([score.value for score in ran]) == pytest.approx(expected, abs=0.05)


def test_numbers_are_cut_and_tiny_subgroups_are_left_out_or_joined() -> None:
    train = trial(900, 6, unclear=0.02)
    analysis, _ = compare(train, trial(900, 7, unclear=0.02), [["arm", "age"], ["arm", "marker"]])
    of_age, of_marker = analysis.subgroups
    assert len(of_age.effects) == 3
    assert of_age.effects[0].subgroup.startswith("age = up to ")
    assert "'age' cut at train's thirds" in of_age.detail
    assert [effect.subgroup for effect in of_marker.effects] == ["marker = no", "marker = yes"]
    assert "1 subgroup of fewer than 30 patients, or beyond the 8 largest, left out" in (
        of_marker.detail
    )
    (both,) = compare(train, trial(900, 7), [["arm", "age", "marker"]])[0].subgroups
    assert len(both.effects) == 6
    assert both.effects[0].subgroup.endswith("marker = no")


def test_a_subgroup_that_synthetic_rows_lack_is_lost() -> None:
    train, made = trial(900, 8), trial(900, 9)
    analysis, scores = compare(train, made[made.marker == "no"], [["arm", "marker"]])
    assert "no product of terms varies" in str(scores["interaction_overlap"].not_run)
    no, yes = analysis.subgroups[0].effects
    assert no.not_run is None
    assert yes.not_run == "0 synthetic rows that allow no estimate"
    assert scores["subgroup_conclusions"].value == 0.5
    assert scores["subgroup_overlap"].value < 0.6


def test_products_are_those_of_a_design_made_by_hand() -> None:
    train = trial(700, 10, unclear=0.2)
    table = prepare(train, trial(200, 11), train, SCHEMA, np.random.default_rng(0)).train
    predictors, sets = ("arm", "marker", "age"), [("arm", "marker", "age")]
    terms = Terms(SCHEMA, predictors, table, sets)
    fit = fit_model("linear", "score", terms, table, SCHEMA)
    assert terms.products[:2] == ("arm = drug × marker = yes", "arm = drug × marker = unclear")
    assert terms.products[-1] == "arm = drug × marker = unclear × age (standardised)"
    age = (train.age - train.age.mean()) / train.age.std(ddof=0)
    drug, yes, unclear = (
        train.arm == "drug", train.marker == "yes", train.marker == "unclear",
    )  # fmt: skip
    singles = [drug, yes, unclear, train.age]
    pairs = [drug * yes, drug * unclear, drug * age, yes * age, unclear * age]
    design = np.column_stack([*singles, *pairs, drug * yes * age, drug * unclear * age])
    expected = sm.OLS(train.score, sm.add_constant(design.astype(float))).fit()
    assert fit.estimates == pytest.approx(np.asarray(expected.params)[1:], abs=1e-6)
    assert fit.half == pytest.approx(
        np.diff(np.asarray(expected.conf_int()), axis=1)[1:, 0] / 2, abs=1e-5
    )
