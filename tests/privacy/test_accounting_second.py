"""The second accountant: it agrees, it would notice, and where it cannot tell it says so."""

import math
import warnings

import pytest

from synthvae.plan import make_plan
from synthvae.privacy import accounting as module
from synthvae.privacy.accounting import LARGEST_ERROR, gaussian_mu, second_opinion
from synthvae.privacy.guarantee import GaussianStage, TrainingStage
from tests.simulated import CLINIC, VISITS

DELTA = 1e-5


def counts(*noises: float) -> GaussianStage:
    return GaussianStage(queries=len(noises), noise_multipliers=noises, rows_per_patient=1)


def training(rate: float, noise: float, steps: int) -> TrainingStage:
    return TrainingStage(
        sampling_rate=rate, noise_multiplier=noise, steps=steps, clip_norm=1.0, expected_batch=9.0
    )


@pytest.mark.parametrize(
    ("schema", "epsilon"),
    [
        *((CLINIC, epsilon) for epsilon in (0.03, 1.0, 100.0)),
        *((VISITS.replace(patients=None), epsilon) for epsilon in (0.3, 10.0)),
    ],
    ids=["rows"] * 3 + ["visits"] * 2,
)
def test_it_agrees_with_the_first(schema: object, epsilon: float) -> None:
    plan = make_plan(schema, epsilon, 1e-6)  # type: ignore[arg-type]
    spent = plan.spent()
    found = plan.second_opinion()
    assert spent is not None
    assert found is not None
    assert found.epsilon is not None
    assert found.error is not None
    assert abs(found.epsilon - spent) <= found.error <= LARGEST_ERROR * found.epsilon
    # It is far better than it says: what it says is a bound.
    assert found.epsilon == pytest.approx(spent, rel=3e-3)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_it_would_notice_a_stage_that_is_left_out(left_out: int) -> None:
    plan = make_plan(CLINIC, 1.0, DELTA)
    rest = plan.stages[:left_out] + plan.stages[left_out + 1 :]
    found = second_opinion(rest, DELTA, 1.0)
    assert found.epsilon is not None
    assert found.error is not None
    assert found.epsilon + found.error < (plan.spent() or 0.0)


def test_it_takes_gaussian_releases_alone_and_steps_in_which_all_take_part() -> None:
    mu = gaussian_mu(1.0, DELTA)
    one = second_opinion((counts(math.sqrt(2) / mu, math.sqrt(2) / mu),), DELTA, 1.0)
    assert one.epsilon == pytest.approx(1.0, abs=2e-3)
    steps = second_opinion((training(1.0, 10 / mu, 100),), DELTA, 1.0)
    assert steps.epsilon == pytest.approx(1.0, abs=2e-3)


def test_a_small_epsilon_has_a_reason_and_no_figure() -> None:
    found = make_plan(CLINIC, 0.002, DELTA).second_opinion()
    assert found is not None
    assert (found.epsilon, found.error) == (None, None)
    assert "too fine for an epsilon as small as this" in (found.unavailable or "")


def test_where_its_arithmetic_gives_out_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    # Noise so small that losses overflow.
    found = second_opinion((training(0.5, 0.01, 10),), DELTA, 100.0)
    assert found.epsilon is None
    assert (found.unavailable or "").startswith("that accountant ")
    for cause in (RuntimeError("Cannot compute epsilon"), ValueError("Floating point errors")):

        def fail(*_: object, cause: Exception = cause) -> None:
            raise cause

        monkeypatch.setattr(module, "_interval", fail)
        module._opinion.cache_clear()
        found = second_opinion((counts(3.0),), DELTA, 1.0)
        assert found.unavailable == f"that accountant gave out: {cause}"
    for odd in ((1.0, math.nan, 2.0), (0.0, 0.0, 0.0), (0.0, 1.0, math.inf), (0.1, 1.0, 2.0)):
        monkeypatch.setattr(module, "_interval", lambda *_, odd=odd: odd)
        module._opinion.cache_clear()
        assert second_opinion((counts(3.0),), DELTA, 1.0).epsilon is None
    module._opinion.cache_clear()


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(module, "_interval", fail)
    module._opinion.cache_clear()
    with pytest.raises(KeyError, match="a bug of ours"):
        second_opinion((counts(3.0),), DELTA, 1.0)


def test_it_leaves_the_callers_warnings_alone() -> None:
    module._opinion.cache_clear()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        make_plan(CLINIC, 1.0, DELTA).second_opinion()
        assert warnings.filters == before
    assert seen == []
