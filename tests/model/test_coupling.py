"""Couplings from moments: the model's own population has the moments it was given."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from synthvae.marginals.moments import PairMoments
from synthvae.model.coupling import (
    FEWEST_RECORDS,
    LARGE_POPULATION,
    MARGIN_RIDGE,
    NARROW,
    POPULATION,
    SMALLEST_RIDGE,
    couple,
    couple_untrained,
    estimate_ridge,
    fit_column,
    population,
    untrained,
)
from synthvae.model.layout import Layout
from synthvae.model.sampling import Sampler, block_generator
from tests.model.random_models import earlier_only, random_model, weights_of
from tests.model.tiny_layout import (
    joint_of,
    margins_of,
    moments_of,
    pair_distance,
    shares_of,
    tiny_layout,
    tiny_weights,
)

LEAST = np.array([[SMALLEST_RIDGE]])


def fitted(
    layout: Layout, moments: PairMoments, start: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    ridge = estimate_ridge(layout, moments)
    return couple(layout, moments, ridge, start or untrained(layout))


def draw(layout: Layout, weights: dict[str, np.ndarray], rows: int = 40_000) -> np.ndarray:
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    return Sampler(layout, weights, offsets).draw(rows, block_generator(5, 0)).tokens


def coupled_pairs(layout: Layout, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return where a column has a weight that is not exactly zero on an earlier one."""
    member = np.eye(layout.columns)[layout.owner]
    return member.T @ (weights["earlier.weight"] != 0) @ member > 0


def test_two_equal_halves_by_hand() -> None:
    # With features of -1 and 1, E[x | f] = tanh(A f), so a moment of 0.6 takes A = atanh 0.6 = ln 2.
    spread = np.array([[-1.0], [1.0]])
    features = np.array([[-1.0], [1.0]] * 50)
    base = np.full((100, 2), np.log(0.5))
    found = fit_column(spread, base, features, np.array([[0.6]]), LEAST, np.zeros((1, 2)))
    assert found[0] == pytest.approx([np.log(2), 0.0], abs=1e-3)


def test_unequal_groups_by_hand() -> None:
    # A quarter of the rows have f = sqrt 3, the others f = -1 / sqrt 3. With P(x = 1 | f) of 0.9 and
    # 0.3667, P(x = 1) = 1/2 and the moment is (0.8 sqrt 3 + 3 * 0.2667 / sqrt 3) / 4 = 0.8 / sqrt 3.
    features = np.repeat([3**0.5, -(3**-0.5)], [25, 75])[:, None]
    spread, base = np.array([[-1.0], [1.0]]), np.full((100, 2), np.log(0.5))
    aim = np.array([[0.8 / 3**0.5]])
    weight, bias = fit_column(spread, base, features, aim, LEAST, np.zeros((1, 2)))[0]
    chance = 1 / (1 + np.exp(-2 * (weight * np.array([3**0.5, -(3**-0.5)]) + bias)))
    assert chance == pytest.approx([0.9, 0.5 - 0.4 / 3], abs=1e-3)


def tiny_problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    spread = tiny_layout([[0.2, 0.5, 0.3]]).bases[0]
    base = np.log([0.2, 0.5, 0.3]) + 0.3 * generator.normal(size=(30, 3))
    features = generator.normal(size=(30, 3))
    moments = 0.3 * generator.normal(size=(2, 3))
    ridge = generator.uniform(0.1, 0.5, (2, 3))
    return spread, base, features, moments, ridge


def naive_objective(
    couplings: np.ndarray,
    spread: np.ndarray,
    base: np.ndarray,
    features: np.ndarray,
    moments: np.ndarray,
    ridge: np.ndarray,
) -> float:
    """Return minus the log-likelihood with its ridge, a row at a time."""
    weights, bias = couplings[:, :-1], couplings[:, -1]
    normaliser = [
        logsumexp(logits + spread @ (weights @ row + bias))
        for logits, row in zip(base, features, strict=True)
    ]
    penalty = 0.5 * (ridge * weights**2).sum() + 0.5 * MARGIN_RIDGE * (bias**2).sum()
    return float(np.mean(normaliser) - (moments * weights).sum() + penalty)


def test_a_column_is_fitted_as_a_slow_search_would() -> None:
    problem = tiny_problem()
    found = fit_column(*problem, np.zeros((2, 4)))
    # No gradient is given: the search takes differences of the naive objective.
    slow = minimize(
        lambda x: naive_objective(x.reshape(2, 4), *problem), np.zeros(8), method="BFGS"
    )
    assert found.ravel() == pytest.approx(slow.x, abs=2e-3)
    at_found = naive_objective(found, *problem)
    assert at_found <= slow.fun + 1e-6
    for place in np.ndindex(2, 4):  # flat there, by differences
        step = np.zeros((2, 4))
        step[place] = 1e-4
        slope = naive_objective(found + step, *problem) - naive_objective(found - step, *problem)
        assert slope / 2e-4 == pytest.approx(0.0, abs=1e-3)


def test_where_a_fit_starts_is_no_matter() -> None:
    problem = tiny_problem()
    far = np.random.default_rng(1).normal(size=(2, 4))
    assert fit_column(*problem, far) == pytest.approx(
        fit_column(*problem, np.zeros((2, 4))), abs=2e-3
    )


def test_an_uncoupled_column_has_weights_of_exactly_zero() -> None:
    spread, base, features, moments, ridge = tiny_problem()
    ridge[:, 1] = np.inf
    found = fit_column(spread, base, features, moments, ridge, np.ones((2, 4)))
    assert (found[:, 1] == 0).all()
    assert (found[:, [0, 2]] != 0).all()
    nothing = fit_column(spread, base, features, moments, np.full((2, 3), np.inf), np.ones((2, 4)))
    assert (nothing[:, :-1] == 0).all()


def test_rows_that_stand_for_several_count_as_many() -> None:
    spread, base, features, moments, ridge = tiny_problem()
    counts = np.random.default_rng(0).integers(1, 5, len(features))
    every = np.repeat(np.arange(len(features)), counts)
    start, share = np.zeros((2, 4)), counts / counts.sum()
    one_each = fit_column(spread, base, features, moments, ridge, start, share=share)
    repeated = fit_column(spread, base[every], features[every], moments, ridge, start)
    assert one_each == pytest.approx(repeated, abs=1e-4)
    assert np.abs(one_each - fit_column(spread, base, features, moments, ridge, start)).max() > 0.01


MASSES = [[0.5, 0.5], [0.2, 0.3, 0.5], [0.1, 0.9], [0.4, 0.3, 0.2, 0.1]]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_models_tables_are_found_again(seed: int) -> None:
    source = tiny_layout(MASSES)
    truth = joint_of(source, tiny_weights(source, 0.6, seed))
    layout = tiny_layout(margins_of(truth))
    found = joint_of(layout, fitted(layout, moments_of(layout, truth)))
    alone = joint_of(layout, untrained(layout))
    # The couplings are fitted on a population of some thousand rows, which is what is left here.
    assert pair_distance(found, truth) < 0.01
    assert pair_distance(alone, truth) > 0.1


@pytest.mark.parametrize("latent", [False, True], ids=["no latent", "latent"])
def test_the_models_own_sample_has_the_moments(latent: bool) -> None:
    source = tiny_layout(MASSES)
    truth = joint_of(source, tiny_weights(source, 0.6))
    layout = tiny_layout(margins_of(truth), mixture=4 * latent)
    target = moments_of(layout, truth)
    start = weights_of(random_model(layout, 0.4)) if latent else untrained(layout)

    def worst(weights: dict[str, np.ndarray]) -> float:
        return float(np.abs(moments_of(layout, drawn(weights)).values - target.values).max())

    def drawn(weights: dict[str, np.ndarray]) -> np.ndarray:
        return shares_of(draw(layout, weights), layout)

    found = fitted(layout, target, start)
    assert worst(found) < 0.04
    assert worst(start) > 0.2
    # The latent and the masked network are left as they are.
    for name in set(start) - {"earlier.weight", "earlier.bias", "products.weight"}:
        assert found[name] is start[name]
    assert (found["earlier.weight"][~earlier_only(layout)] == 0).all()


@pytest.mark.parametrize("columns", [2, 5])
def test_independent_columns_without_noise_stay_apart(columns: int) -> None:
    layout = tiny_layout([[0.3, 0.3, 0.4]] * columns)
    size = layout.features
    nothing = PairMoments(np.zeros((size, size)), np.zeros((size, size)))
    weights = fitted(layout, nothing)
    assert not coupled_pairs(layout, weights).any()
    assert np.abs(weights["earlier.bias"]).max() < 1e-3


def noise_alone(layout: Layout, sigma: float, seed: int) -> PairMoments:
    size = layout.features
    between = layout.owner[:, None] != layout.owner[None, :]
    noise = np.triu(np.random.default_rng(seed).normal(size=(size, size))) * between * sigma
    return PairMoments(noise + noise.T, sigma * between)


def planted(layout: Layout, moments: PairMoments, later: int, size: float) -> PairMoments:
    """Return moments in which a column depends on the first one."""
    values = moments.values.copy()
    a, b = layout.span(later)[0], layout.span(0)[0]
    values[a, b] = values[b, a] = values[a, b] + size
    return PairMoments(values, moments.noise)


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_noise_alone_is_mostly_shrunk_away(sigma: float) -> None:
    layout = tiny_layout([[1.0] * 4] * 20, 3)
    lower = earlier_only(layout)
    kept, left = [], []
    for seed in range(5):
        moments = noise_alone(layout, sigma, seed)
        ridge = estimate_ridge(layout, moments)[lower]
        kept.append(np.isfinite(ridge).mean())
        left.append(((moments.values[lower] / (1 + ridge)) ** 2).mean() / sigma**2)
    # By chance about half of the pairs look stronger than noise; those are damped.
    assert np.mean(kept) < 0.5
    assert np.mean(left) < 0.1


@pytest.mark.parametrize("sigma", [3.0, 30.0])
def test_noise_larger_than_any_moment_couples_nothing(sigma: float) -> None:
    # Whitened features have moments of at most 1: a budget that buys nothing must do no harm.
    layout = tiny_layout([[1.0] * 4] * 8, 3)
    for seed in range(3):
        weights = fitted(layout, noise_alone(layout, sigma, seed))
        assert np.abs(weights["earlier.weight"]).max() < 5 / sigma


def test_a_strong_pair_among_noise_is_kept_and_hardly_shrunk() -> None:
    layout = tiny_layout([[1.0] * 4] * 20, 3)
    for seed in range(5):
        moments = planted(layout, noise_alone(layout, 0.05, seed), 12, 0.6)
        ridge = estimate_ridge(layout, moments)
        block = ridge[np.ix_(layout.span(12), layout.span(0))]
        others = ridge[earlier_only(layout)]
        assert block[0, 0] < 0.05  # it keeps 95 % or more
        assert np.isinf(others).mean() > 0.4


def test_a_strong_pair_among_noise_is_fitted() -> None:
    layout = tiny_layout([[1.0] * 4] * 20, 3)
    moments = planted(layout, noise_alone(layout, 0.05, 0), 12, 0.6)
    weights = fitted(layout, moments)
    tokens = draw(layout, weights)
    features = layout.record_features(tokens)
    found = features.T @ features / len(features)
    a, b = layout.span(12)[0], layout.span(0)[0]
    assert found[a, b] == pytest.approx(moments.values[a, b], abs=0.06)
    others = earlier_only(layout)
    others[a, b] = False
    # Noise of 0.05 is damped, and the sample adds some of its own.
    assert np.sqrt((found[others] ** 2).mean()) < 0.03


def test_more_noise_never_means_less_ridge() -> None:
    layout = tiny_layout([[1.0] * 3] * 4, 2)
    moments = planted(layout, noise_alone(layout, 0.01, 0), 2, 0.5)
    found = []
    for factor in (1, 4, 16):
        ridge = estimate_ridge(layout, PairMoments(moments.values, factor * moments.noise))
        found.append(ridge[layout.span(2)[0], layout.span(0)[0]])
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("parents", [1, 2, 5])
def test_a_column_has_no_more_parents_than_it_may_and_the_strongest(parents: int) -> None:
    layout = tiny_layout([[0.5, 0.5]] * 6, parents=parents)
    # Column i explains later ones by 0.1 (i + 1): the latest columns are the strongest.
    strength = 0.1 * (1 + np.minimum(*np.meshgrid(range(6), range(6))))
    np.fill_diagonal(strength, 0.0)
    noise = np.where(strength > 0, 0.01, 0.0)
    weights = fitted(layout, PairMoments(strength, noise))
    pairs = coupled_pairs(layout, weights)
    for j in range(6):
        assert list(np.flatnonzero(pairs[j])) == list(range(max(0, j - parents), j))


def test_hundreds_of_categories_collapse_without_changing_the_fit() -> None:
    generator = np.random.default_rng(0)
    layout = tiny_layout([list(generator.pareto(1.0, 400)), [0.5, 0.5]], 5)
    spread, log_mass = layout.classes[0]
    assert len(spread) <= 6  # five functions tell five categories apart, and all the others are one
    assert np.exp(log_mass).sum() == pytest.approx(1.0)
    marginal, phi = layout.marginals[0], layout.bases[0]
    features, moments = generator.normal(size=(50, 2)), 0.2 * generator.normal(size=(5, 2))
    shift = 0.2 * generator.normal(size=(50, 5))
    ridge = np.full((5, 2), 0.1)
    rest = (features, moments, ridge, np.zeros((5, 3)))
    few = fit_column(spread, shift @ spread.T + log_mass, *rest)
    all_of_them = fit_column(phi, shift @ phi.T + np.log(marginal.mass), *rest)
    assert few == pytest.approx(all_of_them, abs=1e-3)


def test_classes_have_the_tokens_masses_and_lose_none() -> None:
    layout = tiny_layout([[0.4, 0.3, 0.1, 0.1, 0.1], [0.5, 0.5], [1.0]], 2)
    for marginal, phi, (rows, log_mass) in zip(
        layout.marginals, layout.bases, layout.classes, strict=True
    ):
        for row, mass in zip(rows, np.exp(log_mass), strict=True):
            assert mass == pytest.approx(marginal.mass[(phi == row).all(axis=1)].sum())
        assert len(rows) == len({tuple(row) for row in phi})
    assert [len(mass) for _, mass in layout.classes] == [3, 2, 1]


def test_without_a_bound_moments_stay_as_they_are() -> None:
    layout = tiny_layout(MASSES)
    exact = moments_of(layout, joint_of(layout, tiny_weights(layout, 0.6)))
    weights, moments, _ = couple_untrained(layout, exact)
    assert moments is exact
    assert (weights["earlier.weight"] == fitted(layout, exact)["earlier.weight"]).all()


@pytest.mark.parametrize("rare", [0.03, 0.01, 0.004])
def test_a_rare_category_stays_as_rare(rare: float) -> None:
    # Nine in ten of the rare ones are of the first kind, as four in ten of all others are.
    kinds = np.array([[0.9 * rare, 0.4 * (1 - rare)], [0.1 * rare, 0.6 * (1 - rare)]])
    layout = tiny_layout(margins_of(kinds))
    tokens = draw(layout, fitted(layout, moments_of(layout, kinds)), 400_000)
    found = tokens[:, 1] == 0
    # Within a tenth, or 4 standard deviations of a draw; a feature that has a mean doubles it.
    assert found.mean() == pytest.approx(rare, abs=4 * (rare / 400_000) ** 0.5 + 0.1 * rare)
    first = (tokens[found, 0] == 0).mean()
    assert first == pytest.approx(0.9, abs=4 * 0.3 / (400_000 * rare) ** 0.5 + 0.02)


def test_a_fit_repeats_and_tells_its_progress() -> None:
    source = tiny_layout(MASSES)
    target = moments_of(source, joint_of(source, tiny_weights(source, 0.6)))
    ridge = estimate_ridge(source, target)
    seen: list[float] = []
    first = couple(source, target, ridge, untrained(source), seen.append)
    again = couple(source, target, ridge, untrained(source))
    assert (first["earlier.weight"] == again["earlier.weight"]).all()
    assert seen == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("value", [0.0, 50.0, -50.0])
def test_moments_that_no_table_has_give_finite_weights(value: float) -> None:
    # Noise may carry a moment far beyond what is possible.
    layout = tiny_layout([[0.5, 0.5], [0.2, 0.8], [0.3, 0.3, 0.4]])
    between = layout.owner[:, None] != layout.owner[None, :]
    for sigma in (0.0, 1.0, 100.0):
        weights = fitted(layout, PairMoments(value * between, sigma * between))
        assert all(np.isfinite(weight).all() for weight in weights.values())
        assert len(draw(layout, weights, 100)) == 100


def test_one_column_has_nothing_to_be_coupled_to() -> None:
    layout = tiny_layout([[0.2, 0.8]])
    weights = fitted(layout, PairMoments(np.zeros((1, 1)), np.zeros((1, 1))))
    assert (weights["earlier.weight"] == 0).all()
    assert abs(weights["earlier.bias"][0]) < 1e-3


@pytest.mark.parametrize(
    ("columns", "noise", "records"),
    [
        (4, 0.001, LARGE_POPULATION),  # of 16 combinations
        (4, 1.0, POPULATION),
        (NARROW, 1.0, POPULATION),
        (NARROW + 1, 1.0, FEWEST_RECORDS),
        (NARROW + 1, 0.05, 6400),
        (NARROW + 1, 0.01, POPULATION),
        (NARROW + 1, 0.0, POPULATION),
    ],
)
def test_noise_that_drowns_more_records_asks_for_fewer(
    columns: int, noise: float, records: int
) -> None:
    layout = tiny_layout([[0.5, 0.5]] * columns)
    none = np.zeros((layout.features, layout.features))
    moments = PairMoments(none, np.where(np.eye(layout.features) > 0, 0, noise))
    assert population(layout, moments) == pytest.approx(records, abs=1)
