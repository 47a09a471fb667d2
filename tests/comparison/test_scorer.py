import dataclasses

import numpy as np
import pandas as pd
import pytest

from synthvae.comparison.scorer import Scorer, cox_concordance, meanings
from synthvae.datasets import load_clinic
from synthvae.evaluation.tables import read_synthetic
from synthvae.schema import Schema

FULL = Schema.load("configs/clinic.schema.yaml")
KEPT = ("sex", "creatinine", "egfr", "readmitted", "followed", "died")
SCHEMA = FULL.replace(fields=[f for f in FULL.to_dict()["fields"] if f["name"] in KEPT])


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boosted trees learn for 30 rounds: enough for these tables."""
    monkeypatch.setattr("synthvae.evaluation.learners.ROUNDS", 30)
    monkeypatch.setattr("synthvae.evaluation.joint.ROUNDS", 30)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    train, holdout = load_clinic(600)[list(KEPT)], load_clinic(300, seed=1)[list(KEPT)]
    return Scorer(train, holdout, SCHEMA, rows=600, seed=0)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    drawn = np.random.default_rng(0)
    return pd.DataFrame({n: frame[n].to_numpy()[drawn.permutation(len(frame))] for n in frame})


def test_real_rows_do_well_shuffled_ones_do_not_and_copies_light_up(scorer: Scorer) -> None:
    fresh, apart, copied, real = (
        scorer.score(load_clinic(600, seed=2)[list(KEPT)]),
        scorer.score(shuffled(scorer.train)),
        scorer.score(scorer.train),
        scorer.reference(None, 1e-5).figures,
    )
    keys = {meaning.key for meaning in meanings(SCHEMA)}
    assert set(fresh) == set(real) == keys
    assert copied["tvd2"] == 0 < fresh["tvd2"] < apart["tvd2"]
    assert fresh["tvd3"] < apart["tvd3"]
    assert fresh["c2st"] == pytest.approx(0.5, abs=0.08)
    assert apart["c2st"] > 0.65
    assert fresh["utility"] > 0.5 > apart["utility"]
    assert fresh["c_index"] == pytest.approx(real["c_index"], abs=0.05)
    assert apart["c_index"] < real["c_index"]
    assert copied["membership"] > 0.95
    assert fresh["membership"] == pytest.approx(0.5, abs=0.06)
    assert fresh["valid"] == 1.0
    assert real["tstr.readmitted"] == copied["tstr.readmitted"]


def test_figures_repeat(scorer: Scorer) -> None:
    made = load_clinic(300, seed=3)[list(KEPT)]
    assert scorer.score(made) == scorer.score(made)


def test_without_an_event_there_is_no_c_index_and_the_rest_stands(scorer: Scorer) -> None:
    unknown = dataclasses.replace(scorer, holdout=scorer.holdout.assign(died=False))
    found = unknown.score(scorer.train)
    assert found["c_index"] is None
    assert found["tvd2"] == 0


def test_a_table_of_one_class_teaches_chance(scorer: Scorer) -> None:
    found = scorer.score(scorer.train.assign(readmitted=False, died=False))
    assert found["tstr.readmitted"] == 0.5
    assert found["utility"] is not None


def test_a_c_index_comes_with_survival_columns_only() -> None:
    plain = SCHEMA.replace(survival=None)
    assert "c_index" not in {meaning.key for meaning in meanings(plain)}


def test_a_missing_event_leaves_the_row_out() -> None:
    made, held = load_clinic(400)[list(KEPT)], read_synthetic(load_clinic(200, seed=1), SCHEMA)
    unknown = np.arange(400) % 4 == 0
    holed = made.assign(died=made["died"].astype(object).mask(unknown))
    found, expected = (
        cox_concordance(read_synthetic(frame, SCHEMA), held, SCHEMA)
        for frame in (holed, made[~unknown])
    )
    assert found == expected
    assert cox_concordance(read_synthetic(made.assign(died=False), SCHEMA), held, SCHEMA) is None
