"""Intervals by simulation: how often they cover a truth that is known."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from synthvae.attacks.inference import ATTRIBUTE
from synthvae.attacks.success import break_ties, difference, gain_limit, true_positives, worst_risk
from synthvae.evaluation import significance
from synthvae.evaluation.intervals import clopper_pearson, delong

NOMINAL = 0.93


def covered(truth: float, intervals: list[Any]) -> float:
    return float(np.mean([found.low <= truth <= found.high for found in intervals]))


SIZES = [(10, 10), (20, 20), (30, 200), (200, 30), (400, 400)]


@pytest.mark.parametrize(("members", "others"), [(20, 20), (30, 200)])
@pytest.mark.parametrize("auc", [0.5, 0.95])
def test_auc_of_normal_scores(members: int, others: int, auc: float) -> None:
    cover_auc(members, others, auc, 300)


@pytest.mark.slow
@pytest.mark.parametrize(("members", "others"), SIZES)
@pytest.mark.parametrize("auc", [0.5, 0.6, 0.8, 0.95, 0.99])
def test_auc_of_normal_scores_of_all_sizes(members: int, others: int, auc: float) -> None:
    cover_auc(members, others, auc, 1000)


def cover_auc(members: int, others: int, auc: float, trials: int) -> None:
    g = np.random.default_rng([members, others, round(100 * auc)])
    shift = 2**0.5 * stats.norm.ppf(auc)
    found = [delong(g.normal(shift, 1, members), g.normal(0, 1, others))[1] for _ in range(trials)]
    assert covered(auc, found) >= NOMINAL
    if (members, auc) == (400, 0.6):  # a truth two errors away is rejected
        assert covered(auc + 0.04, found) < 0.7


def test_auc_of_scores_of_which_a_few_stand_out() -> None:
    # 5 % of members on top of all others and half of all scores tied at the bottom.
    g = np.random.default_rng(5)
    found = []
    for _ in range(400):
        members, others = (np.maximum(g.normal(size=200), 0) for _ in range(2))
        members[g.random(200) < 0.05] = 9
        found.append(delong(members, others)[1])
    assert covered(0.05 + 0.95 * 0.5, found) >= NOMINAL


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
@pytest.mark.parametrize(
    ("shift", "sizes"), [(0.0, (100, 50)), (0.0, (400, 1000)), (1.0, (400, 1000)), (3.0, (100, 50))]
)
def test_members_found_at_a_true_rate(rate: float, shift: float, sizes: tuple[int, int]) -> None:
    g = np.random.default_rng([round(1000 * rate), round(shift), *sizes])
    truth = float(stats.norm.sf(stats.norm.isf(rate) - shift))
    found = [
        true_positives(g.normal(shift, 1, sizes[0]), g.normal(0, 1, sizes[1]), rate)
        for _ in range(250)
    ]
    assert covered(truth, [bounds for _, bounds in found]) >= NOMINAL
    assert all(bounds.low <= share <= bounds.high for share, bounds in found)


@pytest.mark.slow
def test_a_threshold_taken_for_known_covers_too_rarely() -> None:
    # Clopper and Pearson's interval alone forgets that the threshold is estimated.
    g = np.random.default_rng(3)
    truth = float(stats.norm.sf(stats.norm.isf(0.01) - 1))
    alone, whole = [], []
    for _ in range(400):
        members, others = g.normal(1, 1, 1000), g.normal(0, 1, 1000)
        share, bounds = true_positives(members, others, 0.01)
        alone.append(clopper_pearson(round(share * 1000), 1000))
        whole.append(bounds)
    assert covered(truth, alone) < 0.75
    assert covered(truth, whole) >= NOMINAL


def test_ties_are_broken_before_rates_are_counted() -> None:
    g = np.random.default_rng(4)
    found = []
    for _ in range(300):
        members, others = (np.where(g.random(300) < 0.3, 1.0, 0.0) for _ in range(2))
        found.append(true_positives(*break_ties(members, others, g), 0.1)[1])
    assert covered(0.1, found) >= NOMINAL


@pytest.mark.parametrize("shares", [(0, 0), (0.002, 0.002), (0.05, 0.01), (0.3, 0.3), (1, 0.9)])
@pytest.mark.parametrize("sizes", [(30, 30), (200, 50), (1000, 1000)])
def test_gains(shares: tuple[float, float], sizes: tuple[int, int]) -> None:
    g = np.random.default_rng([round(1000 * shares[0]), *sizes])
    drawn = [g.binomial(of, share, 500) for of, share in zip(sizes, shares, strict=True)]
    cache = {}
    for pair in zip(*drawn, strict=True):
        if pair not in cache:
            cache[pair] = difference([(int(won), of) for won, of in zip(pair, sizes, strict=True)])
    found = [cache[pair] for pair in zip(*drawn, strict=True)]
    assert covered(shares[0] - shares[1], found) >= 0.94
    if shares == (0.3, 0.3) and sizes == (1000, 1000):
        assert covered(0.06, found) < 0.4


@pytest.mark.slow
def test_the_worst_of_several_is_covered_after_the_choice() -> None:
    g = np.random.default_rng(6)
    corrected, naive = [], []
    for _ in range(300):
        tried = {str(k): (g.random(300) < 0.3, g.random(300) < 0.3) for k in range(10)}
        risk = worst_risk(ATTRIBUTE, tried, "").risks[0]
        won = (round(risk.success * 300), 300), (round(risk.control * 300), 300)
        corrected.append(risk.gain_interval)
        naive.append(difference(won))
    assert covered(0.0, corrected) >= NOMINAL
    assert covered(0.0, naive) < 0.9


@pytest.mark.slow
def test_the_gain_that_is_called_detectable_is_found_four_times_out_of_five() -> None:
    g = np.random.default_rng(7)
    control, sizes = 0.2, (800, 800)
    limit = gain_limit(round(control * 800), *sizes)
    won = g.binomial(800, control + limit, 400), g.binomial(800, control, 400)
    level = (
        1 - 2 * significance.ERROR / significance.FAMILY
    )  # two-sided, at that of one of the family
    found = [
        difference([(int(a), 800), (int(b), 800)], level).low > 0 for a, b in zip(*won, strict=True)
    ]
    assert 0.68 < np.mean(found) < 0.9
