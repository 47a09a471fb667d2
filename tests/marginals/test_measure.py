"""Measuring marginals: exact without noise, right on average with it, and never off the schema."""

import numpy as np
import pytest

from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.measure import _first_cells, _to_simplex, measure_marginals, query_weights
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream

NUMBER = Field(
    name="x",
    type="integer",
    special=(-9,),
    constraints={"minimum": 0, "maximum": 999, "required": False},
)
CATEGORY = Field(name="c", constraints={"enum": ["a", "b", "c"]})


def measure(
    codes: list[int] | np.ndarray, field: Field, sigma: float, bins: int = 8
) -> ColumnMarginal:
    noise = tuple(sigma for _ in query_weights(field, bins))
    table = np.asarray(codes, np.int64)[:, None]
    mechanisms = Mechanisms(RandomStream(test_seed=1), exact=True)
    return measure_marginals(table, (field,), (noise,), bins, 1, mechanisms)[0]


def seeded(seed: int) -> Mechanisms:
    return Mechanisms(RandomStream(test_seed=seed))


def test_categories_without_noise_are_their_shares() -> None:
    assert measure([0, 0, 0, 1], CATEGORY, 0.0).mass == pytest.approx([0.75, 0.25, 0], abs=1e-6)


def test_special_and_missing_have_tokens_of_their_own() -> None:
    marginal = measure([-1] * 10 + [-2] * 20 + list(range(70)), NUMBER, 0.0)
    assert marginal.mass[-2:] == pytest.approx([0.2, 0.1], abs=1e-6)
    assert marginal.tokens == marginal.bins + 2


def test_a_point_mass_stands_alone() -> None:
    spread = np.arange(0, 1000, 2)
    codes = np.concatenate((np.full(500, 137), spread))
    marginal = measure(codes, NUMBER, 0.0)
    token = marginal.encode(np.array([137]))[0]
    assert marginal.mass[token] == pytest.approx(0.5, abs=0.01)
    alone = marginal.decode(np.full(50, token), np.linspace(0, 1, 50, endpoint=False))
    assert set(alone) <= {136, 137, 138}


def test_bins_have_about_equal_mass_where_the_column_is_skewed() -> None:
    codes = np.minimum(np.random.default_rng(0).exponential(40, 20_000), 999).astype(int)
    marginal = measure(codes, NUMBER, 0.0)
    assert marginal.bins == pytest.approx(8, abs=2)
    assert marginal.mass[: marginal.bins].max() < 2.2 / 8


@pytest.mark.parametrize("sigma", [5.0, 40.0])
def test_noisy_margins_are_close_to_the_truth(sigma: float) -> None:
    codes = np.minimum(np.random.default_rng(0).exponential(90, 7000), 999).astype(int)
    marginal = measure(codes, NUMBER, sigma, bins=12)
    truth = np.bincount(marginal.encode(codes), minlength=marginal.tokens) / 7000
    assert 0.5 * np.abs(marginal.mass - truth).sum() < 8 * sigma / 7000 + 0.002


def test_an_empty_column_still_gives_an_anchor() -> None:
    marginal = measure([-1] * 30, NUMBER, 10.0)
    assert marginal.mass.sum() == pytest.approx(1)
    assert (marginal.mass > 0).all()
    codes = marginal.decode(np.arange(marginal.tokens), np.full(marginal.tokens, 0.5))
    assert codes.max() < 1000


def test_the_number_of_counts_depends_on_public_facts_alone() -> None:
    assert len(query_weights(CATEGORY, 8)) == 1
    assert len(query_weights(NUMBER, 8)) == 4
    small = Field(name="n", type="integer", constraints={"minimum": 0, "maximum": 7})
    assert len(query_weights(small, 8)) == 1


def test_one_patient_moves_each_count_by_their_rows_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without noise, the exact counts that would have been noised differ by the patient's rows.
    seen: list[np.ndarray] = []

    def record(counts: np.ndarray, sigma: float, stream: RandomStream) -> np.ndarray:
        seen.append(counts.copy())
        return counts

    monkeypatch.setattr("synthvae.privacy.mechanisms.add_discrete_gaussian", record)
    base = np.random.default_rng(0).integers(0, 1000, 500)
    both = []
    for codes in (base, np.append(base, [999, 999, 999])):
        seen.clear()
        measure(codes, NUMBER, 1.0)
        both.append([counts.copy() for counts in seen])
    for before, after in zip(*both, strict=True):
        if before.shape == after.shape:
            assert np.linalg.norm(after - before) <= 3


LABORATORY = Field(
    name="crp", type="number", decimals=1, constraints={"minimum": 0.5, "maximum": 500}
)


def laboratory(rows: int = 8000) -> np.ndarray:
    """Codes of a skewed value, a tenth at the least that is recorded and a fiftieth at the most."""
    generator = np.random.default_rng(0)
    codes = np.round(10 * np.exp(generator.normal(1.3, 0.9, rows))).astype(int)
    codes[: rows // 10], codes[-rows // 50 :] = 0, 4995
    return codes


def shares_at_the_ends(marginal: ColumnMarginal, rows: int = 20_000) -> list[float]:
    generator = np.random.default_rng(1)
    drawn = marginal.decode(
        generator.choice(marginal.tokens, rows, p=marginal.mass), generator.random(rows)
    )
    return [float((drawn == code).mean()) for code in (0, 4995)]


def test_point_masses_at_the_ends_of_a_long_lattice_stand_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shares_at_the_ends(measure(laboratory(), LABORATORY, 20.0, 20)) == pytest.approx(
        [0.1, 0.02], abs=0.008
    )
    # With equal cells alone they are spread over the cells at the ends.
    equal = np.linspace(0, 4996, 17).astype(np.int64)[:-1]
    monkeypatch.setattr("synthvae.marginals.measure._first_cells", lambda _: equal)
    low, high = shares_at_the_ends(measure(laboratory(), LABORATORY, 20.0, 20))
    assert low < 0.06
    assert high < 0.01


@pytest.mark.parametrize("size", [2, 17, 1024, 1025, 4996, 500_000, 10**9, 2**40])
def test_the_first_grid_covers_a_lattice_once(size: int) -> None:
    starts = _first_cells(size)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert starts[-1] == size - 1 if size > 1024 else starts[-1] < size
    assert len(starts) < 40
    if size > 1024:  # no cell at the low end is more than eight times as wide as all before it
        assert (starts[2:-1] <= 8 * starts[1:-2]).all()
        assert starts[1:4].tolist() == [1, 8, 64]
    else:
        assert len(starts) == min(size, 16)


def test_many_categories_are_told_from_noise_together() -> None:
    codes = [f"c{i}" for i in range(200)]
    field = Field(name="code", constraints={"enum": codes})
    truth = 1 / np.arange(1, 201) ** 1.1
    truth /= truth.sum()
    found, cut = [], []
    for seed in range(10):
        exact = np.random.default_rng(seed).multinomial(5000, truth)
        table = np.repeat(np.arange(200), exact)[:, None]
        (marginal,) = measure_marginals(table, (field,), ((33.0,),), 8, 1, seeded(seed))
        noisy = exact + np.random.default_rng(seed).normal(0, 33.0, 200)
        found.append(0.5 * np.abs(marginal.mass - exact / 5000).sum())
        cut.append(0.5 * np.abs(_to_simplex(noisy) / 5000 - exact / 5000).sum())
    assert np.mean(found) < 0.8 * np.mean(cut)


def test_missing_is_not_one_of_many_categories() -> None:
    # Its count is weak and stays as it is; those of the codes around it are told from noise together.
    codes = tuple(f"c{i}" for i in range(100))
    field = Field(name="code", constraints={"enum": codes, "required": False})
    table = np.concatenate((np.repeat(np.arange(100), 40), np.full(60, -1)))
    found = [
        measure_marginals(table[:, None], (field,), ((40.0,),), 8, 1, seeded(seed))[0]
        for seed in range(20)
    ]
    missing = np.array([marginal.mass[-1] for marginal in found])
    assert missing.mean() == pytest.approx(60 / 4060, rel=0.4)
    assert missing.std() > 0.5 * 40 / 4060  # its own noise, not that of a hundred codes


@pytest.mark.parametrize("kind", ["uniform", "middle"])
def test_a_cap_that_nobody_reaches_stays_empty(kind: str) -> None:
    field = Field(name="days", type="integer", constraints={"minimum": 0, "maximum": 3649})
    ends = []
    for seed in range(10):
        drawn = np.random.default_rng(seed)
        codes = drawn.integers(0, 3650, 1000)
        if kind == "middle":
            codes = np.clip(drawn.normal(1800, 300, 1000), 0, 3648).astype(np.int64)
        noise = (44.0, 44.0, 44.0, 31.0)
        (marginal,) = measure_marginals(codes[:, None], (field,), (noise,), 13, 1, seeded(seed))
        ends += [marginal.mass_within(code, code).sum() for code in (0, 3649)]
    assert max(ends) < 0.004  # noise of 44 records alone would be up to a tenth


def test_categories_that_nobody_has_still_give_an_anchor() -> None:
    nobody = Field(name="c", constraints={"enum": ["a", "b", "c"], "required": False})
    marginal = measure([-1] * 400, nobody, 5.0)
    assert marginal.mass[-1] > 0.9
    assert marginal.mass.sum() == pytest.approx(1)
    assert measure([], CATEGORY, 0.0).mass == pytest.approx([1 / 3] * 3)
