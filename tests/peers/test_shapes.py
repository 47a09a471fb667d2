"""Tables of unusual size, keys of several columns, rows that stand twice."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import SchemaError
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems
from tests.peers.fits import any_of, schema_of, short_fit, wide_table
from tests.simulated import simulate_fewer

SEX = {"name": "sex", "constraints": {"enum": ["female", "male"]}}


def test_three_hundred_thousand_categories_are_refused_at_once() -> None:
    drugs = {"name": "drug", "constraints": {"enum": [f"c{i}" for i in range(300_000)]}}
    start = time.process_time()
    with pytest.raises(SchemaError, match=r"'drug' has 300,000 of them: group some, or set"):
        schema_of(drugs, SEX)
    assert time.process_time() - start < 5


def test_two_columns_of_three_hundred_levels() -> None:
    levels = [f"level {i:03d}" for i in range(300)]
    ward, doctor = ({"name": name, "constraints": {"enum": levels}} for name in ("ward", "doctor"))
    chances = 1 / np.arange(1, 301)
    first = any_of(levels, 5000, p=chances / chances.sum())
    frame = pd.DataFrame(
        {"ward": first, "doctor": np.where(any_of([True, False], 5000), first, levels[0])}
    )
    schema = schema_of(ward, doctor, patients=5000)
    start = time.process_time()
    made = short_fit(schema, frame).sample(5000, seed=1)
    assert time.process_time() - start < 20
    assert made["ward"].nunique() > 50
    real, drawn = (table["ward"].value_counts(normalize=True) for table in (frame, made))
    assert abs(real["level 000"] - drawn["level 000"]) < 0.03


KEYED = schema_of(
    {"name": "centre", "constraints": {"enum": ["north", "south"]}, "perPatient": True},
    {"name": "number", "type": "integer"},
    {"name": "seen by", "role": "identifier"},
    {"name": "score", "type": "integer", "constraints": {"minimum": 0, "maximum": 10}},
    patientKey=["centre", "number"],
    maxRows=2,
)


def keyed_table() -> pd.DataFrame:
    """Return a table in which patients of two centres have the same numbers, with two rows each."""
    whose = np.repeat(np.arange(200), 2)
    return pd.DataFrame(
        {
            "centre": np.tile(["north", "south"], 400),
            "number": np.repeat(whose, 2),
            "seen by": [f"doctor {i % 7}" for i in range(800)],
            "score": any_of(list(range(11)), 800),
        }
    )


def test_patients_are_known_by_two_columns_together() -> None:
    assert find_problems(keyed_table(), KEYED) == []
    made = short_fit(KEYED, keyed_table()).sample(600, seed=1)
    assert made.groupby(["centre", "number"]).size().max() <= 2
    assert 0.3 < (made["centre"] == "north").mean() < 0.7
    assert set(made["centre"]) == {"north", "south"}


def test_a_foreign_key_is_invented() -> None:
    made = short_fit(KEYED, keyed_table()).sample(600, seed=1)
    assert not set(made["seen by"]) & set(keyed_table()["seen by"])


def test_irregular_series_with_missing_values() -> None:
    schema = schema_of(
        {"name": "patient"},
        SEX | {"perPatient": True},
        {
            "name": "seen",
            "type": "date",
            "constraints": {"minimum": "2020-01-01", "maximum": "2020-12-31", "required": False},
        },
        {
            "name": "score",
            "type": "integer",
            "constraints": {"minimum": 0, "maximum": 40, "required": False},
        },
        patientKey="patient",
        maxRows=6,
    )
    draw = np.random.default_rng(0)
    whose = np.repeat(np.arange(400), draw.integers(1, 7, 400))
    days = pd.Series(draw.choice(pd.date_range("2020-01-01", "2020-12-31"), len(whose)))
    frame = pd.DataFrame(
        {
            "patient": whose,
            "sex": any_of(["female", "male"])[whose],
            "seen": days.where(draw.random(len(whose)) > 0.3),
            "score": pd.Series(draw.integers(0, 41, len(whose))).where(
                draw.random(len(whose)) > 0.3
            ),
        }
    )
    made = short_fit(schema, frame).sample(1500, seed=1)
    assert find_problems(made, schema) == []
    assert 0.15 < made["score"].isna().mean() < 0.45
    sizes = made.groupby("patient").size()
    assert set(sizes.iloc[:-1]) == {1, 2, 3, 4, 5, 6}


def clinics(duplicates: int) -> tuple[Schema, pd.DataFrame]:
    """Return 600 patients of one row each, the first ones of which stand twice."""
    codes = [f"area {i}" for i in range(8)]
    fields: list[dict[str, Any]] = [
        {"name": "patient"},
        {"name": "area", "constraints": {"enum": codes}},
    ]
    schema = schema_of(*fields, SEX, patientKey="patient", maxRows=1, patients=600)
    table = pd.DataFrame(
        {
            "patient": [f"p{i}" for i in range(600)],
            "area": any_of(codes, 600, 1),
            "sex": any_of(["female", "male"], 600),
        }
    )
    return schema, pd.concat([table, table.head(duplicates)], ignore_index=True)


def test_rows_that_stand_twice_cost_nothing_where_a_patient_has_one_row() -> None:
    def error(duplicates: int) -> float:
        schema, frame = clinics(duplicates)
        model = short_fit(schema, frame, 1.0)
        made = model.sample(6000, seed=1)
        assert model.guarantee.rows_per_patient == 1
        assert made["patient"].is_unique
        assert model.default_rows == 600
        real, drawn = (each["area"].value_counts(normalize=True) for each in (frame, made))
        return float((real - drawn.reindex(real.index)).abs().max())

    # The same noise, of the same scale: what differs is five rows of 600 that are counted once.
    assert abs(error(5) - error(0)) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns", "seconds"), [(800, 170, 60), (500, 842, 450)])
def test_more_columns_than_a_model_is_made_for(
    rows: int, columns: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, frame = wide_table(rows, columns)
    simulate_fewer(monkeypatch, 512)  # whose number is no matter of columns
    start = time.process_time()
    made = Synthesizer(schema, 1.0).fit(frame).sample(rows, seed=1)
    spent = time.process_time() - start
    print(f"{rows} x {columns}: {spent:.0f} s of processor time")
    assert find_problems(made, schema) == []
    assert spent < seconds
