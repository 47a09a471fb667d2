"""Line 7: a delta of 1/n or more is refused.

With one, publishing a random patient's record in full would count as private.
"""

import pytest

from synthvae import Synthesizer
from synthvae.errors import BudgetError
from synthvae.plan import make_plan
from synthvae.privacy.budget import default_delta
from synthvae.promise import guarantee_of
from tests.simulated import CLINIC


@pytest.mark.parametrize("delta", [1 / 400, 0.1])
def test_line_7_a_delta_of_one_over_n_is_refused(delta: float) -> None:
    with pytest.raises(BudgetError, match="not below 1/n"):
        Synthesizer(CLINIC, 1.0, delta)


def test_line_7_without_a_declared_number_delta_is_limited_and_checked_after_the_count() -> None:
    schema = CLINIC.replace(patients=None)
    with pytest.raises(BudgetError, match="without a declared number of patients"):
        Synthesizer(schema, 1.0, 0.5)
    plan = make_plan(schema, 1.0, 1e-5)
    assert guarantee_of(plan, 60, test_mode=False).valid
    void = guarantee_of(plan, 200_000, test_mode=False)
    assert not void.valid
    assert "not below 1/n" in str(void.why_void)


@pytest.mark.parametrize("patients", [10, 400, 10**6])
def test_line_7_the_default_is_a_tenth_of_that_at_most(patients: int) -> None:
    assert 0 < default_delta(patients) <= 0.1 / patients
