import math
from typing import Any

import numpy as np
import pytest

from synthvae.privacy.tradeoff import best_guess, ceiling, corners, largest_auc, odds_factor


@pytest.mark.parametrize(
    ("fpr", "epsilon", "delta", "expected"),
    [
        (0.0, math.log(3), 0.0, 0.0),
        (0.1, math.log(3), 0.0, 0.3),
        (0.25, math.log(3), 0.0, 0.75),
        (0.4, math.log(3), 0.0, 0.8),
        (0.0, math.log(3), 0.01, 0.01),
        (0.1, math.log(3), 0.01, 0.31),
        (0.5, math.log(2), 0.1, 0.8),
        (0.3, 0.0, 0.0, 0.3),
        (0.3, 0.0, 0.2, 0.5),
        (0.95, 0.0, 0.2, 1.0),
        (1.0, 2.0, 1e-5, 1.0),
        (1e-3, 1000.0, 0.0, 1.0),
    ],
)
def test_ceiling_by_hand(fpr: float, epsilon: Any, delta: float, expected: float) -> None:
    assert float(ceiling(fpr, epsilon, delta)) == pytest.approx(expected)


def test_ceiling_is_concave_above_guessing_and_symmetric() -> None:
    rates = np.linspace(0, 1, 501)
    found = ceiling(rates, 1.3, 0.02)
    assert (found >= rates).all(), "guessing is always possible"
    assert (np.diff(found, 2) <= 1e-12).all(), "mixing two tests is a test"
    # Members and non-members may change places: (a, b) and (1 - b, 1 - a) are equally possible.
    assert (ceiling(1 - found, 1.3, 0.02) >= 1 - rates - 1e-12).all()


def test_largest_auc_is_the_area_under_the_ceiling() -> None:
    rates = np.linspace(0, 1, 200_001)
    found = ceiling(rates, 0.7, 0.03)
    area = float(np.mean((found[1:] + found[:-1]) / 2))
    assert largest_auc(0.7, 0.03) == pytest.approx(area, abs=1e-6)
    assert largest_auc(0.0, 0.0) == pytest.approx(0.5)


def test_best_guess_is_where_the_ceiling_bends() -> None:
    bend = corners(1.0, 1e-5)[1]
    accuracy = (float(ceiling(bend, 1.0, 1e-5)) + 1 - bend) / 2
    assert best_guess(1.0, 1e-5) == pytest.approx(accuracy)
    assert odds_factor(1000.0) == math.inf
