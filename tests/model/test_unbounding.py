"""The moments before the bound: found again from bounded ones, and rare patients kept whole."""

import numpy as np
import pytest

from synthvae._types import Floats, Ints
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model import coupling
from synthvae.model.coupling import couple_untrained
from synthvae.model.layout import Layout
from synthvae.model.sampling import Sampler, block_generator
from synthvae.model.unbounding import Cohort, Unbounded, unbounded_moments
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from tests.model.tiny_layout import joint_of, margins_of, tiny_layout, tiny_weights

NEXT_TO_NOTHING = (
    1e-9  # a noise multiplier under which patients are bounded and noise rounds to zero
)
MASSES = [[0.5, 0.5], [0.05, 0.3, 0.65], [0.1, 0.9], [0.5, 0.3, 0.15, 0.05]]
COHORTS = {
    "one row": Cohort(),
    "one to three rows": Cohort(np.full(3, 1 / 3), shared=2),
}


@pytest.fixture(autouse=True)
def population_of_a_wider_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at as few records as where columns are many: enough, and far quicker."""
    monkeypatch.setattr(coupling, "LARGE_POPULATION", coupling.POPULATION)


def released(query: PairQuery, features: Floats, rows: Ints, multiplier: float) -> PairMoments:
    mechanisms = Mechanisms(RandomStream(test_seed=0), exact=True)
    return query.release(features, rows, multiplier, mechanisms)


def query_of(layout: Layout, rows: int, share: float = 0.4) -> PairQuery:
    return PairQuery.build(layout.owner, layout.order, 0.5, rows, share)


def real_patients(layout: Layout, weights: dict[str, Floats], cohort: Cohort) -> tuple[Ints, Ints]:
    """Return tokens and rows of 20,000 patients of a model, none of them of its own cohort."""
    generator = block_generator(11, 0)
    most = 1 if cohort.row_shares is None else len(cohort.row_shares)
    whose = np.repeat(np.arange(20_000), generator.integers(1, most + 1, 20_000))
    firsts, places = np.searchsorted(whose, whose), np.arange(len(whose))
    sampler = Sampler(layout, weights, [np.zeros(marginal.tokens) for marginal in layout.marginals])
    tokens = sampler.draw(len(whose), generator, None, (firsts, cohort.shared), 100).tokens
    rows = np.full((20_000, most), -1)
    rows[whose, places - firsts] = places
    return tokens, rows


def distance(found: PairMoments, truth: PairMoments) -> float:
    return float(np.sqrt(np.square(found.values - truth.values).mean()))


@pytest.mark.parametrize("name", COHORTS)
def test_a_known_model_tells_the_moments_before_the_bound(name: str) -> None:
    layout, cohort = tiny_layout(MASSES), COHORTS[name]
    weights = tiny_weights(layout, 0.5)
    tokens, rows = real_patients(layout, weights, cohort)
    features, query = layout.record_features(tokens), query_of(layout, rows.shape[1])
    free = released(query, features, rows, 0.0)
    bounded = released(query, features, rows, NEXT_TO_NOTHING)
    found = unbounded_moments(layout, query, bounded, cohort.draw(layout, weights, 8192))
    assert distance(found.moments, free) < 0.25 * distance(bounded, free)
    # What is not known of the model's own patients is noise too, of about 1 / sqrt(patients).
    assert (found.moments.noise >= bounded.noise).all()
    assert (found.moments.noise < bounded.noise + 0.1).all()
    # Under noise as large as chance, nothing is lacking of the right model, and much of a wrong one.
    noisy = released(query, features, rows, 15.0)
    misfits = []
    for model in (weights, tiny_weights(layout, 0.0)):
        seen = unbounded_moments(layout, query, noisy, cohort.draw(layout, model, 8192))
        misfits.append(seen.misfit[np.tril_indices(layout.columns, -1)])
    assert misfits[0].mean() < 4
    assert misfits[1].mean() > 40


@pytest.mark.parametrize("name", COHORTS)
def test_couplings_are_fitted_to_the_moments_before_the_bound(name: str) -> None:
    source, cohort = tiny_layout([[0.5, 0.5], [0.3, 0.7], [0.1, 0.9], [0.06, 0.94]]), COHORTS[name]
    truth = tiny_weights(source, 0.5, 1)
    layout = tiny_layout(margins_of(joint_of(source, truth)))
    tokens, rows = real_patients(source, truth, cohort)
    features, query = layout.record_features(tokens), query_of(layout, rows.shape[1])
    free = released(query, features, rows, 0.0)
    bounded = released(query, features, rows, NEXT_TO_NOTHING)
    _, moments, _ = couple_untrained(layout, bounded, query, cohort)
    assert distance(moments, free) < 0.35 * distance(bounded, free)


def test_the_cohort_has_the_shares_of_rows_and_what_rows_share() -> None:
    layout = tiny_layout(MASSES)
    cohort = Cohort(np.array([0.5, 0.1, 0.4]), shared=2)
    for tokens, rows in cohort.draw(layout, tiny_weights(layout, 0.5), 4000):
        counts = (rows >= 0).sum(axis=1)
        assert np.bincount(counts, minlength=4)[1:] / len(rows) == pytest.approx(
            [0.5, 0.1, 0.4], abs=0.03
        )
        assert sorted(rows[rows >= 0]) == list(range(len(tokens)))
        for place in (1, 2):
            has = rows[:, place] >= 0
            same = tokens[rows[has, 0]] == tokens[rows[has, place]]
            assert same[:, :2].all()
            assert not same[:, 2:].all(axis=1).all()


def rare_pair(agreement: float, records: int = 6000) -> tuple[Layout, Floats]:
    """Return the layout and the features of two rare columns that agree so often, and of others.

    The first is "yes" in 6 %, and the second then in `agreement` of them; beside them stand eight
    columns of their own, as in a table where patients who are alike in two of ten are shortened most.
    """
    others = np.random.default_rng(3).random((records, 8)) < 0.4
    rare = int(0.06 * records)
    first = np.arange(records) < rare
    second = np.roll(first, round((1 - agreement) * rare))
    tokens = np.column_stack((first, others[:, :4], second, others[:, 4:])).astype(int)
    shares = [[1 - column.mean(), column.mean()] for column in tokens.T]
    layout = tiny_layout(shares)
    return layout, layout.record_features(tokens)


@pytest.mark.parametrize(("agreement", "least", "most"), [(1.0, 0.0, 0.03), (0.9, 0.07, 0.13)])
def test_rare_columns_that_are_equal_stay_equal_and_a_near_miss_stays_one(
    agreement: float, least: float, most: float
) -> None:
    layout, features = rare_pair(agreement)
    rows, query = np.arange(len(features))[:, None], query_of(layout, 1)
    bounded = released(query, features, rows, 6.0)
    weights, _, _ = couple_untrained(layout, bounded, query)
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    tokens = Sampler(layout, weights, offsets).draw(40_000, block_generator(5, 0)).tokens
    yes = tokens[:, 0] == 1
    assert yes.mean() == pytest.approx(0.06, abs=0.01)
    assert least <= (tokens[yes, 5] == 0).mean() < most


@pytest.mark.parametrize(("agreement", "least", "most"), [(1.0, 0.0, 0.02), (0.93, 0.05, 0.1)])
def test_one_function_of_many_that_follows_another_column_is_not_lost_among_them(
    agreement: float, least: float, most: float
) -> None:
    # Missing together in 5 %, and else two numbers of 20 bins without dependence.
    generator, records = np.random.default_rng(3), 6000
    tokens = generator.integers(1, 21, (records, 3))
    tokens[:, 2] -= 1
    gaps = int(0.05 * records)
    tokens[:gaps, 0] = 0
    tokens[round((1 - agreement) * gaps) : round((2 - agreement) * gaps), 1] = 0
    layout = tiny_layout([list(np.bincount(column) / records) for column in tokens.T])
    rows, query = np.arange(records)[:, None], query_of(layout, 1)
    bounded = released(query, layout.record_features(tokens), rows, 2.0)
    weights, _, _ = couple_untrained(layout, bounded, query)
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    drawn = Sampler(layout, weights, offsets).draw(40_000, block_generator(5, 0)).tokens
    first, second = (drawn[:, :2] == 0).T
    assert least <= (~second[first]).mean() < most


def test_the_best_round_is_kept_and_rounds_without_gain_end_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layout, features = rare_pair(1.0, 2000)
    rows, query = np.arange(len(features))[:, None], query_of(layout, 1)
    bounded = released(query, features, rows, 1.0)
    excesses: list[float] = []
    unbound = coupling.unbounded_moments

    def watch(*arguments: object) -> Unbounded:
        seen = unbound(*arguments)  # type: ignore[arg-type]
        excesses.append(float(np.maximum(seen.misfit - coupling.SETTLED, 0.0).mean()))
        return seen

    monkeypatch.setattr(coupling, "unbounded_moments", watch)
    best = []
    for rounds in (1, 2, 6):
        excesses.clear()
        monkeypatch.setattr(coupling, "BOUND_ROUNDS", rounds)
        weights, _, _ = couple_untrained(layout, bounded, query)
        begun, *after = excesses
        assert len(after) <= rounds
        blocks = Cohort().draw(layout, weights, coupling.population(layout, bounded))
        again = unbound(layout, query, bounded, blocks)
        found = float(np.maximum(again.misfit - coupling.SETTLED, 0.0).mean())
        assert found == pytest.approx(min(after))  # what comes out is what was best
        assert found < begun
        best.append(found)
    assert best == sorted(best, reverse=True), best
    assert best[-1] < 0.5 * best[0]
