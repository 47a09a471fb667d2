"""Rank correlations: against scipy's, and whether a turned sign is seen."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from synthvae.evaluation.pairs import RANK_CORRELATIONS, compare_associations, rank_correlations
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import binnings, prepare
from synthvae.levels import judge, with_threshold
from synthvae.report.disclosure import for_public
from synthvae.report.disclosure_rules import ACRO
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, letters, yes_no


def test_a_rank_correlation_is_scipys_and_leaves_out_each_group() -> None:
    g = np.random.default_rng(0)
    codes = g.integers(0, 9, (200, 3))
    codes[:, 2] += g.integers(0, 20, 200)
    groups = np.arange(200) % 4
    found = rank_correlations(codes, groups)
    expected = [spearmanr(codes[:, i], codes[:, j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found[:, 0] == pytest.approx(expected, abs=1e-12)
    # Ranks stay those among all rows, which differ little from those among the rest.
    rest = codes[groups != 2]
    assert found[1, 3] == pytest.approx(spearmanr(rest[:, 0], rest[:, 2]).statistic, abs=0.01)


def test_missing_values_and_constant_columns_tell_nothing() -> None:
    codes = np.array([[0, 3, 5], [1, 2, 5], [2, 1, 5], [3, -1, 5], [-2, 0, 5]])
    found = rank_correlations(codes)[:, 0]
    assert found[0] == pytest.approx(-1)
    assert np.isnan(found[1:]).all()
    assert np.isnan(rank_correlations(np.full((4, 2), -1))).all()


def difference(made: pd.DataFrame) -> Score:
    generator = np.random.default_rng(0)
    tables = prepare(clinic(900, 1), clinic(400, 2), made, SCHEMA, generator)
    found = compare_associations(tables, binnings(tables.train, SCHEMA), generator)[0][1]
    return with_threshold(found, {})


def test_a_turned_sign_is_poor_and_fresh_real_rows_are_good() -> None:
    turned = clinic(900, 3)
    turned["age"] = 118 - turned["age"]
    good, poor = difference(clinic(900, 3)), difference(turned)
    assert (judge(good), judge(poor)) == ("green", "red")
    assert (good.references["independent"] or 0) > 3 * (good.references["bootstrap"] or 1)
    assert good.value is not None
    assert good.interval is not None
    assert good.interval.low <= good.value <= good.interval.high


def test_it_needs_numbers_and_is_not_published() -> None:
    found = evaluate(letters("abc", "abc"), letters("abc", "abb"), letters("abc", "cab"), yes_no(2))
    assert found.score("rank_correlations").not_run == "needs 2 columns of numbers or dates"
    scored = found.model_copy(update={"scores": (RANK_CORRELATIONS.answer(0.1),)})
    assert for_public(scored, ACRO).scores[0].value is None
