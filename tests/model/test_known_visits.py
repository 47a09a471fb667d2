"""Visits of known truth: how states follow each other, and what a patient keeps for good, survive."""

import numpy as np
import pytest

from synthvae.synthesizer import Synthesizer
from tests.simulated_visits import JOURNEYS, journeys, patients_share, transitions

PATIENTS = 20_000


@pytest.mark.slow
@pytest.mark.parametrize(("epsilon", "apart", "share"), [(None, 0.05, 0.05), (3.0, 0.08, 0.1)])
def test_transitions_and_the_patients_share_of_variance_are_those_of_the_simulation(
    epsilon: float | None, apart: float, share: float
) -> None:
    real = journeys(PATIENTS)
    test_seed = None if epsilon is None else 1
    made = Synthesizer(JOURNEYS, epsilon, test_seed=test_seed).fit(real, lambda *_: None)
    drawn = made.sample(len(real), seed=1)
    # Of each state, the total variation between what follows it.
    distances = 0.5 * np.abs(transitions(drawn) - transitions(real)).sum(axis=1)
    assert distances.max() <= apart
    assert abs(patients_share(drawn, "lab") - patients_share(real, "lab")) <= share
    # A near miss: visits of one patient dealt out to all have neither.
    dealt = drawn.assign(
        **{
            name: np.random.default_rng(2).permutation(drawn[name].to_numpy())
            for name in ("state", "lab")
        }
    )
    distances = 0.5 * np.abs(transitions(dealt) - transitions(real)).sum(axis=1)
    assert distances.max() > apart
    assert patients_share(dealt, "lab") < patients_share(real, "lab") - share
