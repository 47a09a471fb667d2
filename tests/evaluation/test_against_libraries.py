"""Figures agree with a second implementation: scikit-learn, statsmodels, lifelines, SDMetrics."""

import warnings
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, root_mean_squared_error
from statsmodels.duration.hazard_regression import PHReg

from synthvae.evaluation import prediction_metrics
from synthvae.evaluation.agreement import draws, mean_overlap, same_signs
from synthvae.evaluation.analyses import compare_analyses
from synthvae.evaluation.joint import compare_propensity, fit_logistic, propensity_ratio
from synthvae.evaluation.marginals import variation
from synthvae.evaluation.regression import (
    Fit,
    NotFittedError,
    Terms,
    _score_residuals,
    fit_model,
    ridge_cox,
)
from synthvae.evaluation.survival import concordance, follow_up, kaplan_meier, moments_until
from synthvae.evaluation.tables import Tables, binnings, prepare, tokenise
from synthvae.purposes import AnalysisRequest
from synthvae.schema import Schema
from tests.evaluation.evaluation_example import clinic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines import CoxPHFitter, KaplanMeierFitter
    from lifelines.utils import concordance_index
    from sdmetrics.single_column import TVComplement

PATIENTS = Schema.from_dict(
    {
        "name": "patients",
        "patientKey": "id",
        "maxRows": 5,
        "survival": {"duration": "days", "event": "died"},
        "fields": [
            {"name": "id", "type": "integer"},
            {
                "name": "age",
                "type": "integer",
                "constraints": {"minimum": 18, "maximum": 100, "required": False},
            },
            {"name": "sex", "constraints": {"enum": ["female", "male"]}, "role": "protected"},
            {
                "name": "crea",
                "type": "number",
                "decimals": 2,
                "constraints": {"minimum": 0.1, "maximum": 30},
            },
            {"name": "days", "type": "integer", "constraints": {"minimum": 0, "maximum": 4000}},
            {"name": "died", "type": "boolean"},
            {"name": "treated", "type": "boolean"},
        ],
    }
)
SINGLE = PATIENTS.replace(
    patientKey=None,
    maxRows=None,
    fields=[f for f in PATIENTS.to_dict()["fields"] if f["name"] != "id"],
)
FORMULA = ("age", "sex", "crea")


def patients(rows: int, seed: int, first: int = 0, each: int = 2) -> pd.DataFrame:
    """Return rows of which so many are the same patient's."""
    g = np.random.default_rng(seed)
    whose = np.arange(rows) // each
    own = g.normal(0, 0.5, rows)[whose]
    age = np.clip(g.normal(60, 12, rows), 18, 100).round()
    male = g.random(rows) < 0.5
    crea = np.clip(g.lognormal(0.1 + own, 0.3), 0.1, 30).round(2)
    risk = 0.03 * (age - 60) + 0.4 * male + 0.3 * np.log(crea) + own
    days = g.exponential(600 * np.exp(-risk))
    return pd.DataFrame(
        {
            "id": first + whose,
            "age": np.where(g.random(rows) < 0.05, np.nan, age),
            "sex": np.where(male, "male", "female"),
            "crea": crea,
            "days": np.minimum(days, 1000).astype(int),
            "died": days < 1000,
            "treated": g.random(rows) < 1 / (1 + np.exp(-risk)),
        }
    )


def tables(schema: Schema = PATIENTS, rows: int = 600, each: int = 2) -> Tables:
    frames = (patients(rows, 1, 0, each), patients(rows // 2, 2, 9000, each), patients(rows, 3))
    train, holdout, made = (frame[list(schema.names)] for frame in frames)
    return prepare(train, holdout, made, schema, np.random.default_rng(0))


@pytest.fixture(scope="module")
def predictions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    g = np.random.default_rng(4)
    odds = g.normal(-0.5, 1.2, 700)
    truth = (g.random(700) < 1 / (1 + np.exp(-odds))).astype(float)
    predicted = np.round(1 / (1 + np.exp(-1.7 * odds - 0.3)), 2).clip(0.01, 0.99)  # with ties
    weights = np.stack([np.ones(700), g.integers(0, 4, 700).astype(float)])
    return truth, predicted, weights


def test_precision_brier_and_errors_are_scikit_learns(
    predictions: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    truth, predicted, weights = predictions
    pairs = [
        (prediction_metrics.average_precision, average_precision_score),
        (prediction_metrics.brier, brier_score_loss),
        (prediction_metrics.root_mean_squared_error, root_mean_squared_error),
    ]
    for ours, theirs in pairs:
        expected = [theirs(truth, predicted, sample_weight=weight) for weight in weights]
        assert ours(truth, predicted, weights) == pytest.approx(expected, abs=1e-10)


def test_calibration_is_statsmodels(predictions: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, predicted, weights = predictions
    odds = np.log(predicted / (1 - predicted))
    for row, weight in enumerate(weights):
        binomial = sm.families.Binomial()
        slope = sm.GLM(truth, sm.add_constant(odds), binomial, freq_weights=weight).fit().params[1]
        constant = np.ones((len(truth), 1))
        large = sm.GLM(truth, constant, binomial, freq_weights=weight, offset=odds).fit().params[0]
        assert prediction_metrics.calibration_slope(truth, predicted, weights)[
            row
        ] == pytest.approx(slope)
        found = prediction_metrics.calibration_intercept(truth, predicted, weights)[row]
        assert found == pytest.approx(large, abs=1e-7)


def test_calibration_of_one_class_is_no_figure() -> None:
    found = prediction_metrics.calibration_slope(np.ones(3), np.full(3, 0.5), np.ones((1, 3)))
    assert np.isnan(found[0])


def test_survival_curves_are_lifelines() -> None:
    frame = patients(300, 5)
    times = moments_until(float(frame["days"].max()))
    ours = kaplan_meier(frame["days"].to_numpy(float), frame["died"].to_numpy(), times)
    theirs = KaplanMeierFitter().fit(frame["days"], frame["died"])
    assert ours == pytest.approx(theirs.predict(times).to_numpy(), abs=1e-12)
    # The mean of the midpoints is the area under the curve, to the width of a step.
    from lifelines.utils import restricted_mean_survival_time

    end = float(frame["days"].max())
    assert ours.mean() * end == pytest.approx(restricted_mean_survival_time(theirs, end), rel=2e-3)


def test_the_c_index_is_lifelines() -> None:
    g = np.random.default_rng(0)
    frame = patients(700, 6)
    risk = np.round(g.normal(0, 1, 700) - frame["days"] / 800, 1)  # with ties
    groups = g.integers(0, 3, 700)
    found = concordance(
        frame["days"].to_numpy(float), frame["died"].to_numpy(), risk.to_numpy(), groups
    )
    everyone = np.ones(700, bool)
    for place, kept in enumerate([everyone, *(groups != group for group in range(3))]):
        expected = concordance_index(frame["days"][kept], -risk[kept], frame["died"][kept])
        assert found[place] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("each", [1, 2])
def test_coefficients_and_intervals_are_statsmodels(each: int) -> None:
    frame = patients(600, 1, 0, each)
    known = frame.dropna()
    design = sm.add_constant(
        pd.DataFrame(
            {
                "age": known["age"],
                "sex = male": (known["sex"] == "male").astype(float),
                "crea": known["crea"],
            }
        )
    )
    robust = {}
    if each > 1:
        robust = {"cov_type": "cluster", "cov_kwds": {"groups": known["id"].to_numpy()}}
    expected = {
        "linear": sm.OLS(known["days"], design).fit(**robust),
        "logistic": sm.Logit(known["treated"].astype(float), design).fit(disp=0, **robust),
    }
    train = tables(each=each).train
    terms = Terms(PATIENTS, FORMULA, train)
    outcomes: dict[Literal["linear", "logistic"], str] = {"linear": "days", "logistic": "treated"}
    for kind, outcome in outcomes.items():
        found = fit_model(kind, outcome, terms, train, PATIENTS)
        wanted = expected[kind]
        assert found.rows == len(known)
        assert found.estimates == pytest.approx(wanted.params[list(found.terms)], rel=1e-4)
        ends = wanted.conf_int().loc[list(found.terms)].to_numpy()
        assert found.estimates - found.half == pytest.approx(ends[:, 0], rel=1e-3, abs=1e-6)
        assert found.estimates + found.half == pytest.approx(ends[:, 1], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("each", [1, 2])
def test_cox_models_are_lifelines(each: int) -> None:
    known = patients(600, 1, 0, each).dropna()
    frame = known[["age", "crea", "days"]].assign(
        male=(known["sex"] == "male").astype(float), died=known["died"].astype(float)
    )
    if each > 1:
        frame["id"] = known["id"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CoxPHFitter().fit(frame, "days", "died", cluster_col="id" if each > 1 else None)
    train = tables(each=each).train
    found = fit_model("cox", None, Terms(PATIENTS, FORMULA, train), train, PATIENTS)
    order = [{"sex = male": "male"}.get(term, term) for term in found.terms]
    assert found.estimates == pytest.approx(model.params_[order].to_numpy(), rel=1e-3)
    ends = model.confidence_intervals_.loc[order].to_numpy()
    assert found.estimates + found.half == pytest.approx(ends[:, 1], rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("digits", [0, 9])  # many ties, and none
def test_score_residuals_are_statsmodels(digits: int) -> None:
    drawn = np.random.default_rng(1)
    terms, happened = drawn.normal(size=(200, 3)), drawn.random(200) < 0.6
    durations = np.round(drawn.exponential(np.exp(terms[:, 0])), digits) + 1
    coefficients = np.array([-0.9, 0.1, 0.2])
    model = PHReg(durations, terms, happened.astype(float), ties="efron")
    found = _score_residuals(terms, durations, happened, coefficients)
    assert found == pytest.approx(model.score_residuals(coefficients), abs=1e-10)


def test_a_ridge_cox_model_is_lifelines() -> None:
    known = patients(500, 1, 0, 1).dropna()
    features = known[["age", "crea"]].assign(male=known["sex"] == "male", same=7).astype(float)
    frame = features.drop(columns="same").assign(days=known["days"], died=known["died"])
    expected = CoxPHFitter(penalizer=0.1).fit(frame, "days", "died").params_
    days, died = known["days"].to_numpy(float), known["died"].to_numpy(bool)
    found = ridge_cox(features.to_numpy(), days, died, 0.1)
    assert found == pytest.approx([*expected, 0], rel=2e-3)
    assert ridge_cox(features.to_numpy(), days, died & False, 0.1) is None


def test_a_separated_event_has_no_estimate() -> None:
    frame = patients(200, 1, 0, 1).assign(sex="female", age=50)
    frame["days"] = np.arange(200) + 1
    frame["crea"], frame["died"] = (30 - frame["days"] / 10).clip(0.1, 30), True
    train = prepare(frame, frame[:150], frame, PATIENTS, np.random.default_rng(0)).train
    with pytest.raises(NotFittedError, match="all but determine the event"):
        fit_model("cox", None, Terms(PATIENTS, FORMULA, train), train, PATIENTS)


def test_terms_that_follow_from_others_are_left_out() -> None:
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": n, "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}
                for n in ("x", "twice", "one", "y")
            ]
        }
    )
    g = np.random.default_rng(0)
    x = g.integers(0, 40, 50)
    frame = pd.DataFrame({"x": x, "twice": 2 * x, "one": 7, "y": g.integers(0, 99, 50)})
    table = prepare(frame, frame[:40], frame, schema, g).train
    found = fit_model("linear", "y", Terms(schema, ("x", "twice", "one"), table), table, schema)
    assert found.terms == ("x",)
    with pytest.raises(NotFittedError, match="50 complete rows with 0 terms"):
        fit_model("linear", "y", Terms(schema, ("one",), table), table, schema)
    with pytest.raises(NotFittedError, match="the outcome has one value only"):
        fit_model("linear", "one", Terms(schema, ("x",), table), table, schema)


def test_a_separated_outcome_has_no_estimate() -> None:
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
                {"name": "y", "type": "boolean"},
            ]
        }
    )
    x = np.arange(60)
    frame = pd.DataFrame({"x": x, "y": x > 30})
    table = prepare(frame, frame[:40], frame, schema, np.random.default_rng(0)).train
    with pytest.raises(NotFittedError, match="determine"):
        fit_model("logistic", "y", Terms(schema, ("x",), table), table, schema)


def fit(*pairs: tuple[float, float]) -> Fit:
    estimates, half = (np.array(side, float) for side in zip(*pairs, strict=True))
    names = tuple(f"x{j}" for j in range(len(pairs)))
    return Fit(names, estimates, np.diag((half / 1.96) ** 2), half, 10)


@pytest.mark.filterwarnings("error")
def test_draws_of_coefficients_have_their_covariance_even_where_it_is_indefinite() -> None:
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, -1e-9]])
    fit = Fit(("a", "b", "c"), np.array([1.0, 2.0, 3.0]), covariance, np.ones(3), 100)
    drawn = np.concatenate([draws(fit, np.random.default_rng(seed)) for seed in range(40)])
    assert drawn.mean(axis=0) == pytest.approx(fit.estimates, abs=0.1)
    assert np.cov(drawn.T) == pytest.approx(np.maximum(covariance, 0), abs=0.25)


def test_overlaps_worked_out_by_hand() -> None:
    # [0, 2] and [1, 3] share half of each; [0, 2] and [0.5, 1.5]: half of one, all of the other;
    # [0, 2] and [3, 5] are apart by half of a width.
    real, made = fit((1, 1), (1, 1), (1, 1)), fit((2, 1), (1, 0.5), (4, 1))
    assert mean_overlap(real, made) == pytest.approx((0.5 + 0.75 - 0.5) / 3)
    # Of the two that real rows tell from 0, one keeps its sign.
    assert same_signs(fit((3, 1), (-3, 1), (0.5, 1)), fit((1, 9), (1, 9), (-1, 9))) == 0.5
    assert same_signs(fit((0.5, 1)), fit((1, 1))) is None


def test_the_pmse_ratio_is_the_formula() -> None:
    g = np.random.default_rng(0)
    terms = np.column_stack([np.ones(400), g.normal(size=(400, 3))])
    synthetic = g.random(400) < 0.4
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
    chances = model.fit(terms, synthetic).predict_proba(terms)[:, 1]
    share = synthetic.mean()
    expected = np.mean((chances - share) ** 2) / (3 * (1 - share) * share / 400)
    assert propensity_ratio(terms, synthetic) == pytest.approx(expected, rel=1e-3)
    assert fit_logistic(terms, synthetic) == pytest.approx(model.coef_[0], abs=1e-3)


def test_the_pmse_ratio_of_samples_of_one_population_is_one() -> None:
    # The null's mean is 1 and its standard deviation sqrt(2 / (k - 1)) (Snoke et al. 2018).
    ratios = []
    for seed in range(150):
        g = np.random.default_rng(seed)
        terms = np.column_stack([np.ones(500), g.normal(size=(500, 8))])
        ratios.append(propensity_ratio(terms, np.arange(500) < 250))
    assert np.mean(ratios) == pytest.approx(1, abs=4 * 0.5 / 150**0.5)
    assert np.std(ratios) == pytest.approx(0.5, rel=0.25)


def test_the_pmse_ratio_finds_what_is_wrong() -> None:
    real, held = (patients(500, seed).drop(columns="id") for seed in (1, 2))
    good, g = patients(500, 3).drop(columns="id"), np.random.default_rng(0)
    older = good.assign(age=(good["age"] + 10).clip(upper=100))
    values = [
        compare_propensity(prepare(real, held, made, SINGLE, g), np.random.default_rng(0))[0]
        for made in (good, older)
    ]
    assert values[0].value < 2
    assert values[1].value > 5
    assert values[0].references["holdout"] == pytest.approx(1, abs=0.6)
    assert values[1].references["independent"] > 1.5
    few = prepare(real, held[:20], good, SINGLE, g)
    assert (
        compare_propensity(few, g)[0].not_run == "needs 50 rows in each table; the smallest has 20"
    )


def test_total_variation_of_a_column_is_sdmetrics() -> None:
    schema = Schema.from_dict(
        {"fields": [{"name": "ward", "constraints": {"enum": ["A", "B", "C"], "required": False}}]}
    )
    real, made = (clinic(300, seed)[["ward"]] for seed in (1, 2))
    both = prepare(real, real[:99], made, schema, np.random.default_rng(0))
    cuts = binnings(both.train, schema)
    first, second = tokenise(both.train, cuts), tokenise(both.synthetic, cuts)
    ours = variation(first, second, [cuts[0].levels], (0,))
    theirs = TVComplement.compute(real["ward"], made["ward"])
    assert ours == pytest.approx(1 - theirs, abs=1e-12)


def test_analyses_say_why_they_did_not_run() -> None:
    wanted = [
        AnalysisRequest(name="cox", kind="cox", predictors=FORMULA),
        AnalysisRequest(name="curves", kind="kaplan-meier", group="sex"),
    ]
    given = tables()
    died = [field.name for field in PATIENTS.modelled].index("died")
    given.synthetic.codes[:, died] = 0
    analyses, scores = compare_analyses(given, wanted, ("", ""), np.random.default_rng(0))
    assert analyses[0].not_run == ("cannot be fitted to the synthetic rows: no event happened")
    assert {score.not_run for score in scores[:3]} == {analyses[0].not_run}
    assert analyses[0].formula == "Surv(days, died) ~ age + sex + crea"
    assert [curve.group for curve in analyses[1].curves] == ["female", "male"]
    assert scores[3].value > 0.3


@pytest.mark.parametrize("each", [1, 2])
def test_a_missing_event_leaves_the_row_out(each: int) -> None:
    table = tables(each=each).train
    died = [field.name for field in PATIENTS.modelled].index("died")
    unknown = np.arange(len(table)) % 5 == 0
    rest = follow_up(table.take(~unknown), PATIENTS)
    table.codes[unknown, died] = -1
    found = follow_up(table, PATIENTS)
    assert np.array_equal(found.rows.codes, rest.rows.codes)
    assert np.array_equal(found.durations, rest.durations)
    assert np.array_equal(found.happened, rest.happened)


def test_analyses_of_fresh_rows_agree_and_defaults_are_marked() -> None:
    wanted = [
        AnalysisRequest(name="treated", kind="logistic", outcome="treated", predictors=FORMULA),
        AnalysisRequest(name="cox", kind="cox", predictors=FORMULA),
    ]
    notes = ("A default. ",) * 2
    analyses, found = compare_analyses(tables(), wanted, notes, np.random.default_rng(0))
    scores = {score.key: score for score in found}
    assert set(scores) == {
        "overlap.treated",
        "signs.treated",
        "overlap.cox",
        "signs.cox",
        "c_index.cox",
    }
    for analysis in analyses:
        assert analysis.detail.startswith("A default. 3 coefficients")
        assert "clustered by patient" in analysis.detail
        assert len(analysis.coefficients) == 3
    assert scores["overlap.cox"].value > 0.3
    assert scores["overlap.cox"].value > scores["overlap.cox"].references["independent"]
    assert scores["signs.cox"].value == 1
    assert scores["c_index.cox"].value > 0.55
    assert abs(scores["c_index.cox"].value - scores["c_index.cox"].references["real"]) < 0.05
