"""The correctness checklist of private training, by its lines.

Each test is named after the line that it shows: 1 bounds, 2 Poisson, 3 public sizes, 4 account,
7 delta, 8 clipping, 9 odd values, 11 fresh noise, 16 no real rows in sampling.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest, chi2, norm

from synthvae import Synthesizer
from synthvae.anchors import PairMoments, PairQuery, measure, query_weights
from synthvae.anchors import pairs as pairs_module
from synthvae.errors import BudgetError, DataError
from synthvae.model import training as training_module
from synthvae.plan import make_plan
from synthvae.privacy.accounting import compose, gaussian_mu
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.stream import RandomStream
from synthvae.promise import promise
from synthvae.schema import Schema
from synthvae.table import encode, group_by_patient
from tests.simulated import CLINIC, VISITS, clinic, quick, visits


def fitted(frame: pd.DataFrame, schema: Schema = CLINIC, **options: object) -> Synthesizer:
    settings = quick(schema, 1.0)
    return Synthesizer(schema, 1.0, settings=settings, **options).fit(frame)  # type: ignore[arg-type]


def training_of(synthesizer: Synthesizer) -> TrainingStage:
    stage = synthesizer.guarantee.stages[-1]
    assert isinstance(stage, TrainingStage)
    return stage


def public_shape(synthesizer: Synthesizer) -> dict[str, object]:
    """Return everything about a model that must not depend on a single record."""
    state = synthesizer.state()
    return {
        "guarantee": synthesizer.guarantee,
        "settings": synthesizer.settings,
        "size": [anchor.size for anchor in state.layout.anchors],
        "extras": [(anchor.specials, anchor.nullable) for anchor in state.layout.anchors],
        "first": [int(anchor.starts[0]) for anchor in state.layout.anchors],
        "categories": [
            anchor.tokens
            for anchor, field in zip(state.layout.anchors, CLINIC.modelled, strict=True)
            if not field.is_lattice
        ],
        "rows": synthesizer.default_rows,
    }


ODD = pd.DataFrame(
    {
        "age": [100],
        "sex": ["male"],
        "creatinine": [1e308],
        "cost": [np.inf],
        "ward": ["a ward that nobody declared"],
        "died": [True],
    }
)


def test_line_1_an_odd_record_changes_no_bound_and_no_category() -> None:
    frame = clinic(300)
    with_odd = pd.concat([frame, ODD], ignore_index=True)
    assert public_shape(fitted(frame)) == public_shape(fitted(with_odd))
    records = fitted(with_odd).sample(3000, seed=1)
    assert records["creatinine"].max() <= 25
    assert records["cost"].max() <= 100_000
    assert set(records["ward"]) <= {"north", "south", "east", "other"}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the size of every batch of private training."""
    sizes: list[int] = []
    accumulate = training_module._accumulate

    def watch(*arguments: object) -> float:
        drawn = arguments[3]
        assert isinstance(drawn, torch.Tensor)
        sizes.append(len(drawn))
        return accumulate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training_module, "_accumulate", watch)
    return sizes


def test_line_2_batches_are_binomial(batches: list[int]) -> None:
    settings = quick(CLINIC, 1.0, steps=150, sampling_rate=0.2)
    Synthesizer(CLINIC, 1.0, settings=settings, test_seed=3).fit(clinic(300))
    variance = 300 * 0.2 * 0.8
    spread = sum((size - 60) ** 2 for size in batches) / variance
    low, high = chi2.ppf([1e-4, 1 - 1e-4], len(batches))
    assert low < spread < high  # shuffled batches of a fixed size would give 0
    assert binomtest(sum(batches), 300 * len(batches), 0.2).pvalue > 1e-4


def test_line_2_empty_batches_take_a_noisy_step_and_are_accounted(batches: list[int]) -> None:
    settings = quick(CLINIC, 1.0, steps=30, sampling_rate=1e-4)
    synthesizer = Synthesizer(CLINIC, 1.0, settings=settings, test_seed=4).fit(clinic(50))
    assert batches.count(0) > 20
    assert training_of(synthesizer).steps == 30
    weights = synthesizer.state().weights
    assert all(np.isfinite(weight).all() for weight in weights.values())
    assert np.abs(weights["decoder.bias"]).max() > 0  # starts at zero: only noise moved it


def test_line_3_sizes_rates_and_noise_ignore_the_true_number_of_rows() -> None:
    few, many = fitted(clinic(50)), fitted(clinic(51))
    assert few.guarantee == many.guarantee
    assert few.settings == many.settings
    assert few.default_rows == many.default_rows == 400


def test_line_3_without_a_declared_number_only_the_noisy_count_enters() -> None:
    schema = CLINIC.replace(patients=None)
    plan = make_plan(schema, 1.0, 1e-6)
    assert plan.count_noise is not None
    synthesizer = Synthesizer(schema, 1.0, 1e-6, settings=quick(schema, 1.0), test_seed=1).fit(
        clinic(300)
    )
    assert training_of(synthesizer).sampling_rate == plan.settings.sampling_rate
    assert plan.count_noise in synthesizer.guarantee.stages[0].noise_multipliers  # type: ignore[union-attr]
    assert synthesizer.default_rows != 300
    assert abs(synthesizer.default_rows - 300) < 6 * plan.count_noise


@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha")  # a looser RDP bound
def test_line_4_an_independent_accountant_agrees_with_the_log() -> None:
    from opacus.accountants import PRVAccountant

    guarantee = fitted(clinic(50)).guarantee
    assert guarantee.epsilon is not None
    assert guarantee.delta is not None
    assert guarantee.epsilon <= 1.0
    assert guarantee.epsilon == pytest.approx(compose(guarantee.stages, guarantee.delta), abs=5e-3)
    counts, pairs, stage = guarantee.stages
    assert [part.stage for part in guarantee.stages] == ["anchors", "pairs", "training"]
    assert pairs.queries == 1  # type: ignore[union-attr]
    gaussian = (*counts.noise_multipliers, *pairs.noise_multipliers)  # type: ignore[union-attr]
    joint = sum(noise**-2 for noise in gaussian) ** -0.5
    other = PRVAccountant()
    other.history = [
        (joint, 1 - 1e-9, 1),  # that accountant cannot take a rate of one
        (stage.noise_multiplier, stage.sampling_rate, stage.steps),  # type: ignore[union-attr]
    ]
    assert other.get_epsilon(guarantee.delta) == pytest.approx(guarantee.epsilon, abs=0.02)
    # What is left out must be missed: the pair release is a large part of the budget.
    without = PRVAccountant()
    without.history = other.history[1:]
    assert without.get_epsilon(guarantee.delta) < 0.9 * guarantee.epsilon


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
def test_line_4_the_measured_stages_cost_their_shares_by_a_closed_form(epsilon: float) -> None:
    plan = make_plan(CLINIC, epsilon)
    budget = gaussian_mu(epsilon, plan.delta or 0.0) ** 2
    pairs = sum(noise**-2 for noise in plan.pairs.noise_multipliers)
    counts = sum(noise**-2 for noise in plan.anchors.noise_multipliers)
    assert pairs == pytest.approx(plan.settings.pair_share * budget, rel=1e-9)
    # Counts never have less than a least noise, so they may cost less than their share.
    assert counts <= plan.settings.anchor_share * budget * (1 + 1e-9)
    mu = (pairs + counts) ** 0.5
    exact = compose((plan.anchors, plan.pairs), plan.delta or 0.0)
    # Balle and Wang 2018, Theorem 8, at the epsilon that was found.
    delta = norm.cdf(mu / 2 - exact / mu) - np.exp(exact) * norm.cdf(-mu / 2 - exact / mu)
    assert delta == pytest.approx(plan.delta, rel=0.02)
    assert exact < epsilon


def test_line_4_data_are_released_as_often_and_with_the_noise_that_the_log_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[tuple[str, float]] = []
    count_noise, pair_release = measure.noisy_counts, PairQuery.release

    def watch_counts(counts: np.ndarray, sigma: float, stream: RandomStream) -> np.ndarray:
        released.append(("anchors", sigma))
        return count_noise(counts, sigma, stream)

    def watch_pairs(query: PairQuery, *arguments: object) -> PairMoments:
        released.append(("pairs", arguments[2]))  # type: ignore[arg-type]
        return pair_release(query, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "noisy_counts", watch_counts)
    monkeypatch.setattr(PairQuery, "release", watch_pairs)
    counts, pairs, _ = fitted(clinic(50)).guarantee.stages
    found = {kind: [noise for name, noise in released if name == kind] for kind, _ in released}
    assert found["anchors"] == pytest.approx(counts.noise_multipliers)  # type: ignore[union-attr]
    assert found["pairs"] == list(pairs.noise_multipliers)  # type: ignore[union-attr]


def test_line_4_training_takes_the_steps_of_the_log_and_no_more(batches: list[int]) -> None:
    synthesizer = fitted(clinic(50))
    assert len(batches) == training_of(synthesizer).steps


@pytest.mark.parametrize("delta", [1 / 400, 0.1])
def test_line_7_a_delta_of_one_over_n_is_refused(delta: float) -> None:
    with pytest.raises(BudgetError, match="not below 1/n"):
        Synthesizer(CLINIC, 1.0, delta)


def test_line_7_without_a_declared_number_delta_is_limited_and_checked_after_the_count() -> None:
    schema = CLINIC.replace(patients=None)
    with pytest.raises(BudgetError, match="without a declared number of patients"):
        Synthesizer(schema, 1.0, 0.5)
    plan = make_plan(schema, 1.0, 1e-5)
    assert promise(plan, 60, test_mode=False).valid
    void = promise(plan, 200_000, test_mode=False)
    assert not void.valid
    assert "not below 1/n" in str(void.why_void)


@pytest.mark.parametrize("value", ["twelve", "NaN", "1e999x"])
def test_line_9_what_is_no_number_is_an_error_before_anything_is_spent(value: str) -> None:
    frame = clinic(50).astype(object)
    frame.loc[3, "creatinine"] = value
    with pytest.raises(DataError, match=r"column 'creatinine': 1 row: not a number"):
        fitted(frame)


def test_line_9_odd_values_are_handled_row_by_row() -> None:
    frame = clinic(60)
    odd = pd.concat([frame, *(ODD.assign(creatinine=x) for x in (-np.inf, np.nan, 1e308))])
    with_odd = fitted(odd.reset_index(drop=True), test_seed=1)
    assert all(np.isfinite(w).all() for w in with_odd.state().weights.values())


def test_line_11_two_fits_differ_whatever_the_seed_of_sampling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[np.ndarray] = []
    release = PairQuery.release

    def watch(query: PairQuery, *arguments: object) -> PairMoments:
        moments = release(query, *arguments)  # type: ignore[arg-type]
        released.append(moments.values)
        return moments

    monkeypatch.setattr(PairQuery, "release", watch)
    first, second = (fitted(clinic(60)) for _ in range(2))
    assert not np.array_equal(
        first.state().weights["loadings.weight"], second.state().weights["loadings.weight"]
    )
    one, other = released
    assert one.shape != other.shape or (one != other)[one != 0].all()
    assert not first.sample(50, seed=7).equals(second.sample(50, seed=7))


def test_line_11_a_fixed_seed_voids_the_guarantee() -> None:
    guarantee = fitted(clinic(50), test_seed=1).guarantee
    assert not guarantee.valid
    assert guarantee.why_void is not None
    assert "TEST MODE" in guarantee.why_void


@pytest.mark.parametrize("rows", [3, 500])
def test_line_13_a_patient_with_many_rows_moves_counts_no_more_than_their_cap(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exact_counts(frame: pd.DataFrame) -> list[np.ndarray]:
        seen: list[np.ndarray] = []

        def record(counts: np.ndarray, sigma: float, stream: object) -> np.ndarray:
            seen.append(counts.copy())
            return counts

        monkeypatch.setattr(measure, "noisy_counts", record)
        patients = group_by_patient(frame, VISITS, np.random.default_rng(0))
        codes = encode(frame, VISITS)[patients.kept]
        noise = tuple(tuple(1.0 for _ in query_weights(f, 12)) for f in VISITS.modelled)
        measure.measure_anchors(codes, VISITS.modelled, noise, 12, RandomStream(test_seed=0))
        return seen

    # Everybody has at most three rows here, so that the same rows of the others are kept.
    frame = visits(60).groupby("patient", sort=False).head(3).reset_index(drop=True)
    new = pd.DataFrame({"patient": "new", "sex": "male", "score": 40}, index=range(rows))
    before, after = exact_counts(frame), exact_counts(pd.concat([frame, new], ignore_index=True))
    # Later grids follow the counts; the first of each column is on a public one.
    for a, b in zip(before[:2], after[:2], strict=True):
        assert np.linalg.norm(b - a) <= VISITS.rows_per_patient
        assert np.linalg.norm(b - a) > 0


@pytest.mark.parametrize("rows", [1, 3, 500])
def test_line_13_a_patient_with_many_rows_moves_the_pair_sums_no_more_than_they_are_accounted_for(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = fitted(visits(60), VISITS).state().layout
    query = PairQuery.build(layout.owner, layout.order, 0.5, VISITS.rows_per_patient)

    def exact_sums(frame: pd.DataFrame) -> np.ndarray:
        seen: list[np.ndarray] = []

        def record(counts: np.ndarray, sigma: float, stream: object) -> np.ndarray:
            assert sigma == 2.0 * query.sensitivity
            seen.append(counts.copy())
            return counts

        monkeypatch.setattr(pairs_module, "noisy_counts", record)
        patients = group_by_patient(frame, VISITS, np.random.default_rng(0))
        features = layout.record_features(layout.tokens(encode(frame, VISITS)))
        query.release(features, patients.rows, 2.0, RandomStream(test_seed=0))
        return seen[0]

    frame = visits(60).groupby("patient", sort=False).head(3).reset_index(drop=True)
    new = pd.DataFrame({"patient": "new", "sex": "male", "score": 40}, index=range(rows))
    moved = exact_sums(pd.concat([frame, new], ignore_index=True)) - exact_sums(frame)
    assert 0 < np.linalg.norm(moved.astype(float)) <= query.sensitivity


def test_line_16_sampling_holds_no_real_rows() -> None:
    frame = clinic(300)
    synthesizer = fitted(frame)
    state = synthesizer.state()
    held = [value for value in vars(synthesizer).values() if isinstance(value, pd.DataFrame)]
    assert held == []
    arrays = [*state.weights.values(), *state.offsets]
    for anchor in state.layout.anchors:
        arrays += [v for v in dataclasses.asdict(anchor).values() if isinstance(v, np.ndarray)]
    # No array is as long as the table, and none is aligned with its rows.
    assert max(len(array) for array in arrays) < 300
