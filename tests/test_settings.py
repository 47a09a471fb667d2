"""The public rule: what it sees, which way it moves, and where it stops."""

import math
from itertools import pairwise

import pytest

from synthvae import Schema
from synthvae.settings import Settings, settings_for


def rule(patients: int, epsilon: float | None, columns: int = 11, rows: int = 1) -> Settings:
    fields = [
        {"name": f"x{j}", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}
        for j in range(columns)
    ]
    key = {"patientKey": "person", "maxRows": rows} if rows > 1 else {}
    fields += [{"name": "person", "type": "integer"}] if rows > 1 else []
    return settings_for(Schema.from_dict({"patients": patients, "fields": fields} | key), epsilon)


def test_the_rank_by_hand() -> None:
    # s = log10(7000 / 7000) = 0: the plain rank. s = 1: 6 + 2 + 14.
    assert rule(7000, 1.0).rank == 6
    assert rule(7000, 10.0).rank == 21  # 22, but 21 * 11 columns is all that stays quick
    assert rule(7000, 10.0, columns=10).rank == 22
    # 22 columns take 5 log10 2 = 1.5 of it, so nothing is left: 8 - 4 log10(22 / 16).
    assert rule(7000, 10.0, columns=22).rank == 7
    assert rule(7000, 10.0, columns=16).rank == 11  # 8 + 14 (1 - 5 log10(16 / 11))
    assert rule(7000, 0.1).rank == 4


def test_a_richer_budget_never_has_fewer_functions_or_bins() -> None:
    for columns in (2, 11, 16, 40, 300):
        found = [rule(5000, epsilon, columns) for epsilon in (0.05, 0.3, 1, 3, 10, 30, 100)]
        for poorer, richer in pairwise(found):
            assert poorer.rank <= richer.rank
            assert poorer.bins <= richer.bins
            assert poorer.pair_bound <= richer.pair_bound


@pytest.mark.parametrize("columns", [1, 5, 11, 16, 40, 100, 300, 1000])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 100.0])
def test_the_features_stay_few_enough_for_the_couplings(columns: int, epsilon: float) -> None:
    rank = rule(100_000, epsilon, columns).rank
    assert 1 <= rank <= 24
    assert rank * columns <= max(240, columns)


def test_the_bound_follows_the_rows_and_the_signal() -> None:
    assert rule(1000, 1.0).pair_bound == 0.7
    assert rule(7000, 10.0).pair_bound == pytest.approx(1.1)
    assert rule(10**7, 10.0).pair_bound == 2.0
    assert rule(1000, 1.0, rows=4).pair_bound == pytest.approx(0.7 / math.sqrt(4))


def test_patients_and_epsilon_stand_for_each_other() -> None:
    many, rich = rule(40_000, 1.0), rule(4000, 10.0)
    same = {"sampling_rate": many.sampling_rate}
    assert rich.model_copy(update=same) == many


def test_patients_of_very_many_rows_keep_a_bound_that_the_lattice_resolves() -> None:
    assert rule(1000, 1.0, rows=1000).pair_bound == 0.05
    with pytest.raises(ValueError, match="pair_bound"):
        Settings.model_validate(rule(1000, 1.0).model_dump() | {"pair_bound": 0.01})


@pytest.mark.parametrize("columns", [2, 11, 14, 16, 27, 40, 100, 400])
def test_without_privacy_no_column_has_fewer_functions_than_under_a_budget(columns: int) -> None:
    # A category beyond the rank is lost among others, and whatever follows from it alone.
    rank = rule(20_000, None, columns).rank
    assert rank >= rule(20_000, 100.0, columns).rank
    assert rank * columns <= max(320, columns)


def test_without_privacy_categories_have_a_function_each_where_that_stays_quick() -> None:
    def ranks(columns: int, categories: int) -> tuple[int, int]:
        enum = {"enum": [f"c{k}" for k in range(categories)]}
        fields = [
            {"name": f"x{j}", "type": "string", "constraints": enum} for j in range(columns)
        ] + [
            {"name": f"y{j}", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}
            for j in range(10)
        ]
        found = settings_for(Schema.from_dict({"patients": 5000, "fields": fields}), None)
        return found.rank_of(ordered=True), found.rank_of(ordered=False)

    assert ranks(14, 15) == (10, 24)  # 10 numbers of 10 functions, and 14 of 14: 296
    assert ranks(14, 40) == (10, 15)  # 100 + 14 * 15 = 310, and 16 would be 324
    assert ranks(40, 40) == (6, 6)  # no room
    assert rule(5000, 10.0).rank_of(ordered=False) == rule(5000, 10.0).rank


def test_few_columns_leave_pairs_and_triples_what_margins_need_elsewhere() -> None:
    few = rule(80_000, 1.0, columns=4)
    assert (few.anchor_share, few.pair_share, few.interaction_share) == (0.2, 0.55, 0.22)
    assert (few.taper, few.learning_rate) == (0.25, 2e-4)
    assert rule(80_000, 1.0, columns=6).pair_share == 0.55
    # Not of more columns, of patients of several rows, nor where the signal is small.
    others = rule(80_000, 1.0, columns=7), rule(80_000, 1.0, 4, rows=2), rule(7000, 1.0, 4)
    for other in others:
        assert other.anchor_share > 0.3
        assert (other.taper, other.learning_rate) == (0.5, 0.02)
