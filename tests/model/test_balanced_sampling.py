"""Balanced draws: each record from the model, whole tables closer to it than chance would leave."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from synthvae.model import balance as walk
from synthvae.model.balance import Balance, stratified
from synthvae.model.layout import Layout
from synthvae.model.sampling import Sampler, block_generator
from tests.model.tiny_layout import joint_of, pair_tables, shares_of, tiny_layout, tiny_weights

STEPS, SEEDS = 400, 400
ROWS = 200


def chances(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an earlier column's tokens and each row's chances of three tokens, some of them rare."""
    generator = np.random.default_rng(seed)
    earlier = generator.integers(0, 2, ROWS)
    mass = np.array([[0.7, 0.25, 0.05], [0.1, 0.3, 0.6]])[earlier]
    mass = mass * np.exp(0.3 * generator.normal(size=mass.shape))
    return earlier, mass / mass.sum(axis=1, keepdims=True)


def drawn(mass: np.ndarray, earlier: np.ndarray, seed: int) -> np.ndarray:
    balance = Balance(len(mass), STEPS)
    balance.add(earlier, int(earlier.max()) + 1)
    return balance.draw(mass, np.random.default_rng(seed).random(len(mass)))


def cells(tokens: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Return the table of an earlier column's two tokens with a column's three."""
    return np.bincount(3 * earlier + tokens, minlength=6)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """The table of each of many seeds, shape (seeds, cells)."""
    earlier, mass = chances()
    return np.array([cells(drawn(mass, earlier, seed), earlier) for seed in range(SEEDS)])


def unbiased(counts: np.ndarray, expected: np.ndarray) -> bool:
    """Say whether each cell's mean is as expected, but for a fraction of one row.

    A tilt e^t favours rare tokens a little until what is missing has been made good: that is worth
    half a row of a table, however many rows it has.
    """
    error = counts.std(axis=0, ddof=1) / len(counts) ** 0.5
    return bool((np.abs(counts.mean(axis=0) - expected) < 0.7 + 5 * error).all())


def test_frequencies_are_the_chances_over_many_seeds(counts: np.ndarray) -> None:
    earlier, mass = chances()
    expected = np.array([mass[earlier == a, k].sum() for a in range(2) for k in range(3)])
    assert unbiased(counts, expected)
    # A bias of one percent of the rows in one cell would be noticed.
    for cell in range(6):
        assert not unbiased(counts + 0.01 * ROWS * (np.arange(6) == cell), expected)


def test_what_bias_there_is_does_not_grow_with_the_table() -> None:
    earlier, mass = chances()
    earlier, mass = np.tile(earlier, 25), np.tile(mass, (25, 1))
    expected = np.array([mass[earlier == a, k].sum() for a in range(2) for k in range(3)])
    found = np.array([cells(drawn(mass, earlier, seed), earlier) for seed in range(60)])
    assert unbiased(found, expected)
    assert not unbiased(found + 0.001 * len(mass) * (np.arange(6) == 2), expected)


def test_tables_vary_less_than_independent_draws(counts: np.ndarray) -> None:
    earlier, mass = chances()
    variance = mass * (1 - mass)
    alone = np.array([variance[earlier == a, k].sum() for a in range(2) for k in range(3)])
    assert (counts.var(axis=0, ddof=1) < 0.5 * alone).all()


def test_the_first_rows_are_drawn_as_they_are() -> None:
    # Nothing is missing yet when the first few rows are drawn: each has the model's chances.
    earlier, mass = chances()
    first = np.array([drawn(mass[:16], earlier[:16], seed) for seed in range(2000)])
    for k in range(3):
        seen = (first == k).mean(axis=0)
        error = np.sqrt(mass[:16, k] * (1 - mass[:16, k]) / 2000)
        assert np.abs(seen - mass[:16, k]).max() < 5 * error.max()
    # By the definition: the least token whose ladder passes the aim.
    aims = stratified(np.random.default_rng(0).random(16), earlier[:16])
    ladder = np.cumsum(mass[:16], axis=1)
    naive = [next(k for k in range(3) if ladder[i, k] > aims[i]) for i in range(16)]
    assert list(first[0]) == naive


def test_a_rows_chance_is_its_own_over_many_seeds() -> None:
    # Balance moves counts, not records: a late row follows its chances too.
    earlier, mass = chances()
    late = np.array([drawn(mass, earlier, seed)[-20:] for seed in range(1500)])
    for k in range(3):
        seen, expected = (late == k).mean(axis=0), mass[-20:, k]
        error = np.sqrt(expected * (1 - expected) / 1500)
        assert np.abs(seen - expected).max() < 5 * error.max() + 0.01


@pytest.fixture(scope="module")
def source() -> tuple[Layout, dict[str, np.ndarray]]:
    layout = tiny_layout([[0.5, 0.5], [0.2, 0.3, 0.5], [0.3, 0.7], [0.4, 0.3, 0.2, 0.1]])
    return layout, tiny_weights(layout, 0.5)


def deviation(layout: Layout, tokens: np.ndarray, joint: np.ndarray) -> float:
    """Return the total variation of tables of two columns from the model's own, on average."""
    both = zip(pair_tables(shares_of(tokens, layout)), pair_tables(joint), strict=True)
    return float(np.mean([0.5 * np.abs(a - b).sum() for a, b in both]))


@pytest.mark.parametrize("rows", [500, 5000])
def test_tables_of_two_columns_are_closer_to_the_models_than_by_chance(
    source: tuple[Layout, dict[str, np.ndarray]], rows: int
) -> None:
    layout, weights = source
    joint = joint_of(layout, weights)
    sampler = Sampler(layout, weights, [np.zeros(a.tokens) for a in layout.marginals])

    def mean_deviation(allowed: dict[int, np.ndarray] | None, steps: int) -> float:
        drawn = [
            sampler.draw(rows, block_generator(seed, 0), allowed, steps=steps).tokens
            for seed in range(8)
        ]
        return float(np.mean([deviation(layout, tokens, joint) for tokens in drawn]))

    balanced, alone = mean_deviation(None, STEPS), mean_deviation(None, 0)
    assert balanced < 0.75 * alone
    assert mean_deviation(None, 50) < 0.85 * alone  # even in few steps
    # Under conditions, here of one that allows everything, rows are drawn independently.
    assert mean_deviation({0: np.ones(2)}, STEPS) == pytest.approx(alone)
    # The independent draws are what chance leaves: half the mean size of a normal error, by cell.
    errors = [0.5 * np.sqrt(t * (1 - t) * 2 / np.pi / rows).sum() for t in pair_tables(joint)]
    assert alone == pytest.approx(np.mean(errors), rel=0.15)


def test_balanced_records_are_the_models_records(
    source: tuple[Layout, dict[str, np.ndarray]],
) -> None:
    # The whole joint table, of which no cell is balanced, against the listed probabilities.
    layout, weights = source
    joint = joint_of(layout, weights)
    sampler = Sampler(layout, weights, [np.zeros(a.tokens) for a in layout.marginals])
    found = np.mean(
        [shares_of(sampler.draw(2000, block_generator(s, 0)).tokens, layout) for s in range(20)],
        axis=0,
    )
    assert 0.5 * np.abs(found - joint).sum() < 0.02
    assert np.abs(found - joint).max() < 5 * np.sqrt(joint.max() / 40_000)
    planted = joint * (1 + 0.1 * (np.arange(joint.size).reshape(joint.shape) % 2))
    assert 0.5 * np.abs(found - planted / planted.sum()).sum() > 0.02


def test_the_order_of_rows_is_no_matter(source: tuple[Layout, dict[str, np.ndarray]]) -> None:
    # Early rows and late ones are alike, and so is any other half.
    layout, weights = source
    joint = joint_of(layout, weights)
    sampler = Sampler(layout, weights, [np.zeros(a.tokens) for a in layout.marginals])
    tokens = [sampler.draw(4000, block_generator(seed, 0)).tokens for seed in range(8)]
    shuffle = np.random.default_rng(0).permutation(4000)
    for half in (slice(0, 2000), slice(2000, 4000), shuffle[:2000]):
        assert deviation(layout, np.concatenate([t[half] for t in tokens]), joint) < 0.01


def test_a_table_put_in_another_order_is_as_close(counts: np.ndarray) -> None:
    earlier, mass = chances()
    expected = np.array([mass[earlier == a, k].sum() for a in range(2) for k in range(3)])
    order = np.random.default_rng(1).permutation(ROWS)
    shuffled = np.array(
        [cells(drawn(mass[order], earlier[order], seed), earlier[order]) for seed in range(SEEDS)]
    )
    assert unbiased(shuffled, expected)
    assert shuffled.var(axis=0).sum() == pytest.approx(counts.var(axis=0).sum(), rel=0.3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_gives_tokens_that_are_possible(rows: int, sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    balance = Balance(rows, STEPS)
    for size in sizes:
        mass = generator.dirichlet(np.full(size, 0.2), rows)
        mass[generator.random(mass.shape) < 0.3] = 0.0
        mass[np.arange(rows), generator.integers(0, size, rows)] += 0.5
        mass /= mass.sum(axis=1, keepdims=True)
        tokens = balance.draw(mass, generator.random(rows))
        assert tokens.shape == (rows,)
        assert (mass[np.arange(rows), tokens] > 0).all()
        balance.add(tokens, size)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 7000])
def test_one_column_of_so_many_rows(rows: int) -> None:
    mass = np.tile([0.2, 0.3, 0.5], (rows, 1))
    tokens = Balance(rows, STEPS).draw(mass, np.random.default_rng(0).random(rows))
    error = np.abs(np.bincount(tokens, minlength=3) - rows * mass[0])
    assert error.max() <= max(0.01 * rows, 14)  # by chance it would be 42 of 7,000
    again = Balance(rows, STEPS).draw(mass, np.random.default_rng(0).random(rows))
    assert (tokens == again).all()


@given(groups=st.lists(st.integers(0, 3), min_size=1, max_size=40), seed=st.integers(0, 2**32 - 1))
def test_each_row_of_a_group_has_a_stratum(groups: list[int], seed: int) -> None:
    alike = np.unique(groups, return_inverse=True)[1]
    draws = stratified(np.random.default_rng(seed).random(len(alike)), alike)
    for group in range(alike.max() + 1):
        own = np.sort(draws[alike == group])
        assert (np.floor(own * len(own)) == np.arange(len(own))).all()


def test_a_stratified_draw_is_uniform_in_its_stratum_and_among_strata() -> None:
    draws = stratified(np.random.default_rng(0).random(40_000), np.repeat(np.arange(10_000), 4))
    seen = np.bincount((draws.reshape(-1, 4)[:, 0] * 20).astype(int), minlength=20)
    assert chisquare(seen).pvalue > 1e-3
    # By the rank alone, only four places would occur.
    rounded = np.bincount((np.floor(draws[::4] * 4) * 5).astype(int), minlength=20)
    assert chisquare(rounded).pvalue < 1e-6


def test_whole_tables_of_few_columns_vary_less_than_the_walk_leaves_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, rows, generator = (3, 6, 8), 8000, np.random.default_rng(0)
    tables = [
        generator.dirichlet(np.ones(size), math.prod(sizes[:j])) for j, size in enumerate(sizes)
    ]

    def variance(seed: int) -> float:
        """Return the variance of the cells of the whole table, given the columns before the last."""
        balance, uniforms = Balance(rows, STEPS, in_pairs=True), np.random.default_rng(seed)
        cell = np.zeros(rows, np.int64)
        for size, table in zip(sizes, tables, strict=True):
            mass, before = table[cell], cell
            tokens = balance.draw(mass, uniforms.random(rows))
            balance.add(tokens, size)
            cell = cell * size + tokens
        expected = np.bincount(before, minlength=len(table))[:, None] * table
        return float(((np.bincount(cell, minlength=expected.size) - expected.ravel()) ** 2).mean())

    strata = np.mean([variance(seed) for seed in range(5)])
    monkeypatch.setattr(walk, "stratified", lambda uniforms, _: uniforms)
    walked = np.mean([variance(seed) for seed in range(5)])
    assert strata < 0.7 * walked


def households(most: int = 5, patients: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each row's patient, and how many rows follow each row."""
    rows = np.random.default_rng(0).integers(1, most + 1, patients)
    whose = np.repeat(np.arange(patients), rows)
    firsts = np.searchsorted(whose, whose)
    return firsts, np.bincount(firsts, minlength=len(firsts))


def test_a_column_that_rows_share_is_balanced_by_its_rows() -> None:
    firsts, followers = households()
    mass = np.tile([0.2, 0.3, 0.5], (len(firsts), 1))

    def error(tokens: np.ndarray) -> np.ndarray:
        return np.bincount(tokens[firsts], minlength=3) - len(firsts) * mass[0]

    found, unweighted, alone = [], [], []
    for draws in np.random.default_rng(1).random((SEEDS, len(firsts))):
        tokens = Balance(len(firsts), STEPS).draw(mass, draws, followers)
        assert not tokens[followers == 0].any()
        found.append(error(tokens))
        # Near misses: balanced as if each patient had one row, or as if all rows were drawn.
        unweighted.append(
            error(Balance(len(firsts), STEPS).draw(mass, draws, np.minimum(followers, 1)))
        )
        alone.append(error(Balance(len(firsts), STEPS).draw(mass, draws)))
    spread, near, far = (np.array(all_).std(axis=0).mean() for all_ in (found, unweighted, alone))
    assert spread < 0.6 * near
    assert spread < 0.5 * far
    assert np.abs(np.mean(found, axis=0)).max() < 0.002 * len(firsts)


def test_few_patients_with_most_rows_do_not_tilt_the_others() -> None:
    # One in twenty has fifty rows: margins by patient vary no more than those of independent draws.
    rows = np.where(np.arange(400) % 20 == 0, 50, 1)
    whose = np.repeat(np.arange(400), rows)
    firsts = np.searchsorted(whose, whose)
    followers = np.bincount(firsts, minlength=len(firsts))
    mass = np.tile([0.05, 0.25, 0.7], (len(firsts), 1))
    own = np.flatnonzero(followers)
    by_patient = np.array(
        [
            np.bincount(Balance(len(firsts), STEPS).draw(mass, draws, followers)[own], minlength=3)
            for draws in np.random.default_rng(1).random((100, len(firsts)))
        ]
    )
    independent = np.sqrt(400 * mass[0] * (1 - mass[0]))
    assert (by_patient.std(axis=0, ddof=1) < 1.3 * independent).all()
    assert np.abs(by_patient.mean(axis=0) - 400 * mass[0]).max() < 4


def test_tables_of_columns_that_rows_share_are_closer_to_the_models(
    source: tuple[Layout, dict[str, np.ndarray]],
) -> None:
    layout, weights = source
    firsts, _ = households(patients=600)
    sampler = Sampler(layout, weights, [np.zeros(a.tokens) for a in layout.marginals])
    joint = joint_of(layout, weights)
    found, alone = (
        np.mean(
            [
                deviation(
                    layout,
                    sampler.draw(
                        len(firsts), block_generator(seed, 0), None, (firsts, 4), steps=steps
                    ).tokens,
                    joint,
                )
                for seed in range(12)
            ]
        )
        for steps in (STEPS, 0)
    )
    assert found < 0.7 * alone  # what all rows of a patient share varies with the patients


def test_hundreds_of_tokens() -> None:
    generator = np.random.default_rng(0)
    rows, size = 3000, 400
    shares = generator.dirichlet(np.full(size, 0.5))
    balance = Balance(rows, STEPS)
    first = balance.draw(np.tile(shares, (rows, 1)), generator.random(rows))
    balance.add(first, size)
    second = balance.draw(np.tile(shares[::-1], (rows, 1)), generator.random(rows))
    for tokens, expected in ((first, shares), (second, shares[::-1])):
        found = np.bincount(tokens, minlength=size) / rows
        alone = 0.5 * np.sqrt(expected * (1 - expected) * 2 / np.pi / rows).sum()
        assert 0.5 * np.abs(found - expected).sum() < 0.75 * alone


def test_more_columns_than_are_looked_back_at() -> None:
    generator = np.random.default_rng(0)
    balance = Balance(400, STEPS)
    for _ in range(60):
        tokens = balance.draw(np.full((400, 3), 1 / 3), generator.random(400))
        assert np.abs(np.bincount(tokens, minlength=3) - 400 / 3).max() < 20
        balance.add(tokens, 3)
