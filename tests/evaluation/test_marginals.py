from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from synthvae.evaluation.marginals import draw_margins, variation, variations
from synthvae.evaluation.pairs import compare_associations, fold, pair_strengths, strength
from synthvae.evaluation.tables import Binning, binnings, number_of, prepare, tokenise
from synthvae.schema import Schema
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, letters, table, yes_no

FIELD = Schema.from_dict(
    {
        "fields": [
            {
                "name": "x",
                "type": "number",
                "decimals": 1,
                "special": [-9, 99],
                "constraints": {"minimum": 1, "maximum": 5, "required": False},
            }
        ]
    }
)["x"]


def by_hand(first: np.ndarray, second: np.ndarray, columns: Sequence[int]) -> float:
    """Naive total variation: count tuples."""
    counts = [Counter(zip(*(t[j] for j in columns), strict=True)) for t in (first, second)]
    rows = [len(t[0]) for t in (first, second)]
    cells = set(counts[0]) | set(counts[1])
    return sum(abs(counts[0][c] / rows[0] - counts[1][c] / rows[1]) for c in cells) / 2


def test_tokens_of_a_number_are_missing_specials_then_bins() -> None:
    cut = Binning(FIELD, np.array([4, 9]))
    assert cut.levels == 6
    assert cut.tokens(np.array([-1, -2, -3, 0, 4, 5, 9, 10, 40])).tolist() == [
        0, 1, 2, 3, 3, 4, 4, 5, 5,
    ]  # fmt: skip
    assert cut.labels == (
        "(missing)", "-9 (special)", "99 (special)", "up to 1.4", "1.5 to 1.9", "above 1.9",
    )  # fmt: skip


def test_special_values_keep_their_place_among_numbers() -> None:
    numbers = number_of(FIELD, np.array([-1, -2, 0, 10]))
    assert np.isnan(numbers[0])
    assert numbers[1:].tolist() == [-100.0, 0.0, 10.0]


def test_bins_are_tenths_of_train_and_point_masses_stand_alone() -> None:
    schema = Schema.from_dict(
        {"fields": [{"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}]}
    )
    even = binnings(table(list(range(100))), schema)[0]
    assert np.bincount(even.tokens(np.arange(100))).tolist() == [0, *[10] * 10]
    heavy = binnings(table([0] * 60 + list(range(1, 41))), schema)[0]
    shares = np.bincount(heavy.tokens(np.array([0] * 60 + list(range(1, 41)))))
    assert shares[1] == 60
    empty = binnings(table([-1, -1]), schema)[0]
    assert empty.labels == ("(missing)", "any value")


def test_dates_are_told_as_dates() -> None:
    field = Schema.from_dict(
        {
            "fields": [
                {
                    "name": "d",
                    "type": "date",
                    "constraints": {"minimum": "2000-01-01", "maximum": "2001-01-01"},
                }
            ]
        }
    )["d"]
    assert Binning(field, np.array([30])).labels[1:] == ("up to 2000-01-31", "above 2000-01-31")


def test_total_variation_of_a_table_worked_out_by_hand() -> None:
    # c0: a 3/4 and b 1/4 in train, a 1/4 and b 3/4 in synthetic: half of the rows would change.
    # Pairs: train aa aa ab ba; synthetic aa bb bb bb: they share one cell, in a quarter of rows.
    schema = yes_no(2)
    scores = evaluate(
        letters("aaab", "aaba"), letters("aaab", "aaba"), letters("abbb", "abbb"), schema
    )
    assert scores.score("tvd1").value == pytest.approx((0.5 + 0.5) / 2)
    assert scores.score("tvd2").value == pytest.approx(0.75)
    assert scores.score("tvd2").references["holdout"] == 0.0
    assert scores.score("tvd3").value is None
    assert "needs 3 columns" in scores.score("tvd3").not_run
    assert scores.margins[0].train == (0.75, 0.25, 0.0)
    assert scores.margins[0].distance == 0.5
    assert scores.worst_pairs[0].distance == 0.75


@pytest.mark.parametrize("columns", [(1,), (0, 3), (0, 1, 2), (2, 4, 5)])
def test_variation_agrees_with_counting_tuples(columns: Any) -> None:
    tables = prepare(
        clinic(400, 1), clinic(50, 2), clinic(300, 3), SCHEMA, np.random.default_rng(0)
    )
    cuts = binnings(tables.train, SCHEMA)
    first, second = tokenise(tables.train, cuts), tokenise(tables.synthetic, cuts)
    levels = [cut.levels for cut in cuts]
    expected = by_hand(first, second, columns)
    assert variation(first, second, levels, columns) == pytest.approx(expected)
    # Many levels take the sparse path, which must agree.
    assert variation(first, second, [10_000] * 6, columns) == pytest.approx(expected)


def test_leaving_out_groups_agrees_with_dropping_their_rows() -> None:
    g = np.random.default_rng(0)
    first, second = g.integers(3, size=(2, 50)), g.integers(3, size=(2, 40))
    groups = np.arange(40) % 4
    found = variations(first, second, [3, 3], (0, 1), groups)
    expected = [variation(first, second[:, groups != k], [3, 3], (0, 1)) for k in range(4)]
    assert found[1:] == pytest.approx(expected)
    assert found[0] == pytest.approx(variation(first, second, [3, 3], (0, 1)))


def test_wide_tables_are_sampled_without_repeats() -> None:
    g = np.random.default_rng(0)
    assert draw_margins(10, 2, g) == list(combinations(range(10), 2))
    pairs = draw_margins(300, 2, g)
    assert len(set(pairs)) == len(pairs) == 1000
    assert all(a < b for a, b in pairs)
    assert draw_margins(2, 3, g) == []


def test_strength_is_one_for_copies_and_about_zero_for_independent_columns() -> None:
    assert strength(np.diag([50.0, 50.0])[:, :, None])[0] == pytest.approx(1)
    assert strength(np.full((2, 2, 1), 25.0))[0] == 0
    assert strength(np.array([[10.0, 0.0]])[:, :, None])[0] == 0
    g = np.random.default_rng(1)
    noise = g.integers(12, size=(2, 2000))
    assert pair_strengths(noise)[0, 0] < 0.05


def test_strength_follows_bergsmas_formula() -> None:
    # 2x2 with 30, 10, 10, 30: chi2/n = 0.25; the correction takes 1/79 off it, and off each side.
    counts = np.array([[30.0, 10.0], [10.0, 30.0]])[:, :, None]
    expected = np.sqrt((0.25 - 1 / 79) / (2 - 1 / 79 - 1))
    assert strength(counts)[0] == pytest.approx(expected)


def test_rare_levels_are_folded_alike_in_all_tables() -> None:
    many = np.r_[np.repeat(np.arange(60), 2), np.zeros(5, int)][None]
    folded = fold({"train": many, "synthetic": np.array([[0, 59, 75]])})
    assert len(np.unique(folded["train"])) == 51
    assert folded["synthetic"][0].tolist() == [0, 60, 60]


def test_shuffled_columns_lose_their_associations() -> None:
    train, holdout = clinic(1500, 1), clinic(500, 2)
    g = np.random.default_rng(0)
    shuffled = train.apply(lambda column: column.to_numpy()[g.permutation(len(train))])
    tables = prepare(train, holdout, shuffled, SCHEMA, g)
    score = compare_associations(tables, binnings(tables.train, SCHEMA), g)[0][0]
    assert score.value == pytest.approx(score.references["independent"], abs=0.01)
    assert score.interval.low > 3 * score.references["bootstrap"]
    fresh = prepare(train, holdout, clinic(1500, 3), SCHEMA, g)
    again = compare_associations(fresh, binnings(fresh.train, SCHEMA), g)[0][0]
    assert again.value < 2 * again.goal
