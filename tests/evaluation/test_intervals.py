import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score, roc_auc_score

from synthvae.evaluation.intervals import (
    bootstrap_weights,
    clopper_pearson,
    delong,
    jackknife,
    newcombe,
    percentile,
    weighted_auc,
)
from synthvae.evaluation.prediction_task import skill


def test_clopper_pearson_agrees_with_scipys_and_the_rule_of_three() -> None:
    for found, of in ((0, 20), (3, 20), (20, 20)):
        expected = stats.binomtest(found, of).proportion_ci(0.95, "exact")
        mine = clopper_pearson(found, of)
        assert (mine.low, mine.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert clopper_pearson(0, 1000).high == pytest.approx(3.7 / 1000, rel=0.02)


def test_auc_of_a_table_worked_out_by_hand() -> None:
    # Pairs won: 3 beats 1 and 2; 2 beats 1 and ties with 2: 3.5 of 4.
    assert delong(np.array([3.0, 2.0]), np.array([1.0, 2.0]))[0] == 0.875


def test_auc_agrees_with_sklearn_with_ties_and_weights() -> None:
    g = np.random.default_rng(0)
    scores, positive = g.integers(8, size=200).astype(float), g.random(200) < 0.4
    weights = g.integers(0, 3, size=(4, 200)).astype(float)
    expected = [roc_auc_score(positive, scores, sample_weight=w) for w in weights]
    assert weighted_auc(scores, positive, weights) == pytest.approx(expected)
    assert delong(scores[positive], scores[~positive])[0] == pytest.approx(
        roc_auc_score(positive, scores)
    )
    assert np.isnan(weighted_auc(scores, positive, np.array([positive]).astype(float)))[0]


def test_delongs_interval_covers_the_truth_as_often_as_it_says() -> None:
    g = np.random.default_rng(1)
    truth = stats.norm.cdf(1 / 2**0.5)
    hits = 0
    for _ in range(400):
        _, found = delong(g.normal(1, 1, 60), g.normal(0, 1, 60))
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.975


def test_groups_that_do_not_overlap_still_get_a_width() -> None:
    auc, found = delong(np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0]))
    assert auc == 1.0
    assert found.low < 0.8
    assert found.high == 1.0
    assert newcombe(1.0, 1000, 1000).low > 0.99


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    # 20 groups of one: the jackknife of a mean is exactly s / sqrt(n).
    values = np.random.default_rng(0).normal(size=20)
    without = (values.sum() - values) / 19
    found = jackknife(np.r_[values.mean(), without], "rows", (-9.0, 9.0))
    half = stats.t.ppf(0.975, 19) * values.std(ddof=1) / 20**0.5
    assert found.high - found.low == pytest.approx(2 * half, abs=1e-5)
    assert jackknife(np.array([0.5, 0.5]), "rows") is None


def test_resamples_keep_a_patients_rows_together() -> None:
    weights = bootstrap_weights(np.array([7, 7, 3, 9, 9, 9]), np.random.default_rng(0), 50)
    assert weights.shape == (51, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[1:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_percentile_says_when_most_resamples_gave_nothing() -> None:
    assert percentile(np.array([1.0, np.nan, np.nan, 1.0]), "rows") is None
    assert percentile(np.r_[0.5, np.linspace(0, 1, 101)], "rows").low == pytest.approx(0.025)


def test_multi_class_skill_agrees_with_sklearns_macro_one_vs_rest() -> None:
    g = np.random.default_rng(2)
    truth = g.integers(4, size=300)
    chances = g.dirichlet(np.ones(4), 300) + np.eye(4)[truth] * 0.2
    chances /= chances.sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth, chances, multi_class="ovr", average="macro")
    assert skill(truth, chances, np.ones((1, 300)))[0] == pytest.approx(expected)


def test_weighted_r2_agrees_with_sklearn() -> None:
    g = np.random.default_rng(3)
    truth = g.normal(1e4, 1, 100)
    guess, weights = truth + g.normal(size=100), g.integers(0, 4, size=(1, 100)).astype(float)
    expected = r2_score(truth, guess, sample_weight=weights[0])
    assert skill(truth, guess, weights)[0] == pytest.approx(expected)
