"""Line 4: an independent accountant finds the same epsilon, and nothing happens beyond the log.

Broken where noise is added to some weights only, where a release is repeated, and where training
goes on after the last step that was paid for.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm

from synthvae.marginals.interactions import InteractionQuery
from synthvae.marginals.moments import PairQuery
from synthvae.marginals.visit_moments import VisitQuery
from synthvae.plan import make_plan
from synthvae.privacy.accounting import compose, gaussian_mu
from synthvae.privacy.guarantee import GaussianStage
from synthvae.schema import Schema
from tests.checklist.fitted import fitted, seed, training_of, watch_releases, watch_training
from tests.simulated import CLINIC, VISITS, clinic, visits
from tests.simulated_visits import MOST, SHORT, journeys

TABLES = [(CLINIC, clinic(50)), (VISITS, visits(60)), (VISITS.replace(patients=None), visits(60))]


@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha")  # a looser RDP bound
def test_line_4_an_independent_accountant_agrees_with_the_log() -> None:
    from opacus.accountants import PRVAccountant

    guarantee = fitted(clinic(50)).guarantee
    assert guarantee.epsilon is not None
    assert guarantee.delta is not None
    assert guarantee.epsilon <= 1.0
    assert guarantee.epsilon == pytest.approx(compose(guarantee.stages, guarantee.delta), abs=5e-3)
    *measured, stage = guarantee.stages
    assert [part.stage for part in measured] == ["anchors", "pairs", "interactions"]
    assert [part.queries for part in measured[1:]] == [1, 1]
    gaussian = [noise for part in measured for noise in part.noise_multipliers]
    joint = sum(noise**-2 for noise in gaussian) ** -0.5
    other = PRVAccountant()
    other.history = [
        (joint, 1 - 1e-9, 1),  # that accountant cannot take a rate of one
        (stage.noise_multiplier, stage.sampling_rate, stage.steps),
    ]
    assert other.get_epsilon(guarantee.delta) == pytest.approx(guarantee.epsilon, abs=0.02)
    # The log carries such a figure itself: with the error that it states, and no other.
    stated = guarantee.second_opinion
    assert stated is not None
    assert stated.epsilon == pytest.approx(guarantee.epsilon, abs=stated.error)
    assert stated.epsilon == pytest.approx(other.get_epsilon(guarantee.delta), abs=0.02)
    # What is left out must be missed, be it the smallest of the measured stages.
    for left_out in measured:
        kept = [
            noise for part in measured if part is not left_out for noise in part.noise_multipliers
        ]
        without = PRVAccountant()
        joint = sum(noise**-2 for noise in kept) ** -0.5
        without.history = [(joint, 1 - 1e-9, 1), *other.history[1:]]
        assert without.get_epsilon(guarantee.delta) < 0.97 * guarantee.epsilon


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
def test_line_4_the_measured_stages_cost_their_shares_by_a_closed_form(epsilon: float) -> None:
    plan = make_plan(CLINIC, epsilon)
    budget = gaussian_mu(epsilon, plan.delta or 0.0) ** 2
    pairs = sum(noise**-2 for noise in plan.pairs.noise_multipliers)
    counts = sum(noise**-2 for noise in plan.marginals.noise_multipliers)
    assert pairs == pytest.approx(plan.settings.pair_share * budget, rel=1e-9)
    more = sum(noise**-2 for part in plan.interactions for noise in part.noise_multipliers)
    assert more == pytest.approx(plan.settings.interaction_share * budget, rel=1e-9)
    # Counts never have less than a least noise, so they may cost less than their share.
    assert counts <= plan.settings.anchor_share * budget * (1 + 1e-9)
    mu = (pairs + more + counts) ** 0.5
    exact = compose((plan.marginals, plan.pairs, *plan.interactions), plan.delta or 0.0)
    # Balle and Wang 2018, Theorem 8, at the epsilon that was found.
    delta = norm.cdf(mu / 2 - exact / mu) - np.exp(exact) * norm.cdf(-mu / 2 - exact / mu)
    assert delta == pytest.approx(plan.delta, rel=0.02)
    assert exact < epsilon


@pytest.mark.parametrize(("schema", "frame"), TABLES, ids=["rows", "patients", "undeclared"])
def test_line_4_data_are_released_as_often_and_with_the_noise_that_the_log_says(
    schema: Schema, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensitivities: dict[str, int] = {}

    def watch(kind: type[PairQuery] | type[InteractionQuery], stage: str) -> None:
        release = kind.release

        def watched(query: Any, *arguments: Any) -> Any:
            assert stage not in sensitivities  # once
            sensitivities[stage] = query.sensitivity
            return release(query, *arguments)

        monkeypatch.setattr(kind, "release", watched)

    watch(PairQuery, "pairs")
    watch(InteractionQuery, "interactions")
    seen = watch_releases(monkeypatch)
    made = fitted(frame, schema)
    counts, *moments, _ = made.guarantee.stages
    # One patient adds up to all their rows to a column's counts, and 1 to a count of patients.
    most = schema.rows_per_patient
    multipliers = [part.sigma / most for part in seen if part.stage == "columns"]
    multipliers += sorted(part.sigma for part in seen if part.stage == "patients")
    logged = list(counts.noise_multipliers)
    columns = sum(part.stage == "columns" for part in seen)
    assert multipliers == pytest.approx([*logged[:columns], *sorted(logged[columns:])])
    assert counts.queries == len(multipliers)
    assert list(sensitivities) == [stage.stage for stage in moments]
    assert (schema is CLINIC) == ("interactions" in sensitivities)  # three columns or more
    for stage in moments:
        (multiplier,) = stage.noise_multipliers
        scales = [part.sigma for part in seen if part.stage == stage.stage]
        assert scales == [multiplier * sensitivities[stage.stage]]
        assert stage.queries == 1


# By what one patient changes a count: of the patient, of each visit, of each two neighbours.
VISITS_CHANGE = {
    "counts of severity": 1,
    "counts of number of visits": 1,
    "counts of day first": 1,
    "counts of day": MOST,
    "counts of state": MOST,
    "counts of lab": MOST,
    "counts of gap": MOST - 1,
    "steps of lab from visit to visit": MOST - 1,
    "the number of patients": 1,
}


@pytest.mark.parametrize(
    "schema", [SHORT, SHORT.replace(patients=None)], ids=["declared", "undeclared"]
)
def test_line_4_visits_are_released_as_often_and_with_the_noise_that_the_log_says(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: list[int] = []
    release = VisitQuery.release

    def watched(query: VisitQuery, *arguments: Any) -> Any:
        bounds.append(query.sensitivity)
        return release(query, *arguments)

    monkeypatch.setattr(VisitQuery, "release", watched)
    seen = watch_releases(monkeypatch)
    counts, moments = fitted(journeys(60), schema).guarantee.stages
    assert isinstance(counts, GaussianStage)
    assert isinstance(moments, GaussianStage)
    assert counts.sensitivities is not None
    counted = [part for part in seen if part.stage != "pairs"]
    for part in counted:
        assert part.sensitivity == VISITS_CHANGE[part.what]
    logged = zip(counts.sensitivities, counts.noise_multipliers, strict=True)
    assert sorted((part.sensitivity, part.sigma) for part in counted) == sorted(
        (changes, changes * noise) for changes, noise in logged
    )
    whats = {part.what for part in counted}
    declared = set() if schema.patients is None else {"the number of patients"}
    assert whats == set(VISITS_CHANGE) - declared
    (scale,) = (part.sigma for part in seen if part.stage == "pairs")
    assert [scale] == [moments.noise_multipliers[0] * bound for bound in bounds]
    assert (moments.stage, moments.queries) == ("pairs", 1)


def test_line_4_training_takes_the_steps_of_the_log_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = watch_training(monkeypatch)
    synthesizer = fitted(clinic(50))
    assert len(seen.steps) == training_of(synthesizer).steps


@pytest.mark.parametrize("factor", [1.0, 2 / 3, 3 / 2])
def test_line_4_every_weight_gets_the_noise_of_the_log_at_every_step(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_training(monkeypatch)
    stage = training_of(fitted(clinic(50), test_seed=seed(6), steps=200))
    sigma = factor * stage.noise_multiplier * stage.clip_norm
    fits = []
    for weight in zip(*(step.noise(stage.expected_batch) for step in seen.steps), strict=True):
        drawn = np.concatenate(weight)
        low, high = chi2.ppf([1e-6, 1 - 1e-6], len(drawn))
        fits.append(low < (drawn**2).sum() / sigma**2 < high)
    assert len(fits) == 7
    assert all(fits) if factor == 1.0 else not any(fits)
