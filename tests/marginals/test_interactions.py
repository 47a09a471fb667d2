"""Moments of three and four columns: exact, bounded in whole numbers, chosen by a public rule."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2

from synthvae._types import Floats, Ints
from synthvae.marginals import interactions as module
from synthvae.marginals.column import LIMIT
from synthvae.marginals.interactions import (
    NONE,
    InteractionMoments,
    InteractionQuery,
    affordable_factors,
    affordable_rank,
)
from synthvae.precedence import DeclaredUses
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream

NEXT_TO_NOTHING = 1e-9  # a noise multiplier under which noise rounds to zero
NOTHING_DECLARED = DeclaredUses()
UNIT = 2**20


def features_of(sizes: list[int]) -> list[Ints]:
    """Return the places of the features of columns that have so many."""
    ends = np.cumsum([0, *sizes])
    return [np.arange(ends[j], ends[j + 1]) for j in range(len(sizes))]


def query_of(
    sizes: list[int], taper: float = 0.0, rows: int = 1, share: float = 1.0, rank: int = 9
) -> InteractionQuery:
    """Return the query of all products of columns that have so many features."""
    factors = affordable_factors(features_of(sizes), rank, 10**6, NOTHING_DECLARED)
    order = np.concatenate([np.arange(1, size + 1) for size in sizes])
    return InteractionQuery.build(factors, order, taper, rows, share)


def released(
    query: InteractionQuery, features: Floats, rows: Ints, multiplier: float
) -> InteractionMoments:
    mechanisms = Mechanisms(RandomStream(test_seed=1), exact=True)
    return query.release(features, rows, multiplier, mechanisms)


def whole_sums(query: InteractionQuery, features: Floats, rows: Ints) -> list[int]:
    """Return the bounded whole numbers that would have been noised, the count last."""
    seen: list[Ints] = []

    def record(counts: Ints, sigma: float, stream: RandomStream) -> Ints:
        assert counts.dtype == np.int64
        seen.append(counts)
        return counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthvae.privacy.mechanisms.add_discrete_gaussian", record)
        released(query, features, rows, 1.0)
    return [int(value) for value in seen[0]]


def norm_of(part: list[int] | list[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in part))


def naive_part(query: InteractionQuery, records: Floats) -> list[float]:
    """Return one patient's sums of products of weighted features, by the definition."""
    used = [[int(a) for a in factors if a != NONE] for factors in query.factors]
    plain = [[float(f) for f in r] for r in records]
    sums = [math.fsum(math.prod(row[a] for a in one) for row in plain) for one in used]
    return [float(scale) * one for scale, one in zip(query.scales, sums, strict=True)]


def test_declared_products_have_less_noise_and_others_hardly_more() -> None:
    plain = query_of([2, 2, 2, 2, 2])
    declared = np.zeros(len(plain.factors), bool)
    declared[3] = True
    order = np.tile([1, 2], 5)
    query = InteractionQuery.build(plain.factors, order, 0.0, 1, 1.0, declared)
    noise = query.bound / query.scales / (plain.bound / plain.scales)
    assert noise[3] == pytest.approx(noise[0] / min(5, (len(noise) / 4) ** 0.5), rel=0.02)
    assert (noise[~declared] < 1.13).all()


def test_three_and_four_columns_by_hand() -> None:
    # The triples 012, 013, 023 and 123, then all four; of two records.
    features = np.array([[1.0, 2.0, 0.5, -1.0], [1.0, -1.0, 1.0, 0.5]])
    query = query_of([1, 1, 1, 1], share=100.0)
    assert query.factors[:, :3].tolist() == [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3], [0, 1, 2]]
    assert query.factors[:, 3].tolist() == [NONE] * 4 + [3]
    found = released(query, features, np.arange(2)[:, None], NEXT_TO_NOTHING)
    assert found.values == pytest.approx([0.0, -1.25, 0.0, -0.75, -0.75], abs=1e-5)


@pytest.mark.parametrize(("most", "taper"), [(1, 0.0), (3, 0.5)])
def test_moments_within_the_bound_are_the_naive_means(most: int, taper: float) -> None:
    features = np.random.default_rng(0).normal(size=(60, 7)).clip(-LIMIT, LIMIT)
    rows = np.arange(60).reshape(-1, most)
    rows[rows % 5 == 2] = -1
    query = query_of([2, 1, 3, 1], taper, most, 1e4)
    kept = features[rows[rows >= 0]]
    expected = np.array(naive_part(query, kept)) / query.scales / len(kept)
    found = released(query, features, rows, NEXT_TO_NOTHING)
    assert found.values == pytest.approx(expected, abs=1e-5)


def test_the_bound_and_the_sensitivity_by_hand() -> None:
    # Four triples and one set of four, each of size 1; the count adds a tenth of it.
    query = query_of([1, 1, 1, 1])
    assert query.bound == pytest.approx(math.sqrt(5))
    assert query.sensitivity == math.ceil(
        math.hypot(math.sqrt(5) * UNIT, int(0.1 * math.sqrt(5) * UNIT))
    )
    assert query_of([1, 1, 1, 1], rows=4, share=0.5).bound == pytest.approx(2 * math.sqrt(5))
    # Weights 1 and 1/2 of the one column's two functions: 1 + 1/4 under the root.
    assert query_of([1, 2, 1], taper=1.0).bound == pytest.approx(math.sqrt(1.25))


CELLS = st.sampled_from([0.0, 1.0, -1.0, LIMIT, -LIMIT, 1e-3, 3.9999, -0.0009])


@st.composite
def adversaries(draw: st.DrawFn) -> tuple[InteractionQuery, Floats, Ints]:
    """A query, and features and rows of some patients, the last of whom means harm.

    Features may be as large as a basis permits, or larger. Rows may repeat, so that they add, or
    cancel all but a little.
    """
    sizes = draw(st.lists(st.integers(1, 3), min_size=3, max_size=5))
    most, people = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    taper, share = draw(st.sampled_from([0.0, 0.5, 2.0])), draw(st.sampled_from([0.2, 1.0, 2.0]))
    query = query_of(sizes, taper, most, share)
    cells = draw(st.sampled_from([CELLS, st.floats(-LIMIT, LIMIT, width=32), st.floats(-1e6, 1e6)]))
    features = draw(arrays(float, (people * most, sum(sizes)), elements=cells))
    rows = np.arange(people * most).reshape(people, most)
    last, trick = rows[-1], draw(st.sampled_from(["none", "add", "cancel", "nearly cancel"]))
    if trick != "none":
        features[last] = features[last[0]]
    if "cancel" in trick:  # with all signs turned, products of three change theirs
        features[last[1::2]] *= -1.0
    if trick == "nearly cancel":
        jitter = arrays(float, (most, sum(sizes)), elements=st.floats(-1e-3, 1e-3))
        features[last] *= 1 + draw(jitter)
    missing = draw(st.integers(0, most - 1))
    rows[-1, most - missing :] = -1
    return query, features, rows


@settings(max_examples=300, deadline=None)
@given(adversaries())
def test_a_patient_more_moves_the_release_by_no_more_than_the_sensitivity(
    case: tuple[InteractionQuery, Floats, Ints],
) -> None:
    query, features, rows = case
    everybody, others = (whole_sums(query, features, of) for of in (rows, rows[:-1]))
    moved = [a - b for a, b in zip(everybody, others, strict=True)]
    assert norm_of(moved) <= query.sensitivity
    # The others' parts are what they were: the patient alone moves what they move among others.
    assert moved == whole_sums(query, features, rows[-1:])


@settings(max_examples=300, deadline=None)
@given(adversaries())
def test_a_patients_part_is_the_naive_one_shrunk_to_the_bound(
    case: tuple[InteractionQuery, Floats, Ints],
) -> None:
    query, features, rows = case
    *found, count = whole_sums(query, features, rows[-1:])
    present = rows[-1][rows[-1] >= 0]
    part = naive_part(query, np.clip(features[present], -LIMIT, LIMIT))
    norm = norm_of(part)
    share = min(1.0, query.bound * module.MARGIN / norm) if norm > 1e-9 else 1.0
    assert found == pytest.approx([x * share * UNIT for x in part], abs=1.001, rel=1e-9)
    unit = math.floor(0.1 * query.bound * UNIT)
    assert count == pytest.approx(share * unit * len(present) / rows.shape[1], abs=2, rel=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_the_largest_patient_reaches_the_sensitivity_and_stays_below(rows: int) -> None:
    query = query_of([2, 2, 2, 2], 0.5, 8)
    whose = np.where(np.arange(8) < rows, np.arange(8), -1)[None, :]
    moved = norm_of(whole_sums(query, np.full((8, 8), LIMIT), whose))
    assert 0.98 * query.sensitivity < moved <= query.sensitivity


@pytest.mark.parametrize("cells", [1, 100, 1000, 10**9])
def test_sums_are_the_same_whole_numbers_in_any_chunks_and_order(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    query = query_of([2, 3, 1, 1], 0.5, 2)
    features, rows = 3 * generator.normal(size=(60, 7)), np.arange(60).reshape(-1, 2)
    expected = whole_sums(query, features, rows)
    monkeypatch.setattr(module, "CELLS_PER_CHUNK", cells)
    assert whole_sums(query, features, generator.permutation(rows)) == expected


@pytest.mark.parametrize("stream", [RandomStream(), RandomStream(test_seed=2)])
def test_the_noise_is_of_the_size_stated(stream: RandomStream) -> None:
    # All features are zero, so what comes out is noise; many patients, so that the count is sure.
    query = query_of([2] * 8, 0.5)
    features, rows = np.zeros((20_000, 16)), np.arange(20_000)[:, None]
    moments = query.release(features, rows, 2.0, Mechanisms(stream))
    # Two patients' worth of bound over 20,000 rows.
    first = query.factors.tolist().index([0, 2, 4, NONE])
    assert moments.noise[first] == pytest.approx(2 * query.bound * 1.005 / 20_000, rel=5e-3)
    statistic = np.square(moments.values / moments.noise).sum()
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(moments.values))
    for factor, fits in ((1.0, True), (2 / 3, False), (3 / 2, False)):
        assert (low < statistic / factor**2 < high) == fits


@pytest.mark.parametrize("patients", [0, 1])
def test_nobody_or_one_patient_gives_numbers(patients: int) -> None:
    rows = np.full((patients, 3), -1)
    rows[:, 0] = 0
    for multiplier in (0.0, 3.0):
        moments = released(query_of([2, 1, 1], 0.5, 3), np.ones((patients, 4)), rows, multiplier)
        assert np.isfinite(moments.values).all()
        assert np.isfinite(moments.noise).all()


def test_what_the_bound_leaves_of_a_table_is_what_is_released_of_it() -> None:
    features = np.random.default_rng(0).normal(size=(900, 5)).clip(-LIMIT, LIMIT)
    features[:30] = LIMIT
    rows = np.arange(900).reshape(-1, 3)
    rows[rows % 7 == 3] = -1
    query = query_of([2, 1, 1, 1], 0.5, 3, 0.4)
    free, bounded, squares, bounded_squares = query.through_bound(features, rows)
    kept = features[rows[rows >= 0]]
    scale = query.scales
    assert free == pytest.approx(np.array(naive_part(query, kept)) / scale / len(kept))
    found = released(query, features, rows, NEXT_TO_NOTHING).values
    assert bounded == pytest.approx(found, abs=1e-5)
    assert (bounded_squares < squares).all()


def columns_of(factors: Ints, sizes: list[int]) -> list[tuple[int, ...]]:
    """Return the columns of each product."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return [tuple(int(owner[a]) for a in one if a != NONE) for one in factors]


def test_all_products_of_the_first_functions_are_measured_where_they_can_be() -> None:
    sizes = [3, 1, 2, 2, 1]
    factors = affordable_factors(features_of(sizes), 2, 10**6, NOTHING_DECLARED)
    found = columns_of(factors, sizes)
    of_rank = [min(2, size) for size in sizes]
    for triple in combinations(range(5), 3):
        assert found.count(triple) == math.prod(of_rank[j] for j in triple)
    for four in combinations(range(5), 4):
        assert found.count(four) == 1
    assert len({tuple(one) for one in factors}) == len(found)
    # The third function of the first column is beyond the rank.
    assert 2 not in factors
    assert (np.diff(np.where(factors == NONE, 99, factors), axis=1) >= 0).all()


def test_where_not_all_can_be_afforded_whole_ranks_are_left_out_from_the_last() -> None:
    # 0 is the outcome of a declared interaction with 1 and 2, and a protected column is 3.
    uses = DeclaredUses((frozenset({0, 1, 2}),), frozenset({0}), frozenset({1, 2}), frozenset({3}))
    spans = features_of([1] * 6)
    by_size = {(0, 1, 2)}
    outcome_and_two = {(0, 1, 3), (0, 2, 3)}
    every = set(combinations(range(6), 3))

    def triples(most: int) -> set[tuple[int, ...]]:
        return {
            one
            for one in columns_of(affordable_factors(spans, 1, most, uses), [1] * 6)
            if len(one) == 3
        }

    assert triples(0) == set()
    assert triples(1) == triples(2) == by_size
    assert triples(3) == by_size | outcome_and_two
    outcome_and_one = {one for one in every if one[0] == 0 and {1, 2, 3} & set(one)}
    assert triples(8) == triples(3)
    assert triples(9) == outcome_and_one
    assert triples(20) == every
    # Sets of four come after those of three, and have ranks too.
    assert len(affordable_factors(spans, 1, 10**6, uses)) == 20 + 15
    for most in range(40):
        assert len(affordable_factors(spans, 1, most, uses)) <= most


def test_of_many_columns_only_declared_ones_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY_COLUMNS", 5)
    monkeypatch.setattr(module, "FEW_COLUMNS", 5)
    spans, most = features_of([1] * 6), 10**6
    assert affordable_factors(spans, 1, most, NOTHING_DECLARED).shape == (0, 4)
    uses = DeclaredUses((frozenset({5, 3, 1, 0}),), frozenset({0}), frozenset({2, 4}))
    found = columns_of(affordable_factors(spans, 1, most, uses), [1] * 6)
    assert found == [(0, 2, 4), (0, 1, 3, 5)]


def test_the_rank_is_the_largest_that_can_be_afforded() -> None:
    # Three columns of 4, 2 and 3 functions: 24, 18, 8 and 1 products of three at ranks 4 to 1.
    for most, rank in ((24, 4), (23, 3), (18, 3), (17, 2), (8, 2), (7, 1), (1, 1), (0, 0)):
        assert affordable_rank([4, 2, 3], most, NOTHING_DECLARED) == rank
    assert affordable_rank([4, 2], 100, NOTHING_DECLARED) == 0
    assert affordable_rank([], 100, NOTHING_DECLARED) == 0
    # Of ten columns there are 120 triples: too many, but for the declared one.
    uses = DeclaredUses((frozenset({0, 1, 2}),))
    assert affordable_rank([2] * 10, 50, NOTHING_DECLARED) == 0
    assert affordable_rank([2] * 10, 50, uses) == 1
