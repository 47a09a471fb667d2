"""Intervals contain the truth as often as they say, by simulation."""

from typing import Any

import numpy as np
import pytest

from synthvae.evaluation.agreement import around, mean_overlap
from synthvae.evaluation.intervals import jackknife, jackknife_groups
from synthvae.evaluation.joint import fit_logistic, propensity_ratio
from synthvae.evaluation.prediction_metrics import (
    average_precision,
    brier,
    calibration_intercept,
    calibration_slope,
)
from synthvae.evaluation.regression import Fit
from synthvae.evaluation.survival import concordance, kaplan_meier, moments_until

pytestmark = pytest.mark.slow

REPEATS = 600
LEAST = 0.93


def without(rows: int, g: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each row, and weights: of all rows, then without each group."""
    groups = jackknife_groups(np.arange(rows), g)
    left = [(groups != group).astype(float) for group in range(groups.max() + 1)]
    return groups, np.stack([np.ones(rows), *left])


@pytest.mark.parametrize(
    "measure", [average_precision, brier, calibration_slope, calibration_intercept]
)
def test_figures_of_probabilities(measure: Any) -> None:
    def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        g = np.random.default_rng(seed)
        odds = g.normal(-0.7, 1, rows)
        truth = (g.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
        return truth, 1 / (1 + np.exp(-1.5 * odds - 0.2))

    true = float(measure(*draw(400_000, 99_999), np.ones((1, 400_000)))[0])
    covered = 0
    for seed in range(REPEATS):
        _, weights = without(500, np.random.default_rng([seed, 1]))
        figures = measure(*draw(500, seed), weights)
        found = jackknife(figures, "patients", (-np.inf, np.inf))
        covered += found.low <= true <= found.high
    assert covered / REPEATS >= LEAST


def test_the_c_index() -> None:
    def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        g = np.random.default_rng(seed)
        risk = g.normal(0, 1, rows)
        lasted = g.exponential(np.exp(-0.5 * risk))
        return np.minimum(lasted, 1.5), lasted < 1.5, risk

    big = [concordance(*draw(3000, 99_000 + i), np.arange(3000) % 2)[0] for i in range(10)]
    true = float(np.mean(big))
    covered = 0
    for seed in range(REPEATS):
        groups, _ = without(250, np.random.default_rng([seed, 1]))
        figures = concordance(*draw(250, seed), groups)
        found = jackknife(figures, "patients")
        covered += found.low <= true <= found.high
    assert covered / REPEATS >= LEAST


def test_overlaps_over_synthetic_tables() -> None:
    g = np.random.default_rng(0)
    real = Fit(("a", "b", "c"), np.array([0.5, -0.2, 0.0]), np.eye(3) * 0.01, np.full(3, 0.2), 9)
    centre, covariance = np.array([0.55, -0.3, 0.1]), np.array([[2, 1, 0], [1, 2, 0], [0, 0, 1]])
    covariance = covariance * 0.005
    half = 1.96 * np.sqrt(np.diag(covariance))

    def made(estimates: np.ndarray) -> Fit:
        return Fit(real.terms, estimates, covariance, half, 9)

    drawn = g.multivariate_normal(centre, covariance, 20_000)
    true = float(mean_overlap(real, made(centre), drawn).mean())
    covered = 0
    for estimates in drawn[:1000]:
        one = made(estimates)
        simulated = mean_overlap(real, one, g.multivariate_normal(estimates, covariance, 1000))
        at_once = mean_overlap(real, one)
        assert at_once is not None
        assert simulated is not None
        found = around(float(at_once), simulated)
        covered += found.low <= true <= found.high
    assert covered / 1000 >= LEAST


def test_distances_of_survival_curves() -> None:
    times = moments_until(1.0)
    expected = np.exp(-times)

    def draw(rows: int, g: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        lasted = g.exponential(0.6, rows)
        return np.minimum(lasted, 1), lasted < 1

    def apart(lasted: np.ndarray, happened: np.ndarray) -> float:
        return float(np.abs(kaplan_meier(lasted, happened, times) - expected).mean())

    g = np.random.default_rng(0)
    true, covered = apart(*draw(200_000, g)), 0
    for _ in range(REPEATS):
        lasted, happened = draw(500, g)
        groups, _ = without(500, g)
        left = [apart(lasted[groups != k], happened[groups != k]) for k in range(groups.max() + 1)]
        found = jackknife(np.array([apart(lasted, happened), *left]), "rows")
        covered += found.low <= true <= found.high
    assert covered / REPEATS >= LEAST


def test_the_pmse_ratio_where_tables_differ() -> None:
    rows, shift = 400, np.array([0.3, 0, -0.2, 0])
    real = np.column_stack([np.ones(rows), np.random.default_rng(7).normal(size=(rows, 4))])
    labels = np.repeat([False, True], rows)

    def draw(g: np.random.Generator) -> np.ndarray:
        other = np.column_stack([np.ones(rows), g.normal(size=(rows, 4)) + shift])
        return np.concatenate([real, other])

    g = np.random.default_rng(0)
    ratios, intervals = [], []
    for _ in range(500):
        terms = draw(g)
        groups = np.r_[np.full(rows, -1), jackknife_groups(np.arange(rows), g)]
        start = fit_logistic(terms, labels)
        left = [
            propensity_ratio(terms[groups != k], labels[groups != k], start)
            for k in range(groups.max() + 1)
        ]
        ratios.append(propensity_ratio(terms, labels))
        intervals.append(jackknife(np.array([ratios[-1], *left]), "rows", (0, np.inf)))
    true = float(np.mean(ratios))
    covered = np.mean([found.low <= true <= found.high for found in intervals])
    assert covered >= LEAST
    narrow = [found.high - found.low for found in intervals]
    assert np.mean(narrow) < 5 * np.std(ratios)
