"""Scores of large tables, and of tables that lack a class."""

import time

import numpy as np
import pandas as pd
import pytest

from synthvae.config import EvaluationRequest
from synthvae.evaluation.marginals import compare_margins
from synthvae.evaluation.prediction import compare_utility
from synthvae.evaluation.sdmetrics_report import report_quality
from synthvae.evaluation.tables import binnings, prepare
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic
from tests.peers.fits import wide_table
from tests.simulated import learn_less


@pytest.mark.parametrize("lacking", ["synthetic", "holdout"])
def test_a_class_that_a_table_lacks_is_scored_or_said(lacking: str) -> None:
    frames = {
        name: clinic(300, seed) for seed, name in enumerate(["train", "holdout", "synthetic"])
    }
    frames[lacking] = frames[lacking].assign(died=False, ward="A")
    tables = prepare(**frames, schema=SCHEMA, generator=np.random.default_rng(0))
    cuts = binnings(tables.train, tables.schema)
    scores = [
        *compare_margins(tables, cuts, np.random.default_rng(0)).scores,
        *report_quality(tables, np.random.default_rng(0)),
        *compare_utility(tables, np.random.default_rng(0))[0],
    ]
    assert {score.topic for score in scores} >= {"fidelity", "utility"}
    for score in scores:
        assert score.value is None or np.isfinite(score.value)
        assert score.value is not None or score.not_run


@pytest.mark.slow
def test_a_hundred_thousand_rows_of_a_hundred_columns_are_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn_less(monkeypatch)
    schema, frame = wide_table(120_000, 100)
    train, holdout = frame.head(100_000), frame.tail(20_000).reset_index(drop=True)
    mixed = pd.DataFrame(
        {name: train[name].sample(frac=1, random_state=1).to_numpy() for name in frame}
    )
    start = time.process_time()
    asked = EvaluationRequest(depth="screen", draws=1)
    evaluation = evaluate(train, holdout, mixed, schema, asked=asked)
    print(f"100,000 x 100: {time.process_time() - start:.0f} s of processor time")
    assert evaluation.score("tvd1").value == pytest.approx(0, abs=1e-3)
    assert len(evaluation.margins) == 100
