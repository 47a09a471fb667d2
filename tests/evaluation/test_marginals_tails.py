import numpy as np
import pandas as pd
import pytest

from synthvae.evaluation.marginals import compare_tails, summary
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Table, Tables, prepare
from synthvae.evaluation.validity import count_copies
from synthvae.levels import judge, with_threshold
from synthvae.schema import Schema
from tests.evaluation.evaluation_example import SCHEMA, clinic, letters, table, yes_no

FIELD = SCHEMA["crea"]


def prepared(synthetic: pd.DataFrame, holdout: pd.DataFrame | None = None) -> Tables:
    holdout = clinic(1500, 2) if holdout is None else holdout
    return prepare(clinic(3000, 1), holdout, synthetic, SCHEMA, np.random.default_rng(0))


def test_a_summary_by_hand() -> None:
    found = summary(FIELD, np.array([*range(101), -1, -2]))
    assert found is not None
    assert (found.mean, found.p1, found.p50, found.p99) == (5.0, 0.1, 5.0, 9.9)
    assert found.sd == pytest.approx(np.arange(101).std() / 10)
    assert summary(FIELD, np.array([-1, -2])) is None


def test_a_shift_by_hand() -> None:
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 999}}
            ]
        }
    )
    train, far = table(list(range(101))), table(list(range(20, 121)))
    score = compare_tails(Tables(schema, train, train, far, train, train))
    assert score.value == pytest.approx(20 / 98, abs=1e-6)
    assert score.references["holdout"] == 0


def test_real_rows_of_others_are_good_and_outliers_that_a_bin_hides_are_poor() -> None:
    alike = with_threshold(compare_tails(prepared(clinic(3000, 3))), {})
    assert judge(alike) == "green"
    assert alike.interval is not None
    assert alike.interval.low <= alike.value <= alike.interval.high
    outliers = clinic(3000, 3)
    outliers.loc[:59, "crea"] = 24.0  # 2 in 100 rows, in the last bin all the same
    far = with_threshold(compare_tails(prepared(outliers)), {})
    assert judge(far) == "red"
    assert "'crea' (99 % point" in far.detail


def test_the_interval_covers_new_real_rows_and_not_a_near_miss() -> None:
    covered = 0
    for seed in range(20):
        score = compare_tails(prepared(clinic(1000, 100 + seed)))
        covered += score.interval.low == 0
    assert covered >= 18
    wider = clinic(3000, 3)
    wider["crea"] = (wider["crea"] * 1.5).where(wider["crea"] > 0, wider["crea"]).clip(upper=25)
    wider["crea"] = wider["crea"].round(1)
    assert compare_tails(prepared(wider)).interval.low > 0


def test_tails_need_numbers_that_span_some_steps() -> None:
    few = prepare(
        letters("abc", "abc"), letters("cba", "abc"), letters("aaa", "bbb"), yes_no(2),
        np.random.default_rng(0),
    )  # fmt: skip
    assert "spans 10 steps" in compare_tails(few).not_run


def copying(alike: int, holdout_alike: int) -> Score:
    """Return a score of copies among 500 synthetic rows, where so many real ones are alike, too."""
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 9999}}
            ]
        }
    )
    train = table(list(range(500)))

    def other(same: int) -> Table:
        return table([*range(same), *range(1000, 1500 - same)])

    tables = Tables(schema, train, other(holdout_alike), other(alike), train, train)
    return with_threshold(count_copies(tables), {})


def test_copies_are_judged_against_what_the_holdout_may_reach() -> None:
    # 155 of 500 beside the holdout's 150 is noise; 152 more is not.
    assert judge(copying(155, 150)) == "green"
    assert judge(copying(205, 150)) == "amber"
    assert judge(copying(302, 150)) == "red"
    score = copying(155, 150)
    assert score.threshold.good == score.references["holdout, at most"] > 0.3
    assert score.threshold.poor == pytest.approx(score.threshold.good + 0.05)
