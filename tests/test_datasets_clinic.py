"""The simulated hospital table has the troubles that it was made for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from synthvae.config import RunConfig
from synthvae.datasets import CLINIC_CODES, CLINIC_ROWS, load_clinic
from synthvae.pipeline import load_source
from synthvae.schema import Schema
from synthvae.table import find_problems

CONFIGS = Path(__file__).parents[1] / "configs"
SCHEMA = Schema.load(CONFIGS / "clinic.schema.yaml")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return load_clinic()


@pytest.mark.parametrize(("rows", "seed"), [(CLINIC_ROWS, 0), (3000, 5), (100, 1)])
def test_every_table_fits_the_schema_that_is_shipped(rows: int, seed: int) -> None:
    made = load_clinic(rows, seed)
    assert len(made) == rows
    assert tuple(made.columns) == tuple(sorted(SCHEMA.names, key=list(made.columns).index))
    assert find_problems(made, SCHEMA) == []


def test_the_same_seed_gives_the_same_table() -> None:
    pd.testing.assert_frame_equal(load_clinic(200, 3), load_clinic(200, 3))
    assert not load_clinic(200, 3).equals(load_clinic(200, 4))


def test_the_list_of_codes_is_the_simulation_s() -> None:
    assert SCHEMA["diagnosis"].categories == CLINIC_CODES
    assert len(set(CLINIC_CODES)) == 200


def test_codes_are_uneven_and_follow_age(table: pd.DataFrame) -> None:
    shares = table["diagnosis"].value_counts(normalize=True)
    assert shares.iloc[0] > 0.05
    assert shares.iloc[-50:].max() < 0.002
    ages = table.groupby("diagnosis")["age"].mean()[shares.index[:20]]
    assert ages.max() - ages.min() > 15


def test_values_are_skewed_heaped_and_zero(table: pd.DataFrame) -> None:
    assert table["creatinine"].skew() > 1.5
    assert (table["sbp"] % 10 == 0).mean() > 0.4
    assert (table["crp"] == 0.5).mean() > 0.02
    assert 0.4 < (table["cost"] == 0).mean() < 0.6
    assert table["cost"].max() > 10 * table["cost"][table["cost"] > 0].median()
    assert table["medications"].max() > 4 * table["medications"].median()


def test_what_is_missing_hangs_on_what_it_is(table: pd.DataFrame) -> None:
    assert table["hba1c"].isna()[~table["diabetes"]].mean() > 0.5
    assert table["hba1c"].isna()[table["diabetes"]].mean() < 0.15


def test_one_column_all_but_determines_another(table: pd.DataFrame) -> None:
    female = table["sex"] == "female"
    known = np.column_stack(
        [np.log(table["creatinine"]), table["age"], female, np.ones(len(table))]
    )
    logs = np.log(table["egfr"].clip(lower=1))
    missed = logs - known @ np.linalg.lstsq(known, logs, rcond=None)[0]
    assert 1 - missed.var() / logs.var() > 0.85


def test_the_protocol_follows_from_two_columns_and_from_neither(table: pd.DataFrame) -> None:
    first = table["protocol"] == "A"
    female, emergency = table["sex"] == "female", table["admission"] == "emergency"
    assert (first == (female ^ emergency)).mean() > 0.85
    for alone in (female, emergency):
        assert abs(first[alone].mean() - first[~alone].mean()) < 0.15


def test_the_outcome_can_be_told_about_three_times_out_of_four(table: pd.DataFrame) -> None:
    spread = (table["sodium"] - 138.5) / 3.6
    known = np.column_stack(
        [
            table["medications"],
            np.minimum(spread**2, 6),
            table["admission"] == "emergency",
            (table["smoker"] == "current") & table["diabetes"],
        ]
    )
    half = len(table) // 2
    model = LogisticRegression(max_iter=1000).fit(known[:half], table["readmitted"][:half])
    found = roc_auc_score(table["readmitted"][half:], model.predict_proba(known[half:])[:, 1])
    assert found == pytest.approx(0.75, abs=0.025)
    # U-shaped: a straight line in sodium sees nothing.
    assert abs(np.corrcoef(spread, table["readmitted"])[0, 1]) < 0.05


def test_survival_is_censored_and_follows_age(table: pd.DataFrame) -> None:
    assert 0.1 < table["died"].mean() < 0.5
    assert table["age"][table["died"]].mean() > table["age"][~table["died"]].mean() + 5


def test_a_config_names_it_with_a_number_of_rows() -> None:
    source = RunConfig.load(CONFIGS / "study-clinic.yaml").data
    assert len(load_source(source.model_copy(update={"rows": 300}))) == 300
    assert len(load_source(source.model_copy(update={"rows": None}))) == CLINIC_ROWS
