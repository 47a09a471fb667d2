"""Record features: orthonormal under the marginal, bounded, and the same for nobody's data."""

import numpy as np
import pytest

from synthvae.marginals.column import LIMIT, ColumnMarginal, basis


def marginal_of(mass: list[float], specials: int = 0, nullable: bool = False) -> ColumnMarginal:
    bins = len(mass) - specials - nullable
    masses = np.array(mass) / sum(mass)
    return ColumnMarginal(
        np.arange(bins), masses[:bins], np.arange(bins), masses, bins, specials, nullable
    )


@pytest.mark.parametrize("ordered", [True, False])
def test_functions_are_orthonormal_and_of_mean_zero(ordered: bool) -> None:
    marginal = marginal_of([0.3, 0.2, 0.1, 0.15, 0.25])
    phi = basis(marginal, ordered, 4)
    assert phi.shape == (5, 4)
    assert marginal.mass @ phi == pytest.approx(np.zeros(4), abs=1e-9)
    assert phi.T @ (marginal.mass[:, None] * phi) == pytest.approx(np.eye(4), abs=1e-9)


def test_two_equal_categories_are_minus_one_and_one() -> None:
    phi = basis(marginal_of([0.5, 0.5]), False, 3)
    assert phi.shape == (2, 1)
    assert np.abs(phi[:, 0]).tolist() == pytest.approx([1, 1])
    assert phi[0, 0] == pytest.approx(-phi[1, 0])


def test_missing_comes_first_and_is_an_indicator() -> None:
    phi = basis(marginal_of([0.3, 0.3, 0.3, 0.1], nullable=True), True, 2)
    assert phi[:3, 0] == pytest.approx([phi[0, 0]] * 3)
    assert phi[3, 0] == pytest.approx(3.0)  # sqrt(0.9 / 0.1)


def test_rare_tokens_do_not_make_large_features() -> None:
    phi = basis(marginal_of([1e-9, 0.4, 0.6]), False, 2)
    assert np.abs(phi).max() <= LIMIT


@pytest.mark.parametrize("rare", [0.04, 0.01, 0.003, 1e-6])
def test_the_cap_leaves_no_mean(rare: float) -> None:
    # Cut alone, the feature of a token of 1 % would have a mean of 0.06: as if it were 1 in 40.
    marginal = marginal_of([0.6 - rare, 0.4, rare], nullable=True)
    for ordered in (True, False):
        phi = basis(marginal, ordered, 3)
        assert marginal.mass @ phi == pytest.approx(np.zeros(phi.shape[1]), abs=1e-12)
        assert np.abs(phi).max() <= LIMIT
        assert np.ptp(phi[:, 0]) > 3  # and the rare token still stands out


def test_a_column_of_one_category_has_an_empty_feature() -> None:
    assert basis(marginal_of([1.0]), False, 3).tolist() == [[0.0]]
