"""Attack success falls with epsilon, and stays under the ceiling of the guarantee."""

import numpy as np
import pytest

from synthvae.evaluation.results import Attack
from synthvae.privacy.tradeoff import ceiling, largest_auc
from tests.attacks.power_curve import DELTA, attacked, by_heart

pytestmark = pytest.mark.slow

RUNS = 2


def best_auc(attacks: tuple[Attack, ...]) -> float:
    return max(attack.auc for attack in attacks)


def test_success_falls_with_epsilon_and_stays_under_the_ceiling() -> None:
    areas = {}
    for epsilon in (0.5, 2.0, 8.0):
        runs = [attacked(epsilon, seed) for seed in range(RUNS)]
        for attack in (attack for attacks in runs for attack in attacks):
            assert attack.auc_interval.low <= largest_auc(epsilon, DELTA), attack.key
            for rate, _, at in attack.tpr_at:
                assert at.low <= ceiling(rate, epsilon, DELTA), (attack.key, rate)
        areas[epsilon] = float(np.mean([best_auc(attacks) for attacks in runs]))
    learnt = attacked(None, 0, by_heart())
    areas[np.inf] = best_auc(learnt)
    assert areas[0.5] < 0.6
    assert areas[0.5] < areas[8.0] < areas[np.inf]
    # A ceiling that nothing could pass would prove nothing: what has learnt its rows passes it.
    found = max(at.low for attack in learnt for rate, _, at in attack.tpr_at if rate == 0.1)
    assert found > ceiling(0.1, 0.5, DELTA) + 0.2
    assert max(attack.auc_interval.low for attack in learnt) > largest_auc(2.0, DELTA)
