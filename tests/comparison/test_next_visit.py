"""What follows a visit: of real patients, of a copy, and of visits that are torn apart."""

import numpy as np
import pandas as pd
import pytest

from synthvae.comparison.compare import contestants, left_out
from synthvae.comparison.next_visit import LAG, STEP, NextVisit
from synthvae.config import RunConfig
from synthvae.evaluation.tables import Table
from synthvae.table import encode
from tests.simulated_visits import SHORT, journeys

VALUES = {"name": "j", "data": {"path": "j.csv"}, "schema": "j.yaml", "epsilon": 1.0}


def table(frame: pd.DataFrame) -> Table:
    codes = encode(frame, SHORT)
    return Table(codes, np.zeros(codes.shape, bool), pd.factorize(frame["patient"])[0])


def test_visits_that_are_torn_apart_are_far_from_train() -> None:
    train, held = journeys(2000), journeys(2000, seed=1)
    compare = NextVisit(table(train), SHORT)
    assert compare.figures(table(train)) == {STEP: 0.0, LAG: 0.0}
    real = compare.figures(table(held.sample(frac=1, random_state=0)))  # order is the time's
    states = held["state"].sample(frac=1, random_state=0).to_numpy()
    labs = held["lab"].sample(frac=1, random_state=0).to_numpy()
    torn = compare.figures(table(held.assign(state=states, lab=labs)))
    for key, least in ((STEP, 0.05), (LAG, 0.2)):
        assert (torn[key] or 0) > 3 * (real[key] or 1)
        assert (torn[key] or 0) - (real[key] or 1) > least


def test_without_second_visits_there_is_nothing_to_say() -> None:
    alone = journeys(100).drop_duplicates("patient")
    assert NextVisit(table(journeys(100)), SHORT).figures(table(alone)) == {STEP: None, LAG: None}


def test_what_makes_no_sense_is_left_out_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("synthvae.comparison.compare.installed", lambda: ("independent", "aim"))
    long = SHORT.replace(maxRows=60)
    config = RunConfig.model_validate(VALUES)
    assert [one.name for one in contestants(config, SHORT)] == ["synthvae", "independent", "aim"]
    assert [one.name for one in contestants(config, long)] == ["synthvae", "independent"]
    assert "182 columns" in left_out(config, long)["aim"]
    named = RunConfig.model_validate(VALUES | {"compare": {"methods": ["aim"]}})
    assert [one.name for one in contestants(named, long)] == ["aim"]
