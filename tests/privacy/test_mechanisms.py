"""The one door: noise of the accounted scale, a log of public facts, and refusals before any draw."""

import inspect
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from synthvae.baselines import make
from synthvae.errors import BudgetError
from synthvae.privacy.budget import BudgetFilter
from synthvae.privacy.guarantee import GaussianStage, SelectionStage, TrainingStage
from synthvae.privacy.mechanisms import Mechanisms, Release
from synthvae.privacy.stream import RandomStream
from synthvae.synthesizer import Synthesizer
from tests.checklist.fitted import fitted
from tests.simulated import VISITS, visits

DRAWS = 4000
STAGE = TrainingStage(
    sampling_rate=0.3, noise_multiplier=2.0, steps=8, clip_norm=1.5, expected_batch=20.0
)


def count(mechanisms: Mechanisms, exact: np.ndarray, multiplier: float) -> np.ndarray:
    return mechanisms.discrete_gaussian(
        exact, stage="columns", what="counts", sensitivity=3, noise_multiplier=multiplier
    )


def spread_is(noise: np.ndarray, sigma: float) -> bool:
    """Say whether the sum of squares fits a standard deviation, at one in a million per side."""
    statistic = (noise.astype(float) ** 2).sum() / sigma**2
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(noise))
    return bool(low < statistic < high)


@pytest.mark.parametrize("multiplier", [1.0, 40.0])
def test_noise_of_counts_is_whole_and_of_its_scale_and_no_near_miss(multiplier: float) -> None:
    noise = count(Mechanisms(RandomStream()), np.zeros(DRAWS, np.int64), multiplier)
    assert noise.dtype == np.int64
    assert spread_is(noise, 3 * multiplier)
    assert not spread_is(noise, 2 * multiplier)
    assert not spread_is(noise, 4.5 * multiplier)


def test_noise_of_sums_is_of_the_accounted_scale_and_no_near_miss() -> None:
    noise = Mechanisms(RandomStream()).gaussian(np.zeros(DRAWS), STAGE)
    assert [spread_is(noise, factor * 3.0) for factor in (1.0, 2 / 3, 3 / 2)] == [
        True,
        False,
        False,
    ]


def test_the_shape_is_kept() -> None:
    assert count(Mechanisms(RandomStream()), np.zeros((2, 3), np.int64), 1.0).shape == (2, 3)


def test_a_choice_follows_the_exponential_mechanism() -> None:
    mechanisms, scores = Mechanisms(RandomStream(test_seed=0)), np.array([0.0, 2.0, 4.0])
    drawn = [
        mechanisms.exponential(scores, what="one", sensitivity=2, epsilon=1.5) for _ in range(3000)
    ]
    weights = np.exp(1.5 * scores / (2 * 2))
    share = np.bincount(drawn, minlength=3) / len(drawn)
    assert share == pytest.approx(weights / weights.sum(), abs=0.03)


def test_the_log_is_the_account_of_what_was_released() -> None:
    mechanisms = Mechanisms(RandomStream())
    count(mechanisms.part("counts"), np.zeros(2, np.int64), 4.0)
    count(mechanisms.part("counts"), np.zeros(2, np.int64), 4.0)
    mechanisms.exponential(np.zeros(2), what="a choice", sensitivity=3, epsilon=0.1)
    for _ in range(5):
        mechanisms.part("noise").gaussian(np.zeros(2), STAGE)
    assert [entry.times for entry in mechanisms.log] == [2, 1, 5]
    assert mechanisms.stages(3) == (
        GaussianStage(
            queries=2, noise_multipliers=(4.0, 4.0), rows_per_patient=3, sensitivities=(3.0, 3.0)
        ),
        SelectionStage(queries=1, epsilons=(0.1,), sensitivities=(3.0,)),
        STAGE.model_copy(update={"steps": 5}),
    )


def test_a_fits_log_is_its_guarantees_and_holds_no_array(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Mechanisms] = []
    begin = Mechanisms.__init__

    def watch(self: Mechanisms, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        made.append(self)

    monkeypatch.setattr(Mechanisms, "__init__", watch)
    guarantee = fitted(visits(60), VISITS.replace(patients=None)).guarantee
    (mechanisms,) = made
    assert mechanisms._observer is None
    counts, pairs, training = mechanisms.stages(VISITS.rows_per_patient)
    planned = guarantee.stages
    assert isinstance(counts, GaussianStage)
    assert isinstance(planned[0], GaussianStage)
    assert sorted(counts.noise_multipliers) == sorted(planned[0].noise_multipliers)
    assert sorted(counts.sensitivities or ()) == sorted(planned[0].sensitivities or ())
    assert isinstance(pairs, GaussianStage)
    assert isinstance(planned[1], GaussianStage)
    assert pairs.noise_multipliers == planned[1].noise_multipliers
    assert training == planned[2]
    for entry in mechanisms.log:
        assert all(not isinstance(fact, np.ndarray) for fact in vars(entry).values())


class NoStream(RandomStream):
    """A stream of which nothing may be drawn."""

    def take(self, count: int) -> bytes:
        raise AssertionError(f"{count} bytes were drawn")


def discrete(mechanisms: Mechanisms, parameter: float, sensitivity: float, value: float) -> None:
    mechanisms.discrete_gaussian(
        np.array([int(value)]),
        stage="columns",
        what="it",
        sensitivity=sensitivity,
        noise_multiplier=parameter,
    )


def choice(mechanisms: Mechanisms, parameter: float, sensitivity: float, value: float) -> None:
    scores = np.array([0.0, value])
    mechanisms.exponential(scores, what="it", sensitivity=sensitivity, epsilon=parameter)


def sums(mechanisms: Mechanisms, parameter: float, sensitivity: float, value: float) -> None:
    changes = {"noise_multiplier": parameter, "clip_norm": sensitivity}
    mechanisms.gaussian(np.array([0.0, value]), STAGE.model_copy(update=changes))


REFUSED = [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-200]


def refuses(release: Any, match: str, *arguments: float, exact: bool = False) -> None:
    """Check that a release is refused, with a budget and without, and that nothing has happened."""
    for budget in (None, BudgetFilter(1.0, 1e-5)):
        mechanisms = Mechanisms(NoStream(test_seed=1), budget=budget, exact=exact)
        with pytest.raises(BudgetError, match=match + r".*\. Nothing was released\."):
            release(mechanisms, *arguments)
        assert mechanisms.log == []
        assert budget is None or budget.spent == 0


@pytest.mark.parametrize("release", [discrete, choice, sums])
@pytest.mark.parametrize("value", REFUSED)
def test_what_has_no_guarantee_is_refused_before_anything_is_drawn(
    release: Any, value: float
) -> None:
    name, most = ("epsilon", "4") if release is choice else ("noise multiplier", r"1e\+150")
    shown = rf" would be released with {{}} {value!r}; it must be from 1e-09 to {{}}"
    refuses(release, shown.format(name, most), value, 1.0, 0.0)
    refuses(release, shown.format("sensitivity", r"1e\+150"), 1.0, value, 0.0)


@pytest.mark.parametrize("release", [choice, sums])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e200])
def test_values_that_no_noise_covers_are_refused_and_not_shown(release: Any, value: float) -> None:
    refuses(
        release, r"with values beyond 1e\+150 times the sensitivity; all must be", 1.0, 1.0, value
    )


@pytest.mark.parametrize("epsilon", [4.1, 50.0, 710.0, 1000.0])
def test_a_choice_has_a_largest_epsilon(epsilon: float) -> None:
    refuses(choice, rf"epsilon {epsilon!r}; it must be from 1e-09 to 4", epsilon, 1.0, 0.0)


def test_a_choice_needs_candidates() -> None:
    with pytest.raises(BudgetError, match="a choice would be released with 0 candidates; there"):
        Mechanisms(NoStream()).exponential(
            np.zeros(0), what="a choice", sensitivity=1.0, epsilon=1.0
        )


@pytest.mark.parametrize("release", [discrete, choice, sums])
def test_what_is_within_the_rules_is_released(release: Any) -> None:
    for parameter, sensitivity in ((4.0, 1.0), (1.0, 0.5), (1e-9, 1e12), (4.0, 1e-9)):
        mechanisms = Mechanisms(RandomStream(test_seed=1))
        release(mechanisms, parameter, sensitivity, 3.0)
        assert [entry.parameter for entry in mechanisms.log] == [parameter]


def test_noise_of_zero_is_for_fits_without_privacy_and_never_a_choice() -> None:
    exact = np.arange(3)
    assert (count(Mechanisms(RandomStream(), exact=True), exact, 0.0) == exact).all()
    without = STAGE.model_copy(update={"noise_multiplier": 0.0})
    assert (Mechanisms(RandomStream(), exact=True).gaussian(exact / 7, without) == exact / 7).all()
    refuses(choice, "epsilon 0.0; it must be", 0.0, 1.0, 0.0, exact=True)
    for budgeted in (discrete, sums):
        refuses(budgeted, "noise multiplier -1.0; it must be", -1.0, 1.0, 0.0, exact=True)
    mechanisms = Mechanisms(NoStream(), budget=BudgetFilter(1.0, 1e-5), exact=True)
    with pytest.raises(BudgetError, match="it would cost inf in squared mu; it must be finite"):
        discrete(mechanisms, 0.0, 1.0, 0.0)
    assert mechanisms.log == []


def test_discrete_noise_is_for_whole_numbers() -> None:
    mechanisms = Mechanisms(NoStream())
    with pytest.raises(TypeError, match="float64; discrete noise is for int64"):
        count(mechanisms, np.zeros(3), 1.0)
    assert mechanisms.log == []


def test_a_release_beyond_the_budget_is_refused_before_it_is_made() -> None:
    budget = BudgetFilter(1.0, 1e-5)
    mechanisms = Mechanisms(RandomStream(), budget=budget)
    count(mechanisms, np.arange(3), budget.whole**-0.5)
    with pytest.raises(BudgetError, match="counts would spend more than epsilon 1"):
        count(mechanisms, np.arange(3), 100.0)
    with pytest.raises(BudgetError, match="a choice would spend more than epsilon 1"):
        mechanisms.exponential(np.zeros(2), what="a choice", sensitivity=1, epsilon=0.1)
    assert len(mechanisms.log) == 1


def test_no_argument_of_the_public_api_sets_an_observer() -> None:
    for function in (Synthesizer, Synthesizer.fit, Synthesizer.sample, Synthesizer.load, make):
        taken = inspect.signature(function).parameters.values()
        assert not any("observer" in one.name or one.kind is one.VAR_KEYWORD for one in taken)


def test_an_observer_sees_what_passes_and_changes_nothing() -> None:
    class Observer:
        seen: list[tuple[Release, np.ndarray, np.ndarray]] = []

        def observe_counts(self, *passed: Any) -> None:
            self.seen.append(passed)

        def observe_training(self, *_: Any) -> None:
            raise AssertionError("nothing was trained")

    exact = np.arange(5)
    plain = count(Mechanisms(RandomStream(test_seed=1)), exact, 4.0)
    observed = count(Mechanisms(RandomStream(test_seed=1), observer=Observer()), exact, 4.0)
    assert (plain == observed).all()
    ((release, before, after),) = Observer.seen
    assert release.sigma == 12.0
    assert (before == exact).all()
    assert (after == observed).all()
