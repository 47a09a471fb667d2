"""Pair moments: exact without noise, bounded by patient in whole numbers, with the noise stated."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2

from synthvae.marginals import moments as module
from synthvae.marginals.column import LIMIT
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream

NEXT_TO_NOTHING = 1e-9  # a noise multiplier under which parts are bounded and noise rounds to zero


def query_of(sizes: list[int], taper: float = 0.0, rows: int = 1, share: float = 1.0) -> PairQuery:
    """Return the query for columns of so many features."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.concatenate([np.arange(1, size + 1) for size in sizes])
    return PairQuery.build(owner, order, taper, rows, share)


def released(
    query: PairQuery, features: np.ndarray, rows: np.ndarray, multiplier: float = 0.0
) -> PairMoments:
    mechanisms = Mechanisms(RandomStream(test_seed=1), exact=True)
    return query.release(features, rows, multiplier, mechanisms)


def whole_sums(query: PairQuery, features: np.ndarray, rows: np.ndarray) -> list[int]:
    """Return the bounded whole numbers that would have been noised, the count last."""
    seen: list[np.ndarray] = []

    def record(counts: np.ndarray, sigma: float, stream: RandomStream) -> np.ndarray:
        assert counts.dtype == np.int64
        seen.append(counts)
        return counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthvae.privacy.mechanisms.add_discrete_gaussian", record)
        released(query, features, rows, 1.0)
    return [int(value) for value in seen[0]]


def norm_of(moved: list[int] | list[float]) -> float:
    return math.sqrt(sum(value * value for value in moved))


def naive_moments(owner: np.ndarray, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    found = np.zeros((len(owner), len(owner)))
    kept = [row for patient in rows for row in patient if row >= 0]
    for a in range(len(owner)):
        for b in range(len(owner)):
            if owner[a] != owner[b]:
                found[a, b] = sum(features[row, a] * features[row, b] for row in kept) / len(kept)
    return found


def test_two_columns_by_hand() -> None:
    # f = (1, 2), (1, -1) and (-3, 1): products 2, -1, -3, of mean -2/3.
    features = np.array([[1.0, 2.0], [1.0, -1.0], [-3.0, 1.0]])
    query = query_of([1, 1])
    found = released(query, features, np.arange(3)[:, None])
    assert found.values == pytest.approx(np.array([[0, -2 / 3], [-2 / 3, 0]]), abs=1e-5)
    assert (found.noise == 0).all()


def test_the_bound_is_that_of_a_typical_patient() -> None:
    # Features of size 1: each pair of columns adds one product of size 1.
    assert query_of([1, 1]).bound == 1.0
    assert query_of([1, 1, 1]).bound == pytest.approx(math.sqrt(3))
    assert query_of([1, 1, 1], rows=4).bound == pytest.approx(4 * math.sqrt(3))
    # Columns of two features of squared weights 1 and 1/2: (3/2)^2 under the root.
    assert query_of([2, 2], taper=0.5).bound == pytest.approx(1.5)
    assert query_of([2, 2], taper=0.5).weights == pytest.approx([1, 0.5**0.5, 1, 0.5**0.5])
    assert query_of([5]).bound == 1.0  # no pairs; never zero
    assert query_of([1, 1, 1], rows=4, share=0.25).bound == pytest.approx(math.sqrt(3))


def test_the_sensitivity_by_hand() -> None:
    # 2^20 steps for the products, a tenth of it for the count.
    assert query_of([1, 1]).sensitivity == math.ceil(math.hypot(2**20, 104_857))
    # The count adds half a percent to the noise, no more.
    for query in (query_of([3, 2, 4], 0.5, 7), query_of([1] * 60), query_of([8] * 20, 1.0, 2)):
        assert 1.0049 < query.sensitivity / (query.bound * 2**20) < 1.0051


@pytest.mark.parametrize(("most", "taper"), [(1, 0.0), (1, 0.5), (4, 0.5)])
def test_moments_without_noise_are_the_naive_means(most: int, taper: float) -> None:
    generator = np.random.default_rng(0)
    sizes = [2, 1, 3]
    query = query_of(sizes, taper, most)
    features = np.clip(generator.normal(size=(40, 6)) @ generator.normal(size=(6, 6)), -4, 4)
    rows = generator.permutation(40).reshape(-1, most)
    if most > 1:
        rows[0, 1:] = rows[3, 2:] = -1
    found = released(query, features, rows)
    # Features are cut to 1/1024 of their weight.
    assert found.values == pytest.approx(naive_moments(query.owner, features, rows), abs=0.01)
    assert (found.values == found.values.T).all()
    within = query.owner[:, None] == query.owner[None, :]
    assert (found.values[within] == 0).all()
    assert (found.noise[within] == 0).all()


def test_without_noise_nobody_is_bounded_and_with_noise_everybody_is() -> None:
    # 99 patients with products of 1 and one with 4 * 4, which a bound of 1 shrinks to 1 / 16.
    features = np.ones((100, 2))
    features[0] = LIMIT
    rows, query = np.arange(100)[:, None], query_of([1, 1])
    assert released(query, features, rows).values[0, 1] == pytest.approx((99 + 16) / 100, abs=1e-3)
    bounded = released(query, features, rows, NEXT_TO_NOTHING).values[0, 1]
    # The mean is weighted: who is shrunk counts as much less, in the number of rows too.
    share = module.MARGIN / 16
    assert bounded == pytest.approx((99 * 0.999 + 16 * share) / (99 * 0.999 + share), abs=1e-3)


@pytest.mark.parametrize("most", [1, 5])
def test_the_mean_is_over_rows_whatever_their_number(most: int) -> None:
    # Products of 1/4, far within the bound: the mean is 1/4 however many rows patients have.
    generator = np.random.default_rng(0)
    counts = generator.integers(1, most + 1, 300)
    rows = np.where(np.arange(most) < counts[:, None], np.arange(300 * most).reshape(300, -1), -1)
    features = np.full((300 * most, 3), 0.5)
    for multiplier in (0.0, NEXT_TO_NOTHING):
        found = released(query_of([1, 1, 1], 0.5, most), features, rows, multiplier)
        assert found.values[0, 1:] == pytest.approx([0.25, 0.25], rel=1e-4)


def test_whatever_the_size_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    query = query_of([2, 3, 1], 0.5, 2)
    features = 3 * generator.normal(size=(60, 6))
    rows = np.arange(60).reshape(-1, 2)
    at_once = whole_sums(query, features, rows)
    monkeypatch.setattr(module, "CELLS_PER_CHUNK", 7 * 2 * 6)
    assert whole_sums(query, features, rows) == at_once


@pytest.mark.parametrize("multiplier", [0.0, 3.0])
@pytest.mark.parametrize("patients", [0, 1])
def test_nobody_or_one_patient_gives_numbers(patients: int, multiplier: float) -> None:
    query = query_of([2, 1], 0.5, 3)
    rows = np.full((patients, 3), -1)
    rows[:, 0] = 0
    features = np.ones((patients, 3))
    for moments in (
        released(query, features, rows, multiplier),
        query.release(features, rows, multiplier, Mechanisms(RandomStream(), exact=True)),
    ):
        assert np.isfinite(moments.values).all()
        assert np.isfinite(moments.noise).all()
    assert np.isfinite(released(query_of([1]), np.ones((1, 1)), np.array([[0]]), 1.0).values).all()


NOISY = query_of([4] * 20, 0.5)


def noise_fits(moments: PairMoments, factor: float) -> bool:
    """Say whether the noise has `factor` times the size stated, at one in a million per side."""
    upper = np.triu(moments.noise) > 0
    standard = moments.values[upper] / (factor * moments.noise[upper])
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(standard))
    return bool(low < (standard**2).sum() < high)


@pytest.mark.parametrize("stream", [RandomStream(), RandomStream(test_seed=2)])
def test_the_noise_is_of_the_size_stated(stream: RandomStream) -> None:
    # All features are zero, so what comes out is noise; many patients, so that the count is sure.
    rows = np.arange(20_000)[:, None]
    moments = NOISY.release(np.zeros((20_000, 80)), rows, 2.0, Mechanisms(stream))
    assert noise_fits(moments, 1.0)
    assert not noise_fits(moments, 2 / 3)
    assert not noise_fits(moments, 3 / 2)


def test_the_noise_stated_by_hand() -> None:
    # Two patients' worth of bound over 20,000 rows, and more for functions that weigh less.
    rows = np.arange(20_000)[:, None]
    noise = released(NOISY, np.zeros((20_000, 80)), rows, 2.0).noise
    expected = 2.0 * NOISY.bound * 1.005 / 20_000
    assert noise[0, 4] == pytest.approx(expected, rel=5e-3)  # first functions of two columns
    assert noise[0, 7] == pytest.approx(expected * 4**0.5, rel=5e-3)  # first and fourth
    assert noise[3, 7] == pytest.approx(expected * 4, rel=5e-3)  # fourth and fourth


CELLS = st.sampled_from([0.0, 1.0, -1.0, LIMIT, -LIMIT, 1e-3, 1 / 1024, 3.9999, -0.0009])
SIZES = st.lists(st.integers(1, 3), min_size=2, max_size=4)


@st.composite
def adversaries(draw: st.DrawFn) -> tuple[PairQuery, np.ndarray, np.ndarray]:
    """A query, and features and rows of some patients, the last of whom means harm.

    Features are as large as a basis permits. Rows may repeat, or cancel but for the little that
    cutting to whole numbers brings back.
    """
    sizes, most = draw(SIZES), draw(st.integers(1, 6))
    query = query_of(
        sizes, draw(st.sampled_from([0.0, 0.5, 2.0])), most, draw(st.sampled_from([0.2, 1.0, 2.0]))
    )
    width, people = sum(sizes), draw(st.integers(1, 4))
    cells = draw(st.sampled_from([CELLS, st.floats(-LIMIT, LIMIT, width=32)]))
    features = draw(arrays(float, (people * most, width), elements=cells))
    rows = np.arange(people * most).reshape(people, most)
    last = rows[-1]
    trick = draw(st.sampled_from(["none", "repeat", "cancel", "nearly cancel"]))
    if trick != "none":
        features[last] = features[last[0]]
    if "cancel" in trick:
        # With one column's sign turned, its products with all others cancel between two rows.
        features[np.ix_(last[1::2], query.owner == 0)] *= -1.0
    if trick == "nearly cancel":
        features[last] *= 1 + draw(arrays(float, (most, width), elements=st.floats(-1e-3, 1e-3)))
    missing = draw(st.integers(0, most - 1))
    rows[-1, most - missing :] = -1
    return query, features, rows


def naive_part(query: PairQuery, features: np.ndarray) -> list[float]:
    """Return one patient's sums of products of weighted features, by the definition."""
    weighted = [
        [float(f) * float(w) for f, w in zip(r, query.weights, strict=True)] for r in features
    ]
    pairs = [
        (a, b) for a, b in combinations(range(len(query.owner)), 2)
        if query.owner[a] != query.owner[b]
    ]  # fmt: skip
    return [math.fsum(row[a] * row[b] for row in weighted) for a, b in pairs]


@settings(max_examples=300, deadline=None)
@given(adversaries())
def test_a_patient_more_moves_the_release_by_no_more_than_the_sensitivity(
    case: tuple[PairQuery, np.ndarray, np.ndarray],
) -> None:
    query, features, rows = case
    moved = [
        a - b
        for a, b in zip(
            whole_sums(query, features, rows), whole_sums(query, features, rows[:-1]), strict=True
        )
    ]
    assert norm_of(moved) <= query.sensitivity
    # The others' parts are what they were: the patient alone moves what they move among others.
    assert moved == whole_sums(query, features, rows[-1:])


@settings(max_examples=300, deadline=None)
@given(adversaries())
def test_a_patients_part_is_the_naive_one_shrunk_to_the_bound(
    case: tuple[PairQuery, np.ndarray, np.ndarray],
) -> None:
    query, features, rows = case
    *found, count = whole_sums(query, features, rows[-1:])
    present = rows[-1][rows[-1] >= 0]
    part = naive_part(query, np.clip(features[present], -LIMIT, LIMIT))
    norm = math.sqrt(math.fsum(x * x for x in part))
    share = min(1.0, query.bound * module.MARGIN / norm) if norm else 1.0
    # Cutting each of two factors moves a product by up to their sizes, in each row.
    slack = len(present) * (2 * LIMIT * 1024 + 1)
    if count == 0:  # left out: cutting had undone what cancelled
        assert found == [0] * len(part)
        assert norm + len(part) ** 0.5 * slack / 2**20 > query.bound
        return
    assert found == pytest.approx([x * share * 2**20 for x in part], abs=slack)
    unit = math.floor(0.1 * query.bound * 2**20)
    assert count == pytest.approx(share * unit * len(present) / rows.shape[1], abs=2, rel=1e-9)


@example(scale=1e3, seed=0)
@example(scale=1e6, seed=0)
@settings(max_examples=100, deadline=None)
@given(scale=st.floats(LIMIT, 1e6), seed=st.integers(0, 2**32 - 1))
def test_features_beyond_any_basis_are_bounded_too(scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    query = query_of([2, 1, 3], 0.5, 3)
    features = scale * generator.standard_cauchy((9, 6)).clip(-1, 1)
    moved = whole_sums(query, features, np.arange(3)[None, :])
    assert norm_of(moved) <= query.sensitivity


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_many_rows_move_no_more_than_one(rows: int) -> None:
    # A patient fills every row that is kept with the largest record there can be.
    query = query_of([2, 2, 2], 0.5, 8)
    features = np.full((8, 6), LIMIT)
    whose = np.where(np.arange(8) < rows, np.arange(8), -1)[None, :]
    moved = norm_of(whole_sums(query, features, whose))
    assert 0.98 * query.sensitivity < moved <= query.sensitivity or rows == 1
    assert moved <= query.sensitivity


def test_a_typical_patient_is_hardly_shrunk() -> None:
    # Half of the patients or more keep their whole weight, or the bound would bias the moments.
    generator = np.random.default_rng(0)
    query = query_of([3] * 10, 0.5)
    features = generator.normal(size=(500, 30))
    *_, count = whole_sums(query, features, np.arange(500)[:, None])
    unit = math.floor(0.1 * query.bound * 2**20)
    assert 0.8 < count / unit / 500 < 1.0


@pytest.mark.parametrize("most", [1, 4])
def test_the_share_that_the_bound_leaves_explains_the_bounded_moments(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A few unusual records, in both columns at once: bounding shortens them, and their moment.
    generator = np.random.default_rng(0)
    features = generator.normal(0, 0.7, size=(400, 4))
    features[:20] = LIMIT
    rows = np.arange(400).reshape(-1, most)
    rows[rows % 7 == 3] = -1
    query = query_of([2, 2], taper=0.5, rows=most, share=0.3)
    shares = query.shares(features, rows)
    for patient, share in zip(rows[::7], shares[::7], strict=True):
        norm = norm_of(naive_part(query, features[patient[patient >= 0]]))
        assert share == pytest.approx(min(1.0, 0.999 * query.bound / max(norm, 1e-9)))
    assert shares.min() < 0.1
    assert shares.max() == 1.0
    # Moments are means over rows, each with its patient's share for a weight.
    weight = np.where(rows >= 0, shares[:, None], 0.0)
    means = np.einsum("pr,pra,prb->ab", weight, features[rows], features[rows]) / weight.sum()
    bounded = released(query, features, rows, NEXT_TO_NOTHING).values
    assert bounded[:2, 2:] == pytest.approx(means[:2, 2:], abs=5e-3)
    monkeypatch.setattr(module, "CELLS_PER_CHUNK", 7 * most * 4)
    assert query.shares(features, rows) == pytest.approx(shares)


def test_a_smaller_bound_means_less_noise_but_never_none() -> None:
    # Once everybody is shortened, a still smaller bound changes nothing: the noise is divided by
    # the weights that are left.
    generator = np.random.default_rng(0)
    features, rows = generator.normal(size=(9000, 30)).clip(-LIMIT, LIMIT), np.arange(9000)[:, None]
    large, typical, small, tiny = (
        released(query_of([3] * 10, share=share), features, rows, 1.0).noise[0, 3]
        for share in (2.0, 1.0, 0.4, 0.1)
    )
    assert 0.45 * large < typical < 0.65 * large
    assert small < 0.95 * typical
    assert tiny == pytest.approx(small, rel=0.03)


def test_whoever_cutting_to_whole_numbers_carries_over_the_bound_is_left_out() -> None:
    # Products of 16 and -4 a of two rows, about a bound of 2: cutting a to whole numbers takes off
    # up to 4 / 1024 of what cancels, more than the margin, and would exceed the bound.
    query = query_of([1, 1], rows=2)
    left_out = 0
    for a in np.linspace(3.48, 3.52, 200):
        features = np.array([[LIMIT, LIMIT], [-a, LIMIT]])
        product, count = whole_sums(query, features, np.array([[0, 1]]))
        assert abs(product) <= query.bound * 2**20
        assert (product == 0) == (count == 0)
        left_out += count == 0
    assert 0 < left_out < 100
