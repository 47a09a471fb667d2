"""Tests against chance: right by hand, as often wrong as they say, and corrected for their number."""

from collections.abc import Callable

import numpy as np
import pytest

from synthvae._types import Floats
from synthvae.attacks.suite import attack_metrics
from synthvae.evaluation import intervals, significance
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.results import Interval, Score
from synthvae.levels import judge

RUNS = 2000


def test_the_family_is_every_test_that_an_evaluation_may_make() -> None:
    assert len(attack_metrics()) + 1 == significance.FAMILY  # the copies are one more


def test_members_above_a_threshold_worked_out_by_hand() -> None:
    # Both members above the one other: 2! of the 3! orders, times 1.
    assert significance.tpr_p_value(2, 2, 1, 0) == pytest.approx(1 / 3)
    assert significance.tpr_p_value(1, 1, 3, 0) == pytest.approx(1 / 4)
    assert significance.tpr_p_value(1, 1, 3, 1) == pytest.approx(2 / 4)


def test_a_gain_is_fishers_test() -> None:
    right, control = np.array([True, True, True]), np.array([False, False, False])
    assert significance.gain_p_value(right, control) == pytest.approx(1 / 20)


def _auc(members: Floats, others: Floats) -> float:
    return significance.auc_p_value(members, others)


def _tpr(members: Floats, others: Floats) -> float:
    above = int((members > np.sort(others)[-2]).sum())
    return significance.tpr_p_value(above, len(members), len(others), 1)


def _gain(members: Floats, others: Floats) -> float:
    return significance.gain_p_value(members > 1, others > 1)


@pytest.mark.slow
@pytest.mark.parametrize("p_value", [_auc, _tpr, _gain])
def test_chance_is_called_more_than_chance_as_often_as_is_said(
    p_value: Callable[[Floats, Floats], float],
) -> None:
    g = np.random.default_rng(1)
    level, larger = 0.05, []
    for shift in (0.0, 0.5):
        found = [p_value(g.normal(shift, 1, 150), g.normal(size=60)) for _ in range(RUNS)]
        larger.append(float(np.mean(np.array(found) <= level)))
    assert larger[0] < level + 3 * (level / RUNS) ** 0.5
    assert larger[1] > 2 * level  # and half a standard deviation is seen


def test_p_values_are_adjusted_by_holm_and_for_the_copies() -> None:
    metrics = [metric for metric in attack_metrics() if metric.goal is not None][:4]
    raw = (0.01, 0.04, 0.03, 0.9)
    scores = [_score(metric, p) for metric, p in zip(metrics, raw, strict=True)]
    unrun = metrics[0].unanswered("too few")
    found = significance.adjusted([*scores, unrun])
    # Four tests and the copies: 5 p, 4 p and 3 p of the least ones, none less than the one before.
    assert [score.p_value for score in found] == pytest.approx([0.05, 0.12, 0.12, 1.0, None])


def _score(metric: Metric, p_value: float) -> Score:
    return metric.answer(0.5, None, {}, "", p_value)


def test_copies_beyond_chance_are_those_that_fishers_test_tells() -> None:
    most = significance.most_by_chance(10, 100, 200)
    g = np.random.default_rng(2)
    beyond = [
        g.binomial(200, 0.1) / 200
        > significance.most_by_chance(int(g.binomial(100, 0.1)), 100, 200)
        for _ in range(RUNS)
    ]
    assert 0.1 < most < 0.3
    assert np.mean(beyond) < significance.ERROR / significance.FAMILY + 0.003


def test_an_attack_that_could_not_have_seen_a_leak_is_open_and_never_good() -> None:
    metric = next(metric for metric in attack_metrics() if metric.key == "attack.domias.auc")
    narrow = intervals.interval(0.47, 0.53, "m")
    wide = intervals.interval(0.38, 0.62, "m")

    def level(interval: Interval, p_value: float) -> str:
        score = metric.answer(0.5, interval, {}, "", p_value)
        return judge(score.model_copy(update={"threshold": metric.threshold_of(score)}))

    assert level(narrow, 0.5) == "green"
    assert level(wide, 0.5) == "open"
    assert level(narrow, significance.ERROR) == "amber"
