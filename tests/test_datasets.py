from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthvae.datasets import BASELINE, _runs, load_randhie
from synthvae.schema import Schema
from synthvae.table import encode, group_by_patient

SCHEMA = Path(__file__).parents[1] / "configs" / "randhie.schema.yaml"


@pytest.fixture(scope="module")
def randhie() -> pd.DataFrame:
    return load_randhie()


def test_runs_of_equal_rows_are_numbered_and_divided_at_the_longest() -> None:
    frame = pd.DataFrame({"a": [1, 1, 1, 2, 1, 1], "b": [0, 0, 0, 0, 0, 1]})
    assert _runs(frame, 5).tolist() == [1, 1, 1, 2, 3, 4]
    assert _runs(frame, 2).tolist() == [1, 1, 2, 3, 4, 5]


def test_has_the_published_rows_and_at_most_five_years_a_person(randhie: pd.DataFrame) -> None:
    assert len(randhie) == 20_190
    years = randhie.groupby("person").size()
    assert len(years) == 5_810
    assert years.max() == 5
    answers = randhie[["person", *BASELINE]].drop_duplicates()
    assert not answers["person"].duplicated().any()


def test_values_have_their_recorded_precision(randhie: pd.DataFrame) -> None:
    for name in ("idp", "physlm", "hlthg", "hlthf", "hlthp", "anyvisit"):
        assert set(randhie[name]) == {0, 1}
    assert np.array_equal(randhie["anyvisit"] == 1, randhie["mdvis"] > 0)
    assert (randhie["disea"] == randhie["disea"].round(1)).all()


def test_fits_its_schema(randhie: pd.DataFrame) -> None:
    schema = Schema.load(SCHEMA)
    assert encode(randhie, schema).shape == (20_190, 11)
    assert len(group_by_patient(randhie, schema).kept) == 20_190
    assert schema.to_review == ()
