"""The joint tables of the worst pairs of columns, and the principal components."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from synthvae.evaluation.joint import CELLS, Coordinates, principal_components
from synthvae.evaluation.pairs import MOST_SHOWN_LEVELS, PICTURED, pair_tables
from synthvae.evaluation.results import Components, Evaluation, PairDistance, PairTable
from synthvae.evaluation.tables import Tables, binnings, prepare
from synthvae.schema import Schema
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, letters, table, yes_no


def prepared(
    schema: Schema, train: pd.DataFrame, holdout: pd.DataFrame, made: pd.DataFrame
) -> Tables:
    return prepare(train, holdout, made, schema, np.random.default_rng(0))


@pytest.fixture(scope="module")
def clinics() -> Tables:
    return prepared(SCHEMA, clinic(900, 0), clinic(300, 1), clinic(700, 2))


@pytest.fixture(scope="module")
def scored() -> Evaluation:
    return evaluate(
        letters("aaab", "aaba"), letters("aaab", "aaba"), letters("abbb", "abbb"), yes_no(2)
    )


def test_shares_of_a_pair_worked_out_by_hand(scored: Evaluation) -> None:
    # Train aa aa ab ba; synthetic aa bb bb bb.
    (found,) = scored.pair_tables
    assert found.columns == ("c0", "c1")
    assert found.row_labels == found.column_labels == ("a", "b")
    assert found.train == ((0.5, 0.25), (0.25, 0.0))
    assert found.synthetic == ((0.25, 0.0), (0.0, 0.75))
    assert found.distance == scored.worst_pairs[0].distance == 0.75


def test_the_worst_pairs_have_tables_whose_shares_sum_to_one() -> None:
    found = evaluate(clinic(400, 0), clinic(200, 1), clinic(300, 2), SCHEMA)
    assert [one.columns for one in found.pair_tables] == [
        pair.columns for pair in found.worst_pairs[:PICTURED]
    ]
    for one, pair in zip(found.pair_tables, found.worst_pairs, strict=False):
        for shares in (np.array(one.train), np.array(one.synthetic)):
            assert max(shares.shape) <= MOST_SHOWN_LEVELS
            assert shares.sum() == pytest.approx(1, abs=1e-4)
        assert one.distance <= pair.distance + 1e-6
        if "crea" not in one.columns:  # ten bins, a special value and missing: joined
            assert one.distance == pytest.approx(pair.distance, abs=1e-6)


def test_rare_categories_are_one_level_and_missing_cells_come_last() -> None:
    names = [f"k{i}" for i in range(14)]
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": "c0", "constraints": {"enum": names, "required": False}},
                {"name": "c1", "constraints": {"enum": ["a", "b", "c"]}},
            ]
        }
    )
    frame = letters("x" * 120, "ab" * 60)
    frame["c0"] = ["k0"] * 50 + names * 3 + [""] * 28
    tables = prepared(schema, frame, frame[::-1], frame)
    pair = PairDistance(columns=("c0", "c1"), distance=0, holdout_distance=0)
    (found,) = pair_tables(tables, binnings(tables.train, schema), [pair])
    assert found.row_labels == (*names[:8], "(6 others)", "(missing)")
    assert np.array(found.train).sum(axis=1) == pytest.approx(
        np.array([53, *[3] * 7, 18, 28]) / 120, abs=1e-5
    )
    assert found.column_labels == ("a", "b")
    assert found.distance == 0


def test_bins_of_a_number_are_joined_to_make_room_for_its_other_levels(clinics: Tables) -> None:
    cuts = binnings(clinics.train, SCHEMA)
    pair = PairDistance(columns=("crea", "sex"), distance=1, holdout_distance=0)
    (found,) = pair_tables(clinics, cuts, [pair])
    assert found.row_labels[0] == "-1 (special)"
    assert found.row_labels[-1] == "(missing)"
    assert len(found.row_labels) == MOST_SHOWN_LEVELS
    assert next(cut.levels for cut in cuts if cut.field.name == "crea") == MOST_SHOWN_LEVELS + 2


def test_components_are_those_of_scikit_learn(clinics: Tables) -> None:
    coordinates = Coordinates(clinics.train, tuple(SCHEMA.modelled))
    points = coordinates(clinics.train.codes)
    theirs = PCA(2).fit(points)
    ours = principal_components(clinics, np.random.default_rng(1))
    assert ours.explained == pytest.approx(theirs.explained_variance_ratio_, abs=1e-5)
    low, high = np.array(ours.edges)[:, [0, -1]].T

    def apart(signs: tuple[int, ...]) -> float:
        at = np.clip(theirs.transform(points) * signs, low, high)
        return np.abs(
            np.histogram2d(at[:, 0], at[:, 1], bins=np.array(ours.edges))[0] / len(at) - ours.train
        ).sum()

    # A component and its opposite are one; rounded edges may move a row.
    assert min(apart(signs) for signs in product((-1, 1), repeat=2)) < 0.01
    for shares in (ours.train, ours.holdout, ours.synthetic):
        assert np.shape(shares) == (CELLS, CELLS)
        assert np.sum(shares) == pytest.approx(1, abs=1e-3)


def test_columns_weigh_the_same_whatever_their_kind(clinics: Tables) -> None:
    coordinates = Coordinates(clinics.train, tuple(SCHEMA.modelled))
    variance = coordinates(clinics.train.codes).var(axis=0)
    assert variance.sum() == pytest.approx(len(SCHEMA.modelled))


def test_ranks_are_trains_and_missing_cells_stand_in_the_middle() -> None:
    schema = Schema.from_dict(
        {
            "fields": [
                {
                    "name": "x",
                    "type": "integer",
                    "constraints": {"minimum": 0, "maximum": 9, "required": False},
                }
            ]
        }
    )
    coordinates = Coordinates(table([0, 0, 4, 9, -1]), tuple(schema.modelled))
    raw = coordinates(np.array([[0], [9], [-1]])) * coordinates.scale + coordinates.mean
    # Ranks among 0 0 4 9: 0 is 1/4, 9 is 7/8; the second coordinate says missing.
    assert raw == pytest.approx(np.array([[0.25, 0], [0.875, 0], [0.5, 1]]))


def test_a_cloud_elsewhere_is_drawn_elsewhere(clinics: Tables) -> None:
    found = principal_components(clinics, np.random.default_rng(1))
    moved = clinic(700, 2)
    moved["age"], moved["days"], moved["died"] = 100, 0, True
    other = prepared(SCHEMA, clinic(900, 0), clinic(300, 1), moved)
    there = principal_components(other, np.random.default_rng(1))

    def apart(one: Components | None) -> float:
        assert one is not None
        return np.abs(np.subtract(one.train, one.synthetic)).sum() / 2

    assert apart(there) > apart(found) + 0.2


@pytest.mark.parametrize("column", ["aaaa", "abab"])
def test_a_table_without_a_plane_has_no_components(column: str) -> None:
    frame = letters(column)
    tables = prepared(yes_no(1), frame, frame, frame)
    assert principal_components(tables, np.random.default_rng(0)) is None


def test_evaluations_from_before_are_read(scored: Evaluation) -> None:
    old = scored.model_dump(exclude={"pair_tables", "components"})
    found = Evaluation.model_validate(old)
    assert found.pair_tables == ()
    assert found.components is None


def test_shares_must_fit_their_labels() -> None:
    with pytest.raises(ValueError, match="shares must be in 1 rows of 2"):
        PairTable(columns=("a", "b"), row_labels=("x",), column_labels=("y", "z"),
                  train=((1.0,),), synthetic=((1.0,),), distance=0)  # fmt: skip
    with pytest.raises(ValueError, match="at least one row and one column"):
        PairTable(columns=("a", "b"), row_labels=(), column_labels=(), train=(), synthetic=(),
                  distance=0)  # fmt: skip
    with pytest.raises(ValueError, match="each component needs at least two edges"):
        Components(explained=(1, 0), edges=((0,), (0, 1)), train=(), holdout=(), synthetic=())
    with pytest.raises(ValueError, match="shares must be in 1 rows of 1"):
        Components(explained=(1, 0), edges=((0, 1), (0, 1)), train=(), holdout=(), synthetic=())
