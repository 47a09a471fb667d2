"""Expected errors are those of the fit's own denoising, on reference columns."""

import numpy as np
import pytest
from scipy.special import ndtri

from synthvae.field import Field
from synthvae.forecast import expected_error as error
from synthvae.marginals.measure import measure_marginals, query_weights
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream

ROWS, BINS = 5000, 20
PLACES = (np.arange(ROWS) + 0.5) / ROWS
SHAPES = (
    error.BELL[0] + error.BELL[1] * ndtri(PLACES),
    -error.SKEWED * np.log(1 - PLACES),
)


def lattice(size: int) -> Field:
    constraints = {"minimum": 0, "maximum": size - 1}
    return Field.model_validate({"name": "x", "type": "integer", "constraints": constraints})


def simulated_mean_error(field: Field, noise: float, draws: int) -> float:
    """Return the mean error that `measure_marginals` leaves in the reference shapes' mean."""
    size = field.lattice_size
    multipliers = tuple(noise * ROWS / weight**0.5 for weight in query_weights(field, BINS))
    errors = []
    for shape in SHAPES:
        codes = np.clip((shape * size).astype(np.int64), 0, size - 1)
        for seed in range(draws):
            mechanisms = Mechanisms(RandomStream(seed))
            (made,) = measure_marginals(
                codes[:, None], (field,), (multipliers,), BINS, 1, mechanisms
            )
            mean = made.cell_mass @ (made.starts + (made.cell_sizes - 1) / 2)
            errors.append(abs(mean / made.cell_mass.sum() - codes.mean()) / size)
    return float(np.mean(errors))


@pytest.mark.parametrize(("size", "noise"), [(12, 0.01), (12, 0.2), (101, 0.005), (101, 0.1)])
def test_the_error_of_a_mean_is_that_of_a_measured_column(size: int, noise: float) -> None:
    field = lattice(size)
    expected = error.mean_error(field, noise, BINS).absolute
    assert expected == pytest.approx(simulated_mean_error(field, noise, 30), rel=0.35)


def test_shares_are_made_as_a_fit_makes_them() -> None:
    noisy = np.array([[0.6, 0.5, -0.1], [0.2, 0.3, 0.5]])
    assert error.to_simplex(noisy) == pytest.approx(np.array([[0.55, 0.45, 0.0], [0.2, 0.3, 0.5]]))


@pytest.mark.parametrize("size", [2, 5, 200])
def test_the_error_of_a_share_grows_with_noise_and_is_never_above_one(size: int) -> None:
    labels = [str(number) for number in range(size)]
    field = Field.model_validate({"name": "x", "constraints": {"enum": labels}})
    results = [error.share_error(field, noise) for noise in (0.001, 0.01, 0.1, 10.0)]
    errors = [share.absolute for share, _ in results]
    assert errors[:3] == sorted(errors[:3])
    assert all(0 < misplaced <= 1 for _, misplaced in results)
    if size == 2:  # two shares that sum to 1: half of the difference of two noises
        assert errors[0] == pytest.approx(error.NORMAL_MEAN * 0.001 / 2**0.5, rel=0.15)


def test_a_correlation_under_heavy_noise_is_off_by_itself() -> None:
    little, much = error.correlation_deviation(np.array([1e-6, 1e6]))
    assert little == pytest.approx(error.MODEL_ERROR)
    assert much == pytest.approx(np.hypot(error.TYPICAL_CORRELATION, error.MODEL_ERROR))
