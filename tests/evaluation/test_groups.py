"""Protected groups, further draws, rankings of models and every column as a target."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synthvae.config import EvaluationRequest, Rule
from synthvae.errors import EvaluationError
from synthvae.evaluation.groups import GroupFindings, compare_groups
from synthvae.evaluation.prediction import compare_utility
from synthvae.evaluation.prediction_task import predict_every_column
from synthvae.evaluation.tables import binnings, prepare
from synthvae.schema import Schema
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, yes_no
from tests.simulated import learn_less

RARE = Schema.from_dict(
    {
        "fields": [
            {
                "name": "origin",
                "constraints": {"enum": ["here", "there", "far"]},
                "role": "protected",
            },
            {
                "name": "age",
                "type": "integer",
                "constraints": {"minimum": 0, "maximum": 99, "required": False},
                "role": "protected",
            },
            {"name": "ill", "type": "boolean"},
        ],
        "target": "ill",
    }
)


def people(rows: int, seed: int, worse: bool = False) -> pd.DataFrame:
    """Return rows in which illness follows age; where `worse`, there it follows nothing."""
    g = np.random.default_rng(seed)
    origin = g.choice(["here", "there", "far"], rows, p=[0.6, 0.38, 0.02])
    age = g.integers(0, 100, rows)
    ill = g.random(rows) < 1 / (1 + np.exp((50 - age) / 8))
    if worse:
        ill = np.where(origin == "there", g.random(rows) < 0.5, ill)
    return pd.DataFrame({"origin": origin, "age": age, "ill": ill})


def grouped(made: pd.DataFrame) -> GroupFindings:
    tables = prepare(people(900, 1), people(500, 2), made, RARE, np.random.default_rng(0))
    _, predictions = compare_utility(tables, np.random.default_rng(0))
    cuts = binnings(tables.train, RARE)
    return compare_groups(tables, cuts, predictions, np.random.default_rng(0))


def test_the_group_that_is_served_worst_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch, 20)
    found = grouped(people(900, 3, worse=True))
    scores = {score.key: score for score in found.scores}
    for key in ("group_tvd2", "group_tstr.ill"):
        assert "origin = there" in scores[key].detail
        assert scores[key].interval.low > 0
    figures = {(f.group, f.key): f for f in found.figures if f.column == "origin"}
    there, here = (figures[group, "group_tvd2"] for group in ("there", "here"))
    assert there.value == scores["group_tvd2"].value > here.value + 0.05
    assert there.reference < there.value / 3
    rare = figures["far", "group_tvd2"]
    assert (rare.value, rare.not_run) == (
        None,
        f"fewer than 30 patients in the train table ({rare.patients})",
    )
    assert "1 group not scored: too small" in scores["group_tstr.ill"].detail


def test_equal_rows_leave_no_gap_and_numbers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch)
    found = grouped(people(900, 3))
    scores = {score.key: score for score in found.scores}
    assert scores["group_share"].value < 0.05
    assert scores["group_tvd1"].value < 0.05
    ages = [f for f in found.figures if f.column == "age"]
    assert next(f.group for f in ages if f.key == "group_share").startswith("up to 3")
    assert len([f for f in ages if f.key == "group_share"]) == 3


def test_without_a_protected_column_groups_say_so() -> None:
    g = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{j}": g.choice(list("abc"), 60) for j in range(2)})
    tables = prepare(frame, frame[:50], frame, yes_no(2), g)
    found = compare_groups(tables, binnings(tables.train, yes_no(2)), {}, g)
    assert (found.figures, found.scores) == ((), ())
    assert found.notes == (
        "No group was looked at: the schema marks no column with `role: protected`.",
    )


def test_further_draws_show_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch)
    asked = EvaluationRequest(rules=(Rule(name="old", then="age >= 60"),))
    frames = clinic(200, 1), clinic(120, 2), clinic(200, 3)
    further = [clinic(200, 4), clinic(200, 5)]
    found = evaluate(*frames, SCHEMA, asked=asked, draws=further)
    spread = {
        "valid_rows",
        "rule.old",
        "tvd1",
        "tvd2",
        "tvd3",
        "associations",
        "copies",
        "tails",
        "tstr.died.linear",
        "overlap.logistic-regression-of-died",
    }
    for key in spread:
        assert len(found.score(key).draws) == 2, key
    assert found.score("c2st").draws == ()
    # The figure of a draw is what that table has when it is the scored one.
    alone = evaluate(*frames[:2], further[0], SCHEMA, asked=asked)
    for key in ("tvd1", "tvd2", "tvd3", "associations", "rule.old", "valid_rows", "copies"):
        assert alone.score(key).value == pytest.approx(found.score(key).draws[0], abs=2e-6), key
    assert alone.score("tstr.died.linear").value == found.score("tstr.died.linear").draws[0]


def test_a_draw_that_lacks_columns_is_refused() -> None:
    frames = clinic(60, 1), clinic(40, 2), clinic(60, 3)
    with pytest.raises(EvaluationError, match="lacks 1 column of the schema: 'age'"):
        evaluate(*frames, SCHEMA, draws=[clinic(60, 4).drop(columns="age")])


def test_models_are_ranked_alike_by_equal_rows_and_not_by_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn_less(monkeypatch, 20)
    real, held, same = people(900, 1), people(500, 2), people(900, 1)
    g = np.random.default_rng(0)
    noise = same.apply(lambda column: g.permutation(column.to_numpy()))
    taus = []
    for made in (same, noise):
        tables = prepare(real, held, made, RARE, np.random.default_rng(0))
        scores = compare_utility(tables, np.random.default_rng(0))[0]
        taus.append(next(s for s in scores if s.key == "rank_agreement.ill"))
    assert taus[0].value == 1
    assert "Synthetic rows put the same model first" in taus[0].detail
    assert taus[1].value < 1


def test_every_column_is_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    g = np.random.default_rng(0)
    tables = prepare(clinic(600, 1), clinic(300, 2), clinic(600, 3), SCHEMA, g)
    (good,) = predict_every_column(tables, np.random.default_rng(0))
    (useless,) = predict_every_column(
        replace(tables, synthetic=tables.independent), np.random.default_rng(0)
    )
    assert good.value > 0.85
    assert useless.value < 0.3
    assert "'died'" in useless.detail
    names = [field.name for field in SCHEMA.modelled]
    place = names.index("died")
    alive = replace(tables.synthetic, codes=tables.synthetic.codes.copy())
    alive.codes[:, place] = 0  # one class, from which nothing is learnt
    (without,) = predict_every_column(replace(tables, synthetic=alive), np.random.default_rng(0))
    assert "'died' (0.00 of" in without.detail
    assert without.value < good.value
    monkeypatch.setattr("synthvae.evaluation.prediction_task.LEAST_SKILL", 1.5)
    (nothing,) = predict_every_column(tables, np.random.default_rng(0))
    assert nothing.not_run == "no column can be told from the others with a skill of 1.5 or more"


def test_three_classes_are_judged_each_against_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch, 20)
    schema = SCHEMA.replace(target=["ward", "age"])
    tables = prepare(
        clinic(200, 1), clinic(120, 2), clinic(200, 3), schema, np.random.default_rng(0)
    )
    scores = {s.key: s for s in compare_utility(tables, np.random.default_rng(0))[0]}
    brier, slope = scores["brier.ward.forest"], scores["calibration_slope.ward.linear"]
    assert "Mean over 3 classes, each against the rest." in brier.detail
    assert brier.value == pytest.approx(brier.references["chance"], abs=0.05)  # nothing tells it
    assert {slope.not_run, brier.not_run} == {None}
    assert scores["tstr.ward.linear"].value == pytest.approx(0.5, abs=0.12)
    assert scores["rmse.age.forest"].value < scores["rmse.age.forest"].references["chance"]
    assert "calibration_slope.age.forest" not in scores


def test_independent_columns_are_the_mean_of_several_shuffles() -> None:
    tables = prepare(
        clinic(150, 1), clinic(80, 2), clinic(150, 3), SCHEMA, np.random.default_rng(0)
    )
    scores = {s.key: s for s in compare_utility(tables, np.random.default_rng(0))[0]}
    for learner in ("linear", "forest", "boosting"):
        score = scores[f"tstr.died.{learner}"]
        assert "the mean of 5 shuffles" in score.detail
        # One shuffle of 150 rows is off by some 0.1; the mean of five by less than half of it.
        assert score.references["independent"] == pytest.approx(0.5, abs=0.12)
