"""Line 2: every patient is drawn by a coin of their own; an empty batch takes a noisy step.

Broken where batches are cut from a shuffled table and accounted as if they had been drawn (Chua et
al. 2024, "How Private are DP-SGD Implementations?"), and where a step is skipped that drew nobody.
"""

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from tests.checklist.fitted import fitted, seed, training_of, watch_training
from tests.simulated import clinic


def test_line_2_batches_are_binomial(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_training(monkeypatch)
    fitted(clinic(300), test_seed=seed(3), steps=150, sampling_rate=0.2)
    variance = 300 * 0.2 * 0.8
    spread = sum((size - 60) ** 2 for size in seen.sizes) / variance
    low, high = chi2.ppf([1e-4, 1 - 1e-4], len(seen.sizes))
    assert low < spread < high  # shuffled batches of a fixed size would give 0
    assert binomtest(sum(seen.sizes), 300 * len(seen.sizes), 0.2).pvalue > 1e-4


def test_line_2_draws_of_two_steps_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_training(monkeypatch)
    fitted(clinic(300), test_seed=seed(3), steps=150, sampling_rate=0.2)
    # Whoever goes through a table in order meets nobody twice until everybody was met once.
    again = sum(
        len(set(a.patients) & set(b.patients))
        for a, b in zip(seen.steps, seen.steps[1:], strict=False)
    )
    pairs = len(seen.steps) - 1
    assert binomtest(again, 300 * pairs, 0.2**2).pvalue > 1e-4
    for step in seen.steps:
        assert len(set(step.patients)) == len(step.patients)


def test_line_2_empty_batches_take_a_noisy_step_and_are_accounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = watch_training(monkeypatch)
    synthesizer = fitted(clinic(15), test_seed=seed(4), steps=30, sampling_rate=0.01)
    assert seen.sizes.count(0) > 15
    assert len(seen.steps) == training_of(synthesizer).steps == 30
    for step in seen.steps:
        assert all((part != 0).all() for part in step.noisy)
    weights = synthesizer.state().weights
    assert all(np.isfinite(weight).all() for weight in weights.values())
    assert np.abs(weights["decoder.bias"]).max() > 0  # starts at zero: only noise moved it
