"""What no pair shows: learned where it is, not invented where it is not, and sampled as trained."""

from itertools import combinations

import numpy as np
import pytest
import torch

from synthvae._types import Floats, Ints
from synthvae.marginals.interactions import (
    NONE,
    InteractionMoments,
    InteractionQuery,
    affordable_factors,
    multiplied,
)
from synthvae.marginals.moments import PairMoments
from synthvae.model.coupling import couple, estimate_ridge, untrained
from synthvae.model.layout import Layout
from synthvae.model.products import Aims, find_interactions, stands_out
from synthvae.model.sampling import Draft, Sampler, block_generator
from synthvae.model.unbounding import Cohort
from synthvae.model.vae import AnchoredVAE
from synthvae.precedence import DeclaredUses
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from tests.model.random_models import random_model, weights_of
from tests.model.tiny_layout import tiny_layout

NOTHING_DECLARED = DeclaredUses()
PATIENTS = 10_000
HALVES = [[0.5, 0.5]] * 5


def query_of(layout: Layout, share: float = 0.4) -> InteractionQuery:
    factors = affordable_factors(layout.smooth_first, 2, 10**6, NOTHING_DECLARED)
    return InteractionQuery.build(factors, layout.order, 0.5, 1, share)


def records_with(others: tuple[int, ...], last: int, keeps: float) -> Ints:
    """Return records of fair coins of which the `last` is the parity of `others` in so many."""
    generator = np.random.default_rng(2)
    tokens = generator.integers(0, 2, (PATIENTS, 5))
    kept = generator.random(PATIENTS) < keeps
    tokens[:, last] = (tokens[:, list(others)].sum(axis=1) + ~kept) % 2
    return tokens


def drawn(layout: Layout, weights: dict[str, Floats]) -> Ints:
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    return Sampler(layout, weights, offsets).draw(40_000, block_generator(5, 0)).tokens


def no_pairs(layout: Layout) -> PairMoments:
    nothing = np.zeros((layout.features, layout.features))
    return PairMoments(nothing, nothing)


def sets_in(layout: Layout, aims: Aims) -> set[tuple[int, ...]]:
    """Return the sets of columns that couplings are to have moments of."""
    return {
        tuple(sorted({int(layout.owner[a]) for a in (own, *layout.products[place]) if a != NONE}))
        for own, place in zip(*np.nonzero(np.isfinite(aims.ridge)), strict=True)
    }


@pytest.mark.parametrize("keeps", [1.0, 0.9])
@pytest.mark.parametrize("multiplier", [1e-9, 8.0], ids=["exact", "noisy"])
@pytest.mark.parametrize(("others", "last"), [((0, 2), 3), ((0, 1, 2), 4), ((1, 3, 4), 0)])
def test_an_exclusive_or_of_two_and_of_three_columns_is_learned(
    others: tuple[int, ...], last: int, multiplier: float, keeps: float
) -> None:
    tokens = records_with(others, last, keeps)
    layout = tiny_layout(HALVES)
    query, pairs = query_of(layout), no_pairs(layout)
    mechanisms = Mechanisms(RandomStream(test_seed=0), exact=True)
    rows = np.arange(PATIENTS)[:, None]
    measured = query.release(layout.record_features(tokens), rows, multiplier, mechanisms)
    weights = untrained(layout)
    blocks = Cohort().draw(layout, weights, 8192)
    layout, aims = find_interactions(layout, query, measured, blocks, PATIENTS, NOTHING_DECLARED)
    assert tuple(sorted((*others, last))) in sets_in(layout, aims)
    # Whatever else chance seems to show is small.
    assert np.sort(np.abs(aims.values[np.isfinite(aims.ridge)]))[:-1].max(initial=0) < 0.04
    weights = couple(layout, pairs, estimate_ridge(layout, pairs), weights, aims=aims)
    found = drawn(layout, weights)
    parity = found[:, list(others)].sum(axis=1) % 2 == found[:, last]
    assert parity.mean() == pytest.approx(keeps, abs=0.03)
    assert found.mean(axis=0) == pytest.approx(np.full(5, 0.5), abs=0.02)


class Chance:
    """Independent columns, their query, and moments that are noise and the chance of patients alone."""

    def __init__(self, columns: int) -> None:
        self.layout = tiny_layout([[0.5, 0.5]] * columns)
        self.query = query_of(self.layout)
        self.blocks = list(Cohort().draw(self.layout, untrained(self.layout), 2048))
        self.noise = np.full(len(self.query.factors), 0.03)

    def sets(self, seed: int, uses: DeclaredUses, planted: float = 0.0) -> set[tuple[int, ...]]:
        """Return what is found; `planted` is the true moment of the first three columns."""
        generator = np.random.default_rng(seed)
        chance = np.hypot(self.noise, PATIENTS**-0.5)
        values = chance * generator.normal(size=len(self.noise))
        values[0] += planted
        measured = InteractionMoments(values, self.noise)
        found = find_interactions(self.layout, self.query, measured, self.blocks, PATIENTS, uses)
        return sets_in(*found)


@pytest.fixture(scope="module")
def chance() -> Chance:
    return Chance(6)


def test_false_alarms_are_as_rare_as_promised(chance: Chance) -> None:
    counts = {3: 0, 4: 0}
    for seed in range(400):
        for columns in chance.sets(seed, NOTHING_DECLARED):
            counts[len(columns)] += 1
    # Half a set in each table, of each size: 200 of 400, give or take four standard deviations.
    assert counts[3] == pytest.approx(200, abs=4 * 200**0.5)
    assert counts[4] == pytest.approx(200, abs=4 * 200**0.5)


def test_a_declared_interaction_is_believed_sooner(chance: Chance) -> None:
    uses = DeclaredUses((frozenset({1, 2, 3}),))
    alarms = sum((1, 2, 3) in chance.sets(seed, uses) for seed in range(400))
    assert alarms == pytest.approx(20, abs=4 * 20**0.5)
    plain = sum((1, 2, 3) in chance.sets(seed, NOTHING_DECLARED) for seed in range(400))
    assert plain < 15


@pytest.mark.parametrize(
    ("deviations", "least", "most"), [(0.5, 0.0, 0.06), (8.0, 1.0, 1.0)], ids=["weak", "strong"]
)
def test_what_noise_drowns_is_not_invented_and_what_it_cannot_is_found(
    chance: Chance, deviations: float, least: float, most: float
) -> None:
    true = deviations * float(np.hypot(0.03, PATIENTS**-0.5))
    found = [(0, 1, 2) in chance.sets(seed, NOTHING_DECLARED, true) for seed in range(100)]
    assert least <= np.mean(found) <= most


@pytest.mark.parametrize(("columns", "sets"), [(3, 1), (4, 5), (5, 0)])
def test_of_up_to_four_columns_all_sets_are_taken_in(columns: int, sets: int) -> None:
    small = Chance(columns)
    measured = InteractionMoments(np.zeros(len(small.noise)), small.noise)
    layout, aims = find_interactions(
        small.layout, small.query, measured, small.blocks, PATIENTS, NOTHING_DECLARED
    )
    assert len(sets_in(layout, aims)) == sets
    # Noise of 0.03 explains them all: the ridge leaves a tenth of what it seems to show, at most.
    assert np.min(aims.ridge, initial=np.inf) > 9


def test_a_set_stands_out_below_its_share_of_the_false_alarms() -> None:
    # Twenty triples and two sets of four: chances of 0.025, and of 0.05 at most, as where declared.
    triples = [(*one, NONE) for one in combinations(range(6), 3)]
    sets = np.array([*triples, (0, 1, 2, 3), (0, 1, 2, 4)])
    chance = np.array([0.0249, *[0.0251] * 19, 0.0499, 0.0501])
    assert np.flatnonzero(stands_out(sets, chance, NOTHING_DECLARED)).tolist() == [0, 20]
    uses = DeclaredUses((frozenset({0, 1, 3}),))
    chance = np.array([0.06, 0.0499, *[0.06] * 18, 0.9, 0.9])
    assert np.flatnonzero(stands_out(sets, chance, uses)).tolist() == [1]


def test_what_pairs_explain_is_taken_off() -> None:
    # Two columns that agree with a third: unequal shares give the triple a moment, and pairs explain it.
    generator = np.random.default_rng(0)
    first = generator.random(PATIENTS) < 0.2
    twins = [np.where(generator.random(PATIENTS) < 0.15, ~first, first) for _ in range(2)]
    others = generator.random((PATIENTS, 4)) < 0.5
    tokens = np.column_stack((first, *twins, others)).astype(int)
    layout = tiny_layout([[1 - share, share] for share in tokens.mean(axis=0)])
    features, rows = layout.record_features(tokens), np.arange(PATIENTS)[:, None]
    moments = features.T @ features / PATIENTS
    moments[layout.owner[:, None] == layout.owner[None, :]] = 0.0
    pairs = PairMoments(moments, np.full_like(moments, 1e-3))
    query = query_of(layout)
    mechanisms = Mechanisms(RandomStream(test_seed=0), exact=True)
    measured = query.release(features, rows, 2.0, mechanisms)
    found = []
    for weights in (
        untrained(layout),
        couple(layout, pairs, estimate_ridge(layout, pairs), untrained(layout)),
    ):
        blocks = Cohort().draw(layout, weights, 8192)
        result = find_interactions(layout, query, measured, blocks, PATIENTS, NOTHING_DECLARED)
        found.append(sets_in(*result))
    assert [(0, 1, 2) in sets for sets in found] == [True, False]


def test_products_add_the_same_in_sampling_as_in_training(layout: Layout) -> None:
    model = random_model(layout, 0.3)
    weights, tokens = weights_of(model), np.zeros((50, layout.columns), int)
    generator = np.random.default_rng(0)
    for j, marginal in enumerate(layout.marginals):
        tokens[:, j] = generator.integers(0, marginal.tokens, 50)
    features = layout.record_features(tokens)
    z = block_generator(1, 0).standard_normal((50, layout.settings.latent))
    latent = torch.tensor(z, dtype=torch.float32)
    c = model.coefficients(torch.tensor(features, dtype=torch.float32), latent).detach().numpy()
    draft = Draft(layout, weights, 50, block_generator(1, 0), None, 0)
    sampler = Sampler(layout, weights, [np.zeros(m.tokens) for m in layout.marginals])
    without = AnchoredVAE(layout)
    without.load_state_dict(model.state_dict())
    torch.nn.init.zeros_(without.products.weight)
    plain = without.coefficients(torch.tensor(features, dtype=torch.float32), latent)
    for j in range(layout.columns):
        logits = draft.logits(j, sampler.coupled[j], sampler.multiplied[j])
        assert logits == pytest.approx(c[:, layout.span(j)] @ layout.bases[j].T, abs=1e-3)
        draft.features[:, layout.span(j)] = features[:, layout.span(j)]
    differs = np.abs(c - plain.detach().numpy()).max(axis=0) > 1e-3
    # Products of the first two columns matter from the third on, and to no column before.
    assert differs[layout.ends[2] :].all()
    assert not differs[: layout.ends[2]].any()


def test_products_are_those_of_the_features_by_hand() -> None:
    features = np.array([[2.0, 3.0, -1.0, 0.5]])
    factors = np.array([[0, 1, NONE, NONE], [1, 2, 3, NONE], [0, 1, 2, 3], [3, NONE, NONE, NONE]])
    assert multiplied(features, factors).tolist() == [[6.0, -1.5, -3.0, 0.5]]


def test_functions_that_tell_special_values_apart_come_last(layout: Layout) -> None:
    for j, (marginal, features) in enumerate(
        zip(layout.marginals, layout.smooth_first, strict=True)
    ):
        assert sorted(features) == layout.span(j).tolist()
        if marginal.tokens == marginal.bins:
            assert (features == layout.span(j)).all()
            continue
        # The function that comes first differs among values more than it tells them from the others.
        smooth = layout.bases[j][: marginal.bins, features[0] - layout.ends[j]]
        special = layout.bases[j][: marginal.bins, features[-1] - layout.ends[j]]
        assert np.ptp(smooth) > 10 * np.ptp(special)
